"""Random search for hyper-parameters (Bergstra and Bengio, 2012) on validation data alone.

An experiment's file, or its part of experiments/search.toml, says for an algorithm what is drawn,
and what makes one setting better than another:

    [search.v_rex]
    criterion = "risk"                                  # see CRITERIA
    max_risk_spread = 0.01                              # optional: the most that mean plus spread
                                                        # over trials of "risk_spread" may be
    [search.v_rex.ranges]
    lr = { low = 1e-4, high = 1e-2, log = true }        # uniform, or uniform in the logarithm
    anneal_steps = { low = 50, high = 250, integer = true }
    hidden = { choices = [[256], [390, 390]] }
"""

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import child
from metairm_np.experiments._inherit import assign, places
from metairm_np.experiments._schema import RANGE
from metairm_np.experiments.files import Experiment, Study, resolve, row_of

FIRST_TRIAL = 1_000_000  # the trials of a search are numbered from here: no table has their data
SETTINGS = 2**31  # the stream of the settings, apart from all trials

EXTRAPOLATED = 8  # -lambda_min: risks that are linear in p_e, at 0.1 and 0.2, reach p_e = 1


def extrapolated(risks) -> float:
    """Return MM-REx's objective, the worst risk beyond the training environments'.

    (1 - E lambda_min) max_e R_e + lambda_min sum_e R_e, the largest of all affine combinations of
    the risks with no weight below lambda_min (Krueger et al., 2021). For two environments it is the
    mean risk plus 17 times the spread.
    """
    R = np.array(risks)
    return float((1 + len(R) * EXTRAPOLATED) * R.max() - EXTRAPOLATED * R.sum())


# of a trial's record, to be minimised: all on held-out samples of the training environments
CRITERIA = {
    "risk": lambda record: float(np.mean(record["validation_risk"])),
    "worst_risk": lambda record: float(np.max(record["validation_risk"])),
    "error": lambda record: 1 - float(np.mean(record["validation_accuracy"])),
    "worst_error": lambda record: 1 - float(np.min(record["validation_accuracy"])),
    "risk_spread": lambda record: float(np.std(record["validation_risk"])),
    "extrapolated_risk": lambda record: extrapolated(record["validation_risk"]),
    "extrapolated_error": lambda record: extrapolated(
        [1 - accuracy for accuracy in record["validation_accuracy"]]
    ),
}


def check(name, table, algorithms):
    """Raise ValueError unless `table` is a sound [search.NAME], its types apart."""
    _checks.choice("algorithm in [search]", name, algorithms)
    where = f"[search.{name}]"
    for key in ("criterion", "ranges"):
        if not table.get(key):
            raise ValueError(f"{where} has no {key}; give one")
    _checks.choice(f"criterion in {where}", table["criterion"], CRITERIA)
    for key, values in table["ranges"].items():
        what = f"{key} in [search.{name}.ranges]"
        interval = {"low", "high"} <= values.keys() <= RANGE.keys() - {"choices"}
        if not interval and values.keys() != {"choices"}:
            raise ValueError(
                f"{what} is {values!r}; give {{ low = 0, high = 1 }} or {{ choices = [1, 2] }}"
            )
        if interval:
            lowest = 1e-300 if values.get("log") else -math.inf
            _checks.number(f"low of {what}", values["low"], low=lowest)
            _checks.number(f"high of {what}", values["high"], low=values["low"])


class Row(NamedTuple):
    """A row of a study's tables whose settings are searched.

    Parameters
    ----------
    name : str
    experiment : Experiment
    algorithm : str
        Its name in the experiment.
    drawn : list of dict
        The settings, each by the keys of the ranges.
    """

    name: str
    experiment: Experiment
    algorithm: str
    drawn: list


def rows(study: Study, algorithms, named, budget, seed) -> list:
    """Draw `budget` settings for each row of a study's tables that has a [search.ALGORITHM].

    Parameters
    ----------
    study : Study
    algorithms : list of str
        Those whose rows are wanted.
    named : bool
        Whether the user has named them, so that one without a search is an error.
    budget, seed : int

    Returns
    -------
    list of Row

    Raises
    ------
    ValueError, TypeError
        If a search is not sound, or if there is none.
    """
    found = []
    for case, experiment in study.cases.items():
        searches = experiment.config.get("search", {})
        for name, table in searches.items():
            check(name, table, experiment.algorithms)
        for name in algorithms:
            if name in searches:
                drawn = [draw(searches[name]["ranges"], seed, number) for number in range(budget)]
                found.append(Row(row_of(name, case), experiment, name, drawn))
    there = {row.algorithm for row in found}
    missing = [name for name in algorithms if name not in there]
    if missing and (named or not found):
        tables = " or ".join(f"[search.{name}]" for name in missing)
        raise ValueError(
            f"{study.name} has no {tables}; write one into a copy of its file, with ranges as in "
            "experiments/search.toml"
        )
    return found


def searched(study: Study, seed) -> Study:
    """Return the study of what it searches alone, each with its first setting.

    Its hash names the search: it stays when what the search has selected is written into the file.
    """
    cases = {case: replace(one, algorithms={}) for case, one in study.cases.items()}
    for row in rows(study, study.algorithms, False, 1, seed):
        first = with_setting(row.experiment.config, row.algorithm, row.drawn[0])
        cases[row.experiment.case].algorithms.update(resolve(first).algorithms)
    return replace(study, cases=cases)


def check_overrides(row: Row, overrides) -> None:
    """Raise ValueError if an override, "key=value", sets what the search of a row draws."""
    config, where = row.experiment.config, f"[search.{row.algorithm}.ranges]"
    for key in config["search"][row.algorithm]["ranges"]:
        (drawn,) = places(config, f"{row.algorithm}.{key}", where)
        for text in overrides:
            for place in places(config, text.partition("=")[0].strip(), "--set"):
                if f"{drawn}.".startswith(f"{place}."):
                    raise ValueError(
                        f"--set {text} has no effect on {row.algorithm}, whose {key} the search "
                        f"draws; leave it out, or change {where} in a copy of the file"
                    )


def planned(study: Study, plan, seed) -> list:
    """Return the rows of a search's plan.json, each with all settings that were asked for."""
    plan = {name: row for name, row in plan.items() if row["settings"]}
    most = max((row["settings"] for row in plan.values()), default=0)
    every = rows(study, study.algorithms, False, most, seed)
    return [
        row._replace(drawn=row.drawn[: plan[row.name]["settings"]])
        for row in every
        if row.name in plan
    ]


def draw(ranges, seed, number) -> dict:
    """Draw setting `number` of a search, by the keys of `ranges`; no other number changes it."""
    rng = np.random.default_rng(child(seed, SETTINGS, number))
    drawn = {}
    for key, values in ranges.items():
        if "choices" in values:
            drawn[key] = values["choices"][rng.integers(len(values["choices"]))]
            continue
        low, high = values["low"], values["high"]
        u = rng.random()
        value = low * (high / low) ** u if values.get("log") else low + (high - low) * u
        # four digits, as one would type it
        drawn[key] = round(value) if values.get("integer") else float(f"{value:.4g}")
    return drawn


def with_setting(config, algorithm, drawn) -> dict:
    """Return the config of an experiment with one algorithm, which has the drawn settings."""
    config = {key: copy.deepcopy(value) for key, value in config.items() if key != "search"}
    config["algorithms"] = {algorithm: config["algorithms"][algorithm]}
    for key, value in drawn.items():
        assign(config, f"{algorithm}.{key}", value, f"[search.{algorithm}.ranges]")
    return config

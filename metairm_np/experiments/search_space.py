"""Random search for hyper-parameters (Bergstra and Bengio, 2012), selecting on held-out training data alone.

An experiment's TOML declares for an algorithm what is drawn, and what makes one setting better than
another:

    [search.v_rex]
    criterion = "risk"                                  # see CRITERIA
    max_risk_spread = 0.01                              # optional, see `rank`
    [search.v_rex.ranges]
    lr = { low = 1e-4, high = 1e-2, log = true }        # uniform, or uniform in the logarithm
    anneal_steps = { low = 50, high = 250, integer = true }
    hidden = { choices = [[256], [390, 390]] }
"""

import copy
import math
from typing import NamedTuple

import numpy as np

from metairm_np import _checks
from metairm_np._seeds import child
from metairm_np.experiments.files import Experiment, row_of

FIRST_TRIAL = (
    1_000_000  # trials of a search are numbered from here, so that no table has their data
)
SETTINGS = 2**31  # the stream of the settings, apart from all trials

# of a trial's record, to be minimised: all on held-out samples of the training environments
CRITERIA = {
    "risk": lambda record: float(np.mean(record["validation_risk"])),
    "worst_risk": lambda record: float(np.max(record["validation_risk"])),
    "error": lambda record: 1 - float(np.mean(record["validation_accuracy"])),
    "worst_error": lambda record: 1 - float(np.min(record["validation_accuracy"])),
    "risk_spread": lambda record: float(np.std(record["validation_risk"])),
}


def check(name, table, algorithms):
    """Raise ValueError or TypeError unless `table` is a sound [search.NAME] of an experiment with these algorithms."""
    _checks.choice("algorithm in [search]", name, algorithms)
    where = f"[search.{name}]"
    _checks.keys(where, table, ("criterion", "max_risk_spread", "ranges"))
    for key in ("criterion", "ranges"):
        if key not in table:
            raise ValueError(f"{where} has no {key}; give one")
    _checks.choice(f"criterion in {where}", table["criterion"], CRITERIA)
    if "max_risk_spread" in table:
        _checks.number(f"max_risk_spread in {where}", table["max_risk_spread"], low=0)
    for key, values in table["ranges"].items():
        what = f"{key} in [search.{name}.ranges]"
        if not isinstance(values, dict) or not (
            "choices" in values or {"low", "high"} <= values.keys()
        ):
            raise TypeError(
                f"{what} is {values!r}; give {{ low = 0, high = 1 }} or {{ choices = [1, 2] }}"
            )
        if "choices" in values:
            _checks.keys(what, values, ("choices",))
            if not isinstance(values["choices"], list) or not values["choices"]:
                raise TypeError(
                    f"choices of {what} is {values['choices']!r}; give a list of one or more values"
                )
            continue
        _checks.keys(what, values, ("low", "high", "log", "integer"))
        for key in ("log", "integer"):
            _checks.switch(f"{key} of {what}", values.get(key, False))
        _checks.number(f"low of {what}", values["low"], 1e-300 if values.get("log") else -math.inf)
        _checks.number(f"high of {what}", values["high"], low=values["low"])


class Row(NamedTuple):
    """A row of a study's tables whose settings are searched: its name, experiment and algorithm, and the drawn settings."""

    name: str
    experiment: Experiment
    algorithm: str
    drawn: list


def rows(study, algorithms, named, budget, seed):
    """Draw `budget` settings for each row of a study's tables that has a [search.ALGORITHM].

    Raises
    ------
    ValueError, TypeError
        If one of these is not sound, if there is none, or, for algorithms that the user has
        `named`, if one has none.
    """
    found = []
    for case, experiment in study.cases.items():
        tables = experiment.config.get("search", {})
        for name, table in tables.items():
            check(name, table, experiment.algorithms)
        for name in algorithms:
            if name in tables:
                drawn = [draw(tables[name]["ranges"], seed, number) for number in range(budget)]
                found.append(Row(row_of(name, case), experiment, name, drawn))
    there = {row.algorithm for row in found}
    needed = algorithms if named else ["any algorithm"] * (not found)
    for name in needed:
        if name not in there:
            raise ValueError(
                f"{study.name} has no [search.{name}]; write its ranges into a copy of the TOML file"
            )
    return found


def planned(study, plan, seed):
    """Return the rows of a search's plan.json, each with as many settings as commands have asked for."""
    most = max(row["settings"] for row in plan.values())
    every = rows(study, study.algorithms, False, most, seed)
    return [
        row._replace(drawn=row.drawn[: plan[row.name]["settings"]])
        for row in every
        if row.name in plan
    ]


def draw(ranges, seed, number):
    """Draw setting `number` of a search, a dict by the keys of `ranges`; more settings leave these as they are."""
    rng = np.random.default_rng(child(seed, SETTINGS, number))
    drawn = {}
    for key, values in ranges.items():
        if "choices" in values:
            drawn[key] = values["choices"][rng.integers(len(values["choices"]))]
            continue
        low, high = values["low"], values["high"]
        u = rng.random()
        value = low * (high / low) ** u if values.get("log") else low + (high - low) * u
        drawn[key] = (
            round(value) if values.get("integer") else float(f"{value:.4g}")
        )  # what one would type
    return drawn


def with_setting(config, algorithm, drawn):
    """Return the config of an experiment with one algorithm, whose settings are the drawn ones where there are any."""
    config = {key: copy.deepcopy(value) for key, value in config.items() if key != "search"}
    config["algorithms"] = {algorithm: config["algorithms"][algorithm]}
    for key, value in drawn.items():
        *tables, last = key.split(".")
        place = config["algorithms"][algorithm]
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return config

"""Random search for hyper-parameters (Bergstra and Bengio, 2012), selecting on held-out training data alone.

An experiment's TOML declares for an algorithm what is drawn, and what makes one setting better than another:

    [search.v_rex]
    criterion = "risk"                                  # see CRITERIA
    max_risk_spread = 0.01                              # optional, see `rank`
    [search.v_rex.ranges]
    lr = { low = 1e-4, high = 1e-2, log = true }        # uniform, or uniform in the logarithm
    anneal_steps = { low = 50, high = 250, integer = true }
    hidden = { choices = [[256], [390, 390]] }
"""

import copy
import json
import math
import shlex
from typing import NamedTuple

import numpy as np

from metairm_np import checks, report
from metairm_np.experiments import Experiment
from metairm_np.folder import row_of
from metairm_np.seeds import child

FIRST_TRIAL = 1_000_000  # trials of a search are numbered from here, so that no table has their data
SETTINGS = 2**31  # the stream of the settings, apart from all trials

CRITERIA = {  # of a trial's record, to be minimised: all on held-out samples of the training environments
    "risk": lambda record: float(np.mean(record["validation_risk"])),
    "worst_risk": lambda record: float(np.max(record["validation_risk"])),
    "error": lambda record: 1 - float(np.mean(record["validation_accuracy"])),
    "worst_error": lambda record: 1 - float(np.min(record["validation_accuracy"])),
    "risk_spread": lambda record: float(np.std(record["validation_risk"])),
}


def check(name, table, algorithms):
    """Raise ValueError or TypeError unless `table` is a sound [search.NAME] of an experiment with these algorithms."""
    checks.choice("algorithm in [search]", name, algorithms)
    where = f"[search.{name}]"
    checks.keys(where, table, ("criterion", "max_risk_spread", "ranges"))
    for key in ("criterion", "ranges"):
        if key not in table:
            raise ValueError(f"{where} has no {key}; give one")
    checks.choice(f"criterion in {where}", table["criterion"], CRITERIA)
    if "max_risk_spread" in table:
        checks.number(f"max_risk_spread in {where}", table["max_risk_spread"], low=0)
    for key, values in table["ranges"].items():
        what = f"{key} in [search.{name}.ranges]"
        if not isinstance(values, dict) or not ("choices" in values or {"low", "high"} <= values.keys()):
            raise TypeError(f"{what} is {values!r}; give {{ low = 0, high = 1 }} or {{ choices = [1, 2] }}")
        if "choices" in values:
            checks.keys(what, values, ("choices",))
            if not isinstance(values["choices"], list) or not values["choices"]:
                raise TypeError(f"choices of {what} is {values['choices']!r}; give a list of one or more values")
            continue
        checks.keys(what, values, ("low", "high", "log", "integer"))
        for key in ("log", "integer"):
            checks.switch(f"{key} of {what}", values.get(key, False))
        checks.number(f"low of {what}", values["low"], 1e-300 if values.get("log") else -math.inf)
        checks.number(f"high of {what}", values["high"], low=values["low"])


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
        If one of these is not sound, if there is none, or, for algorithms that the user has `named`, if one has none.
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
            raise ValueError(f"{study.name} has no [search.{name}]; write its ranges into a copy of the TOML file")
    return found


def planned(study, plan, seed):
    """Give the rows of a search's plan.json, each with as many settings as commands have asked for."""
    most = max(row["settings"] for row in plan.values())
    every = rows(study, study.algorithms, False, most, seed)
    return [row._replace(drawn=row.drawn[: plan[row.name]["settings"]]) for row in every if row.name in plan]


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
        drawn[key] = round(value) if values.get("integer") else float(f"{value:.4g}")  # what one would type
    return drawn


def with_setting(config, algorithm, drawn):
    """Give the config of an experiment with one algorithm, whose settings are the drawn ones where there are any."""
    config = {key: copy.deepcopy(value) for key, value in config.items() if key != "search"}
    config["algorithms"] = {algorithm: config["algorithms"][algorithm]}
    for key, value in drawn.items():
        *tables, last = key.split(".")
        place = config["algorithms"][algorithm]
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return config


def results(row, records):
    """Give what a search found, the best setting first.

    Of the settings all of whose trials are usable, those come first whose trials, if they stop early, all met the stopping
    rule or kept their last step (as they do if it was never armed), and whose validation risks differ by no more than
    `max_risk_spread` (population standard deviation over the training environments, mean over trials), in the order of the
    criterion (mean over trials); then the others, in the order of that spread; then those with a trial that diverged or failed
    its audit.

    Parameters
    ----------
    row : Row
    records : list of dict
        Of its trials that are finished; a setting without any is left out.

    Returns
    -------
    list of dict
        setting : its number; values : what was drawn; trials : how many; usable : whether all are; within : whether it is one
        of those that come first; criterion, risk_spread; test_accuracy : of each p_e of the table, in per cent, one number a
        trial; selected : True for the first, if it is usable; oracle : True for the one with the best worst test accuracy.
    """
    table, groups, found = row.experiment.config["search"][row.algorithm], {}, []
    stops = row.experiment.algorithms[row.algorithm].settings.early_stopping is not None
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    for number, values in enumerate(row.drawn):
        if number not in groups:
            continue
        group = groups[number]
        good = report.usable(group)
        spread = float(np.mean([CRITERIA["risk_spread"](record) for record in good])) if good else math.inf
        met = not stops or all(record["status"] == "stopped early" or record["step"] == record["last_step"] for record in good)
        found.append({
            "setting": number, "values": values, "trials": len(group), "usable": len(good) == len(group),
            "within": met and spread <= table.get("max_risk_spread", math.inf),
            "criterion": float(np.mean([CRITERIA[table["criterion"]](record) for record in good])) if good else math.inf,
            "risk_spread": spread,
            "test_accuracy": {f"{p_e:g}": report.accuracies(good, p_e).tolist() for p_e in row.experiment.table_p},
        })  # fmt: skip
    found.sort(key=lambda one: (not one["usable"], not one["within"], one["criterion" if one["within"] else "risk_spread"]))
    usable = [one for one in found if one["usable"]]
    best = max(usable, key=lambda one: min(np.mean(one["test_accuracy"][p_e]) for p_e in one["test_accuracy"]), default=None)
    return [{**one, "selected": one is found[0] and one["usable"], "oracle": one is best} for one in found]


def markdown(row, found, most=None):
    """Give the first `most` of `results`, and the oracle's, as a table with a caption."""
    experiment, table = row.experiment, row.experiment.config["search"][row.algorithm]
    shown = found[:most] + [one for one in found[len(found[:most]) :] if one["oracle"]]
    keys = list(found[0]["values"])
    head = ["setting", "", "trials", table["criterion"], "risk_spread", *(f"p_e = {p:g}" for p in experiment.table_p), *keys]
    lines = []
    for one in shown:
        marks = [name for name in ("selected", "oracle") if one[name]] + ["unusable"] * (not one["usable"])
        figures = [report.mean_and_spread(values) for values in one["test_accuracy"].values()]
        lines.append([
            str(one["setting"]), ", ".join(marks), str(one["trials"]), f"{one['criterion']:.4f}", f"{one['risk_spread']:.4f}",
            *figures, *(str(one["values"][key]) for key in keys),
        ])  # fmt: skip
    limit = table.get("max_risk_spread")
    first = "" if limit is None else f", first those whose validation risks differ by at most {limit:g} (risk_spread)"
    if experiment.algorithms[row.algorithm].settings.early_stopping:
        first += " and whose trials all met the stopping rule or kept their last step"
    caption = (
        f"{experiment.algorithms[row.algorithm].label}: {len(found)} settings in the order of {table['criterion']} on the "
        f"training environments' validation sets{first}. The test accuracies, in per cent, took no part in the order but for "
        'the row marked "oracle", the one with the best worst of them.'
    )
    return f"{caption}\n\n{report.markdown(head, lines)}"


def selected_options(row, found):
    """Give the selected setting as options of the command line, or a sentence if there is none."""
    if not found[0]["selected"]:
        return f"{row.algorithm}: no setting is usable"
    values = found[0]["values"].items()
    return " ".join(f"--set {shlex.quote(f'{row.algorithm}.{key}={json.dumps(value)}')}" for key, value in values)

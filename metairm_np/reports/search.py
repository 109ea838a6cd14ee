"""What came of a search: its settings in order, as a table and as options of the command line."""

import json
import math
import shlex

import numpy as np

from metairm_np.experiments import tested
from metairm_np.experiments.search_space import CRITERIA, Row
from metairm_np.reports import tables

BEST = 10  # settings that are printed and on the page; all are in the search's files


def results(row: Row, records) -> list:
    """Return what a search found, the best setting first.

    A setting is judged by the parameters that its trials keep, wherever these stop. Settings all of
    whose trials are usable come before the others, and of those the ones with the most trials. Of
    these, the first are the ones whose spread of the validation risks (population standard
    deviation over the training environments), the mean over trials plus the standard deviation over
    trials, is at most `max_risk_spread`, in the order of the criterion (mean over trials); the rest
    follow in the order of that sum. A setting that is invariant in one trial and not in the next is
    none to select.

    Parameters
    ----------
    row : Row
    records : list of dict
        Of its trials that are finished; a setting without any is left out.

    Returns
    -------
    list of dict
        setting : its number; values : what was drawn; trials : how many; usable : whether all are;
        within : whether it is one of those that come first; criterion, risk_spread : means over
        trials; risk_spread_varies : by how much that spread differs between trials; test_accuracy :
        in each test environment of the table, in per cent, one number a trial; selected : True for
        the first, if it is usable; oracle : True for the one with the best worst test accuracy.
    """
    groups: dict = {}
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    found = [
        _result(row, number, values, groups[number])
        for number, values in enumerate(row.drawn)
        if number in groups
    ]
    most = max((one["trials"] for one in found), default=0)
    found.sort(key=lambda one: (not one["usable"], one["trials"] < most, *_place(one)))
    usable = [one for one in found if one["usable"]]
    best = max(usable, key=_worst_accuracy, default=None)
    return [
        {**one, "selected": one is found[0] and one["usable"], "oracle": one is best}
        for one in found
    ]


def best(row: Row, records, n: int, trial: int) -> list:
    """Return the numbers of the n best settings by one trial alone, or all if there are fewer.

    Raises
    ------
    ValueError
        If a setting has no such trial yet.
    """
    first = [record for record in records if record["trial"] == trial]
    missing = len(row.drawn) - len(first)
    if missing:
        raise ValueError(
            f"{missing} of {len(row.drawn)} settings of {row.name} have no first trial yet; run "
            "the same command with --trials 1 and without --best before"
        )
    return [one["setting"] for one in results(row, first)[:n]]


def _result(row, number, values, records):
    """Return what `results` says of one setting, apart from its place."""
    table = row.experiment.config["search"][row.algorithm]
    good = tables.usable(records)

    def over_trials(criterion):
        return [CRITERIA[criterion](record) for record in good] or [math.inf]

    spreads = over_trials("risk_spread")
    spread, varies = float(np.mean(spreads)), float(np.std(spreads)) if good else math.inf
    return {
        "setting": number,
        "values": values,
        "trials": len(records),
        "usable": len(good) == len(records),
        "within": spread + varies <= table.get("max_risk_spread", math.inf),
        "criterion": float(np.mean(over_trials(table["criterion"]))),
        "risk_spread": spread,
        "risk_spread_varies": varies,
        "test_accuracy": {
            tested.key(p): tables.accuracies(good, p).tolist() for p in row.experiment.table_p
        },
    }


def _place(one):
    within, apart = one["within"], one["risk_spread"] + one["risk_spread_varies"]
    return not within, one["criterion"] if within else apart


def _worst_accuracy(one):
    return min(np.mean(accuracies) for accuracies in one["test_accuracy"].values())


def markdown(row: Row, found, most=None) -> str:
    """Return the first `most` of `results`, and the oracle's, as a table with a caption."""
    return (
        f"{tables.plain(caption(row, found))}\n\n{tables.markdown(*table_rows(row, found, most))}"
    )


def table_rows(row: Row, found, most=None):
    """Return the head and the rows of a table of the first `most` of `results`, and the oracle."""
    experiment, table = row.experiment, row.experiment.config["search"][row.algorithm]
    criterion = table["criterion"]
    shown = found[:most] + [one for one in found[len(found[:most]) :] if one["oracle"]]
    keys = list(found[0]["values"])
    columns = [tested.heading(name) for name in experiment.table_p]
    head = ["setting", "", "trials", criterion, "risk_spread", *columns, *keys]
    lines = []
    for one in shown:
        marks = [name for name in ("selected", "oracle") if one[name]]
        marks += ["unusable"] * (not one["usable"])
        about = [str(one["setting"]), ", ".join(marks), str(one["trials"])]
        spread = f"{one['risk_spread']:.4f}"
        if one["trials"] > 1:
            spread += f" ± {one['risk_spread_varies']:.4f}"
        risks = [f"{one['criterion']:.4f}", spread]
        accuracies = [tables.mean_and_spread(values) for values in one["test_accuracy"].values()]
        lines.append([*about, *risks, *accuracies, *(str(one["values"][key]) for key in keys)])
    return head, lines


def caption(row: Row, found) -> str:
    """Return what the table of `results` shows, and in which order."""
    table, first = row.experiment.config["search"][row.algorithm], ""
    if "max_risk_spread" in table:
        limit = f"{table['max_risk_spread']:g} (risk_spread)"
        first = (
            f", first those whose validation risks differ by at most {limit}, mean plus standard "
            "deviation over trials"
        )
    label, criterion = row.experiment.algorithms[row.algorithm].label, table["criterion"]
    return (
        f"{label}: {len(found)} settings in the order of {criterion} on the training "
        f"environments' validation sets{first}. The test accuracies, in per cent, took no part in "
        'the order but for the row marked "oracle", the one with the best worst of them.'
    )


def selected_options(row: Row, found) -> str:
    """Return the selected setting as options of the command line, or say that there is none."""
    if not found[0]["selected"]:
        return f"{row.algorithm}: no setting is usable"
    return " ".join(
        f"--set {shlex.quote(f'{row.algorithm}.{key}={json.dumps(value)}')}"
        for key, value in found[0]["values"].items()
    )

"""What came of a search: its settings in order, as a table and as options of the command line."""

import json
import math
import shlex

import numpy as np

from metairm_np.experiments.search_space import CRITERIA, Row
from metairm_np.reports import tables
from metairm_np.training import Status


def results(row: Row, records) -> list:
    """Return what a search found, the best setting first.

    Settings all of whose trials are usable come before the others. Of those, the first are the ones
    whose trials all met their stopping rule or kept their last step (as they do if it was never
    armed), and whose validation risks differ by at most `max_risk_spread` (population standard
    deviation over the training environments, mean over trials), in the order of the criterion (mean
    over trials); the rest follow in the order of that spread.

    Parameters
    ----------
    row : Row
    records : list of dict
        Of its trials that are finished; a setting without any is left out.

    Returns
    -------
    list of dict
        setting : its number; values : what was drawn; trials : how many; usable : whether all are;
        within : whether it is one of those that come first; criterion, risk_spread; test_accuracy :
        of each p_e of the table, in per cent, one number a trial; selected : True for the first, if
        it is usable; oracle : True for the one with the best worst test accuracy.
    """
    groups: dict = {}
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    found = [
        _result(row, number, values, groups[number])
        for number, values in enumerate(row.drawn)
        if number in groups
    ]
    found.sort(key=_place)
    usable = [one for one in found if one["usable"]]
    best = max(usable, key=_worst_accuracy, default=None)
    return [
        {**one, "selected": one is found[0] and one["usable"], "oracle": one is best}
        for one in found
    ]


def _result(row, number, values, records):
    """Return what `results` says of one setting, apart from its place."""
    table = row.experiment.config["search"][row.algorithm]
    stops = row.experiment.algorithms[row.algorithm].settings.early_stopping is not None
    good = tables.usable(records)

    def mean_of(criterion):
        return float(np.mean([CRITERIA[criterion](record) for record in good]))

    spread = mean_of("risk_spread") if good else math.inf
    met = not stops or all(
        record["status"] == Status.STOPPED_EARLY or record["step"] == record["last_step"]
        for record in good
    )
    return {
        "setting": number,
        "values": values,
        "trials": len(records),
        "usable": len(good) == len(records),
        "within": met and spread <= table.get("max_risk_spread", math.inf),
        "criterion": mean_of(table["criterion"]) if good else math.inf,
        "risk_spread": spread,
        "test_accuracy": {
            f"{p_e:g}": tables.accuracies(good, p_e).tolist() for p_e in row.experiment.table_p
        },
    }


def _place(one):
    within = one["within"]
    return not one["usable"], not within, one["criterion" if within else "risk_spread"]


def _worst_accuracy(one):
    return min(np.mean(accuracies) for accuracies in one["test_accuracy"].values())


def markdown(row: Row, found, most=None) -> str:
    """Return the first `most` of `results`, and the oracle's, as a table with a caption."""
    experiment, table = row.experiment, row.experiment.config["search"][row.algorithm]
    algorithm, criterion = experiment.algorithms[row.algorithm], table["criterion"]
    shown = found[:most] + [one for one in found[len(found[:most]) :] if one["oracle"]]
    keys = list(found[0]["values"])
    columns = [f"p_e = {p:g}" for p in experiment.table_p]
    head = ["setting", "", "trials", criterion, "risk_spread", *columns, *keys]
    lines = []
    for one in shown:
        marks = [name for name in ("selected", "oracle") if one[name]]
        marks += ["unusable"] * (not one["usable"])
        about = [str(one["setting"]), ", ".join(marks), str(one["trials"])]
        risks = [f"{one['criterion']:.4f}", f"{one['risk_spread']:.4f}"]
        accuracies = [tables.mean_and_spread(values) for values in one["test_accuracy"].values()]
        lines.append([*about, *risks, *accuracies, *(str(one["values"][key]) for key in keys)])
    first = ""
    if "max_risk_spread" in table:
        limit = f"{table['max_risk_spread']:g} (risk_spread)"
        first = f", first those whose validation risks differ by at most {limit}"
    if algorithm.settings.early_stopping:
        first += " and whose trials all met the stopping rule or kept their last step"
    caption = (
        f"{algorithm.label}: {len(found)} settings in the order of {criterion} on the training "
        f"environments' validation sets{first}. The test accuracies, in per cent, took no part in "
        'the order but for the row marked "oracle", the one with the best worst of them.'
    )
    return f"{caption}\n\n{tables.markdown(head, lines)}"


def selected_options(row: Row, found) -> str:
    """Return the selected setting as options of the command line, or say that there is none."""
    if not found[0]["selected"]:
        return f"{row.algorithm}: no setting is usable"
    return " ".join(
        f"--set {shlex.quote(f'{row.algorithm}.{key}={json.dumps(value)}')}"
        for key, value in found[0]["values"].items()
    )

"""What came of a search: its settings in order, as a table and as options of the command line."""

import json
import math
import shlex

import numpy as np

from metairm_np.experiments.search_space import CRITERIA
from metairm_np.reports import tables
from metairm_np.training import Status


def results(row, records):
    """Return what a search found, the best setting first.

    Of the settings all of whose trials are usable, those come first whose trials, if they stop
    early, all met the stopping rule or kept their last step (as they do if it was never armed), and
    whose validation risks differ by no more than `max_risk_spread` (population standard deviation
    over the training environments, mean over trials), in the order of the criterion (mean over
    trials); then the others, in the order of that spread; then those with a trial that diverged or
    failed its audit.

    Parameters
    ----------
    row : Row
    records : list of dict
        Of its trials that are finished; a setting without any is left out.

    Returns
    -------
    list of dict
        setting : its number; values : what was drawn; trials : how many; usable : whether all are; within : whether it is one
        of those that come first; criterion, risk_spread; test_accuracy : of each p_e of the table,
        in per cent, one number a trial; selected : True for the first, if it is usable; oracle :
        True for the one with the best worst test accuracy.
    """
    table, groups, found = row.experiment.config["search"][row.algorithm], {}, []
    stops = row.experiment.algorithms[row.algorithm].settings.early_stopping is not None
    for record in records:
        groups.setdefault(record["setting"], []).append(record)
    for number, values in enumerate(row.drawn):
        if number not in groups:
            continue
        group = groups[number]
        good = tables.usable(group)
        spread = (
            float(np.mean([CRITERIA["risk_spread"](record) for record in good]))
            if good
            else math.inf
        )
        met = not stops or all(
            record["status"] == Status.STOPPED_EARLY or record["step"] == record["last_step"]
            for record in good
        )
        found.append(
            {
                "setting": number,
                "values": values,
                "trials": len(group),
                "usable": len(good) == len(group),
                "within": met and spread <= table.get("max_risk_spread", math.inf),
                "criterion": float(
                    np.mean([CRITERIA[table["criterion"]](record) for record in good])
                )
                if good
                else math.inf,
                "risk_spread": spread,
                "test_accuracy": {
                    f"{p_e:g}": tables.accuracies(good, p_e).tolist()
                    for p_e in row.experiment.table_p
                },
            }
        )
    found.sort(
        key=lambda one: (
            not one["usable"],
            not one["within"],
            one["criterion" if one["within"] else "risk_spread"],
        )
    )
    usable = [one for one in found if one["usable"]]
    best = max(
        usable,
        key=lambda one: min(np.mean(one["test_accuracy"][p_e]) for p_e in one["test_accuracy"]),
        default=None,
    )
    return [
        {**one, "selected": one is found[0] and one["usable"], "oracle": one is best}
        for one in found
    ]


def markdown(row, found, most=None):
    """Return the first `most` of `results`, and the oracle's, as a table with a caption."""
    experiment, table = row.experiment, row.experiment.config["search"][row.algorithm]
    shown = found[:most] + [one for one in found[len(found[:most]) :] if one["oracle"]]
    keys = list(found[0]["values"])
    head = [
        "setting",
        "",
        "trials",
        table["criterion"],
        "risk_spread",
        *(f"p_e = {p:g}" for p in experiment.table_p),
        *keys,
    ]
    lines = []
    for one in shown:
        marks = [name for name in ("selected", "oracle") if one[name]] + ["unusable"] * (
            not one["usable"]
        )
        figures = [tables.mean_and_spread(values) for values in one["test_accuracy"].values()]
        lines.append(
            [
                str(one["setting"]),
                ", ".join(marks),
                str(one["trials"]),
                f"{one['criterion']:.4f}",
                f"{one['risk_spread']:.4f}",
                *figures,
                *(str(one["values"][key]) for key in keys),
            ]
        )
    limit = table.get("max_risk_spread")
    first = (
        ""
        if limit is None
        else f", first those whose validation risks differ by at most {limit:g} (risk_spread)"
    )
    if experiment.algorithms[row.algorithm].settings.early_stopping:
        first += " and whose trials all met the stopping rule or kept their last step"
    caption = (
        f"{experiment.algorithms[row.algorithm].label}: {len(found)} settings in the order of {table['criterion']} on the "
        f"training environments' validation sets{first}. The test accuracies, in per cent, took no part in the order but for "
        'the row marked "oracle", the one with the best worst of them.'
    )
    return f"{caption}\n\n{tables.markdown(head, lines)}"


def selected_options(row, found):
    """Return the selected setting as options of the command line, or a sentence if there is none."""
    if not found[0]["selected"]:
        return f"{row.algorithm}: no setting is usable"
    values = found[0]["values"].items()
    return " ".join(
        f"--set {shlex.quote(f'{row.algorithm}.{key}={json.dumps(value)}')}"
        for key, value in values
    )

"""Results to figures, as PNG and SVG bytes."""

import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metairm_np.report import accuracies, by_algorithm, usable

MARKERS = "osD^vPX*"


def accuracy_over_p_e(study, records):
    """Draw test accuracy over the test environment's p_e, a panel per case and a line per algorithm (the paper's Fig. 3 and 8).

    Error bars are the population standard deviation over trials.
    """
    figure, panels = _panels(study, width=7 if len(study.cases) == 1 else 4.5)
    for axes, (case, experiment) in zip(panels, study.cases.items()):
        groups = by_algorithm([record for record in records if record["case"] == case])
        for index, (name, group) in enumerate(groups.items()):
            values = [accuracies(group, p_e) for p_e in experiment.test_p]  # one array over trials per p_e
            _line(axes, index, experiment.test_p, values, experiment.algorithms[name].label)
        for label, value in experiment.bounds.items():
            if not isinstance(value, list):
                axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
                place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
                axes.annotate(label, (1, value), color="0.4", fontsize=8, **place)
        axes.set(xlabel="$p_e$ of the test environment", ylim=(0, 100), title=experiment.case_title or study.title)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("test accuracy (%)")
    return figure


def accuracy_over_cases(study, records):
    """Draw test accuracy over the cases of a study, a panel per p_e of the table and a line per algorithm (Fig. 4 and 5)."""
    columns = next(iter(study.cases.values())).table_p
    figure = Figure(figsize=(4.5 * len(columns), 4.5), layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    titles = [experiment.case_title for experiment in study.cases.values()]
    for axes, p_e in zip(panels, columns):
        for index, name in enumerate(study.algorithms):
            groups = [[r for r in records if r["case"] == case and r["algorithm"] == name] for case in study.cases]
            values = [accuracies(group, p_e) for group in groups]
            label = next(e.algorithms[name].label for e in study.cases.values() if name in e.algorithms)
            _line(axes, index, titles, values, label)
        axes.set(title=f"$p_e$ = {p_e:g}")
        axes.tick_params(axis="x", labelrotation=30)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("test accuracy (%)")
    figure.suptitle(_title(study))
    return figure


def penalty_over_steps(study, records):
    """Draw the mean IRMv1 penalty of the training environments over steps, a line per case (the paper's Fig. 6)."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for case, experiment in study.cases.items():
        trials = [r["history"] for r in usable(records) if r["case"] == case and r["algorithm"] == "irmv1"]
        if trials:
            rows = [[row for row in history if "penalty" in row] for history in trials]
            steps = [row["step"] for row in min(rows, key=len)]
            means = [np.mean([np.mean(history[i]["penalty"]) for history in rows]) for i in range(len(steps))]
            axes.semilogy(steps, means, label=experiment.case_title)
    axes.set(xlabel="step", ylabel="IRMv1 penalty", title=_title(study))
    axes.legend(fontsize=8)
    return figure


def images(study, records):
    """Draw training images of both labels as the model sees them, colour and patch (the paper's Fig. 7)."""
    trial = next(iter(study.cases.values())).data(0)
    figure = Figure(figsize=(8, 2.4 * len(trial.train)), layout="constrained")
    for axes_row, env in zip(figure.subplots(len(trial.train), 10, squeeze=False), trial.train):
        rows = np.concatenate([np.flatnonzero(env.y == label)[:5] for label in (0, 1)])
        for axes, row in zip(axes_row, rows):
            green, red = env.x[row].reshape(2, 14, 14)
            axes.imshow(np.stack([red, green, np.zeros_like(red)], axis=-1))
            axes.set_title(f"y = {env.y[row]}", fontsize=8)
            axes.axis("off")
    return figure


def _panels(study, width):
    figure = Figure(figsize=(width * len(study.cases), 4.5), layout="constrained")
    if study.quick:
        figure.suptitle(_title(study))
    return figure, figure.subplots(1, len(study.cases), sharey=True, squeeze=False)[0]


def _title(study):
    return f"{study.title}{' (smoke run)' if study.quick else ''}"


def _line(axes, index, places, values, label):
    """Draw means and spreads of `values`, one array over trials per place, where there are any."""
    there = [(place, v) for place, v in zip(places, values) if len(v)]
    if there:
        spread = [np.std(v) for _, v in there] if max(len(v) for _, v in there) > 1 else None
        means = [np.mean(v) for _, v in there]
        marker = MARKERS[index % len(MARKERS)]
        axes.errorbar([p for p, _ in there], means, spread, marker=marker, markersize=4, capsize=2, label=label)


FIGURES = {
    "accuracy": accuracy_over_p_e,
    "accuracy_over_cases": accuracy_over_cases,
    "penalty": penalty_over_steps,
    "images": images,
}


def render(figure):
    """Give the figure as {"png": bytes, "svg": bytes}, the same bytes each time."""
    FigureCanvasAgg(figure)
    images = {}
    with matplotlib.rc_context({"svg.hashsalt": "metairm_np"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            images[kind] = buffer.getvalue()
    return images

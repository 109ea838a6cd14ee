"""Results to figures, as PNG and SVG bytes."""

import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metairm_np.report import accuracies, by_algorithm

MARKERS = "osD^vPX*"


def accuracy_over_p_e(experiment, records):
    """Draw test accuracy over the test environment's p_e, a line per algorithm (the paper's Fig. 3).

    Error bars are the population standard deviation over trials. Returns a dict: "png" and "svg" to bytes.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, group) in enumerate(by_algorithm(records).items()):
        values = [accuracies(group, p_e) for p_e in experiment.test_p]  # one array over trials per p_e
        if len(values[0]) == 0:
            continue
        spread = [np.std(v) for v in values] if len(values[0]) > 1 else None
        marker = MARKERS[index % len(MARKERS)]
        label = experiment.algorithms[name].label
        axes.errorbar(
            experiment.test_p, [np.mean(v) for v in values], spread, marker=marker, markersize=4, capsize=2, label=label
        )
    for label, value in experiment.bounds.items():
        axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
        axes.annotate(label, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.4", fontsize=8)
    axes.set(xlabel="$p_e$ of the test environment", ylabel="test accuracy (%)", ylim=(0, 100))
    axes.set_title(f"{experiment.title}{' (smoke run)' if experiment.quick else ''}")
    axes.legend(fontsize=8)
    return render(figure)


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

"""Results to figures, as PNG and SVG bytes."""

import io
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metairm_np.analysis import representations
from metairm_np.experiments import Study
from metairm_np.folder import Folder
from metairm_np.report import accuracies, by_algorithm, usable
from metairm_np.seeds import child

MARKERS = "osD^vPX*"


class Results(NamedTuple):
    """What a figure is drawn from: a study, the summaries of its trials, and the folder with their histories and parameters."""

    study: Study
    records: list
    folder: Folder | None = None

    def of(self, case, algorithm=None):
        """Give the usable records of a case, and of an algorithm."""
        return [r for r in usable(self.records) if r["case"] == case and algorithm in (None, r["algorithm"])]

    @property
    def title(self):
        """The study's title."""
        return f"{self.study.title}{' (smoke run)' if self.study.quick else ''}"


def accuracy_over_p_e(results):
    """Draw test accuracy over the test environment's p_e, a panel per case and a line per algorithm (the paper's Fig. 3 and 8).

    Error bars are the population standard deviation over trials.
    """
    cases = results.study.cases
    figure = Figure(figsize=((7 if len(cases) == 1 else 4.5) * len(cases), 4.5), layout="constrained")
    panels = figure.subplots(1, len(cases), sharey=True, squeeze=False)[0]
    for axes, (case, experiment) in zip(panels, cases.items()):
        for index, (name, group) in enumerate(by_algorithm(results.of(case)).items()):
            values = [accuracies(group, p_e) for p_e in experiment.test_p]  # one array over trials per p_e
            _line(axes, index, experiment.test_p, values, experiment.algorithms[name].label)
        for label, value in experiment.bounds.items():
            if not isinstance(value, list):
                axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
                place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
                axes.annotate(label, (1, value), color="0.4", fontsize=8, **place)
        axes.set(xlabel="$p_e$ of the test environment", ylim=(0, 100), title=experiment.case_title)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("test accuracy (%)")
    figure.suptitle(results.title)
    return figure


def accuracy_over_cases(results):
    """Draw test accuracy over the cases of a study, a panel per p_e of the table and a line per algorithm (Fig. 4 and 5)."""
    cases = results.study.cases
    columns = next(iter(cases.values())).table_p
    figure = Figure(figsize=(4.5 * len(columns), 4.5), layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    titles = [experiment.case_title for experiment in cases.values()]
    for axes, p_e in zip(panels, columns):
        for index, name in enumerate(results.study.algorithms):
            values = [accuracies(results.of(case, name), p_e) for case in cases]
            label = next(e.algorithms[name].label for e in cases.values() if name in e.algorithms)
            _line(axes, index, titles, values, label)
        axes.set(title=f"$p_e$ = {p_e:g}")
        axes.tick_params(axis="x", labelrotation=30)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("test accuracy (%)")
    figure.suptitle(results.title)
    return figure


def penalty_over_steps(results):
    """Draw the IRMv1 penalty over steps, mean over environments and trials, a line per case (the paper's Fig. 6)."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for case, experiment in results.study.cases.items():
        histories = [results.folder.history(record["name"]) for record in results.of(case, "irmv1")]
        penalties = [{row["step"]: np.mean(row["penalty"]) for row in history if "penalty" in row} for history in histories]
        if penalties:
            steps = sorted(set.intersection(*map(set, penalties)))
            axes.semilogy(steps, [np.mean([p[step] for p in penalties]) for step in steps], label=experiment.case_title)
    axes.set(xlabel="step", ylabel="IRMv1 penalty", title=results.title)
    axes.legend(fontsize=8)
    return figure


def images(results):
    """Draw training images of both labels as the model sees them, colour and patch (the paper's Fig. 7)."""
    trial = next(iter(results.study.cases.values())).data(0)
    figure = Figure(figsize=(8, 1.2 * len(trial.train)), layout="constrained")
    for axes_row, env in zip(figure.subplots(len(trial.train), 10, squeeze=False), trial.train):
        rows = np.concatenate([np.flatnonzero(env.y == label)[:5] for label in (0, 1)])
        for axes, row in zip(axes_row, rows):
            green, red = env.x[row].reshape(2, 14, 14)
            axes.imshow(np.stack([red, green, np.zeros_like(red)], axis=-1))
            axes.set_title(f"y = {env.y[row]}", fontsize=8)
            axes.axis("off")
    return figure


def similarity_after_adaptation(results):
    """Draw the PWCCA similarity of each layer before and after the inner step, a line per environment (the paper's Fig. 9)."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    (experiment,) = results.study.cases.values()
    (name,) = experiment.algorithms
    hyper = experiment.algorithms[name].settings.hyper
    found = []  # (trials, environments, layers)
    for record in results.of("", name):
        trial = experiment.data(child(record["seed"], record["trial"]), record["dtype"])
        params = results.folder.params(record["name"])
        inner = (hyper["inner_lr"], hyper.get("inner_steps", 1))
        found.append([representations.similarity_after_adaptation(params, env, *inner) for env in trial.train])
    values = np.array(found)
    for e, p_e in enumerate(experiment.environment["train_p"] if len(values) else []):
        layers = [f"hidden {layer + 1}" for layer in range(values.shape[2] - 1)] + ["classifier"]
        _line(axes, e, layers, list(values[:, e].T), f"environment $p_e$ = {p_e:g}")
    axes.set(ylabel="PWCCA similarity, before and after the inner step", ylim=(0, 1.05), title=results.title)
    axes.legend(fontsize=8)
    return figure


def similarity_across(results):
    """Draw the PWCCA similarity of representations at p_e = 0.1 and at each other p_e, a line per algorithm (Fig. 10).

    Of meta-IRM the input of the classifier is compared, as it adapts the classifier; of other algorithms the logits.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    (experiment,) = results.study.cases.values()
    for index, (name, algorithm) in enumerate(experiment.algorithms.items()):
        layer, what = (-2, "input of the classifier") if algorithm.settings.objective == "meta_irm" else (-1, "logits")
        found = []  # (trials, p_e)
        for record in results.of("", name):
            trial = experiment.data(child(record["seed"], record["trial"]), record["dtype"])
            envs = [trial.test(p_e) for p_e in experiment.test_p]
            found.append(representations.similarity_across(results.folder.params(record["name"]), envs, layer))
        _line(axes, index, experiment.test_p, list(np.array(found).T), f"{algorithm.label}, {what}")
    first = f"{experiment.test_p[0]:g}"
    axes.set(xlabel="$p_e$", ylabel=f"PWCCA similarity with $p_e$ = {first}", ylim=(0, 1.05), title=results.title)
    axes.legend(fontsize=8)
    return figure


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
    "similarity_after_adaptation": similarity_after_adaptation,
    "similarity_across": similarity_across,
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

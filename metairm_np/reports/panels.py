"""Results to the numbers that figures show: panels of lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from metairm_np._seeds import child
from metairm_np.analysis import representations
from metairm_np.analysis.decomposition import is_painted
from metairm_np.experiments import tested
from metairm_np.experiments.files import Study
from metairm_np.reports.tables import accuracies, by_algorithm, usable
from metairm_np.training.settings import hyper_at


class Results(NamedTuple):
    """What a figure is drawn from.

    study : Study
    records : list of dict
        The summaries of the study's trials.
    folder : Folder, optional
        Where their histories and parameters are.
    """

    study: Study
    records: list
    folder: Any = None

    def of(self, case, algorithm=None):
        """Return the usable records of a case, and of an algorithm."""
        return [
            record
            for record in usable(self.records)
            if record["case"] == case and algorithm in (None, record["algorithm"])
        ]

    def histories(self, case, algorithm=None):
        """Return the histories of the same trials."""
        return [self.folder.history(record["name"]) for record in self.of(case, algorithm)]

    def data(self, record):
        """Return the environments of a trial."""
        experiment = self.study.cases[record["case"]]
        return experiment.data(child(record["seed"], record["trial"]), record["dtype"])

    @property
    def experiment(self):
        """The first of the study's experiments."""
        return next(iter(self.study.cases.values()))

    @property
    def title(self):
        """The study's title."""
        return f"{self.study.title}{' (smoke run)' if self.study.quick else ''}"


@dataclass
class Line:
    """A line of a panel: at each place the values of the trials of a method, by name."""

    label: str
    places: list
    values: list
    method: str = ""

    def __post_init__(self):
        self.values = [[float(value) for value in values] for values in self.values]


@dataclass
class Panel:
    """What a panel shows, apart from how it looks: lines over `places`, and named levels."""

    title: str
    xlabel: str
    lines: list
    ylabel: str = "test accuracy (%)"
    ylim: tuple | None = (0, 100)
    levels: dict = field(default_factory=dict)
    log: bool = False


def panel_title(name):
    """Return the title of a panel of a test environment."""
    return name if isinstance(name, str) else f"$p_e$ = {name:g}"


def accuracy_over_p_e(results):
    """Return test accuracy over p_e or other names, a panel per case (the paper's Fig. 3, 8)."""
    panels = []
    for case, experiment in results.study.cases.items():
        places = experiment.test_p
        lines = [
            Line(
                experiment.algorithms[name].label,
                places,
                [accuracies(group, p) for p in places],
                name,
            )
            for name, group in by_algorithm(results.of(case)).items()
        ]
        bounds = experiment.bounds.items()
        levels = {label: value for label, value in bounds if not isinstance(value, list)}
        xlabel = "$p_e$ of the test environment" if tested.kind(places) == "p_e" else ""
        panels.append(Panel(experiment.case_title, xlabel, lines, levels=levels))
    return panels


def accuracy_over_cases(results):
    """Return test accuracy over cases, a panel per p_e of the table (the paper's Fig. 4 and 5)."""
    cases, labels, panels = results.study.cases, {}, []
    for experiment in cases.values():
        for name, algorithm in experiment.algorithms.items():
            labels.setdefault(name, algorithm.label)
    titles = [experiment.case_title for experiment in cases.values()]
    for p_e in results.experiment.table_p:
        lines = [
            Line(label, titles, [accuracies(results.of(case, name), p_e) for case in cases], name)
            for name, label in labels.items()
        ]
        panels.append(Panel(panel_title(p_e), "", lines))
    return panels


def penalty_over_steps(results):
    """Return the IRMv1 penalty over steps, a line per case (the paper's Fig. 6)."""
    lines = [
        line_over_steps(
            f"IRMv1, {experiment.case_title}" if case else "IRMv1",
            results.histories(case, "irmv1"),
            "penalty",
            np.mean,
            "irmv1",
        )
        for case, experiment in results.study.cases.items()
    ]
    return [Panel("", "step", lines, "IRMv1 penalty", None, log=True)]


def over_steps(results):
    """Return test accuracies and the gap of the validation risks, lines by algorithm and case.

    There is a panel for the first and the last p_e of the table, or for each of other names.
    """
    watched = results.experiment.table_p
    shown = (0, -1) if tested.kind(watched) == "p_e" else range(len(watched))
    panels = [Panel(panel_title(watched[place]), "step", []) for place in shown]
    ylabel = "first minus second validation risk"
    levels = {"equal risks": 0.0}
    gaps = Panel("what early stopping watches", "step", [], ylabel, None, levels)
    for case, experiment in results.study.cases.items():
        for name, algorithm in experiment.algorithms.items():
            histories = results.histories(case, name)
            label = f"{algorithm.label} {experiment.case_title}".strip()
            for panel, place in zip(panels, shown):
                panel.lines.append(accuracy_over_steps(label, histories, place, name))
            gap = line_over_steps(label, histories, "validation_risk", first_minus_second, name)
            gaps.lines.append(gap)
    return [*panels, gaps]


def first_minus_second(risks):
    """Return the difference of the first two environments' risks; 0 where there is only one."""
    return risks[0] - risks[:2][-1]


def reading_over_steps(results):
    """Return the decomposition of the logits over the steps: digits, and effect of the colour."""
    panels = [
        Panel("digits: all colours averaged", "step", []),
        Panel("colour: mean effect", "step", [], "effect on the logit", None, {"no effect": 0.0}),
        Panel("colour: spread over images", "step", [], "standard deviation", None),
    ]
    for case, experiment in results.study.cases.items():
        for name, algorithm in experiment.algorithms.items():
            histories = results.histories(case, name)
            label = f"{algorithm.label} {experiment.case_title}".strip()
            for panel, key, scale in zip(panels, ("digits", "effect", "spread"), (100, 1, 1)):
                line = line_over_steps(
                    label, histories, "reading", lambda row, k=key, s=scale: s * row[k], name
                )
                panel.lines.append(line)
    return panels


def adaptation_over_steps(results):
    """Return the risks of theta and the meta-losses, those of theta' elsewhere, over the steps."""
    lines = []
    for case, experiment in results.study.cases.items():
        histories = results.histories(case, "meta_irm")
        for key, what in (("risk", r"$\theta$, risk"), ("meta_loss", r"$\theta'$, meta-loss")):
            label = f"{experiment.case_title} {what}".strip()
            lines.append(line_over_steps(label, histories, key, np.mean, "meta_irm"))
    return [Panel("", "step", lines, "mean over environments", None)]


def accuracy_over_steps(label, histories, place, method=""):
    """Return the line of the test accuracy in one of the test environments."""
    return line_over_steps(label, histories, "test_accuracy", lambda row: 100 * row[place], method)


def line_over_steps(label, histories, key, number, method=""):
    """Return the line of number(row[key]) at the steps that the histories of all trials have."""
    found = [
        {row["step"]: number(row[key]) for row in history if key in row} for history in histories
    ]
    steps = sorted(set.intersection(*map(set, found))) if found else []
    return Line(label, steps, [[one[step] for one in found] for step in steps], method)


def similarity_after_adaptation(results):
    """Return the PWCCA similarity of each layer before and after the inner step (Fig. 9).

    alpha is that of the step whose parameters were kept.
    """
    (experiment,) = results.study.cases.values()
    names = tested.train_names(experiment.environment)
    similarity, panels = representations.similarity_after_adaptation, []
    for name, algorithm in experiment.algorithms.items():
        settings, found = algorithm.settings, []  # (trials, environments, layers)
        for record in results.of("", name):
            params, trial = results.folder.params(record["name"]), results.data(record)
            hyper, _ = hyper_at(settings, record["step"], len(names))
            inner = {k: hyper[k] for k in ("inner_lr", "inner_steps", "inner_l2") if k in hyper}
            found.append([similarity(params, env, **inner) for env in trial.train])
        places = [f"hidden {layer + 1}" for layer in range(len(settings.hidden))]
        places.append("classifier")
        values = np.array(found).reshape(len(found), len(names), len(places))
        lines = [
            Line(f"environment {panel_title(one)}", places, list(values[:, e].T), one)
            for e, one in enumerate(names)
        ]
        what = "PWCCA similarity before and after the inner step"
        panels.append(Panel(algorithm.label, "", lines, what, (0, 1.05)))
    return panels


def similarity_across(results):
    """Return the PWCCA similarity of representations at the first p_e and at others (Fig. 10).

    The paper shows IRMv1's logits and the input of meta-IRM's classifier; here are both of both.
    Beside the logits of images in two colours there is what repainting alone explains.
    """
    (experiment,) = results.study.cases.values()
    places, lines = experiment.test_p, []
    shares = np.abs(np.subtract(places, places[0]))
    for name, algorithm in experiment.algorithms.items():
        found = {}  # by what is compared: (trials, p_e)
        for record in results.of("", name):
            params, trial = results.folder.params(record["name"]), results.data(record)
            envs = [trial.test(p_e) for p_e in places]
            of_trial = {"logits": representations.similarity_across(params, envs, -1)}
            if trial.n_classes == 2 and is_painted(envs[0], 2):
                by_repainting = representations.similarity_of_repainted(params, envs[0], shares)
                of_trial["logits, by repainting"] = by_repainting
            if len(params) > 1:
                inputs = representations.similarity_across(params, envs, -2)
                of_trial["input of the classifier"] = inputs
            for what, similarities in of_trial.items():
                found.setdefault(what, []).append(similarities)
        for what, values in found.items():
            label = f"{algorithm.label}, {what}"
            lines.append(Line(label, places, list(np.transpose(values)), name))
    return [Panel("", "$p_e$", lines, f"PWCCA similarity with $p_e$ = {places[0]:g}", (0, 1.05))]


PANELS = {  # figures made of panels, and what they show
    "accuracy": (accuracy_over_p_e, "Test accuracy over the test environments"),
    "accuracy_over_cases": (accuracy_over_cases, "Test accuracy, case by case"),
    "adaptation_over_steps": (
        adaptation_over_steps,
        "Risk of theta and meta-loss of theta' over the steps of meta-IRM",
    ),
    "over_steps": (
        over_steps,
        "Test accuracy and the gap of the validation risks over the steps of training",
    ),
    "penalty": (penalty_over_steps, "IRMv1 penalty over the steps of training"),
    "reading_over_steps": (
        reading_over_steps,
        "What the logits read over the steps of training: the digits, and the effect of repainting",
    ),
    "similarity_after_adaptation": (
        similarity_after_adaptation,
        "PWCCA similarity of layers before and after the inner step",
    ),
    "similarity_across": (
        similarity_across,
        "PWCCA similarity of representations across environments",
    ),
}

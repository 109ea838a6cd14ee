"""Results to panels of numbers, and these to figures, as PNG and SVG bytes."""

import io
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import cbook
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from metairm_np import _checks
from metairm_np._seeds import child
from metairm_np.analysis import dynamics, representations
from metairm_np.experiments.files import Study
from metairm_np.reports.tables import accuracies, by_algorithm, usable
from metairm_np.sweeps.folder import Folder

MARKERS = "osD^vPX*"
MANY = 20  # places beyond which a line is drawn as a curve with a band


class Results(NamedTuple):
    """What a figure is drawn from: a study, the summaries of its trials, and the folder with their histories and parameters."""

    study: Study
    records: list
    folder: Folder | None = None

    def of(self, case, algorithm=None):
        """Return the usable records of a case, and of an algorithm."""
        return [
            r
            for r in usable(self.records)
            if r["case"] == case and algorithm in (None, r["algorithm"])
        ]

    def data(self, record):
        """Make the environments of a trial."""
        return self.study.cases[record["case"]].data(
            child(record["seed"], record["trial"]), record["dtype"]
        )

    @property
    def title(self):
        """The study's title."""
        return f"{self.study.title}{' (smoke run)' if self.study.quick else ''}"


@dataclass
class Line:
    """A line of a panel: at each place the values of the trials."""

    label: str
    places: list
    values: list

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


def accuracy_over_p_e(results):
    """Return test accuracy over the test environment's p_e, a panel per case (the paper's Fig. 3 and 8)."""
    panels = []
    for case, experiment in results.study.cases.items():
        lines = [
            Line(
                experiment.algorithms[name].label,
                experiment.test_p,
                [accuracies(group, p_e) for p_e in experiment.test_p],
            )
            for name, group in by_algorithm(results.of(case)).items()
        ]
        levels = {
            label: value
            for label, value in experiment.bounds.items()
            if not isinstance(value, list)
        }
        panels.append(
            Panel(experiment.case_title, "$p_e$ of the test environment", lines, levels=levels)
        )
    return panels


def accuracy_over_cases(results):
    """Return test accuracy over the cases of a study, a panel per p_e of the table (the paper's Fig. 4 and 5)."""
    cases, panels = results.study.cases, []
    titles = [experiment.case_title for experiment in cases.values()]
    for p_e in next(iter(cases.values())).table_p:
        lines = []
        for name in results.study.algorithms:
            label = next(
                experiment.algorithms[name].label
                for experiment in cases.values()
                if name in experiment.algorithms
            )
            lines.append(
                Line(label, titles, [accuracies(results.of(case, name), p_e) for case in cases])
            )
        panels.append(Panel(f"$p_e$ = {p_e:g}", "", lines))
    return panels


def penalty_over_steps(results):
    """Return the IRMv1 penalty over steps, mean over environments, a line per case (the paper's Fig. 6)."""
    lines = []
    for case, experiment in results.study.cases.items():
        histories = [results.folder.history(record["name"]) for record in results.of(case, "irmv1")]
        lines.append(_over_steps(experiment.case_title, histories, "penalty", np.mean))
    return [Panel("", "step", lines, "IRMv1 penalty", None, log=True)]


def over_steps(results):
    """Return test accuracies and the gap of the validation risks over the steps of training, lines by algorithm and case."""
    experiments = results.study.cases
    watched = next(iter(experiments.values())).table_p
    panels = [Panel(f"$p_e$ = {p_e:g}", "step", []) for p_e in (watched[0], watched[-1])]
    gaps = Panel(
        "what early stopping watches",
        "step",
        [],
        "first minus second validation risk",
        None,
        levels={"": 0.0},
    )
    for case, experiment in experiments.items():
        for name, algorithm in experiment.algorithms.items():
            histories = [
                results.folder.history(record["name"]) for record in results.of(case, name)
            ]
            label = f"{algorithm.label} {experiment.case_title}".strip()
            for panel, place in zip(panels, (0, -1)):
                panel.lines.append(
                    _over_steps(
                        label, histories, "test_accuracy", lambda row, k=place: 100 * row[k]
                    )
                )
            gaps.lines.append(
                _over_steps(label, histories, "validation_risk", lambda row: row[0] - row[1])
            )
    return [*panels, gaps]


def adaptation_over_steps(results):
    """Return the risks of theta, and the meta-losses, those of theta' on the other environments, over the steps of meta-IRM."""
    lines = []
    for case, experiment in results.study.cases.items():
        histories = [
            results.folder.history(record["name"]) for record in results.of(case, "meta_irm")
        ]
        lines.append(
            _over_steps(
                rf"{experiment.case_title} $\theta$, risk".strip(), histories, "risk", np.mean
            )
        )
        lines.append(
            _over_steps(
                rf"{experiment.case_title} $\theta'$, meta-loss".strip(),
                histories,
                "meta_loss",
                np.mean,
            )
        )
    return [Panel("", "step", lines, "mean over environments", None)]


def _over_steps(label, histories, key, number):
    """Return the line of a quantity in the histories of the trials of a row, at the steps that all of them have."""
    found = [
        {row["step"]: number(row[key]) for row in history if key in row} for history in histories
    ]
    steps = sorted(set.intersection(*map(set, found))) if found else []
    return Line(label, steps, [[one[step] for one in found] for step in steps])


def similarity_after_adaptation(results):
    """Return the PWCCA similarity of each layer before and after the inner step, a line per environment (the paper's Fig. 9)."""
    (experiment,) = results.study.cases.values()
    (algorithm,) = experiment.algorithms.values()
    found = []  # (trials, environments, layers)
    for record in results.of(""):
        params, trial = results.folder.params(record["name"]), results.data(record)
        found.append(
            [
                representations.similarity_after_adaptation(params, env, algorithm.settings)
                for env in trial.train
            ]
        )
    places = [f"hidden {layer + 1}" for layer in range(len(algorithm.settings.hidden))] + [
        "classifier"
    ]
    values = np.array(found).reshape(len(found), -1, len(places))
    lines = [
        Line(f"environment $p_e$ = {p_e:g}", places, list(values[:, e].T))
        for e, p_e in enumerate(experiment.environment["train_p"] if found else [])
    ]
    return [Panel("", "", lines, "PWCCA similarity before and after the inner step", (0, 1.05))]


def similarity_across(results):
    """Return the PWCCA similarity of representations at p_e = 0.1 and at others, a line per algorithm (the paper's Fig. 10).

    Of meta-IRM the input of the classifier is compared, as it adapts the classifier; of other
    algorithms the logits.
    """
    (experiment,) = results.study.cases.values()
    places, lines = experiment.test_p, []
    for name, algorithm in experiment.algorithms.items():
        layer, what = (
            (-2, "input of the classifier")
            if algorithm.settings.objective == "meta_irm"
            else (-1, "logits")
        )
        found = []  # (trials, p_e)
        for record in results.of("", name):
            params, trial = results.folder.params(record["name"]), results.data(record)
            found.append(
                representations.similarity_across(
                    params, [trial.test(p_e) for p_e in places], layer
                )
            )
        lines.append(
            Line(
                f"{algorithm.label}, {what}",
                places,
                list(np.array(found).reshape(-1, len(places)).T),
            )
        )
    return [Panel("", "$p_e$", lines, f"PWCCA similarity with $p_e$ = {places[0]:g}", (0, 1.05))]


PANELS = {  # figures made of panels, and what they show
    "accuracy": (accuracy_over_p_e, "Test accuracy over the p_e of the test environment"),
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
    "similarity_after_adaptation": (
        similarity_after_adaptation,
        "PWCCA similarity of layers before and after the inner step",
    ),
    "similarity_across": (
        similarity_across,
        "PWCCA similarity of representations across environments",
    ),
}


def band(values, log=False):
    """Return mean, mean minus and mean plus population standard deviation, of the logarithms and then back if `log`.

    Each an array over places, of `values`, a list over trials for each place.
    """
    to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    mean, spread = (
        np.array([statistic(to(some)) for some in values]) for statistic in (np.mean, np.std)
    )
    return back(mean), back(mean - spread), back(mean + spread)


def draw(title, panels):
    """Draw panels side by side: means over trials, with their population standard deviation where there are several."""
    figure = Figure(
        figsize=((7 if len(panels) == 1 else 4.5) * len(panels), 4.5), layout="constrained"
    )
    alike = len({panel.ylabel for panel in panels}) == 1
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=alike, squeeze=False)[0], panels):
        axes.set_yscale("log" if panel.log else "linear")  # before the lines, for the limits to fit
        for index, line in enumerate(panel.lines):
            there = [
                (place, values) for place, values in zip(line.places, line.values) if len(values)
            ]
            places, (middle, low, high) = (
                [place for place, _ in there],
                band([values for _, values in there], panel.log),
            )
            if len(places) > MANY:
                axes.plot(places, middle, label=line.label)
                axes.fill_between(places, low, high, alpha=0.2)
            else:
                bars = (
                    {"yerr": (middle - low, high - middle), "capsize": 2}
                    if any(len(some) > 1 for _, some in there)
                    else {}
                )
                axes.errorbar(
                    places,
                    middle,
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=4,
                    label=line.label,
                    **bars,
                )
        for label, value in panel.levels.items():
            axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
            place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            axes.annotate(label, (1, value), color="0.4", fontsize=8, **place)
        axes.set(title=panel.title, xlabel=panel.xlabel, ylim=panel.ylim)
        axes.tick_params(axis="x", labelrotation=30 if not panel.xlabel else 0)
        axes.legend(fontsize=8)
        if panel is panels[0] or not alike:
            axes.set_ylabel(panel.ylabel)
    figure.suptitle(title)
    return figure


def draw_crossings(results):
    """Draw test accuracies over steps, a panel for each alpha and lambda, marked where they cross; give the crossings, too."""
    cells, crossings = {}, []
    for case, experiment in results.study.cases.items():
        (algorithm,) = experiment.algorithms.values()
        cells[algorithm.settings.hyper["std_weight"], algorithm.settings.hyper["inner_lr"]] = (
            results.of(case)
        )
    weights, alphas = (
        sorted({weight for weight, _ in cells}, reverse=True),
        sorted({alpha for _, alpha in cells}),
    )
    figure = Figure(figsize=(2.3 * len(alphas), 1.9 * len(weights)), layout="constrained")
    grid = figure.subplots(len(weights), len(alphas), sharex=True, sharey=True, squeeze=False)
    for (weight, alpha), records in cells.items():
        axes = grid[weights.index(weight), alphas.index(alpha)]
        histories = [results.folder.history(record["name"]) for record in records]
        for place, color in ((0, "C0"), (-1, "C1")):
            line = _over_steps("", histories, "test_accuracy", lambda row, k=place: 100 * row[k])
            axes.plot(line.places, line.values, color=color)
        for record, history in zip(records, histories):
            found = dynamics.crossing(history)
            crossings.append(
                {"inner_lr": alpha, "std_weight": weight, "trial": record["trial"], **found}
            )
            if found["step"] is not None:
                axes.axvline(found["step"], color="0.6", linestyle=":")
    for axes, alpha in zip(grid[0], alphas):
        axes.set_title(f"$\\alpha$ = {alpha:g}", fontsize=10)
    for axes, weight in zip(grid[:, 0], weights):
        axes.set(ylabel=f"$\\lambda$ = {weight:g}", ylim=(0, 100))
    watched = next(iter(results.study.cases.values())).table_p
    figure.suptitle(
        f"{results.title}: test accuracy (%) at $p_e$ = {watched[0]:g} (blue) and {watched[-1]:g} (orange)"
    )
    figure.supxlabel("step", fontsize=10)
    return figure, crossings


def draw_images(results):
    """Draw training images of both labels as the model sees them, a row per environment (the paper's Fig. 7); no numbers."""
    trial = next(iter(results.study.cases.values())).data(0)
    figure = Figure(figsize=(8, 1.2 * len(trial.train)), layout="constrained")
    for axes_row, env in zip(figure.subplots(len(trial.train), 10, squeeze=False), trial.train):
        rows = np.concatenate([np.flatnonzero(env.y == label)[:5] for label in (0, 1)])
        for axes, row in zip(axes_row, rows):
            green, red = env.x[row].reshape(2, 14, 14)
            axes.imshow(np.stack([red, green, np.zeros_like(red)], axis=-1))
            axes.set_title(f"y = {env.y[row]}", fontsize=8)
            axes.axis("off")
    return figure, []


DRAWINGS = {  # other figures
    "crossing_map": (
        draw_crossings,
        "Test accuracy over the steps of training, over alpha and lambda",
    ),
    "images": (draw_images, "Training images, an environment a row"),
}
FIGURES = {name: shows for name, (_, shows) in {**PANELS, **DRAWINGS}.items()}


def check(study: Study):
    """Raise ValueError unless a study names figures that there are, and its texts can be drawn."""
    for name in study.figures:
        _checks.choice("figure", name, FIGURES)
    for experiment in study.cases.values():
        labels = [algorithm.label for algorithm in experiment.algorithms.values()]
        for text in [experiment.title, experiment.case_title, *labels, *experiment.bounds]:
            if cbook.is_math_text(text):
                try:
                    MathTextParser("path").parse(text)
                except ValueError:
                    raise ValueError(
                        f"Matplotlib cannot draw the mathematics in {text!r}; correct it, or write "
                        "\\$ for a dollar sign"
                    ) from None


def make(name, results):
    """Return the figure `name`, one of FIGURES, and the numbers in it, a list for JSON."""
    if name in DRAWINGS:
        return DRAWINGS[name][0](results)
    panels = PANELS[name][0](results)
    return draw(results.title, panels), [asdict(panel) for panel in panels]


def render(figure):
    """Return the figure as {"png": bytes, "svg": bytes}, the same bytes each time."""
    FigureCanvasAgg(figure)
    images = {}
    with matplotlib.rc_context({"svg.hashsalt": "metairm_np"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            images[kind] = buffer.getvalue()
    return images

"""Panels of numbers to figures, as PNG and SVG bytes."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, cycle

import numpy as np

from metairm_np import _checks, _storage
from metairm_np._storage import DamagedError
from metairm_np.analysis import dynamics
from metairm_np.experiments import tested
from metairm_np.experiments.files import Study
from metairm_np.reports import _matplotlib
from metairm_np.reports.closeup import close_up
from metairm_np.reports.panels import PANELS, Results, accuracy_over_steps, panel_title
from metairm_np.reports.styles import METHODS, lighter, styles_of

LEVELS = (":", "--", "-.")  # dashes of named levels
MANY = 20  # places beyond which a line is drawn as a curve with a band


def new_figure(width, height):
    """Return an empty figure; sizes are in inches."""
    _matplotlib.load()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def band(values, log=False):
    """Return the mean over trials, and the mean minus and plus the population standard deviation.

    Each is an array over places, of `values`, a list over trials for each place; of the logarithms
    and then back if `log`.
    """
    to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    mean, spread = (
        np.array([statistic(to(some)) for some in values]) for statistic in (np.mean, np.std)
    )
    return back(mean), back(mean - spread), back(mean + spread)


def draw(title, panels):
    """Draw panels side by side, and below those that need one a close-up.

    They show means over trials, with their spread where there are several.
    """
    closer = [None if is_long(panel) else close_up(panel) for panel in panels]
    rows = [panels, closer] if any(closer) else [panels]
    styles = styles_of((line.method, line.label) for panel in panels for line in panel.lines)
    figure = new_figure((7 if len(panels) == 1 else 4.5) * len(panels), 1 + 4 * len(rows))
    grid = figure.subplots(len(rows), len(panels), squeeze=False)
    for axes, panel in zip(grid.flat, chain(*rows)):
        if panel is None:
            axes.set_axis_off()
        else:
            draw_panel(axes, panel, styles)
    if len({panel.ylabel for panel in panels}) == 1:
        for axes in grid[0, 1:]:
            axes.sharey(grid[0, 0])
            axes.tick_params(labelleft=False)
        for axes in grid[:, 1:].flat:
            axes.set_ylabel("")
    draw_legend(figure)
    figure.suptitle(title)
    return figure


def draw_panel(axes, panel, styles):
    """Draw a panel's lines and levels."""
    axes.set_yscale("log" if panel.log else "linear")  # before the lines, for the limits to fit
    for line in panel.lines:
        draw_line(axes, line, panel.log, styles[line.method, line.label])
    for (label, value), dashes in zip(panel.levels.items(), cycle(LEVELS)):
        axes.axhline(value, color="0.55", linewidth=1, linestyle=dashes, label=label, zorder=1)
    axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel, ylim=panel.ylim)
    if not panel.xlabel:  # names stand below the axis
        for text in axes.get_xticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")


def draw_legend(figure):
    """Name every line once, below the panels, where it covers nothing."""
    from matplotlib.container import Container

    named = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            named.setdefault(label, handle)
    levels_last = sorted(named.items(), key=lambda one: not isinstance(one[1], Container))
    if named:
        columns = min(len(named), max(2, int(figure.get_figwidth() // 1.9)))
        where = {"loc": "outside lower center", "ncols": columns, "fontsize": 8, "handlelength": 3}
        labels, handles = zip(*levels_last)
        figure.legend(handles, labels, frameon=False, **where)


def is_long(panel):
    """Return whether lines of a panel have so many places that they are drawn as curves."""
    return any(len(line.places) > MANY for line in panel.lines)


def draw_line(axes, line, log, style):
    """Draw a line where it has values: with bars, or as a curve with a band if it is long."""
    there = [(place, values) for place, values in zip(line.places, line.values) if values]
    places, values = [place for place, _ in there], [values for _, values in there]
    middle, low, high = band(values, log)
    look = {"color": style.color, "linestyle": style.linestyle, "label": line.label}
    if len(places) > MANY:
        axes.plot(places, middle, **look)
        axes.fill_between(places, low, high, alpha=0.2, color=style.color, linewidth=0)
        return
    bars = {}
    if any(len(some) > 1 for some in values):
        bars = {"yerr": (middle - low, high - middle), "capsize": 2}
    axes.errorbar(places, middle, marker=style.marker, markersize=5, **look, **bars)


def draw_crossings(results):
    """Draw test accuracies over steps, a panel for each alpha and lambda, and mark the crossings.

    Return the figure and the crossings.
    """
    cells, crossings = {}, []
    for case, experiment in results.study.cases.items():
        (algorithm,) = experiment.algorithms.values()
        hyper = algorithm.settings.hyper
        cells[hyper["std_weight"], hyper["inner_lr"]] = case
    color, _ = METHODS["meta_irm"]
    watched, colors = results.experiment.table_p, (lighter(color, 0.6), color)
    weights = sorted({weight for weight, _ in cells}, reverse=True)
    alphas = sorted({alpha for _, alpha in cells})
    figure = new_figure(2.3 * len(alphas), 1.9 * len(weights))
    grid = figure.subplots(len(weights), len(alphas), sharex=True, sharey=True, squeeze=False)
    for (weight, alpha), case in cells.items():
        axes = grid[weights.index(weight), alphas.index(alpha)]
        histories = results.histories(case)
        for place, color in zip((0, -1), colors):
            line = accuracy_over_steps("", histories, place)
            label = panel_title(watched[place])
            for curve in axes.plot(line.places, line.values, color=color):
                curve.set_label(label)
        for record, history in zip(results.of(case), histories):
            found = dynamics.crossing(history)
            where = {"inner_lr": alpha, "std_weight": weight, "trial": record["trial"]}
            crossings.append({**where, **found})
            if found["step"] is not None:
                axes.axvline(found["step"], color="0.6", linestyle=":", label="crossing")
    for axes, alpha in zip(grid[0], alphas):
        axes.set_title(f"$\\alpha$ = {alpha:g}", fontsize=10)
    for axes, weight in zip(grid[:, 0], weights):
        axes.set(ylabel=f"$\\lambda$ = {weight:g}", ylim=(0, 100))
    figure.suptitle(f"{results.title}: test accuracy (%)")
    for axes in grid[-1]:
        axes.set_xlabel("step")
    draw_legend(figure)
    return figure, crossings


def draw_images(results):
    """Draw training images of both labels, a row per environment (the paper's Fig. 7).

    Return the figure and, as it shows no numbers, an empty list.
    """
    trial = results.experiment.data(0)
    figure = new_figure(8, 1.2 * len(trial.train))
    figure.set_facecolor("none")  # for any ground, as photographs are not to be inverted
    for axes_row, env in zip(figure.subplots(len(trial.train), 10, squeeze=False), trial.train):
        rows = np.concatenate([np.flatnonzero(env.y == label)[:5] for label in (0, 1)])
        for axes, row in zip(axes_row, rows):
            green, red = env.x[row].reshape(2, 14, 14)
            axes.imshow(np.stack([red, green, np.zeros_like(red)], axis=-1))
            axes.set_title(f"y = {env.y[row]}", fontsize=8, color="0.5")
            axes.axis("off")
    return figure, []


DRAWINGS = {  # other figures
    "crossing_map": (
        draw_crossings,
        "Test accuracy over the steps of training, over alpha and lambda",
    ),
    "images": (draw_images, "Training images, an environment a row"),
}
OF_ONE_TABLE = ("accuracy_over_cases", "crossing_map", "over_steps")
OF_P_E = ("images", "reading_over_steps", "similarity_across")  # not for data from files
FIGURES = {name: shows for name, (_, shows) in {**PANELS, **DRAWINGS}.items()}


def check(study: Study) -> None:
    """Raise ValueError unless a study names figures that there are, and its texts can be drawn."""
    own = tested.kind([name for one in study.cases.values() for name in one.test_p]) != "p_e"
    for name in study.figures:
        _checks.choice("figure", name, FIGURES)
        if own and name in OF_P_E:
            raise ValueError(
                f"the figure {name!r} is of images, or of the same samples at several p_e; leave "
                "it out for data from files"
            )
        if name in OF_ONE_TABLE and len({tuple(one.table_p) for one in study.cases.values()}) > 1:
            raise ValueError(
                f"the figure {name!r} compares cases in the same test environments, but their "
                "tables have others; leave it out"
            )
    for experiment in study.cases.values():
        names = [*experiment.test_p, *tested.train_names(experiment.environment)] if own else []
        labels = [algorithm.label for algorithm in experiment.algorithms.values()]
        for text in [experiment.title, experiment.case_title, *labels, *names, *experiment.bounds]:
            if "$" in text and not _can_be_drawn(text):
                raise ValueError(
                    f"Matplotlib cannot draw the mathematics in {text!r}; correct it, or write "
                    "\\$ for a dollar sign"
                )


def _can_be_drawn(text):
    _matplotlib.load()
    from matplotlib import cbook, mathtext

    try:
        return not cbook.is_math_text(text) or bool(mathtext.MathTextParser("path").parse(text))
    except ValueError:
        return False


def make(name: str, results: Results):
    """Return a figure and the numbers in it.

    Parameters
    ----------
    name : str
        One of FIGURES.
    results : Results

    Returns
    -------
    figure : matplotlib.figure.Figure
    numbers : list
        What JSON can hold.
    """
    if name in DRAWINGS:
        return DRAWINGS[name][0](results)
    panels = PANELS[name][0](results)
    return draw(results.title, panels), [asdict(panel) for panel in panels]


def render(figure) -> dict[str, bytes]:
    """Return a figure as an image file of each kind, the same bytes each time.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    dict of bytes
        By "png" and "svg".
    """
    matplotlib = _matplotlib.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    images = {}
    with matplotlib.rc_context({"svg.hashsalt": "metairm_np"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            images[kind] = buffer.getvalue()
    return images


KEPT = "figures.json"  # of each figure in a run folder: what it was made from, and its checksum


def keep(results: Results) -> None:
    """Write a study's figures into its run folder: NAME.json, .png and .svg, and `KEPT`."""
    path, made = results.folder.path, {}
    for name in results.study.figures:
        figure, numbers = make(name, results)
        _storage.write_json(path / f"{name}.json", numbers)
        images = render(figure)
        for kind, image in images.items():
            _storage.write(path / f"{name}.{kind}", image)
        made[name] = {"records": _digest(results.records), "svg": _sha256(images["svg"])}
    if made:
        _storage.write_record(path / KEPT, made)


def svg(name: str, results: Results) -> bytes:
    """Return a figure as SVG: the one in the run folder if it was made from the same trials.

    Some figures, such as those of PWCCA, take minutes.
    """
    path = results.folder.path
    with suppress(OSError, DamagedError):
        about = _storage.read_record(path / KEPT).get(name)
        image = _storage.read_bytes(path / f"{name}.svg")
        if about == {"records": _digest(results.records), "svg": _sha256(image)}:
            return image
    return render(make(name, results)[0])["svg"]


def _digest(records):
    return _sha256(json.dumps(records, sort_keys=True).encode())


def _sha256(content):
    return hashlib.sha256(content).hexdigest()

"""What figures show: panels of numbers from records, histories and parameters."""

import functools
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.text import Text
from small_sweeps import SMALL

from metairm_np.analysis import representations
from metairm_np.cli import main
from metairm_np.experiments.files import load_study
from metairm_np.reports import figures
from metairm_np.reports.panels import Line, Panel, Results
from metairm_np.reports.styles import METHODS, styles_of
from metairm_np.sweeps import Contents, Folder
from metairm_np.training.settings import hyper_at

CHANGES = {
    "figure9": ["hidden=[4, 3]", "inner_lr_warmup=200"],
    "figure10": ["hidden=[4, 3]", "p_e=[0.1, 0.5, 0.9]"],
    "table3": ["n_per_env=60"],
}


@pytest.fixture(scope="module")
def results_of(tmp_path_factory):
    """Return a function that runs a small version of a study and returns its Results."""
    out = tmp_path_factory.mktemp("figures")

    @functools.cache
    def run(name, trials=2):
        changes = [f"--set={text}" for text in [*SMALL, *CHANGES.get(name, [])]]
        assert (
            main([name, *changes, "--trials", str(trials), "--jobs", "1", "--out", str(out)]) == 0
        )
        (path,) = out.glob(f"{name}-*")
        folder, contents = Folder(path), Contents.read(path)
        return Results(contents.study, folder.summaries(contents), folder)

    return run


def check_lines(lines, labels, places):
    """Check that lines have these labels and values of two trials at these places."""
    assert [line["label"] for line in lines] == labels
    for line in lines:
        assert line["places"] == places
        assert np.shape(line["values"]) == (len(places), 2)


def test_figure_9_has_each_layer_in_each_environment_and_trial(results_of):
    results = results_of("figure9")
    _, (no_std, panel) = figures.make("similarity_after_adaptation", results)
    assert (no_std["title"], panel["title"]) == ("meta-IRM without std loss", "meta-IRM")
    labels = ["environment $p_e$ = 0.1", "environment $p_e$ = 0.2"]
    check_lines(panel["lines"], labels, ["hidden 1", "hidden 2", "classifier"])
    record = results.of("", "meta_irm_constant")[0]
    params, trial = results.folder.params(record["name"]), results.data(record)
    settings = results.experiment.algorithms["meta_irm_constant"].settings
    hyper, _ = hyper_at(settings, record["step"], 2)
    expected = representations.similarity_after_adaptation(
        params, trial.train[1], hyper["inner_lr"], inner_l2=hyper.get("inner_l2", 0.0)
    )
    np.testing.assert_allclose(np.array(panel["lines"][1]["values"])[:, 0], expected)


def test_figure_10_compares_logits_and_the_classifiers_input(results_of):
    results = results_of("figure10")
    _, (panel,) = figures.make("similarity_across", results)
    compared = ["logits", "logits, by repainting", "input of the classifier"]
    labels = [f"{name}, {what}" for name in ("IRMv1", "meta-IRM") for what in compared]
    check_lines(panel["lines"], labels, [0.1, 0.5, 0.9])
    for line in panel["lines"]:
        np.testing.assert_allclose(line["values"][0], 1)
    record = results.of("", "irmv1")[1]
    params, trial = results.folder.params(record["name"]), results.data(record)
    envs = [trial.test(p_e) for p_e in (0.1, 0.5, 0.9)]
    expected = (
        representations.similarity_across(params, envs, -1),
        representations.similarity_of_repainted(params, envs[0], [0, 0.4, 0.8]),
        representations.similarity_across(params, envs, -2),
    )
    found = [np.array(line["values"])[:, 1] for line in panel["lines"][:3]]
    np.testing.assert_allclose(found, expected)


@pytest.mark.slow
def test_figure_6_has_the_penalty_of_each_case(results_of):
    results = results_of("table3")
    _, (panel,) = figures.make("penalty", results)
    assert panel["log"]
    for line, case in zip(panel["lines"], results.study.cases, strict=True):
        history = results.histories(case, "irmv1")[0]
        assert line["places"] == [row["step"] for row in history if "penalty" in row]
        assert line["values"][0][0] == pytest.approx(np.mean(history[0]["penalty"]))


def test_a_band_on_a_log_axis_stays_above_0():
    middle, low, high = figures.band([[1e-6, 1e-2], [1e-4, 1e-4], [3.0]], log=True)
    np.testing.assert_allclose(middle, [1e-4, 1e-4, 3])
    np.testing.assert_allclose(low, [1e-6, 1e-4, 3])
    np.testing.assert_allclose(high, [1e-2, 1e-4, 3])
    assert np.ravel(figures.band([[1.0, 3.0]])).tolist() == [2, 1, 3]


def test_the_limits_of_a_log_axis_fit_its_lines():
    line = Line("IRMv1", [0, 1], [[1e-6, 1e-5], [1e-2]])
    (axes,) = figures.draw("", [Panel("", "step", [line], "penalty", None, log=True)]).axes
    low, high = axes.get_ylim()
    assert 1e-7 < low < 1e-6 < 1e-2 < high < 1e-1


def lines_at(*means, places=(0.1, 0.5, 0.9), methods=("irmv1", "v_rex", "mm_rex", "erm")):
    """Return lines of two trials around constant or given means."""
    return [
        Line(name, [*places], [[m - 1, m + 1] for m in np.broadcast_to(mean, len(places))], name)
        for name, mean in zip(methods, means)
    ]


def test_lines_that_lie_close_get_a_panel_of_their_own():
    levels = {"random guess": 50.0, "optimal invariant model": 75.0}
    panel = Panel("", "$p_e$", lines_at(66, 68, 70, [90, 50, 10]), levels=levels)
    whole, closer = figures.draw("", [panel]).axes
    assert whole.get_ylim() == (0, 100)
    low, high = closer.get_ylim()
    assert 63 < low < 65 and 71 < high < 73
    assert closer.get_title() == "closer"
    for means in [(66, 68, [90, 50, 10]), (20, 40, 60, 80), ([90, 50, 10], [10, 50, 90], [50] * 3)]:
        assert len(figures.draw("", [Panel("", "$p_e$", lines_at(*means))]).axes) == 1
    crowded = Panel("5 classes", "$p_e$", lines_at(66, 68, 70))
    *_, closer, none = figures.draw("", [crowded, Panel("", "$p_e$", lines_at(66))]).axes
    assert closer.get_title() == "5 classes, closer"
    assert not none.axison


def looks(figure):
    """Return colour and marker of each named line of a figure."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            line = getattr(handle, "lines", [handle])[0]
            found.setdefault(label, set()).add((line.get_color(), line.get_marker()))
    return found


def test_a_method_has_one_colour_and_marker_whatever_is_beside_it():
    names = ["irmv1", "v_rex", "mine", "other"]
    one, two = (
        looks(figures.draw("", [Panel("", "$p_e$", lines_at(1, 30, 60, 90, methods=methods))]))
        for methods in (names, ["meta_irm", *names[1::-1]])
    )
    assert all(len(look) == 1 for look in (*one.values(), *two.values()))
    assert one["irmv1"] == two["irmv1"] and one["v_rex"] == two["v_rex"]
    for found in (one, two):
        assert len({color for look in found.values() for color, _ in look}) == len(found)
        assert len({marker for look in found.values() for _, marker in look}) == len(found)


def test_lines_of_one_method_have_its_marker_and_differ():
    keys = [("irmv1", f"case {n}") for n in range(4)] + [("v_rex", "V-REx"), ("irmv1", "case 0")]
    styles = styles_of(keys)
    assert len(styles) == 5
    cases = [styles["irmv1", f"case {n}"] for n in range(4)]
    assert cases[0].color == METHODS["irmv1"][0]
    assert {style.marker for style in cases} == {METHODS["irmv1"][1]}
    assert len({style.color for style in cases}) == len({style.linestyle for style in cases}) == 4


def overlaps(figure):
    """Return the pairs of texts of a rendered figure that overlap, slanted ones left out."""
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and not text.get_rotation() % 90
        if text.axes is None or text.axes.axison
    ]
    assert len(boxes) > 10
    legend = {text.get_text() for one in figure.legends for text in one.get_texts()}
    boxes += [("axes", axes.get_window_extent()) for axes in figure.axes if axes.axison]
    return [
        (one, two)
        for (one, box), (two, other) in itertools.combinations(boxes, 2)
        if (two != "axes" or one in legend) and box.overlaps(other)
    ]


def test_the_legend_names_every_line_and_no_text_is_over_another():
    levels = {"random guess": 50.0, "optimal invariant model": 75.0}
    places = ["25,000 images", "12,500 images", "6,250 images"]
    panels = [
        Panel(title, "", lines_at(66, 68, 70, 71, places=places), levels=levels)
        for title in ("$p_e$ = 0.1", "$p_e$ = 0.2", "$p_e$ = 0.9")
    ]
    for shown in (panels[:1], panels):
        figure = figures.draw("A title of some length, two classes (smoke run)", shown)
        figures.render(figure)
        (legend,) = figure.legends
        named = [text.get_text() for text in legend.get_texts()]
        assert named == ["irmv1", "v_rex", "mm_rex", "erm", *levels]
        assert overlaps(figure) == []


@pytest.mark.filterwarnings("error")
def test_a_study_all_of_whose_trials_diverged_is_drawn_without_a_warning(tmp_path, capsys):
    changes = [f"--set={text}" for text in [*SMALL, "lr=1e30", "optimizer=sgd"]]
    for name in ("figure9", "figure10", "cmnist"):
        assert main([name, *changes, "--jobs", "1", "--out", str(tmp_path)]) == 1
        (path,) = tmp_path.glob(f"{name}-*")
        assert list(path.glob("*.svg"))
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("diverged: ") and said.endswith(f"; see {path}/trials")


@pytest.mark.slow
def test_figure_5_is_the_table_drawn(results_of):
    _, panels = figures.make("accuracy_over_cases", results_of("table3"))
    lines = panels[0]["lines"]
    labels = [line["label"] for line in lines]
    check_lines(lines, labels, ["25,000 images", "12,500 images", "6,250 images"])
    assert all(0 <= np.min(line["values"]) <= np.max(line["values"]) <= 100 for line in lines)


@pytest.mark.slow
def test_what_happens_over_steps_has_a_line_per_algorithm(results_of):
    results = results_of("dynamics")
    _, (first, last, gaps) = figures.make("over_steps", results)
    found = [line["label"] for line in gaps["lines"]]
    assert found[:4] == ["ERM", "IRMv1", "V-REx", "meta-IRM"]
    assert found[4:] == ["meta-IRM, constant inner rate"]
    history = results.histories("", "erm")[1]
    logged = [row["step"] for row in history if "accuracy" in row]
    assert first["lines"][0]["places"] == last["lines"][0]["places"] == logged
    for panel, place in ((first, 0), (last, -1)):
        value = panel["lines"][0]["values"][0][1]
        assert value == pytest.approx(100 * history[0]["test_accuracy"][place])
    assert gaps["lines"][0]["places"] == logged
    one, two = history[logged[1]]["validation_risk"]
    assert gaps["lines"][0]["values"][1][1] == pytest.approx(one - two)


@pytest.mark.slow
def test_reading_over_steps_has_the_decomposition_of_each_logged_step(results_of):
    results = results_of("dynamics")
    _, panels = figures.make("reading_over_steps", results)
    history, record = results.histories("", "erm")[1], results.of("", "erm")[1]
    for panel, key, scale in zip(panels, ("digits", "effect", "spread"), (100, 1, 1), strict=True):
        line = panel["lines"][0]
        assert line["places"] == [row["step"] for row in history if "accuracy" in row]
        assert line["values"][0][1] == pytest.approx(scale * history[0]["reading"][key])
        # without early stopping, what is kept is the last step's
        assert line["values"][-1][1] == pytest.approx(scale * record["reading"][key])


@pytest.mark.slow
def test_adaptation_over_steps_has_the_risk_and_the_meta_loss(results_of):
    results = results_of("dynamics")
    _, (panel,) = figures.make("adaptation_over_steps", results)
    first = results.histories("", "meta_irm")[0][0]
    for line, key in zip(panel["lines"], ("risk", "meta_loss"), strict=True):
        assert line["values"][0][0] == pytest.approx(np.mean(first[key]))


@pytest.mark.slow
def test_crossing_map_has_each_trial_with_and_without_a_crossing(results_of):
    results = results_of("dynamics_map", trials=1)
    cases = results.study.cases.values()
    figure, crossings = figures.make("crossing_map", results)
    assert len(crossings) == len(figure.axes) == len(cases)
    hypers = [case.algorithms["meta_irm"].settings.hyper for case in cases]
    for key in ("inner_lr", "std_weight"):
        assert [one[key] for one in crossings] == [hyper[key] for hyper in hypers]
    met = [one for one in crossings if one["step"] is not None]
    assert sum(len(axes.lines) for axes in figure.axes) == 2 * len(cases) + len(met)
    assert figures.render(figure)["png"]
    assert overlaps(figure) == []
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["$p_e$ = 0.9"] + ["crossing"] * bool(met)  # the only p_e of the small table


def test_figure_7_shows_the_patch_where_it_is():
    results = Results(load_study("table4", SMALL), [])
    figure, numbers = figures.make("images", results)
    assert numbers == []
    assert len(figure.axes) == 20
    env = results.experiment.data(0).train[0]
    shown = figure.axes[0].images[0].get_array()
    first = np.flatnonzero(env.y == 0)[0]
    np.testing.assert_array_equal(shown[..., 1], env.x[first].reshape(2, 14, 14)[0])


def test_names_of_figures_are_known_without_matplotlib():
    code = "import sys, metairm_np.reports.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("backend", "taken"), [("foo", False), ("svg", True)])
def test_mplbackend_may_be_anything(backend, taken):
    code = (
        "import os; from metairm_np.reports import figures\n"
        "assert figures.render(figures.new_figure(1, 1))\n"
        "import matplotlib; print(os.environ['MPLBACKEND'], matplotlib.rcParams['backend'])"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == backend
    assert (done.stdout.split()[1] == backend) == taken

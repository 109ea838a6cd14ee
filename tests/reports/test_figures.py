"""What figures show: panels of numbers from records and parameters, and the same bytes each time."""

import numpy as np
import pytest
from small_sweeps import SMALL

from metairm_np import _storage, fast, mlp, spec
from metairm_np.analysis import representations
from metairm_np.analysis.pwcca import pwcca
from metairm_np.cli import main
from metairm_np.environments import Environment, synthetic_digits
from metairm_np.experiments.files import study_of
from metairm_np.reports import figures
from metairm_np.sweeps.folder import Folder
from metairm_np.training.settings import Settings

DIGITS = synthetic_digits(0, n_per_env=300)
PARAMS = mlp.init_mlp((392, 5, 4, 1), 0)
ADAPTING = Settings("meta_irm", {"inner_lr": 2.0, "std_weight": 0.0}, l2=0.01, inner_l2=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run small versions of studies, and give the Results of each by name."""
    out = tmp_path_factory.mktemp("figures")

    def small(name, *changes, trials=2):
        settings = [part for text in (*SMALL, *changes) for part in ("--set", text)]
        assert main([name, *settings, "--trials", str(trials), "--out", str(out)]) == 0
        (path,) = out.glob(f"{name}-*")
        folder, config = Folder(path), _storage.read_json(path / "config.json")
        return figures.Results(study_of(config), folder.summaries(folder.planned()), folder)

    widths, many = "hidden=[4, 3]", "p_e=[0.1, 0.5, 0.9]"
    return {
        "figure9": small("figure9", widths),
        "figure10": small("figure10", widths, many),
        "table3": small("table3", "n_per_env=60"),
        "table4": small("table4"),
        "dynamics": small("dynamics"),
        "dynamics_map": small("dynamics_map", trials=1),
    }


def test_layers_are_those_of_the_network():
    env = DIGITS.train[0]
    outputs = representations.layers(PARAMS, env.x)
    assert [output.shape for output in outputs] == [(300 - 60, 5), (240, 4), (240, 1)]
    assert all((output >= 0).all() for output in outputs[:-1])
    np.testing.assert_allclose(outputs[-1], mlp.logits(PARAMS, env.x))


def test_similarity_after_adaptation_is_that_of_the_specs_inner_step():
    env = DIGITS.train[0]
    adapted = spec.adapt(PARAMS, env, 2.0, inner_l2=0.01)
    pairs = zip(representations.layers(PARAMS, env.x), representations.layers(adapted, env.x))
    expected = [pwcca(before, after) for before, after in pairs]
    np.testing.assert_allclose(
        representations.similarity_after_adaptation(PARAMS, env, ADAPTING), expected, rtol=1e-9
    )
    still = Settings("meta_irm", {"inner_lr": 0.0, "std_weight": 0.0})
    np.testing.assert_allclose(
        representations.similarity_after_adaptation(PARAMS, env, still), 1, rtol=1e-9
    )


def test_similarity_across_environments_tells_who_sees_the_colour():
    envs = [DIGITS.test(p_e) for p_e in (0.1, 0.5, 0.9)]
    W, b = PARAMS[0]
    blind = [(np.concatenate([W[:196], W[:196]]), b), *PARAMS[1:]]
    np.testing.assert_allclose(representations.similarity_across(blind, envs, -2), 1, atol=1e-6)
    one, half, turned = representations.similarity_across(PARAMS, envs, -2)
    assert one == pytest.approx(1)
    assert half < 0.99
    assert turned < 0.99


def test_figure_9_has_each_layer_in_each_environment_and_trial(results):
    _, (panel,) = figures.make("similarity_after_adaptation", results["figure9"])
    assert [line["label"] for line in panel["lines"]] == [
        "environment $p_e$ = 0.1",
        "environment $p_e$ = 0.2",
    ]
    for line in panel["lines"]:
        assert line["places"] == ["hidden 1", "hidden 2", "classifier"]
        assert np.shape(line["values"]) == (3, 2)
    record = results["figure9"].records[0]
    params, trial = (
        results["figure9"].folder.params(record["name"]),
        results["figure9"].data(record),
    )
    (experiment,) = results["figure9"].study.cases.values()
    settings = experiment.algorithms["meta_irm"].settings
    expected = representations.similarity_after_adaptation(params, trial.train[1], settings)
    np.testing.assert_allclose(np.array(panel["lines"][1]["values"])[:, 0], expected)


def test_figure_10_compares_logits_and_for_meta_irm_the_classifiers_input(results):
    _, (panel,) = figures.make("similarity_across", results["figure10"])
    assert [line["label"] for line in panel["lines"]] == [
        "IRMv1, logits",
        "meta-IRM, input of the classifier",
    ]
    for line in panel["lines"]:
        assert line["places"] == [0.1, 0.5, 0.9]
        assert np.shape(line["values"]) == (3, 2)
        np.testing.assert_allclose(line["values"][0], 1)


def test_figure_6_has_the_penalty_of_each_case(results):
    _, (panel,) = figures.make("penalty", results["table3"])
    assert panel["log"]
    for line, case in zip(panel["lines"], results["table3"].study.cases, strict=True):
        record = results["table3"].of(case, "irmv1")[0]
        history = results["table3"].folder.history(record["name"])
        assert line["places"] == [row["step"] for row in history if "penalty" in row]
        assert line["values"][0][0] == pytest.approx(np.mean(history[0]["penalty"]))


def test_a_band_on_a_log_axis_stays_above_0():
    values = [[1e-6, 1e-2], [1e-4, 1e-4], [3.0]]
    middle, low, high = figures.band(values, log=True)
    np.testing.assert_allclose(middle, [1e-4, 1e-4, 3])
    np.testing.assert_allclose(low, [1e-6, 1e-4, 3])
    np.testing.assert_allclose(high, [1e-2, 1e-4, 3])
    middle, low, high = figures.band([[1.0, 3.0]])
    assert (middle[0], low[0], high[0]) == (2, 1, 3)


def test_the_limits_of_a_log_axis_fit_its_lines():
    line = figures.Line("IRMv1", [0, 1], [[1e-6, 1e-5], [1e-2]])
    (axes,) = figures.draw("", [figures.Panel("", "step", [line], "penalty", None, log=True)]).axes
    low, high = axes.get_ylim()
    assert 1e-7 < low < 1e-6 < 1e-2 < high < 1e-1


def test_figure_5_is_the_table_drawn(results):
    _, panels = figures.make("accuracy_over_cases", results["table3"])
    for line in panels[0]["lines"]:
        assert line["places"] == ["25,000 images", "12,500 images", "6,250 images"]
        assert np.shape(line["values"]) == (3, 2)
        assert all(0 <= value <= 100 for values in line["values"] for value in values)


def test_what_happens_over_steps_has_a_line_per_algorithm(results):
    _, (first, last, gaps) = figures.make("over_steps", results["dynamics"])
    assert [line["label"] for line in gaps["lines"]] == ["ERM", "IRMv1", "V-REx", "meta-IRM"]
    record = results["dynamics"].of("", "erm")[1]
    history = results["dynamics"].folder.history(record["name"])
    assert (
        first["lines"][0]["places"]
        == last["lines"][0]["places"]
        == [row["step"] for row in history if "accuracy" in row]
    )
    assert last["lines"][0]["values"][0][1] == pytest.approx(100 * history[0]["test_accuracy"][-1])
    assert len(gaps["lines"][0]["places"]) == len(history)
    one, two = history[5]["validation_risk"]
    assert gaps["lines"][0]["values"][5][1] == pytest.approx(one - two)


def test_adaptation_over_steps_has_the_risk_and_the_meta_loss(results):
    _, (panel,) = figures.make("adaptation_over_steps", results["dynamics"])
    history = results["dynamics"].folder.history(results["dynamics"].of("", "meta_irm")[0]["name"])
    risk, meta_loss = panel["lines"]
    assert risk["values"][0][0] == pytest.approx(np.mean(history[0]["risk"]))
    assert meta_loss["values"][0][0] == pytest.approx(np.mean(history[0]["meta_loss"]))


def test_crossing_map_has_each_trial_with_and_without_a_crossing(results):
    study = results["dynamics_map"].study
    figure, crossings = figures.make("crossing_map", results["dynamics_map"])
    assert len(crossings) == len(study.cases)
    alphas = {one["inner_lr"] for one in crossings}
    assert alphas == {
        case.algorithms["meta_irm"].settings.hyper["inner_lr"] for case in study.cases.values()
    }
    met = [one for one in crossings if one["step"] is not None]
    assert len(figure.axes) == len(study.cases)
    assert sum(len(axes.lines) for axes in figure.axes) == 2 * len(study.cases) + len(met)
    assert figures.render(figure)["png"]


def test_figure_7_shows_the_patch_where_it_is(results):
    figure, numbers = figures.make("images", results["table4"])
    assert numbers == []
    assert len(figure.axes) == 20
    (experiment,) = results["table4"].study.cases.values()
    env = experiment.data(0).train[0]
    shown = [axes.images[0].get_array() for axes in figure.axes[:10]]
    first = np.flatnonzero(env.y == 0)[0]
    np.testing.assert_array_equal(shown[0][..., 1], env.x[first].reshape(2, 14, 14)[0])


def test_one_environments_rows_are_not_taken_for_anothers():
    env = DIGITS.test(0.9)
    shuffled = Environment(env.x[::-1].copy(), env.y[::-1].copy())
    assert representations.similarity_across(PARAMS, [env, shuffled], -2)[1] < 0.5
    assert fast.risk(PARAMS, env) == pytest.approx(fast.risk(PARAMS, shuffled))

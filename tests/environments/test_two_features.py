"""The toy in the plane: what its generator draws, and what its table shows."""

import numpy as np
import pytest

from metairm_np import init_mlp
from metairm_np.analysis.decomposition import decomposition_over
from metairm_np.environments import two_features
from metairm_np.experiments import files
from metairm_np.sweeps.trial import carry_out, tasks_of


def test_labels_colours_and_shapes_have_their_probabilities():
    trial = two_features(0, 20_000, 20_000, spread=0.0, label_noise=0.25)
    assert [env.p_e for env in trial.train] == [0.1, 0.2, 0.3]
    assert [len(env) for env in trial.train + trial.validation] == 3 * [16_000] + 3 * [4_000]
    for env in [*trial.train, *trial.validation, trial.test(0.9)]:
        shape, z = (env.x > 0).T
        assert set(np.unique(env.x)) == {-1.0, 1.0}
        for share, p in ((shape != env.y, 0.25), (z != env.y, env.p_e)):
            assert abs(share.mean() - p) < 5 * (p * (1 - p) / len(env)) ** 0.5


def test_the_samples_of_a_test_environment_do_not_depend_on_p_e():
    trial = two_features(3, 50, 200)
    one, other = trial.test(0.0), trial.test(1.0)
    np.testing.assert_array_equal(one.y, other.y)
    np.testing.assert_array_equal(one.x[:, 0], other.x[:, 0])
    np.testing.assert_allclose(np.abs(one.x[:, 1] - other.x[:, 1]), 2)
    grey = trial.greyscale()
    np.testing.assert_array_equal(grey.test(0.0).x, one.x[:, :1])
    assert grey.in_each_colour(grey.test(0.0)) == []


def test_noise_has_its_spread_and_bad_values_are_named():
    x = two_features(1, 5000, spread=0.1).test(0.5).x
    assert np.std(np.abs(x) - 1) == pytest.approx(0.1, rel=0.05)
    for options, message in (
        ({"spread": -1}, "spread is -1; give a finite number >= 0"),
        ({"n_test": 0}, "n_test is 0; give a whole number >= 1"),
    ):
        with pytest.raises(ValueError, match=message):
            two_features(0, **options)


def test_the_reading_is_of_both_colours():
    trial = two_features(0, 50, 200)
    env = trial.test(0.9)
    w = np.array([[2.0], [3.0]])
    found = decomposition_over([(w, np.zeros(1))], trial.in_each_colour(env), env.y)
    assert found == (np.mean((env.x[:, 0] > 0) == env.y), pytest.approx(6), pytest.approx(0))
    assert init_mlp((2, 1), 0)[0][0].shape == w.shape


@pytest.mark.slow
def test_the_toy_shows_the_effect():
    """ERM fails where the colour turns round, meta-IRM is within 5 points of the optimum."""
    toy, worst = files.load("toy"), {"erm": [], "meta_irm": []}
    for task in tasks_of(toy, worst, range(100, 110)):  # not those of the table
        record, _ = carry_out(task)
        worst[task.algorithm].append(min(record["test_accuracy"].values()))
    assert max(worst["erm"]) < 0.35
    assert sum(accuracy >= 0.70 for accuracy in worst["meta_irm"]) >= 9

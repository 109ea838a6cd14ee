"""What all kinds of trials have in common: purity, sizes, and what they refuse."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import within

from metairm_np import Environment
from metairm_np.environments import punctuated_sst2, synthetic_digits
from metairm_np.environments._split import EnvironmentSplit

SOME = {"seed": 0, "source": "synthetic", "dimension": 8}


def everything(trial):
    return [*trial.train, *trial.validation, trial.test(0.1), trial.test(0.9)]


def equal(envs, others):
    return all((a.x == b.x).all() and (a.y == b.y).all() for a, b in zip(envs, others, strict=True))


def test_same_seed_same_bits_in_any_order_of_calls(make):
    seed = np.random.SeedSequence(7)
    one, two, other = make(7), [make(seed), make(seed)][1], make(8)
    first = one.test(0.9)
    one.greyscale().train  # noqa: B018
    two.test(0.1)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    assert equal(everything(one), everything(two))
    assert equal([first], [two.test(0.9)])
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    assert (one.train[0].y != other.train[0].y).any()
    assert (one.test(0.9).y != other.test(0.9).y).any()


@pytest.mark.parametrize("make", ["colored", "sentences"], indirect=True)
def test_more_environments_leave_the_draws_of_the_first_alone(make):
    short, long = (make(0, train_p=p, n_per_env=50) for p in ((0.1, 0.2), (0.1, 0.2, 0.3)))
    assert equal(short.train, long.train[:2])
    assert equal(short.validation, long.validation[:2])


@pytest.mark.parametrize("patch_p", [None, 0.2])
def test_digits_drawn_in_common_share_the_images_that_they_show(patch_p):
    data = synthetic_digits(0, 200, validation=0.5, validation_draws=4, patch_p=patch_p)
    one, two = data.validation
    assert one.drawn_from[0] is two.drawn_from[0]
    assert len(one.drawn_from[0]) == len(np.unique(np.concatenate([one.x, two.x]), axis=0))
    grey = data.greyscale()
    for env, digits, draw in zip(data.validation, grey.validation, data.draws().validation):
        np.testing.assert_array_equal(env.y, draw.y)
        np.testing.assert_array_equal(env.x.reshape(-1, 2, 196).argmax(axis=1).max(axis=1), draw.z)
        np.testing.assert_array_equal(env.x.reshape(-1, 2, 196).sum(axis=1), digits.x)


@pytest.mark.parametrize("make", ["digits", "sentences"], indirect=True)
def test_dtypes_agree(make):
    wide, narrow = (everything(make(0, dtype=dtype)) for dtype in ("float64", "float32"))
    assert {env.dtype.name for env in narrow} == {"float32"}
    assert equal([env.astype("float32") for env in wide], narrow)


@pytest.mark.parametrize("make", ["digits", "sentences"], indirect=True)
def test_environments_have_their_own_draws(make):
    options = {"train_p": (0.5, 0.5), "n_per_env": 1998, "validation": 0.5}
    trial, clean = make(0, label_noise=0.5, **options), make(0, label_noise=0, **options)
    pairs = zip(trial.train + trial.validation, clean.train + clean.validation)
    flips = [env.y != quiet.y for env, quiet in pairs]
    for i, a in enumerate(flips):
        for b in flips[:i]:
            assert within((a == b).sum(), 999, 0.5)


class Numbers(EnvironmentSplit):
    """Samples that are their own numbers."""

    def _environment(self, pool, rows, uniforms, **about):
        (x,) = pool
        assert uniforms.shape == (2, len(x[rows]))
        return Environment(x[rows], np.zeros(len(x[rows]), int), **about)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**64), st.integers(1, 4), st.sampled_from([0, 0.2, 0.5]))
def test_each_sample_is_dealt_once_in_an_order_of_the_seed(seed, n_envs, validation):
    pools = [(np.arange(n)[:, None],) for n in (240, 50)]
    options = {"train_p": [0.1] * n_envs, "label_noise": 0, "n_per_env": None, "dtype": "float64"}
    trial, other = (Numbers(s, pools, validation=validation, **options) for s in (seed, seed + 1))
    dealt, others = (
        np.concatenate([env.x[:, 0] for env in one.train + one.validation])
        for one in (trial, other)
    )
    np.testing.assert_array_equal(np.sort(dealt), np.arange(240))
    for order in (others, np.arange(240)):
        assert (dealt != order).mean() > 0.9
    np.testing.assert_array_equal(trial._test(0.3, None).x, pools[1][0])


def test_sizes_and_names():
    trial = punctuated_sst2(**SOME)
    assert [(len(env), env.name) for env in everything(trial)] == [
        (1599, "train p_e=0.1"),
        (1599, "train p_e=0.2"),
        (400, "validation p_e=0.1"),
        (400, "validation p_e=0.2"),
        (800, "test p_e=0.1"),
        (800, "test p_e=0.9"),
    ]
    assert {env.shape[1] for env in everything(trial)} == {8}
    assert (trial.train_p, trial.label_noise, trial.n_classes) == ([0.1, 0.2], [0.25, 0.25], 2)
    few = punctuated_sst2(n_per_env=100, validation=0.25, **SOME)
    assert [len(env) for env in everything(few)] == [75, 75, 25, 25, 800, 800]
    three = punctuated_sst2(train_p=(0.1, 0.2, 0.3), validation=0, **SOME)
    assert [len(env) for env in three.train] == [1333] * 3
    assert three.validation == []
    assert punctuated_sst2(train_p=0.3, **SOME).train_p == [0.3]


@pytest.mark.parametrize("make", ["colored", "digits", "sentences"], indirect=True)
def test_validation_drawn_in_common_is_all_held_out_samples_from_the_same_numbers(make):
    options = {"n_per_env": 400, "validation": 0.5, "train_p": (0.1, 0.3)}
    own, common = make(0, **options), make(0, validation_draws=3, **options)
    assert equal(own.train, common.train)
    assert [len(env) for env in common.validation] == [2 * 200 * 3] * 2
    assert [env.p_e for env in common.validation] == [0.1, 0.3]
    one, two = common.validation
    np.testing.assert_array_equal(one.y, two.y)
    other = (one.x != two.x).any(axis=1)  # seen only where one environment alone flips the colour
    assert within(other.sum(), len(one), 0.2)
    assert within((one.y.reshape(3, -1)[0] != one.y.reshape(3, -1)[1]).sum(), 400, 2 * 0.25 * 0.75)
    grey = common.greyscale().validation
    assert equal(grey[:1], grey[1:])
    held = [env.x for env in own.greyscale().validation]
    np.testing.assert_array_equal(grey[0].x[: 2 * 200], np.concatenate(held))
    assert make(0, validation=0, validation_draws=3, n_per_env=400).validation == []


@pytest.mark.parametrize("make", ["digits", "sentences"], indirect=True)
def test_label_noise_of_a_test_environment(make):
    trial = make(0, label_noise=(0.1, 0.4))
    assert trial.test(0.9).label_noise == pytest.approx(0.25)
    clean, some, many = (trial.test(0.9, label_noise=eta) for eta in (0, 0.25, 1))
    assert (clean.label_noise, many.label_noise) == (0, 1)
    np.testing.assert_array_equal(some.y, trial.test(0.1).y)
    np.testing.assert_array_equal(clean.y, 1 - many.y)


REFUSED = [
    ({"train_p": (0.1, 1.2)}, ValueError, "train_p is 1.2; give a finite number from 0 to 1"),
    ({"train_p": ()}, ValueError, "train_p is empty; give one number per training environment"),
    ({"train_p": []}, ValueError, "train_p is empty; give one number per training environment"),
    ({"label_noise": [0.1] * 3}, ValueError, "label_noise has 3 values for 2 environments"),
    ({"label_noise": "much"}, TypeError, "label_noise is 'much'; give a number"),
    ({"n_per_env": 0}, ValueError, "n_per_env is 0; give a whole number >= 1"),
    ({"n_per_env": 1}, ValueError, "validation is 0.2 of n_per_env = 1 "),
    ({"n_per_env": 1}, ValueError, "rounds to none; give a larger n_per_env, or validation = 0"),
    ({"validation": 1.5}, ValueError, "validation is 1.5; give a finite number from 0 to 1"),
    ({"validation": 1.0}, ValueError, "leaves none to train on; give a larger n_per_env or"),
    ({"n_per_env": 3, "validation": 0.9}, ValueError, "validation is 0.9 of n_per_env = 3 "),
    ({"validation_draws": -1}, ValueError, "validation_draws is -1; give a whole number >= 0"),
    ({"dtype": "float16"}, ValueError, "dtype is 'float16'; give float32 or float64"),
    ({"seed": "x"}, ValueError, "seed is 'x'; give an integer >= 0"),
]
REFUSED_DIGITS = [
    ({"n_classes": 1}, ValueError, "n_classes is 1; give 2, 5 or 10"),
    ({"n_classes": 3}, ValueError, "n_classes is 3; give 2, 5 or 10"),
    ({"n_classes": 5, "patch_p": 0.1}, ValueError, "defined for 2 classes only"),
    ({"n_per_env": 25_001}, ValueError, "there are 50000 images to deal; give 25000 or fewer"),
]
REFUSED_SENTENCES = [
    ({"source": "glu"}, ValueError, "unknown source 'glu'; did you mean 'glue'"),
    ({"dimension": 0}, ValueError, "dimension is 0; give a whole number >= 1"),
    ({"source": "glue", "dimension": 64}, ValueError, "64; GloVe 6B has 50, 100, 200 and 300"),
    ({"dimension": 5.0}, TypeError, "dimension is 5.0; give a whole number"),
    ({"validation_words": 0}, ValueError, "validation_words is 0; give a whole number >= 1"),
    ({"n_per_env": 2000}, ValueError, "there are 3999 sentences to deal; give 1999 or fewer"),
    ({"train_p": [0.1] * 4000}, ValueError, "n_per_env is 0"),
]


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [("colored", *case) for case in REFUSED + REFUSED_DIGITS]
    + [("sentences", *case) for case in REFUSED + REFUSED_SENTENCES],
    indirect=["make"],
)
def test_refused(make, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make(**{"seed": 0, **options})


def test_a_trial_of_one_sample_each_has_it_to_train_on():
    trial = synthetic_digits(0, n_per_env=1, validation=0)
    assert [len(env) for env in trial.train] == [1, 1]
    assert trial.validation == []
    for empty in ([], ()):
        with pytest.raises(ValueError, match="train_p is empty; give one number"):
            synthetic_digits(0, train_p=empty)


@pytest.mark.parametrize("make", ["digits", "sentences"], indirect=True)
def test_refused_at_test_time(make):
    for options, error, message in [
        ({"p_e": -0.1}, ValueError, "p_e is -0.1"),
        ({"p_e": None}, TypeError, "p_e is None"),
        ({"p_e": 0.1, "label_noise": 1.5}, ValueError, "label_noise is 1.5"),
    ]:
        with pytest.raises(error, match=message):
            make(0).test(**options)

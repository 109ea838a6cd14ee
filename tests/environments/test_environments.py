"""The generators: their statistics, their purity, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metairm_np import Environment
from metairm_np.environments import colored_mnist, synthetic_digits
from metairm_np.environments.colored_mnist import with_patch
from metairm_np.environments.mnist import load_mnist14
from metairm_np.environments.synthetic import DIGITS


def colours(env, k):
    """Return the channel that each image is in, and check that it is the only one."""
    lit = env.x.reshape(len(env), k, -1).any(axis=2)
    assert (lit.sum(axis=1) <= 1).all()
    return lit.argmax(axis=1)


def within(count, n, p, sigmas=5):
    """Return whether a binomial count lies within so many standard deviations of its mean."""
    return abs(count - n * p) <= sigmas * max((n * p * (1 - p)) ** 0.5, 1e-9)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_statistics_of_colored_mnist(k):
    trial = colored_mnist(
        3, k, train_p=(0.1, 0.2, 0.6), label_noise=(0.25, 0.2, 0.3), n_per_env=6000, validation=0.1
    )
    digits = load_mnist14()["train_labels"][50_000:]
    assert [len(env) for env in trial.train] == [5400] * 3
    assert [len(env) for env in trial.validation] == [600] * 3
    for part in (trial.train, trial.validation):
        for env, p_e in zip(part, (0.1, 0.2, 0.6)):
            assert env.x.shape[1] == k * 196
            z = colours(env, k)
            assert set(np.unique((z - env.y) % k)) <= {0, 1}
            assert within((z != env.y).sum(), len(env), p_e)
            assert env.p_e == p_e
    for p_e in (0.0, 0.1, 0.9, 1.0):
        test = trial.test(p_e)
        noisy = (test.y - digits // (10 // k)) % k
        assert set(np.unique(noisy)) <= {0, 1}
        assert within(noisy.sum(), 10_000, 0.25)
        assert within((colours(test, k) != test.y).sum(), 10_000, p_e)
        assert test.label_noise == pytest.approx(0.25)


def test_label_noise_of_the_training_environments():
    trial = synthetic_digits(0, 4000, label_noise=(0.1, 0.4), validation=0)
    for env, eta in zip(trial.train, (0.1, 0.4)):
        glyph = env.x.reshape(len(env), 2, 196).sum(axis=1) > 0
        assert env.label_noise == eta
        assert glyph.any(axis=1).all()
    # the digits themselves are known only to the generator, so noise is measured against the
    # noise-free twin
    clean = synthetic_digits(0, 4000, label_noise=0, validation=0)
    for env, twin, eta in zip(trial.train, clean.train, (0.1, 0.4)):
        assert within((env.y != twin.y).sum(), len(env), eta)


def test_images_are_mnist_scaled_to_one():
    mnist = load_mnist14()
    test = colored_mnist(0).test(0.9)
    grey = test.x.reshape(10_000, 2, 196).sum(axis=1)
    np.testing.assert_array_equal(grey, mnist["train_images"][50_000:].reshape(10_000, 196) / 255)
    assert grey.min() == 0
    assert grey.max() == 1


def test_no_test_image_is_in_a_training_environment():
    mnist = load_mnist14()
    trial = colored_mnist(1, validation=0.1)
    trained = {
        x.tobytes()
        for env in trial.train + trial.validation
        for x in env.x.reshape(-1, 2, 196).sum(axis=1)
    }
    dealt = {(image / 255).tobytes() for image in mnist["train_images"][:50_000].reshape(-1, 196)}
    tested = {x.tobytes() for x in trial.test(0.9).x.reshape(-1, 2, 196).sum(axis=1)}
    assert (
        trained == dealt
    )  # with 25,000 images each, every one of the 50,000 is dealt and no other
    assert tested == {
        (image / 255).tobytes() for image in mnist["train_images"][50_000:].reshape(-1, 196)
    }
    assert not trained & tested


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from([2, 5, 10]), st.sampled_from([0, 0.2, 0.5]))
def test_each_image_is_dealt_once(seed, k, validation):
    trial = synthetic_digits(seed, 60, n_classes=k, validation=validation)
    held = trial.validation
    images = [
        x.tobytes()
        for env in trial.train + held
        for x in env.x.reshape(len(env), k, 196).sum(axis=1)
    ]
    pool = [(image / 255).tobytes() for image in trial._images[0][0].reshape(-1, 196)]
    assert sorted(images) == sorted(pool)


@pytest.mark.parametrize(
    "make", [lambda seed: colored_mnist(seed, n_per_env=500), synthetic_digits]
)
def test_same_seed_same_bits_in_any_order_of_calls(make):
    one, two, other = make(7), make(np.random.SeedSequence(7)), make(8)
    first = one.test(0.9)
    one.greyscale().train  # noqa: B018
    two.test(0.1)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    for a, b in [
        (first, two.test(0.9)),
        *zip(one.train + one.validation, two.train + two.validation),
    ]:
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    assert (one.train[0].y != other.train[0].y).any()


def test_a_seed_sequence_used_twice_gives_the_same_trial():
    seed = np.random.SeedSequence(5)
    np.testing.assert_array_equal(
        synthetic_digits(seed).train[0].x, synthetic_digits(seed).train[0].x
    )


def test_more_environments_leave_the_draws_of_the_first_alone():
    short, long = (
        synthetic_digits(0, 50, train_p=p, validation=0) for p in ((0.1, 0.2), (0.1, 0.2, 0.3))
    )
    z_short, z_long = colours(short.train[0], 2), colours(long.train[0], 2)
    np.testing.assert_array_equal(z_short != short.train[0].y, z_long != long.train[0].y)


@pytest.mark.parametrize("k", [2, 10])
def test_greyscale_twin_differs_only_by_colour(k):
    trial = colored_mnist(2, k, n_per_env=400)
    twin = trial.greyscale()
    pairs = zip(
        [*trial.train, *trial.validation, trial.test(0.9)],
        [*twin.train, *twin.validation, twin.test(0.9)],
    )
    for env, grey in pairs:
        assert grey.x.shape == (len(env), 196)
        np.testing.assert_array_equal(env.y, grey.y)
        np.testing.assert_array_equal(env.x.reshape(len(env), k, 196).sum(axis=1), grey.x)


def test_test_environments_share_images_and_labels():
    trial = synthetic_digits(0)
    low, high = trial.test(0.1), trial.test(0.9)
    np.testing.assert_array_equal(low.y, high.y)
    np.testing.assert_array_equal(
        low.x.reshape(-1, 2, 196).sum(axis=1), high.x.reshape(-1, 2, 196).sum(axis=1)
    )
    moved = colours(low, 2) != colours(high, 2)
    assert within(moved.sum(), len(low), 0.8)


def test_patch():
    trial = colored_mnist(4, patch_p=(0.2, 0.1), n_per_env=5000, validation=0)
    for env, patch_p in [
        *zip(trial.train, (0.2, 0.1)),
        (trial.test(0.9), 0.9),
        (trial.test(0.9, patch_p=0.3), 0.3),
    ]:
        images = env.x.reshape(len(env), 2, 14, 14)
        own = images[np.arange(len(env)), colours(env, 2)]
        top = (own[:, :3, :3] == 1).all(axis=(1, 2))
        bottom = (own[:, -2:, -2:] == 1).all(axis=(1, 2))
        assert (top ^ bottom).all()
        assert within((bottom != env.y).sum(), len(env), patch_p)
        assert env.patch_p == patch_p
    images = np.zeros((2, 14, 14), np.uint8)
    assert with_patch(images, np.array([0, 1])).sum(axis=(1, 2)).tolist() == [9 * 255, 4 * 255]
    assert images.sum() == 0


def test_dtypes_agree():
    wide, narrow = (synthetic_digits(0, dtype=dtype).train[0].x for dtype in ("float64", "float32"))
    assert narrow.dtype == np.float32
    np.testing.assert_array_equal(wide.astype("float32"), narrow)


def test_environment_is_frozen_and_converts():
    env = Environment([[1, 2]], [1], name="a", p_e=0.1)
    assert env.x.dtype == np.float64
    assert env.astype("float64") is env
    narrow = env.astype("float32")
    assert (narrow.x.dtype, narrow.name, narrow.p_e) == (np.float32, "a", 0.1)
    with pytest.raises(ValueError, match="read-only"):
        env.x[0, 0] = 0
    mine = np.zeros((1, 1))
    Environment(mine, [0])
    mine[0, 0] = 1  # the caller's own array stays writable


def test_synthetic_digits_are_ten_different_glyphs():
    trial = synthetic_digits(0, 500, label_noise=0, n_classes=10, validation=0)
    lit = [(trial.train[0].x[trial.train[0].y == c] > 0).sum(axis=1) for c in range(10)]
    assert len(set(DIGITS)) == 10
    assert all(len(counts) > 20 for counts in lit)
    assert lit[1].max() < lit[8].min()  # a one has two segments, an eight has seven


BAD = {
    "classes": ({"n_classes": 3}, ValueError, "n_classes is 3; give 2, 5 or 10"),
    "p_e": (
        {"train_p": (0.1, 1.2)},
        ValueError,
        "train_p is 1.2; give a finite number from 0 to 1",
    ),
    "no environments": ({"train_p": ()}, ValueError, "train_p has 0 values"),
    "noise": (
        {"label_noise": (0.1, 0.2, 0.3)},
        ValueError,
        "label_noise has 3 values for 2 environments",
    ),
    "noise of another type": (
        {"label_noise": "much"},
        TypeError,
        "label_noise is 'much'; give a number",
    ),
    "too many images": (
        {"n_per_env": 25_001},
        ValueError,
        "there are 50000 images to deal; give 25000 or fewer",
    ),
    "no images": ({"n_per_env": 0}, ValueError, "n_per_env is 0; give a whole number >= 1"),
    "all held out": (
        {"validation": 1.0},
        ValueError,
        "validation is 1.0; give a finite number from 0 to",
    ),
    "patch and classes": (
        {"n_classes": 5, "patch_p": 0.1},
        ValueError,
        "defined for 2 classes only",
    ),
    "dtype": ({"dtype": "float16"}, ValueError, "dtype is 'float16'; give float32 or float64"),
    "seed": ({"seed": "x"}, ValueError, "seed is 'x'; give an integer >= 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        colored_mnist(**{"seed": 0, **options}).train  # noqa: B018


def test_refused_at_test_time():
    trial = synthetic_digits(0)
    with pytest.raises(ValueError, match="p_e is -0.1"):
        trial.test(-0.1)
    with pytest.raises(ValueError, match="the trial has no patches"):
        trial.test(0.1, patch_p=0.1)


@pytest.mark.parametrize("k", [5, 10])
def test_a_model_that_knows_the_digits_class_reads_most_labels_from_the_colour(k):
    trial, classes = (
        colored_mnist(1, k, n_per_env=300),
        load_mnist14()["train_labels"][50_000:].astype(int) // (10 // k),
    )
    for p_e in (0.1, 0.2, 0.9):
        env = trial.test(p_e)
        told = np.where((colours(env, k) - classes) % k == 2, (classes + 1) % k, classes)
        assert within(np.sum(told == env.y), len(env), 0.75 + 0.25 * p_e)  # docs/notebook.md


def test_mirrored_features_show_no_symmetric_statistic_their_environment():
    one, two = colored_mnist(1, train_p=[0.1, 0.2], patch_p=[0.2, 0.1], n_per_env=20_000).train
    shares = []
    for env in (one, two):
        both = env.x.reshape(len(env), 2, 14, 14).sum(axis=1)
        z = colours(env, 2) + (both[:, -1, -1] == 1)  # symmetric in colour and patch
        shares.append(
            [np.mean((env.y == label) & (z == total)) for label in (0, 1) for total in (0, 1, 2)]
        )
    assert np.abs(np.subtract(*shares)).max() <= 5 * (2 * 0.25 / len(one)) ** 0.5
    assert (
        abs(np.mean(colours(one, 2) == one.y) - np.mean(colours(two, 2) == two.y)) > 0.08
    )  # which each alone does

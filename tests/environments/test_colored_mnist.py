"""The generators of coloured digits: their statistics, and which image is where."""

import numpy as np
import pytest
from problems import within

from metairm_np.environments import colored_mnist, synthetic_digits
from metairm_np.environments.colored_mnist import with_patch
from metairm_np.environments.mnist import load_mnist14
from metairm_np.environments.synthetic import DIGITS

MNIST = load_mnist14()
TEST_DIGITS = MNIST["train_labels"][50_000:].astype(int)


def grey(env, k=2):
    """Return the images without their colour."""
    return env.x.reshape(len(env), k, 196).sum(axis=1)


def colours(env, k=2):
    """Return the channel that each image is in, and check that it is the only one."""
    lit = env.x.reshape(len(env), k, -1).any(axis=2)
    assert (lit.sum(axis=1) <= 1).all()
    return lit.argmax(axis=1)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_statistics_of_colored_mnist(k):
    ps = (0.1, 0.2, 0.6)
    trial = colored_mnist(
        3, k, train_p=ps, label_noise=(0.25, 0.2, 0.3), n_per_env=6000, validation=0.1
    )
    for envs, n in ((trial.train, 5400), (trial.validation, 600)):
        for env, p_e in zip(envs, ps, strict=True):
            assert env.shape == (n, k * 196)
            z = colours(env, k)
            assert set(np.unique((z - env.y) % k)) <= {0, 1}
            assert within((z != env.y).sum(), n, p_e)
            assert env.p_e == p_e
    for p_e in (0.0, 0.1, 0.9, 1.0):
        test = trial.test(p_e)
        noisy = (test.y - TEST_DIGITS // (10 // k)) % k
        assert set(np.unique(noisy)) <= {0, 1}
        assert within(noisy.sum(), 10_000, 0.25)
        assert within((colours(test, k) != test.y).sum(), 10_000, p_e)


def test_label_noise_of_the_training_environments():
    # the digits are known only to the generator, so noise is measured against a noise-free twin
    noisy, clean = (synthetic_digits(0, 4000, label_noise=eta) for eta in ((0.1, 0.4), 0))
    for env, twin, eta in zip(noisy.train, clean.train, (0.1, 0.4)):
        assert within((env.y != twin.y).sum(), len(env), eta)
        assert env.label_noise == eta


def test_images_are_mnist_scaled_to_one_and_no_test_image_is_trained_on():
    pool, tested = np.split(MNIST["train_images"].reshape(-1, 196) / 255, [50_000])
    trial = colored_mnist(1, validation=0.1)
    np.testing.assert_array_equal(grey(trial.test(0.9)), tested)
    trained = {x.tobytes() for env in trial.train + trial.validation for x in grey(env)}
    # with 25,000 images each, every one of the 50,000 is dealt and no other
    assert trained == {image.tobytes() for image in pool}
    assert trained.isdisjoint(image.tobytes() for image in tested)


@pytest.mark.parametrize("k", [2, 10])
def test_greyscale_twin_differs_only_by_colour(k):
    trial = colored_mnist(2, k, n_per_env=400)
    envs, twins = (
        [*one.train, *one.validation, one.test(0.9)] for one in (trial, trial.greyscale())
    )
    for env, twin in zip(envs, twins):
        np.testing.assert_array_equal(env.y, twin.y)
        np.testing.assert_array_equal(grey(env, k), twin.x)


def test_test_environments_share_images_and_labels():
    low, high = map(synthetic_digits(0).test, (0.1, 0.9))
    np.testing.assert_array_equal(low.y, high.y)
    np.testing.assert_array_equal(grey(low), grey(high))
    assert within((colours(low) != colours(high)).sum(), len(low), 0.8)


def test_patch():
    trial = colored_mnist(4, patch_p=(0.2, 0.1), n_per_env=5000, validation=0)
    tests = [trial.test(0.9), trial.test(0.9, patch_p=0.3)]
    for env, patch_p in zip([*trial.train, *tests], (0.2, 0.1, 0.9, 0.3), strict=True):
        images = env.x.reshape(len(env), 2, 14, 14)
        own = images[np.arange(len(env)), colours(env)]
        top = (own[:, :3, :3] == 1).all(axis=(1, 2))
        bottom = (own[:, -2:, -2:] == 1).all(axis=(1, 2))
        assert (top ^ bottom).all()
        assert within((bottom != env.y).sum(), len(env), patch_p)
        assert env.patch_p == patch_p
    images = np.zeros((2, 14, 14), np.uint8)
    assert with_patch(images, np.array([0, 1])).sum(axis=(1, 2)).tolist() == [9 * 255, 4 * 255]
    assert images.sum() == 0
    with pytest.raises(ValueError, match="the trial has no patches"):
        synthetic_digits(0).test(0.1, patch_p=0.1)


def test_synthetic_digits_are_ten_different_glyphs():
    (env,) = synthetic_digits(0, 1000, train_p=0, label_noise=0, n_classes=10, validation=0).train
    lit = [(env.x[env.y == c] > 0).sum(axis=1) for c in range(10)]
    assert len(set(DIGITS)) == 10
    assert all(len(counts) > 40 for counts in lit)
    assert lit[1].max() < lit[8].min()  # a one has two segments, an eight has seven


@pytest.mark.parametrize("k", [5, 10])
def test_a_model_that_knows_the_digits_class_reads_most_labels_from_the_colour(k):
    trial, classes = colored_mnist(1, k, n_per_env=300), TEST_DIGITS // (10 // k)
    for p_e in (0.1, 0.2, 0.9):
        env = trial.test(p_e)
        told = np.where((colours(env, k) - classes) % k == 2, (classes + 1) % k, classes)
        assert within(np.sum(told == env.y), len(env), 0.75 + 0.25 * p_e)


def test_mirrored_features_show_no_symmetric_statistic_their_environment():
    one, two = colored_mnist(1, train_p=[0.1, 0.2], patch_p=[0.2, 0.1], n_per_env=20_000).train
    shares, agree = [], []
    for env in (one, two):
        z = colours(env)
        agree.append(np.mean(z == env.y))
        z = z + (grey(env)[:, -1] == 1)  # symmetric in colour and patch
        cells = [(label, total) for label in (0, 1) for total in (0, 1, 2)]
        shares.append([np.mean((env.y == label) & (z == total)) for label, total in cells])
    assert np.abs(np.subtract(*shares)).max() <= 5 * (2 * 0.25 / len(one)) ** 0.5
    assert abs(agree[0] - agree[1]) > 0.08  # the colour alone shows it

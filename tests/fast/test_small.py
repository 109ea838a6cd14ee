"""Small environments, which are cut together, and what is assumed of the columns of groups."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from problems import HYPER, flat, problem

from metairm_np import Environment, fast, init_mlp, spec
from metairm_np.environments import synthetic_digits
from metairm_np.fast import small, sums

PIXELS, CHANNELS = 6, 3


def painted(seed, channels=(0, 1, 2), n=20):
    """Make an environment of images in some of three channels."""
    rng = np.random.default_rng(seed)
    grey = rng.random((n, PIXELS)) * (rng.random((n, PIXELS)) < 0.5)
    return Environment.painted(grey, rng.choice(channels, n), CHANNELS, rng.integers(2, size=n))


def dense(env):
    return Environment(env.x, env.y)


MIXED = {
    "painted": lambda: [painted(0), painted(1)],
    "channels that only one has": lambda: [painted(0, [0, 1]), painted(1, [1, 2])],
    "channels that both lack": lambda: [painted(0, [1]), painted(1, [1])],
    "no channel of both": lambda: [painted(0, [0]), painted(1, [2])],
    "painted and dense": lambda: [painted(0), dense(painted(1))],
    "dense and painted": lambda: [dense(painted(1)), painted(0), painted(2, [1])],
    "other cuts of the columns": lambda: [
        painted(0),
        Environment.painted(painted(1).x[:, :9], np.arange(20) % 2, 2, painted(1).y),
    ],
    "one sample": lambda: [painted(0), painted(1, n=1)],
    "the same twice": lambda: [painted(0)] * 2,
    "black": lambda: [
        Environment.painted(np.zeros((3, PIXELS)), [0, 2, 0], CHANNELS, [0, 1, 1]),
        painted(0, [0]),
    ],
}


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("name", sorted(HYPER))
@pytest.mark.parametrize("rows", [2, 512])
def test_small_environments_of_any_kind(name, kind, rows, monkeypatch):
    envs = MIXED[kind]()
    monkeypatch.setattr(small, "cut_sizes", lambda *given: (512, rows))
    params = problem(0, hidden=(4,), d=envs[0].shape[1])[0]
    exact, theirs = spec.value_and_grad(name, params, envs, l2=0.1, **HYPER[name])
    value, ours = fast.value_and_grad(name, params, envs, l2=0.1, **HYPER[name])
    assert value == pytest.approx(exact, rel=1e-12)
    np.testing.assert_allclose(flat(ours), flat(theirs), rtol=0, atol=1e-10 * abs(flat(ours)).max())


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(sums, "SMALL", 0)  # each thread takes an environment
    envs, results = [painted(seed) for seed in range(3)], []
    params = problem(0, hidden=(4, 3), d=envs[0].shape[1])[0]
    for threads in (1, 2, 3):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", str(threads))
        value, gradient = fast.value_and_grad("meta_irm", params, envs, **HYPER["meta_irm"])
        results.append((value, flat(gradient).tobytes()))
    assert results == 3 * results[:1]


def test_what_is_kept_is_of_the_same_environments():
    a, b, c = painted(0), painted(1), painted(2)
    params = init_mlp((a.shape[1], 4, 1), 0)
    alone = [fast.value_and_grad("erm", params, [a, env])[0] for env in (b, c)]
    again = [fast.value_and_grad("erm", params, [a, env])[0] for env in (c, b, b, c)]
    assert again == [alone[1], alone[0], alone[0], alone[1]]
    assert alone == [fast.value_and_grad("erm", params, [env, a])[0] for env in (b, c)]


def test_environments_are_forgotten():
    a, b = painted(0), painted(1)
    fast.value_and_grad("erm", init_mlp((a.shape[1], 4, 1), 0), [a, b])
    refs = [weakref.ref(env) for env in (a, b)]
    assert "x" not in vars(a)  # nor is the whole x kept
    del a, b
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_groups_of_an_environment_share_no_column(n_classes):
    patch_p = (0.2, 0.1) if n_classes == 2 else None
    trial = synthetic_digits(0, 90, n_classes=n_classes, patch_p=patch_p, validation=0)
    made = [*trial.train, *trial.greyscale().train, painted(0), dense(painted(0))]
    made += [env.take(np.arange(len(env))[::2]) for env in made]
    made += [env.astype("float32") for env in made]
    for env in made:
        columns = [np.arange(env.shape[1])[group.columns] for group in env.groups]
        assert all(len(np.unique(one)) == len(one) for one in columns)
        for one, other in itertools.combinations(columns, 2):
            assert not np.isin(one, other).any()

"""Memory of a meta-gradient: that of the samples does not grow, an inner step costs one copy."""

import threading
import tracemalloc

import numpy as np
import pytest

from metairm_np import Environment, fast, init_mlp
from metairm_np.fast import sums

pytestmark = pytest.mark.slow
SIZES = (400, 200, 1)
COPY = 8 * (400 * 200 + 200 + 200 + 1)  # bytes


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    """One thread that starts with nothing, and a budget that is soon used up."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(sums, "_local", threading.local())
    monkeypatch.setattr(sums, "CACHE_BYTES", 2**20)


def peak(n=2000, n_envs=2, **hyper):
    """Return a meta-gradient's peak in bytes beyond the data and the work arrays of a first."""
    rng = np.random.default_rng(0)
    envs = [Environment(rng.normal(size=(n, 400)), rng.integers(2, size=n)) for _ in range(n_envs)]
    params = init_mlp(SIZES, 0)
    fast.value_and_grad("meta_irm", params, envs, inner_lr=0.1, std_weight=0.5)
    tracemalloc.start()
    fast.value_and_grad("meta_irm", params, envs, inner_lr=0.1, std_weight=0.5, **hyper)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_samples():
    assert peak(n=16_000) < 1.02 * peak(n=4_000)


def test_an_inner_step_costs_one_copy_of_the_parameters():
    one, five = peak(), peak(inner_steps=5)
    assert 3.9 * COPY < five - one < 5.5 * COPY


def test_memory_does_not_grow_with_the_environments():
    three, eight = peak(n_envs=3), peak(n_envs=8)  # two environments need one vector less
    assert eight < 1.02 * three


def test_work_arrays_are_few():
    peak(n=16_000)
    assert sum(space.free.base.nbytes for space in sums._local.spaces.values()) < 16 * 2**20

"""The closed-form engine against the spec: the same numbers, the same bits however it runs, and no side effects."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from cross_framework.cases import CASES, check
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import HYPER, flat, noise_for, problem

from metairm_np import Environment, blas, fast, init_mlp, spec
from metairm_np.environments import synthetic_digits
from metairm_np.fast import sums
from metairm_np.mlp import zip_map
from metairm_np.optimizers import SGD, Adam

seeds = st.integers(0, 2**32 - 1)
hidden_layers = st.sampled_from([(), (7,), (6, 5), (5, 4, 3)])
names = sorted(HYPER)
RICH = {"inner_lr": 0.3, "std_weight": 0.5, "inner_steps": 2, "inner_l2": 0.02, "l2": 0.03}


@contextmanager
def cut(chunk_bytes=1, kept_bytes=sums.KEPT_BYTES, threads=None):
    """Make chunks of 16 samples, so that small environments have several chunks and parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(sums, "KEPT_BYTES", kept_bytes)
        if threads:
            patch.setenv("OPENBLAS_NUM_THREADS", str(threads))
        yield


def assert_close(one, other, value_tolerance=1e-12, tolerance=1e-10):
    """Compare two (value, gradient), the gradient layer by layer against its largest entry."""
    assert abs(one[0] - other[0]) <= value_tolerance * abs(one[0])
    for layer, (ours, theirs) in enumerate(zip(one[1], other[1])):
        assert [part.shape for part in ours] == [part.shape for part in theirs]
        scale, difference = np.abs(flat([ours])).max(), np.abs(flat([ours]) - flat([theirs])).max()
        assert difference <= tolerance * scale, f"layer {layer}: largest difference {difference:.1e} on a scale of {scale:.1e}"


def assert_spec(name, params, envs, tolerance=1e-10, **hyper):
    one, other = (module.value_and_grad(name, params, envs, **hyper) for module in (spec, fast))
    assert type(other[0]) is float
    assert_close(one, other, tolerance=tolerance)


def bits(result):
    value, gradient = result
    return np.float64(value).tobytes(), [part.tobytes() for pair in gradient for part in pair]


def cast(theta, dtype):
    return zip_map(lambda part: part.astype(dtype), theta)


def rich(seed=0, n_classes=2, n=70, **options):
    """Give a meta-IRM problem with every term, as arguments of `value_and_grad`."""
    params, envs = problem(seed, n_classes, (8, 5), n_envs=3, n=n, d=6, **options)
    return ("meta_irm", params, envs), {**RICH, "gradient_noise": noise_for(params, 3, 2, seed)}


# ---- the numbers of the spec -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("small_chunks", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_cases_of_the_other_frameworks(case, small_chunks):
    with cut(1 if small_chunks else sums.CHUNK_BYTES):
        check(fast.value_and_grad, case, 1e-12)


@settings(max_examples=50, deadline=None)
@given(
    seeds, st.sampled_from(names), st.sampled_from([2, 5, 10]), hidden_layers, st.integers(2, 5), st.integers(1, 70),
    st.sampled_from([0.0, 0.03]),
)  # fmt: skip
def test_objectives(seed, name, n_classes, hidden, n_envs, n, l2):
    with cut():
        assert_spec(name, *problem(seed, n_classes, hidden, n_envs, n), l2=l2, **HYPER[name])


@st.composite
def meta_options(draw, n_envs):
    options = {
        "inner_lr": draw(st.sampled_from([0.0, 0.3])),
        "std_weight": draw(st.sampled_from([0, 0.5])),
        "inner_steps": draw(st.integers(1, 3)),
        "first_order": draw(st.booleans()),
        "inner_l2": draw(st.sampled_from([0.0, 0.02, True])),
        "l2": draw(st.sampled_from([0.0, 0.03])),
    }
    index = st.integers(0, n_envs - 1)
    if draw(st.booleans()):
        options["pairs"] = draw(st.lists(st.tuples(index, index), min_size=1, max_size=7))
        if len(set(options["pairs"])) == 1:  # sigma is 0 but for rounding, which has its own test
            options["std_weight"] = 0
    else:
        options["same_env"] = draw(st.booleans())
    return options


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([2, 5, 10]), hidden_layers, st.integers(2, 5), st.integers(8, 70), st.booleans(), st.data())
def test_meta_irm_with_every_option(seed, n_classes, hidden, n_envs, n, noisy, data):
    params, envs = problem(seed, n_classes, hidden, n_envs, n)
    options = data.draw(meta_options(n_envs))
    if noisy:
        options["gradient_noise"] = noise_for(params, n_envs, options["inner_steps"], seed)
    with cut():
        assert_spec("meta_irm", params, envs, **options)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([2, 5, 10]), hidden_layers, st.integers(1, 50), st.data())
def test_risks_accuracy_penalty_and_meta_losses(seed, n_classes, hidden, n, data):
    params, envs = problem(seed, n_classes, hidden, 3, n)
    options = data.draw(meta_options(3))
    for key in ("std_weight", "l2"):
        del options[key]
    options["inner_l2"] = float(options["inner_l2"])
    options["gradient_noise"] = noise_for(params, 3, options["inner_steps"], seed)
    with cut():
        np.testing.assert_allclose(fast.risks(params, envs), spec.risks(params, envs), rtol=1e-12)
        losses = fast.meta_losses(params, envs, **options)
        np.testing.assert_allclose(losses, spec.meta_losses(params, envs, **options), rtol=1e-12)
        for env in envs:
            assert fast.risk(params, env) == pytest.approx(spec.risk(params, env), rel=1e-12)
            assert fast.accuracy(params, env) == spec.accuracy(params, env)
            # the slope is a sum of terms of either sign, so that its square is exact against the size of the logits
            penalty = spec.irmv1_penalty(params, env)
            assert fast.irmv1_penalty(params, env) == pytest.approx(penalty, rel=1e-12, abs=1e-13 * penalty**0.5)


def test_meta_losses_come_in_the_order_of_pairs():
    params, envs = problem(1, n_envs=3)
    pairs = [(2, 0), (0, 1), (2, 2), (0, 1), (1, 0)]
    losses = fast.meta_losses(params, envs, 0.3, pairs=pairs)
    np.testing.assert_allclose(losses, spec.meta_losses(params, envs, 0.3, pairs=pairs), rtol=1e-12)
    assert len(set(losses)) == 4


# ---- painted environments ----------------------------------------------------------------------------------------------

PAINTED = {
    "two colours": lambda: synthetic_digits(0, 90, validation=0),
    "five colours": lambda: synthetic_digits(1, 90, n_classes=5, train_p=(0.1, 0.2, 0.4), validation=0),
    "ten colours": lambda: synthetic_digits(2, 90, n_classes=10, validation=0.1),
    "patches": lambda: synthetic_digits(3, 90, patch_p=(0.2, 0.1), validation=0),
    "greyscale": lambda: synthetic_digits(4, 90, n_classes=5, validation=0).greyscale(),
}


@pytest.mark.parametrize("small_chunks", [False, True])
@pytest.mark.parametrize("kind", PAINTED)
def test_painted_environments(kind, small_chunks):
    trial = PAINTED[kind]()
    envs, out = trial.train, 1 if trial.n_classes == 2 else trial.n_classes
    dense = [Environment(env.x, env.y) for env in envs]
    params = init_mlp((envs[0].shape[1], 9, 6, out), 0, scheme="fan_in")
    never_lit = ~np.any([env.x.any(axis=0) for env in envs], axis=0)
    assert never_lit.any()
    with cut(1 if small_chunks else sums.CHUNK_BYTES):
        for name in names:
            for l2 in (0.0, 0.03):
                result = fast.value_and_grad(name, params, envs, l2=l2, **HYPER[name])
                assert_close(spec.value_and_grad(name, params, dense, l2=l2, **HYPER[name]), result)
                assert_close(fast.value_and_grad(name, params, dense, l2=l2, **HYPER[name]), result)
                np.testing.assert_array_equal(result[1][0][0][never_lit], 2 * l2 * params[0][0][never_lit])


def test_a_black_image_and_a_colour_that_no_sample_has():
    rng = np.random.default_rng(0)
    grey = rng.random((40, 6)) * (rng.random((40, 6)) < 0.4)
    grey[7] = 0
    params = problem(0, 5, (4,), d=18)[0]
    black = [Environment.painted(np.zeros((3, 6)), np.array([0, 2, 0]), 3, np.array([0, 1, 4]))] * 2
    envs = [Environment.painted(grey, rng.choice([0, 2], 40), 3, rng.integers(5, size=40)) for _ in range(2)]
    envs.append(envs[0].take(rng.permutation(40)[:30]))
    with cut():
        for name in names:
            assert_spec(name, params, envs, l2=0.03, **HYPER[name])
            assert_spec(name, params, [envs[0], black[0]], **HYPER[name])
            assert_spec(name, params, black, **HYPER[name])
            narrow = cast(params, "float32"), [env.astype("float32") for env in envs]
            _, gradient = fast.value_and_grad(name, *narrow, **HYPER[name])
            assert {part.dtype for pair in gradient for part in pair} == {np.dtype("float32")}
            exact = spec.value_and_grad(name, params, envs, **HYPER[name])
            assert_close((0, exact[1]), (0, gradient), tolerance=1e-4)


# ---- the same bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["irmv1", "meta_irm"])
@pytest.mark.parametrize("kind", ["dense", "two colours", "five colours"])
def test_what_is_kept_changes_no_bit(name, kind):
    (_, params, envs), hyper = rich(0, 5)
    if kind != "dense":
        trial = PAINTED[kind]()
        envs, params = trial.train, init_mlp((trial.train[0].shape[1], 9, 6, 1 if trial.n_classes == 2 else 5), 0)
        hyper = {**RICH, "gradient_noise": noise_for(params, len(envs), 2, 0)}
    results = []
    for kept_bytes in (sums.KEPT_BYTES, 0, 8, 2000):  # all, nothing, less than a sample, some chunks
        with cut(kept_bytes=kept_bytes, threads=1):
            results.append(bits(fast.value_and_grad(name, params, envs, **(hyper if name == "meta_irm" else HYPER[name]))))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", names)
def test_any_number_of_threads_gives_the_same_bits_again_and_again(name):
    (_, params, envs), hyper = rich()
    results = []
    for threads in (1, 2, 3, 5, 3, 1):
        with cut(threads=threads):
            assert len(sums.cut(0, envs[0], [params])) == 5
            assert fast.threads() == threads
            results.append(bits(fast.value_and_grad(name, params, envs, **(hyper if name == "meta_irm" else HYPER[name]))))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_at_the_same_time(threads):
    tasks = [rich(seed, n_classes) for seed in range(4) for n_classes in (2, 5)]
    with cut(threads=threads):
        alone = [bits(fast.value_and_grad(*args, **hyper)) for args, hyper in tasks]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda task: bits(fast.value_and_grad(*task[0], **task[1])), 4 * tasks))
    assert together == 4 * alone


@pytest.mark.skipif(blas._openblas("set_num_threads") is None, reason="NumPy uses another BLAS than OpenBLAS")
@pytest.mark.parametrize("outside", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_number_afterwards(outside):
    get, set_ = blas._openblas("get_num_threads"), blas._openblas("set_num_threads")
    before = get()
    (_, params, envs), hyper = rich()
    try:
        set_(outside)
        with cut(threads=3):
            ((inside, _), *_) = sums.sum_over(lambda chunk: get(), envs, [params])
            assert inside == 5  # 70 samples are five chunks
            fast.value_and_grad("meta_irm", params, envs, **hyper)
            with pytest.raises(ZeroDivisionError):
                sums.sum_over(lambda chunk: 1 / 0, envs, [params])
        assert get() == outside
    finally:
        set_(before)


def child_result():
    args, hyper = rich()
    return bits(fast.value_and_grad(*args, **hyper))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_gets_threads_of_its_own():
    with cut(threads=3):
        expected = child_result()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(child_result).get(timeout=30) == expected


# ---- dtypes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_params", ["float32", "float64"])
@pytest.mark.parametrize("of_x", ["float32", "float64"])
@pytest.mark.parametrize("of_noise", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_dtypes(of_params, of_x, of_noise, n_classes):
    (_, params, envs), hyper = rich(3, n_classes, n=40)
    params, envs = cast(params, of_params), [env.astype(of_x) for env in envs]
    noise = [[cast(step, of_noise) for step in steps] for steps in hyper["gradient_noise"]]
    wide_envs, wide_noise = [env.astype("float64") for env in envs], [[cast(step, float) for step in steps] for steps in noise]
    tolerance = 1e-4 if of_params == "float32" else 1e-10
    for name in names:
        options, wide = dict(HYPER[name]), dict(HYPER[name])
        if name == "meta_irm":
            options, wide = {**RICH, "gradient_noise": noise}, {**RICH, "gradient_noise": wide_noise}
        with cut():
            result = fast.value_and_grad(name, params, envs, **options)
        assert type(result[0]) is float
        assert {part.dtype for pair in result[1] for part in pair} == {np.dtype(of_params)}
        assert_close(spec.value_and_grad(name, cast(params, float), wide_envs, **wide), result, tolerance, tolerance)


@pytest.mark.parametrize("name", names)
def test_keywords_of_numpy_s_types_cost_no_digits(name):
    params, envs = problem(5, n_envs=3)
    hyper = {key: np.float32(value) for key, value in HYPER[name].items()}
    assert_spec(name, params, envs, l2=np.float32(0.03), **hyper)


# ---- edge values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("n_envs", [2, 3, 4, 5])
def test_identical_environments_have_sigma_zero(n_envs, n_classes):
    for seed in range(15):
        params, envs = problem(seed, n_classes, (3,))
        assert_spec("meta_irm", params, [envs[0]] * n_envs, inner_lr=0.3, std_weight=100.0)
    for name in ("irmv1", "v_rex", "mm_rex"):
        assert_spec(name, params, [envs[0]] * n_envs, **HYPER[name])


@pytest.mark.parametrize("n_pairs", range(1, 9))
def test_a_pair_many_times_has_sigma_zero(n_pairs):
    for seed in range(15):
        assert_spec("meta_irm", *problem(seed), inner_lr=0.3, std_weight=100.0, pairs=[(0, 1)] * n_pairs)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("name", names)
def test_zero_parameters(name, hidden, n_classes):
    params, envs = problem(0, n_classes, hidden, 3)
    assert_spec(name, zip_map(np.zeros_like, params), envs, l2=0.1, **HYPER[name])


@pytest.mark.parametrize("name", names)
def test_relu_exactly_at_zero(name):
    params, envs = problem(1, 5, (6, 5), 3)
    (W, b), (V, c), last = params
    W[:, :3] = 0
    b[:3] = 0  # half of the first layer is at the kink
    V[:3, 0] = 1
    V[3:, :2] = 0
    c[:2] = 0  # two units of the second layer are there, too
    assert_spec(name, params, envs, **HYPER[name])
    assert_spec(name, [(0 * W, 0 * b), (V, c), last], envs, **HYPER[name])


def saturated(f, hidden=(), n_out=1):
    """Give a problem whose logits are about +-f, right for three samples in four."""
    rng = np.random.default_rng(0)
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, 0.1]])
    params = [(np.array([[f], [0.3]]), np.zeros(1))]
    if hidden:
        params = [(np.array([[f, -f], [0.2, 0.1]]), np.zeros(2)), (np.array([[1.0], [-1.0]]), np.zeros(1))]
    if n_out > 1:
        W, b = params[-1]
        params[-1] = (np.hstack([W, -W, rng.normal(size=W.shape)]), np.zeros(3))
    return params, [Environment(x, [1, 0, 1, wrong]) for wrong in (0, 1)]


@pytest.mark.parametrize("hidden", [(), (2,)])
@pytest.mark.parametrize("name", names)
def test_saturated_logits(name, hidden):
    params, envs = saturated(40.0, hidden)
    assert_spec(name, params, envs, **HYPER[name])
    right = [Environment(env.x, [1, 0, 1, 0]) for env in envs]  # each loss is about e^-40, and each gradient
    assert_spec(name, params, right, **HYPER[name])
    _, gradient = fast.value_and_grad(name, params, right, **HYPER[name])
    assert 0 < np.abs(flat(gradient)).max() < 1e-13
    for n_out in (1, 3):
        for dtype in ("float32", "float64"):
            params, envs = saturated(1000.0, hidden, n_out)
            params, envs = cast(params, dtype), [env.astype(dtype) for env in envs]
            value, gradient = fast.value_and_grad(name, params, envs, **HYPER[name])
            assert np.isfinite(value)
            assert np.isfinite(flat(gradient)).all()


@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("name", names)
def test_one_sample_per_environment(name, n_classes):
    for seed in range(5):
        params, envs = problem(seed, n_classes, n_envs=3)
        assert_spec(name, params, [Environment(env.x[:1], env.y[:1]) for env in envs], **HYPER[name])


# ---- use ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_optimizer", [lambda: Adam(0.01), lambda: SGD(0.1), lambda: SGD(0.1, 0.9)])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_ten_training_steps(n_classes, make_optimizer):
    trial = synthetic_digits(0, 60, n_classes=n_classes, validation=0)
    start = init_mlp((196 * n_classes, 12, 1 if n_classes == 2 else n_classes), 1)
    thetas, optimizers = [start, start], [make_optimizer(), make_optimizer()]
    for step in range(10):
        noise = noise_for(start, 2, 2, step)
        for k, module in enumerate((spec, fast)):
            _, gradient = module.value_and_grad("meta_irm", thetas[k], trial.train, gradient_noise=noise, **RICH)
            thetas[k] = optimizers[k].step(thetas[k], gradient)
        one, other = (zip_map(np.subtract, theta, start) for theta in thetas)
        assert_close((0, one), (0, other), tolerance=1e-9)
        assert np.abs(flat(one)).max() > 1e-3


@pytest.mark.parametrize("name", names)
def test_arguments_are_left_alone(name):
    (_, params, envs), hyper = rich()
    for part in (*sum(params, ()), *sum(sum(sum(hyper["gradient_noise"], []), []), ())):
        part.flags.writeable = False
    hyper = {**hyper, "pairs": [(0, 2), (1, 0)]} if name == "meta_irm" else HYPER[name]
    given = [*sum(params, ()), *(a for env in envs for a in (env.x, env.y, *env.groups[0][:3]))]
    given += [part for steps in hyper.get("gradient_noise", []) for step in steps for pair in step for part in pair]
    before = [part.tobytes() for part in given]
    _, gradient = fast.value_and_grad(name, params, envs, **hyper)
    assert [part.tobytes() for part in given] == before
    assert not any(np.shares_memory(g, part) for g in sum(gradient, ()) for part in given)
    again = [part.copy() for part in sum(gradient, ())]
    fast.value_and_grad(name, params, envs[::-1], **hyper)
    assert all((g == g_before).all() for g, g_before in zip(sum(gradient, ()), again))  # no workspace has been given out

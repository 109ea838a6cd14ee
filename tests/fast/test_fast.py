"""The closed-form engine against the spec: the same numbers and the same bits however it runs."""

import itertools
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import HYPER, flat, noise_for, problem

from metairm_np import Environment, fast, init_mlp, spec
from metairm_np._autodiff import tree_map
from metairm_np.conformance import check_backend
from metairm_np.environments import synthetic_digits
from metairm_np.fast import plan, sums

names = sorted(HYPER)
each_objective = pytest.mark.parametrize("name", names)
RICH = {"inner_lr": 0.3, "std_weight": 0.5, "inner_steps": 2, "inner_l2": 0.02, "l2": 0.03}


@contextmanager
def cut(threads="", chunk_bytes=1, cache_bytes=sums.CACHE_BYTES):
    """Make chunks of 16 samples, so that small environments have several chunks and parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(plan, "CHUNKS", 1)
        patch.setattr(sums, "SMALL", 0)
        patch.setattr(sums, "CACHE_BYTES", cache_bytes)
        patch.setenv("OPENBLAS_NUM_THREADS", str(threads))
        yield


def assert_close(one, other, value_tolerance=1e-12, tolerance=1e-10):
    """Compare two (value, gradient), the gradient layer by layer against its largest entry."""
    assert type(other[0]) is float
    assert abs(one[0] - other[0]) <= value_tolerance * abs(one[0])
    assert [part.shape for part in sum(one[1], ())] == [part.shape for part in sum(other[1], ())]
    for layer, (ours, theirs) in enumerate(zip(one[1], other[1])):
        scale, difference = np.abs(flat([ours])).max(), np.abs(flat([ours]) - flat([theirs])).max()
        assert difference <= tolerance * scale, (
            f"layer {layer}: largest difference {difference:.1e} on a scale of {scale:.1e}"
        )


def assert_spec(name, params, envs, **hyper):
    assert_close(*(module.value_and_grad(name, params, envs, **hyper) for module in (spec, fast)))


def bits(result):
    return [np.float64(result[0]).tobytes(), *(part.tobytes() for part in sum(result[1], ()))]


def cast(theta, dtype):
    return tree_map(lambda part: part.astype(dtype), theta)


def rich(name, seed=0, n_classes=5, n=70):
    """Return the arguments of `value_and_grad`, of meta-IRM with every term."""
    params, envs = problem(seed, n_classes, (8, 5), n_envs=3, n=n, d=6)
    meta = {**RICH, "gradient_noise": noise_for(params, 3, 2, seed)}
    return (name, params, envs), meta if name == "meta_irm" else HYPER[name]


@pytest.mark.slow
def test_conformance_in_many_chunks():
    with cut():
        assert check_backend(fast, diagnose=False).passed


@st.composite
def problems(draw, names):
    def one_of(*values):
        return draw(st.sampled_from(values))

    name, seed, n_envs = one_of(*names), draw(st.integers(0, 2**32 - 1)), one_of(2, 3, 4, 5)
    hidden = one_of((), (7,), (6, 5), (5, 4, 3))
    params, envs = problem(seed, one_of(2, 5, 10), hidden, n_envs, draw(st.integers(1, 70)))
    hyper = {**HYPER[name], "l2": one_of(0.0, 0.03)}
    if name != "meta_irm":
        return (name, params, envs), hyper
    steps, index = one_of(1, 2, 3), st.integers(0, n_envs - 1)
    hyper.update(
        inner_steps=steps,
        first_order=draw(st.booleans()),
        inner_l2=one_of(0.0, 0.02),
        inner_lr=one_of(0.0, 0.3),
        std_weight=one_of(0, 0.5),
    )
    if draw(st.booleans()):
        hyper["gradient_noise"] = noise_for(params, n_envs, steps, seed)
    if draw(st.booleans()):
        hyper["pairs"] = draw(st.lists(st.tuples(index, index), min_size=1, max_size=7))
    else:
        hyper["same_env"] = draw(st.booleans())
    return (name, params, envs), hyper


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(problems(["meta_irm", *names]))
def test_objectives_with_every_option(drawn):
    with cut():
        assert_spec(*drawn[0], **drawn[1])


@settings(max_examples=30, deadline=None)
@given(problems(["meta_irm"]))
def test_risks_accuracy_penalty_meta_losses_and_adapt(drawn):
    (_, params, envs), hyper = drawn
    del hyper["l2"], hyper["std_weight"]
    with cut():
        np.testing.assert_allclose(fast.risks(params, envs), spec.risks(params, envs), rtol=1e-12)
        losses = fast.meta_losses(params, envs, **hyper)  # in the order of `pairs`
        np.testing.assert_allclose(losses, spec.meta_losses(params, envs, **hyper), rtol=1e-12)
        for env, function in itertools.product(envs, ("risk", "accuracy", "irmv1_penalty")):
            one, other = (getattr(module, function)(params, env) for module in (spec, fast))
            assert one == pytest.approx(other, rel=1e-12, abs=1e-14)
        found, shares = fast.risks_and_accuracies(params, envs)
        assert [*found] == [*fast.risks(params, envs)]
        assert [*shares] == [fast.accuracy(params, env) for env in envs]
        for key in ("same_env", "pairs"):
            hyper.pop(key, None)
        if "gradient_noise" in hyper:
            hyper["gradient_noise"] = hyper["gradient_noise"][0]
        one, other = (flat(module.adapt(params, envs[0], **hyper)) for module in (spec, fast))
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_risks_and_accuracies_of_resampled_environments(n_classes):
    """They come from one pass over what is shared, the others' from their own."""
    rng = np.random.default_rng(0)
    source, other = synthetic_digits(0, 300, n_classes=n_classes, validation=0).train
    envs = [
        Environment.resampled(source, rng.integers(300, size=n), rng.integers(n_classes, size=n))
        for n in (700, 50)
    ]
    params = init_mlp((source.shape[1], 9, 1 if n_classes == 2 else n_classes), 0)
    with cut():
        found, shares = fast.risks_and_accuracies(params, [*envs, other, source])
        for env, risk, share in zip([*envs, other, source], found, shares):
            assert risk == pytest.approx(spec.risk(params, env), rel=1e-12)
            assert share == spec.accuracy(params, env)
            assert fast.risk(params, env) == risk
    value, gradient = fast.value_and_grad("erm", params, envs)
    assert value == pytest.approx(spec.value_and_grad("erm", params, envs)[0], rel=1e-12)


@each_objective
@pytest.mark.parametrize("n", [40, 400])  # taken together, and as they are
def test_risks_on_the_way(n, name):
    envs = synthetic_digits(0, n, train_p=(0.1, 0.2, 0.3), validation=0).train
    params = init_mlp((392, 9, 1), 0)
    with cut():
        value, gradient, risks = fast.value_grad_and_risks(name, params, envs, **HYPER[name])
        again, plain = fast.value_and_grad(name, params, envs, **HYPER[name])
    assert value == again
    np.testing.assert_array_equal(flat(gradient), flat(plain))
    np.testing.assert_allclose(risks, spec.risks(params, envs), rtol=1e-12)


def test_risks_on_the_way_are_of_the_environments_that_are_adapted_to():
    envs = synthetic_digits(0, 40, train_p=(0.1, 0.2, 0.3), validation=0).train
    *_, risks = fast.value_grad_and_risks(
        "meta_irm", init_mlp((392, 9, 1), 0), envs, inner_lr=0.1, std_weight=1.0, pairs=[(2, 0)]
    )
    assert np.isnan(risks).tolist() == [True, True, False]


PAINTED = {
    "two colours": lambda: synthetic_digits(0, 90, validation=0),
    "five colours": lambda: synthetic_digits(
        1, 90, n_classes=5, train_p=(0.1, 0.2, 0.4), validation=0
    ),
    "ten colours": lambda: synthetic_digits(2, 50, n_classes=10, validation=0),
    "patches": lambda: synthetic_digits(3, 90, patch_p=(0.2, 0.1), validation=0),
    "greyscale": lambda: synthetic_digits(4, 90, n_classes=5, validation=0).greyscale(),
}


@each_objective
@pytest.mark.parametrize("kind", PAINTED)
def test_painted_environments(kind, name, monkeypatch):
    monkeypatch.setattr("metairm_np.environments._packing.ROWS", 32)  # several blocks
    trial = PAINTED[kind]()
    envs, dense = trial.train, [Environment(env.x, env.y) for env in trial.train]
    n_out = 1 if trial.n_classes == 2 else trial.n_classes
    params = init_mlp((envs[0].shape[1], 9, 6, n_out), 0, scheme="fan_in")
    hyper = {**(RICH if name == "meta_irm" else HYPER[name])}
    never_lit = ~np.any([env.x.any(axis=0) for env in envs], axis=0)
    assert never_lit.any()
    for l2, chunk_bytes in ((0.0, 1), (0.03, 1), (0.03, plan.CHUNK_BYTES)):
        with cut(chunk_bytes=chunk_bytes):
            hyper["l2"] = l2
            result = fast.value_and_grad(name, params, envs, **hyper)
            for engine in (spec, fast):
                assert_close(engine.value_and_grad(name, params, dense, **hyper), result)
            unlit = 2 * l2 * params[0][0][never_lit]
            np.testing.assert_array_equal(result[1][0][0][never_lit], unlit)


@each_objective
def test_black_images_and_a_colour_that_no_sample_has(name):
    rng = np.random.default_rng(0)
    grey = rng.random((40, 6)) * (rng.random((40, 6)) < 0.4) * (np.arange(40) != 7)[:, None]
    params = problem(0, 5, (4,), d=18)[0]
    envs = [
        Environment.painted(grey, rng.choice([0, 2], 40), 3, rng.integers(5, size=40))
        for _ in range(2)
    ]
    envs.append(envs[0].take(rng.permutation(40)[:30]))
    black = Environment.painted(np.zeros((3, 6)), np.array([0, 2, 0]), 3, np.array([0, 1, 4]))
    with cut():
        for many in (envs, [envs[0], black], [black, black]):
            assert_spec(name, params, many, l2=0.03, **HYPER[name])
        single = cast(params, "float32"), [env.astype("float32") for env in envs]
        _, gradient = fast.value_and_grad(name, *single, **HYPER[name])
        assert {part.dtype for part in sum(gradient, ())} == {np.dtype("float32")}
        _, exact = spec.value_and_grad(name, params, envs, **HYPER[name])
        assert_close((0, exact), (0.0, gradient), tolerance=1e-4)


@pytest.mark.parametrize("name", ["irmv1", "meta_irm"])
@pytest.mark.parametrize("kind", ["dense", "five colours", "greyscale"])
def test_what_is_kept_changes_no_bit(name, kind, monkeypatch):
    monkeypatch.setattr("metairm_np.environments._packing.ROWS", 32)
    (_, params, envs), hyper = rich(name)
    if kind != "dense":
        envs, hyper = PAINTED[kind]().train, RICH if name == "meta_irm" else hyper
        params = init_mlp((envs[0].shape[1], 9, 6, 5), 0)
    results, chunk = [], 16 * 8 * sum(len(b) for _, b in params[:-1])  # bytes
    for cache_bytes in (sums.CACHE_BYTES, 0, chunk - 8, chunk, 3 * chunk + 8):
        with cut(threads=1, cache_bytes=cache_bytes):
            results.append(bits(fast.value_and_grad(name, params, envs, **hyper)))
    assert results == 5 * results[:1]


def rich_bits(*where):
    args, hyper = rich(*where)
    return bits(fast.value_and_grad(*args, **hyper))


@each_objective
def test_any_number_of_threads_gives_the_same_bits_again_and_again(name):
    (_, params, envs), _ = rich(name)
    results = []
    for threads in (1, 2, 3, 5, 3, 1):
        with cut(threads):
            assert len(plan.plan_of(envs[0], (6, 8, 5, 5)).parts) == 5  # of 16 samples or fewer
            results.append(rich_bits(name))
    assert results == 6 * results[:1]


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_at_the_same_time(threads):
    tasks = list(itertools.product(names, range(2), (2, 5)))
    with cut(threads), ThreadPoolExecutor(4) as pool:
        expected = [rich_bits(*task) for task in tasks]
        assert list(pool.map(rich_bits, *zip(*3 * tasks))) == 3 * expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_has_threads_of_its_own():
    with cut(threads=3):
        expected = rich_bits("meta_irm")
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(rich_bits, ("meta_irm",)).get(timeout=30) == expected


@each_objective
@pytest.mark.parametrize(
    ("of_params", "of_x", "of_noise"), list(itertools.product(("float32", "float64"), repeat=3))
)
def test_dtypes(name, of_params, of_x, of_noise):
    (_, params, envs), hyper = rich(name, n=40)
    params, envs = cast(params, of_params), [env.astype(of_x) for env in envs]
    if name == "meta_irm":
        hyper["gradient_noise"] = [
            [cast(step, of_noise) for step in steps] for steps in hyper["gradient_noise"]
        ]
    with cut():
        result = fast.value_and_grad(name, params, envs, **hyper)
    assert {part.dtype for part in sum(result[1], ())} == {np.dtype(of_params)}
    exact = spec.value_and_grad(name, cast(params, "float64"), envs, **hyper)
    tolerance = 1e-4 if of_params == "float32" else 1e-10
    assert_close(exact, result, tolerance, tolerance)


@each_objective
def test_float32_keywords_cost_no_digits(name):
    # exact: the spec may round, too
    hyper = {key: np.float32(round(4 * value) / 4) for key, value in HYPER[name].items()}
    assert_spec(name, *problem(5, n_envs=3), l2=np.float32(0.03), **hyper)


@pytest.mark.parametrize("n", range(2, 7))
def test_equal_meta_losses(n):
    for seed, n_classes in itertools.product(range(8), (2, 5)):
        params, envs = problem(seed, n_classes, (3,))
        assert_spec("meta_irm", params, envs, inner_lr=0.3, std_weight=100.0, pairs=[(0, 1)] * n)
        assert_spec("meta_irm", params, envs[:1] * n, inner_lr=0.3, std_weight=100.0)
    for name in ("irmv1", "v_rex", "mm_rex"):
        assert_spec(name, params, envs[:1] * n, **HYPER[name])


@each_objective
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_zero_parameters_and_single_samples(name, n_classes, hidden):
    params, envs = problem(0, n_classes, hidden, 3)
    assert_spec(name, tree_map(np.zeros_like, params), envs, l2=0.1, **HYPER[name])
    assert_spec(name, params, [Environment(env.x[:1], env.y[:1]) for env in envs], **HYPER[name])


@each_objective
def test_relu_exactly_at_zero(name):
    params, envs = problem(1, 5, (6, 5), 3)
    (W, b), (V, c), last = params
    W[:, :3] = b[:3] = 0  # half of the first layer is at the kink
    V[3:, :2] = c[:2] = 0  # two units of the second layer are there, too
    for first in ((W, b), (0 * W, 0 * b)):
        assert_spec(name, [first, (V, c), last], envs, **HYPER[name])


@each_objective
def test_each_entry_of_a_saturated_gradient(name):
    envs = [Environment(np.eye(4), labels) for labels in ([1, 0, 1, 0], [1, 0, 1, 1])]
    params = [(np.array([[40.0], [-40.0], [40.0], [-40.0]]), np.zeros(1))]
    one, other = (m.value_and_grad(name, params, envs, **HYPER[name])[1] for m in (spec, fast))
    np.testing.assert_allclose(flat(other), flat(one), rtol=1e-12)


@each_objective
@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize(("size", "n_out"), [(40.0, 1), (1000.0, 1), (1000.0, 3)])
def test_saturated_logits_behind_a_hidden_layer(name, wrong, size, n_out):
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, 0.1]])
    envs = [Environment(x, [1, 0, 1, 0]), Environment(x, [1, 0, 1, wrong])]
    last = np.array([[1.0, -1.0, 0.5]])[:, :n_out]
    params = [
        (np.array([[size, -size], [0.2, 0.1]]), np.zeros(2)),
        (np.vstack([last, -last]), np.zeros(n_out)),
    ]
    assert_spec(name, params, envs, **HYPER[name])
    single = cast(params, "float32"), [env.astype("float32") for env in envs]
    result = fast.value_and_grad(name, *single, **HYPER[name])
    assert np.isfinite([result[0], *flat(result[1])]).all()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # the spec may be infinite
@each_objective
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("size", [1e10, 1e20, 1e30, 1e60])
def test_large_weights(name, n_classes, size):
    options = [{}]
    if name == "meta_irm":
        options = [{}, {"inner_steps": 2}, {"first_order": True}, {"inner_l2": 0.1}]
        options += [{"same_env": True}, {"pairs": [(0, 1), (0, 2), (2, 1)]}]
    for seed, hidden, option in itertools.product(range(3), ((), (5,), (5, 4)), options):
        params, envs = problem(seed, n_classes, hidden, 3)
        params, hyper = tree_map(lambda part: size * part, params), HYPER[name] | option
        value, gradient = spec.value_and_grad(name, params, envs, **hyper)
        ours, theirs = fast.value_and_grad(name, params, envs, **hyper), flat(gradient)
        if np.isfinite(theirs).all():
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(flat(ours[1]), theirs, rtol=0, atol=1e-10 * scale)
        if np.isfinite(value):
            assert ours[0] == pytest.approx(value, rel=1e-12)


@each_objective
def test_arguments_are_left_alone(name):
    (_, params, envs), hyper = rich(name)
    steps = itertools.chain(params, *itertools.chain(*hyper.get("gradient_noise", [])))
    given = [part for pair in steps for part in pair]
    given += [a for env in envs for a in (env.x, env.y, *env.groups[0].blocks[0])]
    before = [part.tobytes() for part in given]
    result = fast.value_and_grad(name, params, envs, **hyper)
    assert [part.tobytes() for part in given] == before
    assert not any(np.shares_memory(g, part) for g in sum(result[1], ()) for part in given)
    told, _ = bits(result), fast.value_and_grad(name, params, envs[::-1], **hyper)
    assert bits(result) == told  # what was given out is not used again

"""Mistakes that only special cases show are rejected, by the golden cases and by random ones."""

import autograd.numpy as anp
import numpy as np
import pytest

from metairm_np import Environment, spec
from metairm_np._autodiff import stop_gradient, tree_map
from metairm_np.conformance import check_backend
from metairm_np.conformance.cases import build, single
from metairm_np.conformance.mistakes import changed_spec
from metairm_np.conformance.mistakes.catalogue import wrap
from metairm_np.conformance.offer import as_backend
from metairm_np.conformance.random_cases import random_cases, takes
from metairm_np.conformance.vectors import load, solve

RNG = np.random.default_rng(0)


def bfloat16(value):
    """Return a number rounded to 8 significant bits."""
    bits = np.float32(value).view(np.uint32)
    return float(np.uint32((int(bits) + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32))


def hyper_in(rounded):
    """Return the mistake that hyper-parameters are rounded."""

    def edit(s):
        def wrong(right, name, params, envs, **hyper):
            hyper = {k: rounded(v) if isinstance(v, float) else v for k, v in hyper.items()}
            return right(name, params, envs, **hyper)

        wrap(s, "value_and_grad", wrong)

    return edit


def parameters_through_float32(s):
    def wrong(right, name, params, envs, **hyper):
        return right(name, tree_map(single, params), envs, **hyper)

    wrap(s, "value_and_grad", wrong)


def data_through_float32(s):
    def wrong(right, name, params, envs, **hyper):
        envs = [Environment(single(env.x), env.y) for env in envs]
        return right(name, params, envs, **hyper)

    wrap(s, "value_and_grad", wrong)


def noise_through_float32(s):
    def wrong(right, name, params, envs, gradient_noise=None, **hyper):
        if gradient_noise is not None:
            noise = [[tree_map(single, step) for step in steps] for steps in gradient_noise]
            hyper["gradient_noise"] = noise
        return right(name, params, envs, **hyper)

    wrap(s, "value_and_grad", wrong)


def last_five_steps(s):
    def wrong(right, objective, params, inner_lr, inner_steps=1, **options):
        for t in range(inner_steps):
            params = right(objective, params, inner_lr, 1, **options)
            if inner_steps - t > 5:
                params = tree_map(stop_gradient, params)
        return params

    wrap(s, "inner_loop", wrong)


def minibatches_of_64(s):
    def wrong(params, env):
        batches = [slice(k, k + 64) for k in range(0, len(env), 64)]
        losses = [s.cross_entropy(s.logits(params, env.x[b]), env.y[b]) for b in batches]
        return sum(losses) / len(losses)

    s.risk = wrong


def std_of_equal_losses(s):
    """As torch.std(unbiased=False): right but where the mean of equal values is rounded."""

    def wrong(values):
        squared = anp.mean((values - stop_gradient(anp.mean(values))) ** 2)
        return anp.sqrt(squared) if squared > 0 else 0.0 * squared

    s.sigma = wrong


def clamped_at_50(s):
    wrap(s, "cross_entropy", lambda right, f, y: right(anp.clip(f, -50.0, 50.0), y))


def without_shift(s):
    """e^f overflows at 88 in float32, at 709 in float64."""

    def wrong(right, f, y):
        if f.shape[1] == 1:
            return anp.mean(anp.log(1 + anp.exp(anp.where(y == 1, -1, 1) * f[:, 0])))
        own = f[anp.arange(len(y)), y]
        return anp.mean(anp.log(anp.sum(anp.exp(f), axis=1)) - own)

    wrap(s, "cross_entropy", wrong)


def without_shift_classes(s):
    def wrong(right, f, y):
        if f.shape[1] == 1:
            return right(f, y)
        own = f[anp.arange(len(y)), y]
        return anp.mean(anp.log(anp.sum(anp.exp(f), axis=1)) - own)

    wrap(s, "cross_entropy", wrong)


def root_of_more(s):
    s.sigma = lambda L: anp.sqrt(s.variance(L) + 1e-12)


def off_at_random(s):
    def wrong(right, *args, **hyper):
        value, gradient = right(*args, **hyper)
        noisy = tree_map(lambda g: g * (1 + 1e-6 * RNG.normal(size=g.shape)), gradient)
        return value * (1 + 1e-6 * RNG.normal()), noisy

    wrap(s, "value_and_grad", wrong)


DOUBLE, SINGLE = "float64", "float32"
SEEN = [  # the mistake, in which type, and cases that show it
    (last_five_steps, DOUBLE, ["eight_inner_steps"]),
    (last_five_steps, SINGLE, ["eight_inner_steps"]),
    (last_five_steps, DOUBLE, ["six_inner_steps"]),
    (minibatches_of_64, DOUBLE, ["large_environments"]),
    (minibatches_of_64, SINGLE, ["large_environments"]),
    (hyper_in(lambda v: float(np.float32(v))), DOUBLE, ["decimal"]),
    (hyper_in(bfloat16), DOUBLE, ["decimal"]),
    (hyper_in(bfloat16), SINGLE, ["decimal"]),
    (parameters_through_float32, DOUBLE, ["decimal"]),
    (data_through_float32, DOUBLE, ["decimal_classes"]),
    (noise_through_float32, DOUBLE, ["decimal_options"]),
    (std_of_equal_losses, DOUBLE, ["three_equal", "three_equal_again", "three_equal_classes"]),
    (std_of_equal_losses, DOUBLE, ["three_equal_zero_logits"]),
    (std_of_equal_losses, SINGLE, ["three_equal_zero_logits"]),
    (std_of_equal_losses, DOUBLE, ["six_equal"]),
    (clamped_at_50, DOUBLE, ["huge_logits"]),
    (clamped_at_50, SINGLE, ["huge_logits"]),
    (clamped_at_50, DOUBLE, ["huge_logits_classes"]),
    (without_shift, DOUBLE, ["huge_logits"]),
    (without_shift, SINGLE, ["huge_logits"]),
    (without_shift_classes, DOUBLE, ["huge_logits_classes"]),
    (without_shift_classes, SINGLE, ["huge_logits_classes"]),
    (root_of_more, DOUBLE, ["sigma_zero_large_weight"]),
    (root_of_more, SINGLE, ["sigma_zero_large_weight"]),
    (off_at_random, SINGLE, ["binary_1_layer", "decimal", "noise"]),
]


def backend_with(edit):
    """Return a function that answers as the spec with a mistake."""
    engine = changed_spec(edit)

    def value_and_grad(*args, **hyper):
        with np.errstate(all="ignore"):
            return engine.value_and_grad(*args, **hyper)

    return value_and_grad


def name_of(given):
    return getattr(given, "__name__", None)


@pytest.mark.parametrize(("edit", "dtype", "cases"), SEEN, ids=name_of)
def test_a_mistake_is_seen(edit, dtype, cases):
    report = check_backend(backend_with(edit), dtype, cases=cases, diagnose=False)
    assert report.ran
    assert not report.passed
    assert report.wrong


@pytest.mark.parametrize(
    ("edit", "options"),
    [
        (hyper_in(lambda v: float(np.float32(v))), {"inner_lr": 0.3, "exact": False}),
        (parameters_through_float32, {"exact": False}),
        (last_five_steps, {"inner_steps": 8}),
        (minibatches_of_64, {"n": (70, 3)}),
    ],
    ids=name_of,
)
def test_random_cases_can_show_it(edit, options):
    """They are of the kinds that `draw_options` draws."""
    solved = solve(build("random", **options), ["meta_irm"])
    answer = backend_with(edit)(
        "meta_irm", solved.case.params, solved.case.envs, **solved.case.meta
    )
    right = solved.answers["meta_irm"]["W0"]
    scale = solved.scales["meta_irm"]["W0"]
    assert np.abs(answer[1][0][0] - right).max() > 64 * np.finfo(float).eps * scale


def only_plain(name, params, envs, *, inner_lr, std_weight, penalty_weight=0.0, lambda_min=0.0):
    given = {"inner_lr": inner_lr, "std_weight": std_weight}
    return spec.value_and_grad(name, params, envs, **given)


def test_random_cases_are_those_that_the_backend_takes():
    backend = as_backend(only_plain)
    found = random_cases(5, 0, backend)
    assert len(found) == 5
    assert all(takes(backend, case) for case in found)
    assert all(set(case.meta) == {"inner_lr", "std_weight"} for case in found)
    assert not all(np.array_equal(c.envs[0].x, single(c.envs[0].x)) for c in found)


def test_no_input_of_the_decimal_cases_is_exact_in_float32():
    for name in ("decimal", "decimal_options", "decimal_classes"):
        case = load()[name].case
        arrays = [part for part in case.arrays().values()]
        assert all((part != single(part)).all() for part in arrays)
        numbers = [v for v in case.meta.values() if isinstance(v, float)]
        numbers += [case.penalty_weight, case.lambda_min]
        numbers += [v for rule in case.optimizers for v in rule.values() if isinstance(v, float)]
        assert all(v != float(np.float32(v)) for v in numbers)

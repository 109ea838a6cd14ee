"""The bug zoo: its correct backend agrees with the spec, and each of its wrong ones does not."""

import functools
import importlib.util
import itertools

import numpy as np
import pytest
from bug_zoo import ZOO, torch_zoo
from bug_zoo.correct import Correct
from problems import HYPER, flat, noise_for, problem

from metairm_np import Environment, spec
from metairm_np.optimizers import SGD, Adam

META = [
    {}, {"inner_steps": 3}, {"first_order": True}, {"same_env": True}, {"inner_l2": 0.05}, {"pairs": [(0, 2), (1, 0), (2, 0)]},
    {"gradient_noise": True}, {"gradient_noise": True, "inner_steps": 2, "inner_l2": 0.1, "pairs": [(2, 1), (0, 1), (2, 1)]},
]  # fmt: skip
OPTIMIZERS = {
    "sgd": (SGD, {"lr": 0.25, "momentum": 0.5}),
    "adam": (Adam, {"lr": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 0.01}),
}


def edges(n_classes):
    """Give problems at the points where implementations differ."""
    params, envs = problem(0, n_classes, n_envs=3)
    yield [(W, 0 * b) for W, b in params], [Environment(env.x * (env.x[:, :1] > 0), env.y) for env in envs]  # ReLU at 0
    yield [(0 * W, 0 * b) for W, b in params], envs  # logits 0, all risks equal
    yield problem(1, n_classes, hidden=(4,), n_envs=3, d=4)  # square weights
    yield params, [envs[0]] * 3
    if n_classes == 2:  # logits of +-40, right and wrong
        one = [(np.array([[40.0]]), np.zeros(1))]
        yield one, [Environment(np.array([[1.0], [-1.0]]), np.array(y)) for y in ([1, 0], [0, 1])]
        yield one, [Environment(np.array([[1.0], [-1.0]]), np.array([1, 0]))] * 2


def with_noise(hyper, params, n_envs):
    noisy = hyper.get("gradient_noise")
    return {**hyper, "gradient_noise": noise_for(params, n_envs, hyper.get("inner_steps", 1), 0)} if noisy else hyper


def cases():
    """Yield arguments of `value_and_grad`."""
    for n_classes, (name, hyper) in itertools.product((2, 3), HYPER.items()):
        for options in META if name == "meta_irm" else [{}]:
            params, envs = problem(n_classes, n_classes, hidden=(5, 4) if n_classes == 2 else (), n_envs=3)
            yield name, params, envs, {"l2": 0.03, **with_noise({**hyper, **options}, params, 3)}
        for params, envs in edges(n_classes):
            yield name, params, envs, hyper


def training_cases():
    params, envs = problem(4, n_envs=2)
    for name, optimizer in itertools.product(HYPER, OPTIMIZERS):
        yield name, params, envs, {"name": optimizer, **OPTIMIZERS[optimizer][1]}, 3, {"l2": 0.03, **HYPER[name]}


def spec_steps(name, params, envs, optimizer, steps, **hyper):
    make, settings = OPTIMIZERS[optimizer["name"]]
    optimizer, trajectory = make(**settings), []
    for _ in range(steps):
        params = optimizer.step(params, spec.value_and_grad(name, params, envs, **hyper)[1])
        trajectory.append(params)
    return trajectory


@functools.cache
def answers():
    """Give the spec's (case, value, gradient) and (case, trajectory)."""
    losses = [(case, *spec.value_and_grad(*case[:3], **case[3])) for case in cases()]
    return losses, [(case, spec_steps(*case[:5], **case[5])) for case in training_cases()]


def distance(ours, theirs):
    """Give the largest difference of two vectors relative to the largest number of the first; NaN counts as infinite."""
    scale, difference = np.abs(ours).max(), np.abs(ours - theirs).max()
    return np.inf if np.isnan(difference) else difference / (scale or 1.0)


def distances(backend):
    """Yield the backend's distance from the spec, of value and gradient on every case and of every trajectory."""
    losses, trajectories = answers()
    for (*case, hyper), value, gradient in losses:
        other_value, other_gradient = backend.value_and_grad(*case, **hyper)
        yield distance(np.array([value]), np.array([other_value])), distance(flat(gradient), flat(other_gradient))
    for (*case, hyper), trajectory in trajectories:
        yield 0.0, max(map(distance, map(flat, trajectory), map(flat, backend.train_steps(*case, **hyper))))


def test_correct_is_correct():
    for value, gradient in distances(Correct()):
        assert value <= 1e-12
        assert gradient <= 1e-10


def test_correct_keeps_the_dtype():
    params, envs = problem(0, n_envs=3, dtype="float32")
    correct = Correct()
    for name, hyper in HYPER.items():
        assert flat(correct.value_and_grad(name, params, envs, **hyper)[1]).dtype == np.float32
    assert correct.meta_losses(params, envs, 0.3, inner_l2=0.1).dtype == np.float32
    for result in (correct.adapt(params, envs[0], 0.3), correct.hessian_vector_product(params, envs[0], params)):
        assert flat(result).dtype == np.float32


def is_wrong(bug):
    try:
        return any(max(pair) > 1e-9 for pair in distances(bug()))
    except (ValueError, RuntimeError):  # shapes that do not fit
        return bug.bug == "transposed weights"


def test_names_differ():
    assert len({bug.bug for bug in ZOO}) == len(ZOO)


@pytest.mark.parametrize("bug", ZOO, ids=lambda bug: bug.bug)
def test_bug_shows(bug):
    assert is_wrong(bug)


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed: pip install torch")
def test_pytorch_bugs_show():
    names = {bug.bug for bug in ZOO}
    for bug in torch_zoo():
        assert bug.bug in names
        assert is_wrong(bug), bug.bug

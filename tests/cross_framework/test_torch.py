"""The spec against the same objectives written in PyTorch."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from cross_framework.cases import CASES, check  # noqa: E402


def to_torch(pair):
    return tuple(torch.tensor(part) for part in pair)


def logits(params, x):
    for W, b in params[:-1]:
        x = torch.relu(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def loss(f, y):
    if f.shape[1] == 1:
        return torch.nn.functional.binary_cross_entropy_with_logits(f[:, 0], y.double())
    return torch.nn.functional.cross_entropy(f, y)


def norm(params):
    return sum((W**2).sum() + (b**2).sum() for W, b in params)


def irmv1_penalty(params, x, y):
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(w * logits(params, x), y), w, create_graph=True)
    return slope**2


def adapt(params, x, y, inner_lr, inner_steps, inner_l2, noise, first_order):
    for t in range(inner_steps):
        leaves = [part for pair in params for part in pair]
        gradient = torch.autograd.grad(loss(logits(params, x), y) + inner_l2 * norm(params), leaves, create_graph=True)
        gradient = [g.detach() for g in gradient] if first_order else gradient
        if noise is not None:
            gradient = [torch.tensor(m) * g for m, g in zip([m for pair in noise[t] for m in pair], gradient)]
        moved = [part - inner_lr * g for part, g in zip(leaves, gradient)]
        params = list(zip(moved[::2], moved[1::2]))
    return params


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, inner_l2=0.0, gradient_noise=None,
    pairs=None,
):  # fmt: skip
    n = range(len(envs))
    pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
    adapted = [
        adapt(params, *envs[i], inner_lr, inner_steps, inner_l2, gradient_noise and gradient_noise[i], first_order) for i in n
    ]
    L = torch.stack([loss(logits(adapted[i], envs[j][0]), envs[j][1]) for i, j in pairs])
    return L.sum() + std_weight * L.std(unbiased=False)


def value_and_grad(name, params, envs, l2, **hyper):
    params = [tuple(part.requires_grad_() for part in to_torch(pair)) for pair in params]
    envs = [(torch.tensor(env.x), torch.tensor(env.y)) for env in envs]
    R = torch.stack([loss(logits(params, x), y) for x, y in envs])
    if name == "meta_irm":
        value = meta_irm(params, envs, **hyper)
    elif name == "irmv1":
        value = R.sum() + hyper["penalty_weight"] * sum(irmv1_penalty(params, x, y) for x, y in envs)
    elif name == "v_rex":
        value = R.sum() + hyper["penalty_weight"] * R.var(unbiased=False)
    elif name == "mm_rex":
        value = (1 - len(envs) * hyper["lambda_min"]) * R.max() + hyper["lambda_min"] * R.sum()
    else:
        value = R.sum()
    value = value + l2 * norm(params)
    gradient = torch.autograd.grad(value, [part for pair in params for part in pair])
    gradient = [g.numpy() for g in gradient]
    return value.item(), list(zip(gradient[::2], gradient[1::2]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pytorch_agrees(case):
    check(value_and_grad, case)

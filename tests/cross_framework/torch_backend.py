"""The objectives written in PyTorch, with the second-order graph that `create_graph=True` keeps."""

import torch
from torch.nn import functional


def to_torch(envs):
    """Give (x, y) of each environment as tensors; y in the type its loss takes."""
    return [(torch.tensor(env.x), torch.tensor(env.y)) for env in envs]


def leaves(params):
    return [part for pair in params for part in pair]


def pairs_of(parts):
    return list(zip(parts[::2], parts[1::2]))


def logits(params, x):
    for W, b in params[:-1]:
        x = torch.relu(torch.addmm(b, x, W))
    W, b = params[-1]
    return torch.addmm(b, x, W)


def loss(f, y):
    if f.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(f[:, 0], y.to(f.dtype))
    return functional.cross_entropy(f, y)


def risk(params, env):
    x, y = env
    return loss(logits(params, x), y)


def norm(params):
    return sum((part**2).sum() for part in leaves(params))


def risk_and_penalty(params, env):
    x, y = env
    f = logits(params, x)
    w = torch.ones((), dtype=f.dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(w * f, y), w, create_graph=True)
    return loss(f, y), slope**2


def adapt(params, env, inner_lr, inner_steps, inner_l2, noise, first_order):
    for t in range(inner_steps):
        objective = risk(params, env) + (inner_l2 * norm(params) if inner_l2 else 0.0)
        gradient = torch.autograd.grad(objective, leaves(params), create_graph=not first_order)
        if noise is not None:
            gradient = [torch.tensor(m) * g for m, g in zip(leaves(noise[t]), gradient)]
        params = pairs_of([part - inner_lr * g for part, g in zip(leaves(params), gradient)])
    return params


def meta_irm(
    params, envs, inner_lr, std_weight, inner_steps=1, first_order=False, same_env=False, inner_l2=0.0, gradient_noise=None,
    pairs=None,
):  # fmt: skip
    n = range(len(envs))
    pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
    adapted = {
        i: adapt(params, envs[i], inner_lr, inner_steps, inner_l2, gradient_noise and gradient_noise[i], first_order)
        for i in {i for i, _ in pairs}
    }
    L = torch.stack([risk(adapted[i], envs[j]) for i, j in pairs])
    return L.sum() + std_weight * L.std(unbiased=False)


def objective(name, params, envs, l2=0.0, **hyper):
    if name == "meta_irm":
        value = meta_irm(params, envs, **hyper)
    elif name == "irmv1":
        R, penalties = zip(*[risk_and_penalty(params, env) for env in envs])
        value = sum(R) + hyper["penalty_weight"] * sum(penalties)
    else:
        R = torch.stack([risk(params, env) for env in envs])
        value = R.sum()
        if name == "v_rex":
            value = value + hyper["penalty_weight"] * R.var(unbiased=False)
        elif name == "mm_rex":
            value = (1 - len(envs) * hyper["lambda_min"]) * R.max() + hyper["lambda_min"] * value
    return value + l2 * norm(params) if l2 else value


def value_and_grad(name, params, envs, **hyper):
    """Give what `metairm_np.spec.value_and_grad` gives."""
    params = [tuple(torch.tensor(part, requires_grad=True) for part in pair) for pair in params]
    value = objective(name, params, to_torch(envs), **hyper)
    gradient = torch.autograd.grad(value, leaves(params))
    return value.item(), pairs_of([g.numpy() for g in gradient])

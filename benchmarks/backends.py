"""One step's gradient in each framework, in its best form: data and parameters where and as the framework wants them.

`BACKENDS[name](case)` gives `step`, which computes the gradient, waits for it and gives it as a list of arrays.
"""

import sys
from pathlib import Path

import numpy as np

from metairm_np import Environment, blas, fast, init_mlp, spec
from metairm_np.environments.mnist import load_mnist14

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

HIDDEN = 256
HYPER = {"meta_irm": {"inner_lr": 1.6, "std_weight": 0.14}, "irmv1": {"penalty_weight": 1e4}, "v_rex": {"penalty_weight": 1e4}}


def problem(case):
    """Make the parameters and the environments: Colored MNIST, images drawn with repetition where there are not enough."""
    k, rng, mnist = case["classes"], np.random.default_rng(0), load_mnist14()
    envs = []
    for e in range(case["envs"]):
        chosen = rng.permutation(50_000)[: case["n"]] if case["n"] <= 50_000 else rng.integers(50_000, size=case["n"])
        grey = (np.arange(256) / 255).astype(case["dtype"])[mnist["train_images"][chosen].reshape(len(chosen), -1)]
        y = (mnist["train_labels"][chosen].astype(int) // (10 // k) + (rng.random(len(chosen)) < 0.25)) % k
        z = (y + (rng.random(len(chosen)) < 0.1 * (1 + e % 2))) % k
        envs.append(Environment.painted(grey, z, k, y))
    params = init_mlp((196 * k, HIDDEN, 1 if k == 2 else k), 0, case["dtype"], "fan_in")
    return params, envs


def hyper_of(case):
    """Give the objective's keywords."""
    steps = {"inner_steps": case["inner_steps"]} if case["objective"] == "meta_irm" else {}
    return {**HYPER[case["objective"]], **steps}


def flat(gradient):
    """Give the arrays of a list of (dW, db)."""
    return [part for pair in gradient for part in pair]


def with_numpy(engine, dense):
    """Give the backend of an engine of this project; `dense` makes the dense arrays beforehand."""

    def prepare(case):
        params, envs = problem(case)
        if dense:
            envs = [Environment(env.x, env.y) for env in envs]
        return lambda: flat(engine.value_and_grad(case["objective"], params, envs, **hyper_of(case))[1])

    return prepare


def torch_eager(case):
    """PyTorch, eager, `create_graph=True`."""
    import torch
    from cross_framework import torch_backend as tb

    torch.set_num_threads(blas.cores())
    params, envs = problem(case)
    leaves = [torch.tensor(part, requires_grad=True) for part in flat(params)]
    envs = [(x, y.to(x.dtype) if case["classes"] == 2 else y) for x, y in tb.to_torch(envs)]

    def step():
        value = tb.objective(case["objective"], tb.pairs_of(leaves), envs, **hyper_of(case))
        return [g.numpy() for g in torch.autograd.grad(value, leaves)]

    return step


def torch_compiled(case):
    """PyTorch, `torch.compile` of `torch.func.grad`.

    Written with nested `torch.func.grad`, because compiling nested `torch.autograd.grad` gives the first-order gradient
    without a word (PyTorch 2.13.0, to the last digit that of `first_order=True`).
    """
    import torch
    from cross_framework import torch_backend as tb

    torch.set_num_threads(blas.cores())
    params, envs = problem(case)
    params = [tuple(torch.tensor(part) for part in pair) for pair in params]
    envs = [(x, y.to(x.dtype) if case["classes"] == 2 else y) for x, y in tb.to_torch(envs)]
    hyper = hyper_of(case)

    def risk(theta, x, y):
        return tb.loss(tb.logits(theta, x), y)

    def objective(theta, envs):
        if case["objective"] == "v_rex":
            R = torch.stack([risk(theta, *env) for env in envs])
            return R.sum() + hyper["penalty_weight"] * R.var(unbiased=False)
        if case["objective"] == "irmv1":
            total = 0.0
            for x, y in envs:
                f = tb.logits(theta, x)
                slope = torch.func.grad(lambda w, f=f, y=y: tb.loss(w * f, y))(torch.ones((), dtype=f.dtype))
                total = total + tb.loss(f, y) + hyper["penalty_weight"] * slope**2
            return total
        adapted = []
        for x, y in envs:
            point = theta
            for _ in range(hyper["inner_steps"]):
                g = torch.func.grad(risk)(point, x, y)
                point = [(W - hyper["inner_lr"] * dW, b - hyper["inner_lr"] * db) for (W, b), (dW, db) in zip(point, g)]
            adapted.append(point)
        L = torch.stack([risk(adapted[i], *env) for i in range(len(envs)) for j, env in enumerate(envs) if i != j])
        return L.sum() + hyper["std_weight"] * L.std(unbiased=False)

    compiled = torch.compile(lambda theta, envs: torch.func.grad(objective)(theta, envs))
    return lambda: [g.numpy() for g in flat(compiled(params, envs))]


def jax_jit(case):
    """JAX, `jit`, arrays on the device, the parameters donated."""
    import jax

    jax.config.update("jax_enable_x64", case["dtype"] == "float64")
    from cross_framework import jax_backend as jb

    params, envs = problem(case)
    state, envs = [jax.device_put(params)], jax.device_put(jb.to_jax(envs))
    grad = jax.grad(lambda theta, envs: jb.objective(case["objective"], theta, envs, **hyper_of(case)))
    jitted = jax.jit(lambda theta, envs: (grad(theta, envs), theta), donate_argnums=0)

    def step():
        gradient, state[0] = jax.block_until_ready(jitted(state[0], envs))
        return [np.asarray(g) for g in flat(gradient)]

    return step


def gemm(case):
    """Not a gradient: the products of a dense greyscale first layer, n x 196 by 196 x 256 and back, with BLAS's threads."""
    rng = np.random.default_rng(0)
    x, W, h = (rng.random(shape).astype(case["dtype"]) for shape in ((25_000, 196), (196, HIDDEN), (25_000, HIDDEN)))
    g = np.empty_like(W)

    def step():
        np.dot(x, W, out=h)
        np.dot(x.T, h, out=g)
        return []

    return step


BACKENDS = {
    "fast": with_numpy(fast, dense=False), "PyTorch eager": torch_eager, "torch.compile": torch_compiled, "JAX jit": jax_jit,
    "autograd": with_numpy(spec, dense=True), "GEMM": gemm,
}  # fmt: skip

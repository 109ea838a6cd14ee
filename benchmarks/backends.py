"""One step's gradient in each framework, in its best form, on data as the framework wants them.

`BACKENDS[name](case)` returns `step`, which computes the gradient, waits for it and returns it as a
list of arrays.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from metairm_np import Environment, fast, init_mlp, spec
from metairm_np.environments.mnist import load_mnist14
from metairm_np.fast import _blas

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

HYPER = {
    "meta_irm": {"inner_lr": 1.6, "std_weight": 0.14},
    "irmv1": {"penalty_weight": 1e4},
    "v_rex": {"penalty_weight": 1e4},
}


def problem(case):
    """Make parameters and environments."""
    k = case["classes"]
    envs = colored_mnist(case) if case["data"] == "Colored MNIST" else dense(case)
    sizes = (envs[0].shape[1], *case["hidden"], 1 if k == 2 else k)
    return init_mlp(sizes, 0, case["dtype"], "fan_in"), envs


def dense(case):
    """Make environments with no zeros, as sentences are: 100 columns, labels at random."""
    k, n, rng = case["classes"], case["n"], np.random.default_rng(0)
    return [
        Environment(rng.normal(0, 0.3, (n, 100)).astype(case["dtype"]), rng.integers(k, size=n))
        for _ in range(case["envs"])
    ]


def colored_mnist(case):
    """Make environments of Colored MNIST, with images drawn again if need be."""
    k, n, rng, mnist = case["classes"], case["n"], np.random.default_rng(0), load_mnist14()
    pixel = (np.arange(256) / 255).astype(case["dtype"])
    envs = []
    for e in range(case["envs"]):
        rows = rng.permutation(50_000)[:n] if n <= 50_000 else rng.integers(50_000, size=n)
        grey = pixel[mnist["train_images"][rows].reshape(n, -1)]
        c = mnist["train_labels"][rows].astype(int) // (10 // k)
        y = (c + (rng.random(n) < 0.25)) % k
        z = (y + (rng.random(n) < 0.1 * (1 + e % 2))) % k
        envs.append(Environment.painted(grey, z, k, y))
    return envs


def hyper_of(case):
    """Return the objective's keywords."""
    steps = {"inner_steps": case["inner_steps"]} if case["objective"] == "meta_irm" else {}
    return {**HYPER[case["objective"]], **steps}


def flat(gradient):
    """Return the arrays of a list of (dW, db)."""
    return [part for pair in gradient for part in pair]


def with_numpy(engine, dense):
    """Return the backend of an engine of this project; `dense` makes dense arrays beforehand."""

    def prepare(case):
        params, envs = problem(case)
        if dense:
            envs = [Environment(env.x, env.y) for env in envs]
        name, hyper = case["objective"], hyper_of(case)
        return lambda: flat(engine.value_and_grad(name, params, envs, **hyper)[1])

    return prepare


def torch_eager(case, threads=None):
    """PyTorch, eager, `create_graph=True`."""
    import torch
    from cross_framework.torch_backend import Backend

    torch.set_num_threads(threads or _blas.cores())
    backend, (params, envs) = Backend(), problem(case)
    theta, envs = backend.tensors(params), backend.data(envs)

    def step():
        value = backend.objective(case["objective"], theta, envs, **hyper_of(case))
        return [g.numpy() for g in torch.autograd.grad(value, theta)]

    return step


def torch_compiled(case):
    """PyTorch, `torch.compile` of `torch.func.grad`.

    Written with nested `torch.func.grad`, because compiling nested `torch.autograd.grad` gives the
    first-order gradient without a word (PyTorch 2.13.0, to the last digit that of
    `first_order=True`).
    """
    import torch
    from cross_framework.torch_backend import Backend

    torch.set_num_threads(_blas.cores())
    backend, (params, envs) = Backend(), problem(case)
    params, envs = [torch.tensor(part) for part in flat(params)], backend.data(envs)
    hyper = hyper_of(case)

    def objective(theta, envs):
        if case["objective"] == "v_rex":
            R = torch.stack([backend.risk_on(theta, env) for env in envs])
            return R.sum() + hyper["penalty_weight"] * R.var(unbiased=False)
        if case["objective"] == "irmv1":
            total = 0.0
            for x, y in envs:
                f = backend.forward(theta, x)
                one = torch.ones((), dtype=f.dtype)
                slope = torch.func.grad(lambda w, f=f, y=y: backend.loss(w * f, y))(one)
                total = total + backend.loss(f, y) + hyper["penalty_weight"] * slope**2
            return total
        adapted = []
        for env in envs:
            point = theta
            for _ in range(hyper["inner_steps"]):
                gradient = torch.func.grad(backend.risk_on)(point, env)
                point = [part - hyper["inner_lr"] * g for part, g in zip(point, gradient)]
            adapted.append(point)
        pairs = [(i, j) for i in range(len(envs)) for j in range(len(envs)) if i != j]
        L = torch.stack([backend.risk_on(adapted[i], envs[j]) for i, j in pairs])
        return L.sum() + hyper["std_weight"] * L.std(unbiased=False)

    compiled = torch.compile(lambda theta, envs: torch.func.grad(objective)(theta, envs))
    return lambda: [g.numpy() for g in compiled(params, envs)]


def jax_jit(case):
    """JAX, `jit`, arrays on the device, the parameters donated."""
    import jax
    from cross_framework.jax_backend import Backend

    jax.config.update("jax_enable_x64", case["dtype"] == "float64")  # the import has set it
    backend, (params, envs) = Backend(), problem(case)
    state, envs = [jax.device_put(params)], backend.data(envs)
    grad = jax.grad(
        lambda theta, envs: backend.objective(case["objective"], theta, envs, **hyper_of(case))
    )
    jitted = jax.jit(lambda theta, envs: (grad(theta, envs), theta), donate_argnums=0)

    def step():
        gradient, state[0] = jax.block_until_ready(jitted(state[0], envs))
        return [np.asarray(g) for g in flat(gradient)]

    return step


def gemm(case):
    """Not a gradient: the products of a dense greyscale first layer, there and back."""
    rng, n = np.random.default_rng(0), 25_000
    shapes = (n, 196), (196, 256), (n, 256)
    x, W, h = (rng.random(shape).astype(case["dtype"]) for shape in shapes)
    g = np.empty_like(W)

    def step():
        np.dot(x, W, out=h)
        np.dot(x.T, h, out=g)
        return []

    return step


def products(case):
    """Not a gradient: x W and x' D of one environment, on as many columns as `fast` takes."""
    rng, n, hidden = np.random.default_rng(0), case["n"], case["hidden"][0]
    shapes = (n, case["columns"]), (case["columns"], hidden), (n, hidden)
    x, W, D = (rng.random(shape).astype(case["dtype"]) for shape in shapes)
    h, g = np.empty_like(D), np.empty_like(W)

    def step():
        np.dot(x, W, out=h)
        np.dot(x.T, D, out=g)
        return []

    return step


BACKENDS = {
    "fast": with_numpy(fast, dense=False),
    "PyTorch eager": torch_eager,
    "PyTorch 1 thread": partial(torch_eager, threads=1),
    "torch.compile": torch_compiled,
    "JAX jit": jax_jit,
    "autograd": with_numpy(spec, dense=True),
    "GEMM": gemm,
    "products": products,
}

"""The problems on which backends are compared, golden and random.

Inputs are exact in float32, so that both types have the same.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.environments import Environment
from metairm_np.environments.mnist import load_mnist14

SGD = {"name": "sgd", "lr": 0.25, "momentum": 0.5}
ADAM = {"name": "adam", "lr": 2**-6, "beta1": 0.875, "beta2": 0.96875, "epsilon": 2**-10}
STEPS = 10  # of a trajectory
NUMBERS = ("penalty_weight", "lambda_min", "l2")  # a case's numbers beside those of "meta_irm"


def named(params, before=""):
    """Return the arrays of a list of (W, b) by name."""
    return {
        f"{before}{letter}{l}": np.asarray(part)
        for l, pair in enumerate(params)
        for letter, part in zip("Wb", pair)
    }


@dataclass(frozen=True)
class Case:
    """One problem: everything that a backend is given, arrays and numbers, never seeds.

    Attributes
    ----------
    name, note : str
    params : list of (W, b)
    envs : list of Environment
    vector : list of (W, b)
        What the Hessian is multiplied by.
    meta : dict
        Keywords of "meta_irm".
    penalty_weight, lambda_min, l2 : float
        Keywords of "irmv1" and "v_rex", of "mm_rex", and of all.
    optimizers : list of dict
        Those under which `STEPS` steps of "meta_irm" are taken.
    """

    name: str
    note: str
    params: list
    envs: list
    vector: list
    meta: dict
    penalty_weight: float = 3.0
    lambda_min: float = -0.75
    l2: float = 0.0
    optimizers: list = field(default_factory=list)

    def hyper(self, objective):
        """Return the keywords of an objective."""
        own = {
            "erm": {},
            "irmv1": {"penalty_weight": self.penalty_weight},
            "v_rex": {"penalty_weight": self.penalty_weight},
            "mm_rex": {"lambda_min": self.lambda_min},
            "meta_irm": self.meta,
        }[objective]
        return own | {"l2": self.l2} if self.l2 else own

    def inner(self, i):
        """Return the keywords with which `adapt` reaches theta'_i."""
        keys = ("inner_lr", "inner_steps", "inner_l2")
        given = {key: self.meta[key] for key in keys if key in self.meta}
        noise = self.meta.get("gradient_noise")
        return given if noise is None else given | {"gradient_noise": noise[i]}

    def map(self, array, number=lambda value: value):
        """Return the case with functions applied to each float array and to each float keyword.

        It shares nothing that can be changed with this one, if `array` returns new arrays.
        """

        def mapped(key, value):
            if key == "gradient_noise":
                return [[tree_map(array, step) for step in steps] for steps in value]
            return number(value) if isinstance(value, float) else deepcopy(value)

        return replace(
            self,
            params=tree_map(array, self.params),
            envs=[Environment(array(env.x), env.y.copy()) for env in self.envs],
            vector=tree_map(array, self.vector),
            meta={key: mapped(key, value) for key, value in self.meta.items()},
            optimizers=deepcopy(self.optimizers),
            **{key: number(getattr(self, key)) for key in NUMBERS},
        )

    def astype(self, dtype):
        """Return a copy with arrays of another dtype."""
        return self.map(lambda a: a.astype(dtype))

    def arrays(self):
        """Return every float array of the case by its name."""
        found = named(self.params) | named(self.vector, "vector_")
        found |= {f"x{e}": env.x for e, env in enumerate(self.envs)}
        for i, steps in enumerate(self.meta.get("gradient_noise", [])):
            for t, step in enumerate(steps):
                found |= named(step, f"noise{i}_{t}_")
        return found

    def contents(self):
        """Return all that a backend is given by its name, arrays, labels, pairs and settings."""
        other = {key: value for key, value in self.meta.items() if key != "gradient_noise"}
        labels = {f"y{e}": env.y for e, env in enumerate(self.envs)}
        rules = {f"optimizer {k}": rule for k, rule in enumerate(self.optimizers)}
        return self.arrays() | labels | other | rules


# ---- making cases --------------------------------------------------------------------------------


def single(a):
    """Return float64 numbers rounded to float32."""
    return np.asarray(a, np.float32).astype(np.float64)


def draw_layers(rng, sizes):
    """Draw the layers of a perceptron, a list of (W, b), with outputs of about unit size."""
    return [
        (single(rng.normal(0, i**-0.5, (i, o))), single(rng.normal(0, 0.25, o)))
        for i, o in zip(sizes[:-1], sizes[1:])
    ]


def draw_noise(rng, params, n_envs, inner_steps):
    """Draw DropGrad multipliers N(1, 1/4) for each environment and inner step."""

    def draw(part):
        return single(rng.normal(1, 0.5, part.shape))

    return [[tree_map(draw, params) for _ in range(inner_steps)] for _ in range(n_envs)]


def build(
    name,
    note="",
    *,
    seed=0,
    classes=2,
    hidden=(4,),
    d=3,
    n=(9, 10),
    noise=False,
    prepare=None,
    optimizers=(),
    **options,
):
    """Draw a case.

    Parameters
    ----------
    seed : int
    classes : int
        2 for one output, more for as many outputs.
    hidden : sequence of int
    d : int
        Columns of x.
    n : sequence of int
        Samples of each environment.
    noise : bool
        Whether the inner steps have DropGrad noise.
    prepare : function (rng, params, envs) -> (params, envs), optional
        What makes the case special.
    **options
        `penalty_weight`, `lambda_min`, `l2`; all others are keywords of "meta_irm".
    """
    rng = np.random.default_rng([seed, *name.encode()])
    params = draw_layers(rng, (d, *hidden, 1 if classes == 2 else classes))
    envs = [Environment(single(rng.normal(0, 1, (m, d))), rng.integers(classes, size=m)) for m in n]
    if prepare is not None:
        params, envs = prepare(rng, params, envs)
    vector = tree_map(lambda part: single(rng.normal(0, 1, part.shape)), params)
    own = {key: options.pop(key) for key in NUMBERS if key in options}
    meta = {"inner_lr": 0.375, "std_weight": 0.625, **options}
    if noise:
        meta["gradient_noise"] = draw_noise(rng, params, len(envs), meta.get("inner_steps", 1))
    return Case(name, note, params, envs, vector, meta, optimizers=list(optimizers), **own)


# ---- what makes some golden cases special --------------------------------------------------------


def one_environment_twice(rng, params, envs):
    """Make all environments equal."""
    return params, [Environment(envs[0].x.copy(), envs[0].y) for _ in envs]


def zero_last_layer(rng, params, envs):
    """Make all logits exactly 0."""
    return [*params[:-1], tuple(np.zeros_like(part) for part in params[-1])], envs


def zero_hidden_inputs(rng, params, envs):
    """Make inputs of hidden units exactly 0: no hidden biases, a third of the samples all zeros."""
    shown = [np.arange(len(env)) >= len(env) // 3 for env in envs]
    envs = [Environment(env.x * keep[:, None], env.y) for env, keep in zip(envs, shown)]
    return [(W, np.zeros_like(b)) for W, b in params[:-1]] + [params[-1]], envs


def saturate(rng, params, envs):
    """Make each |logit| about 40 or 22, by two hidden units that copy x's first column.

    Half of the labels in environment 0 are wrong.
    """
    (W1, b1), _ = params
    W1 = W1 / 16
    W1[0] = 1, -1
    ready = []
    for e, env in enumerate(envs):
        x = env.x.copy()
        x[:, 0] = rng.choice([-1, -0.5625, 0.5625, 1], len(env))
        wrong = (np.arange(len(env)) % 2 == 0) & (e == 0)
        ready.append(Environment(x, (x[:, 0] > 0) ^ wrong))
    return [(single(W1), b1 / 16), (np.array([[40.0], [-40.0]]), np.zeros(1))], ready


def real_images(classes, n):
    """Return what prepares Colored MNIST, n images in each environment, p_e = 0.1, 0.2, ..."""

    def prepare(rng, params, envs):
        mnist, ready = load_mnist14(), []
        for e in range(len(envs)):
            chosen = rng.permutation(50_000)[:n]
            y = mnist["train_labels"][chosen].astype(int) // (10 // classes)
            y = (y + (rng.random(n) < 0.25)) % classes
            z = (y + (rng.random(n) < 0.1 * (e + 1))) % classes
            x = np.zeros((n, classes, 196))
            x[np.arange(n), z] = mnist["train_images"][chosen].reshape(n, 196) / 255
            ready.append(Environment(single(x.reshape(n, -1)), y))
        return params, ready

    return prepare


# ---- the cases -----------------------------------------------------------------------------------

BOTH = (SGD, ADAM)
TWO, THREE = (9, 10), (9, 10, 8)  # few shapes: frameworks that compile do so once a shape

GOLDEN = [  # name, note, what `build` is given
    ("binary_linear", "no hidden layer, so no kinks", {"hidden": (), "optimizers": BOTH}),
    ("binary_1_layer", "the smallest perceptron", {}),
    ("binary_2_layers", "two hidden layers, three environments", {"hidden": (5, 4), "n": THREE}),
    (
        "binary_3_layers",
        "three hidden layers, two inner steps",
        {"hidden": (5, 4, 3), "inner_steps": 2},
    ),
    ("classes_3_linear", "softmax regression", {"classes": 3, "hidden": ()}),
    (
        "classes_4_square",
        "4-4-4: a transposed weight would fit",
        {"classes": 4, "d": 4, "optimizers": BOTH},
    ),
    ("classes_5_1_layer", "five classes, three environments", {"classes": 5, "n": THREE}),
    (
        "classes_10_2_layers",
        "ten classes, two layers, two inner steps",
        {"classes": 10, "hidden": (5, 4), "inner_steps": 2},
    ),
    ("unequal_sizes", "environments of 3, 40 and 10 samples", {"n": (3, 40, 10)}),
    ("one_sample", "environments of one and two samples", {"n": (1, 2)}),
    ("five_environments", "twenty meta-losses", {"n": THREE + TWO, "lambda_min": -2.0}),
    ("three_inner_steps", "three inner steps", {"inner_steps": 3}),
    (
        "three_inner_steps_3_environments",
        "three inner steps and three environments",
        {"n": THREE, "inner_steps": 3},
    ),
    ("large_inner_lr", "curvature outweighs the rest of the meta-gradient", {"inner_lr": 3.0}),
    (
        "large_weights",
        "penalties outweigh the risks",
        {"std_weight": 16.0, "penalty_weight": 64.0, "n": THREE},
    ),
    (
        "small_weights",
        "weights below 1",
        {"std_weight": 0.125, "penalty_weight": 0.25, "lambda_min": 0.25},
    ),
    (
        "sampled_pairs",
        "one j for each i",
        {"n": (*THREE, 9), "pairs": [(0, 2), (1, 3), (2, 0), (3, 1)]},
    ),
    (
        "unbalanced_pairs",
        "a pair twice, one i left out",
        {"n": THREE, "pairs": [(2, 1), (0, 2), (0, 1), (0, 2)]},
    ),
    ("same_environment", "the ablation: theta'_i on environment i", {"n": THREE, "same_env": True}),
    ("l2", "the norm of all weights and biases", {"l2": 0.0625, "optimizers": BOTH}),
    (
        "l2_2_inner_steps",
        "the norm is not part of the inner steps",
        {"n": THREE, "l2": 0.25, "inner_steps": 2},
    ),
    ("inner_l2", "the norm in the inner steps alone", {"inner_l2": 0.125, "inner_steps": 2}),
    ("noise", "DropGrad", {"noise": True}),
    (
        "noise_2_inner_steps",
        "noise, both norms, three environments",
        {"n": THREE, "noise": True, "inner_steps": 2, "inner_l2": 0.125, "l2": 0.0625},
    ),
    ("noise_large_inner_lr", "noise that weighs", {"noise": True, "inner_lr": 2.0, "l2": 0.125}),
    (
        "sigma_zero",
        "equal environments: sigma = 0, its derivative is 0, not NaN",
        {"prepare": one_environment_twice},
    ),
    (
        "zero_logits",
        "all logits are 0: the loss has curvature 1/4",
        {"prepare": zero_last_layer, "n": (9, 9)},
    ),
    (
        "zero_logits_classes",
        "all logits of three classes are 0",
        {"prepare": zero_last_layer, "classes": 3, "n": (9, 9)},
    ),
    (
        "zero_hidden_inputs",
        "units at their kink: derivative 0",
        {"prepare": zero_hidden_inputs, "hidden": (5, 4)},
    ),
    (
        "saturated",
        "|logit| = 40 and 22: losses of 40 and of 4e-18",
        {"prepare": saturate, "hidden": (2,)},
    ),
    (
        "mnist_2_classes",
        "Colored MNIST, real images",
        {
            "prepare": real_images(2, 24),
            "d": 392,
            "n": (24, 24),
            "l2": 2**-10,
            "inner_lr": 1.5,
            "optimizers": BOTH,
        },
    ),
    (
        "mnist_5_classes",
        "Colored MNIST with five classes, real images",
        {"prepare": real_images(5, 24), "d": 980, "classes": 5, "n": (24, 24), "inner_lr": 1.5},
    ),
]


def draw_options(integer):
    """Draw the options of `build` for a random case; integer(low, high) draws a number."""

    def choice(*options):
        return options[integer(0, len(options) - 1)]

    n_envs = integer(2, 4)
    options = {
        "classes": choice(2, 3, 5),
        "hidden": tuple(integer(1, 6) for _ in range(integer(0, 3))),
        "d": integer(1, 6),
        "n": tuple(integer(1, 15) for _ in range(n_envs)),
        "noise": choice(False, True),
        "inner_lr": integer(1, 16) / 8,
        "std_weight": integer(0, 16) / 8,
        "inner_steps": integer(1, 3),
        "inner_l2": choice(0.0, 0.125),
        "l2": choice(0.0, 0.0625),
        "penalty_weight": 2.0 ** integer(-2, 5),
        "lambda_min": integer(-8, 1) / 8,
    }
    every = [(i, j) for i in range(n_envs) for j in range(n_envs) if i != j]
    kind = choice("all", "same_env", "pairs")
    if kind == "same_env":
        options["same_env"] = True
    elif kind == "pairs":
        options["pairs"] = [choice(*every) for _ in range(integer(1, 4))]
    return options

"""The problems on which backends are compared, golden and random."""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.environments import Environment

SGD = {"name": "sgd", "lr": 0.25, "momentum": 0.5}
ADAM = {"name": "adam", "lr": 2**-6, "beta1": 0.875, "beta2": 0.96875, "epsilon": 2**-10}
BOTH = (SGD, ADAM)
STEPS = 10  # of a trajectory, unless a case has its own number
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
        Those under which steps are taken.
    objective : str, default "meta_irm"
        What the steps descend.
    steps : int, default 10
        How many.
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
    objective: str = "meta_irm"
    steps: int = STEPS

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


def double(a):
    """Return float64 numbers as they are."""
    return np.asarray(a, np.float64)


def draw_layers(rng, sizes, rounded=single):
    """Draw the layers of a perceptron, a list of (W, b), with outputs of about unit size."""
    return [
        (rounded(rng.normal(0, i**-0.5, (i, o))), rounded(rng.normal(0, 0.25, o)))
        for i, o in zip(sizes[:-1], sizes[1:])
    ]


def draw_noise(rng, params, n_envs, inner_steps, rounded=single):
    """Draw DropGrad multipliers N(1, 1/4) for each environment and inner step."""

    def draw(part):
        return rounded(rng.normal(1, 0.5, part.shape))

    return [[tree_map(draw, params) for _ in range(inner_steps)] for _ in range(n_envs)]


def build(
    name,
    note="",
    *,
    seed=0,
    classes=2,
    outputs=None,
    hidden=(4,),
    d=3,
    n=(9, 10),
    noise=False,
    exact=True,
    prepare=None,
    optimizers=(),
    objective="meta_irm",
    steps=STEPS,
    **options,
):
    """Draw a case.

    Parameters
    ----------
    seed : int
    classes : int
    outputs : int, optional
        By default one for two classes, or else as many as classes.
    hidden : sequence of int
    d : int
        Columns of x.
    n : sequence of int
        Samples of each environment.
    noise : bool
        Whether the inner steps have DropGrad noise.
    exact : bool
        Whether all arrays are exact in float32, so that both types have the same.
    prepare : function (rng, params, envs) -> (params, envs), optional
        What makes the case special.
    optimizers, objective, steps
        Of the trajectories.
    **options
        `penalty_weight`, `lambda_min`, `l2`; all others are keywords of "meta_irm".
    """
    rng, rounded = np.random.default_rng([seed, *name.encode()]), single if exact else double
    outputs = outputs or (1 if classes == 2 else classes)
    params = draw_layers(rng, (d, *hidden, outputs), rounded)
    envs = [
        Environment(rounded(rng.normal(0, 1, (m, d))), rng.integers(classes, size=m)) for m in n
    ]
    if prepare is not None:
        params, envs = prepare(rng, params, envs)
    vector = tree_map(lambda part: rounded(rng.normal(0, 1, part.shape)), params)
    own = {key: options.pop(key) for key in NUMBERS if key in options}
    meta = {"inner_lr": 0.375, "std_weight": 0.625, **options}
    if noise:
        given = len(envs), meta.get("inner_steps", 1)
        meta["gradient_noise"] = draw_noise(rng, params, *given, rounded)
    return Case(
        name, note, params, envs, vector, meta,
        optimizers=list(optimizers), objective=objective, steps=steps, **own,
    )  # fmt: skip

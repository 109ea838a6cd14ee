"""The golden cases, version by version; docs/conformance.md has them as a table.

Each has a name, a note, and what `build` is given. A version that was released stays as it is.
"""

import numpy as np

from metairm_np.conformance.cases import ADAM, BOTH, SGD, single
from metairm_np.environments import Environment
from metairm_np.environments.mnist import load_mnist14

# ---- what makes some special ---------------------------------------------------------------------


def one_environment_twice(rng, params, envs):
    """Make all environments equal."""
    return params, [Environment(envs[0].x.copy(), envs[0].y) for _ in envs]


def zero_last_layer(rng, params, envs):
    """Make all logits exactly 0."""
    return [*params[:-1], tuple(np.zeros_like(part) for part in params[-1])], envs


def equal_with_zero_logits(rng, params, envs):
    """Make all environments equal and all logits exactly 0."""
    return zero_last_layer(rng, *one_environment_twice(rng, params, envs))


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


def huge_logits(rng, params, envs):
    """Make logits of about +-1000, +-100 and +-60, the first columns of x times 1024.

    A third of the labels is wrong.
    """
    (W, b), *_ = params
    W = W / 16
    W[: W.shape[1]] = 1024 * np.eye(*W.shape)[: W.shape[1]]
    ready = []
    for env in envs:
        x = env.x.copy()
        sizes = rng.permuted(np.resize([1, 0.1015625, 0.0625], x[:, : W.shape[1]].shape), axis=0)
        x[:, : W.shape[1]] = sizes * rng.choice([-1, 1], sizes.shape)
        likely = x[:, 0] > 0 if W.shape[1] == 1 else x.argmax(axis=1)
        wrong = np.arange(len(env)) % 3 == 0
        ready.append(Environment(x, (likely + wrong) % max(W.shape[1], 2)))
    return [(single(W), b)], ready


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

TWO, THREE = (9, 10), (9, 10, 8)  # few shapes: frameworks that compile do so once a shape

V1 = [  # name, note, what `build` is given
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

DECIMAL = {  # numbers that are not exact in float32
    "inner_lr": 0.3,
    "std_weight": 0.7,
    "penalty_weight": 3.3,
    "lambda_min": -0.7,
    "exact": False,
}
DECIMAL_RULES = (
    {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    {"name": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 0.001},
)
LINEAR = {"hidden": ()}  # no kinks for a long trajectory to cross
EQUAL = {"prepare": one_environment_twice, "n": (9, 9, 9)}  # seeds for which the mean is rounded

NEW = [
    ("two_outputs", "two classes as two outputs", {"outputs": 2}),
    ("inner_lr_zero", "inner steps that do not move", {"inner_lr": 0.0}),
    ("six_inner_steps", "six inner steps", {"inner_steps": 6, **LINEAR}),
    ("eight_inner_steps", "eight inner steps, all of them differentiated", {"inner_steps": 8}),
    ("large_environments", "100 and 70 samples: more than a minibatch", {"n": (100, 70)}),
    ("decimal", "no number is exact in float32", DECIMAL),
    (
        "decimal_options",
        "the same for noise, both norms, two inner steps and the optimizers",
        {
            **DECIMAL,
            "noise": True,
            "l2": 0.03,
            "inner_l2": 0.07,
            "inner_steps": 2,
            "optimizers": DECIMAL_RULES,
        },
    ),
    ("decimal_classes", "the same for three classes", {**DECIMAL, "classes": 3}),
    (
        "three_equal",
        "three equal environments: six meta-losses whose mean is rounded",
        EQUAL | {"first_seed": 5},
    ),
    ("three_equal_again", "the same with other numbers", EQUAL | {"first_seed": 22}),
    (
        "three_equal_classes",
        "the same with three classes",
        EQUAL | {"classes": 3, "first_seed": 10},
    ),
    (
        "three_equal_zero_logits",
        "meta-losses of log 10, whose mean is rounded",
        {
            "prepare": equal_with_zero_logits,
            "n": (8, 8, 8),
            "classes": 10,
            "inner_lr": 0.0,
        },
    ),
    ("six_equal", "six equal environments, thirty meta-losses", {**EQUAL, "n": (9,) * 6}),
    (
        "sigma_zero_large_weight",
        "1024 sigma = 0: sqrt(variance + 1e-12) is seen",
        {"prepare": one_environment_twice, "std_weight": 1024.0},
    ),
    (
        "huge_logits",
        "|logit| = 1000, 100 and 60, a third on the wrong side",
        {"prepare": huge_logits, "inner_lr": 2.0**-10, **LINEAR},
    ),
    (
        "huge_logits_classes",
        "logits of 1000, 100 and 60 for three classes",
        {"prepare": huge_logits, "inner_lr": 2.0**-10, "classes": 3, **LINEAR},
    ),
    *(
        (
            f"steps_of_{name}",
            f"trajectories of {name}",
            {"objective": name, "optimizers": BOTH, "l2": 0.0625, **LINEAR},
        )
        for name in ("erm", "irmv1", "v_rex", "mm_rex")
    ),
    (
        "200_steps",
        "trajectories of 200 steps",
        {"optimizers": (SGD | {"lr": 0.03125}, ADAM), "steps": 200, **LINEAR},
    ),
]
GOLDEN = {"v1": V1, "v2": V1 + NEW}

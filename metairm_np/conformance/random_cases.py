"""Random cases, drawn such that the backend takes them."""

import numpy as np

from metairm_np.conformance import cases
from metairm_np.conformance.offer import declined
from metairm_np.conformance.stages import STAGES
from metairm_np.conformance.vectors import build

OPTIONS = {  # what a backend may decline, in its simplest form
    "inner_steps": {"inner_steps": 2},
    "inner_l2": {"inner_l2": 0.1},
    "noise": {"noise": True},
    "same_env": {"same_env": True},
    "pairs": {"pairs": [(0, 1)]},
    "l2": {"l2": 0.1},
    "classes": {"classes": 3},
}
PLAIN = [  # from the usual on: a backend may be for one number of layers, or for classes alone
    {"hidden": hidden, "classes": classes}
    for classes in (2, 3)
    for hidden in ((4,), (5, 4), (), (5, 4, 3))
]
TRIES = 50  # for each case


def draw_options(integer):
    """Draw the options of `build` for a random case; integer(low, high) draws a number.

    Most numbers are not exact in float32, and arrays are not where `exact` says so.
    """

    def choice(*options):
        return options[integer(0, len(options) - 1)]

    n_envs = integer(2, 4)
    options = {
        "hidden": tuple(integer(1, 6) for _ in range(integer(0, 3))),
        "d": integer(1, 6),
        "n": tuple(choice(integer(1, 15), integer(1, 15), 70) for _ in range(n_envs)),
        "exact": choice(False, True),
        "inner_lr": integer(0, 16) / 10,
        "std_weight": integer(0, 16) / 10,
        "penalty_weight": 1.1 * 2.0 ** integer(-2, 5),
        "lambda_min": integer(-8, 1) / 10,
    }
    every = [(i, j) for i in range(n_envs) for j in range(n_envs) if i != j]
    kind = choice("all", "same_env", "pairs")
    rare = {  # each left out where it would be the default
        "classes": choice(2, 3, 5),
        "noise": choice(False, True),
        "inner_steps": choice(1, 1, 2, 3, 8),
        "inner_l2": choice(0.0, 0.1),
        "l2": choice(0.0, 0.06),
        "same_env": kind == "same_env",
        "pairs": [choice(*every) for _ in range(integer(1, 4))] if kind == "pairs" else [],
    }
    default = {"classes": 2, "inner_steps": 1}
    return options | {
        key: value for key, value in rare.items() if value and value != default.get(key)
    }


def takes(backend, case, dtype="float64"):
    """Return whether a backend answers a case's meta_irm, rightly or wrongly."""
    try:
        STAGES["meta_irm"].ask(backend, case.astype(dtype))
    except Exception as error:
        return not declined(error, backend)
    return True


def plain_options(backend):
    """Return the options of the first plain case whose meta_irm a backend takes, or None."""
    return next((plain for plain in PLAIN if takes(backend, cases.build("plain", **plain))), None)


def unknown_options(backend):
    """Return the options that a backend declines; those of a backend without meta-IRM are none."""
    plain = plain_options(backend)
    if plain is None:
        return []
    return [
        name
        for name, option in OPTIONS.items()
        if not takes(backend, cases.build("option", **plain | option))
    ]


def random_cases(number, seed, backend):
    """Return random cases that a backend takes, fewer where they are hard to find.

    Every tenth has trajectories, which are expensive.
    """
    rng, unknown, found = np.random.default_rng(seed), unknown_options(backend), []
    any_will_do = plain_options(backend) is None

    def integer(low, high):
        return int(rng.integers(low, high, endpoint=True))

    for _ in range(number * TRIES):
        if len(found) == number:
            break
        options = draw_options(integer)
        options = {key: value for key, value in options.items() if key not in unknown}
        k = len(found)
        optimizers = cases.BOTH if k % 10 == 9 else ()
        case = build(f"random_{k}", "random", optimizers=optimizers, **options)
        if any_will_do or takes(backend, case):
            found.append(case)
    return found

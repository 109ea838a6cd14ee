"""What is asked of a backend, stage by stage, and how far an answer may be off."""

import zlib

import numpy as np

from metairm_np.conformance.backends import Spec, copy_of_spec, numbers
from metairm_np.conformance.cases import STEPS, named

# ---- the questions -------------------------------------------------------------------------------


def logits(backend, case):
    """Ask for f_theta(x) on each environment."""
    return {f"env{e}": backend.logits(case.params, env.x) for e, env in enumerate(case.envs)}


def risk(backend, case):
    """Ask for R^e on each environment, by `risk`, or else as the ERM objective of one environment."""
    if hasattr(backend, "risk"):
        return {f"env{e}": backend.risk(case.params, env) for e, env in enumerate(case.envs)}
    return {
        f"env{e}": backend.value_and_grad("erm", case.params, [env])[0]
        for e, env in enumerate(case.envs)
    }


def gradient(backend, case):
    """Ask for the gradient of R^e on each environment, that of the ERM objective of one environment."""
    answer = {}
    for e, env in enumerate(case.envs):
        answer |= named(backend.value_and_grad("erm", case.params, [env])[1], f"env{e}_")
    return answer


def objective(name, **changed):
    """Return the question of the value and the gradient of an objective."""

    def ask(backend, case):
        value, gradient = backend.value_and_grad(
            name, case.params, case.envs, **{**case.hyper(name), **changed}
        )
        return {"value": value, **named(gradient)}

    return ask


def hessian_vector_product(backend, case):
    """Ask for H v on each environment."""
    answer = {}
    for e, env in enumerate(case.envs):
        answer |= named(backend.hessian_vector_product(case.params, env, case.vector), f"env{e}_")
    return answer


def adapt(backend, case):
    """Ask for theta'_i after each number of inner steps (Eq. 3)."""
    answer = {}
    for i, env in enumerate(case.envs):
        inner = case.inner(i)
        for t in range(1, inner.get("inner_steps", 1) + 1):
            answer |= named(
                backend.adapt(case.params, env, **{**inner, "inner_steps": t}), f"env{i}_step{t}_"
            )
    return answer


def meta_losses(backend, case):
    """Ask for the meta-losses in order (Eq. 4)."""
    given = {key: value for key, value in case.meta.items() if key != "std_weight"}
    return {"meta_losses": backend.meta_losses(case.params, case.envs, **given)}


def trajectory(optimizer):
    """Return the question of the changes of the parameters at each of the first steps of meta-IRM under an optimizer."""

    def ask(backend, case):
        rule = next(rule for rule in case.optimizers if rule["name"] == optimizer)
        path = backend.train_steps(
            "meta_irm", case.params, case.envs, rule, STEPS, **case.hyper("meta_irm")
        )
        points = [named(theta) for theta in [case.params, *path]]
        return {
            key: np.diff([np.asarray(point[key], np.float64) for point in points], axis=0)
            for key in points[0]
        }

    return ask


STAGES = {
    "logits": logits,
    "risk": risk,
    "gradient": gradient,
    "erm": objective("erm"),
    "irmv1": objective("irmv1"),
    "v_rex": objective("v_rex"),
    "mm_rex": objective("mm_rex"),
    "hessian_vector_product": hessian_vector_product,
    "adapt": adapt,
    "meta_losses": meta_losses,
    "meta_irm_first_order": objective("meta_irm", first_order=True),
    "meta_irm_without_sigma": objective("meta_irm", std_weight=0.0),
    "meta_irm": objective("meta_irm"),
    "sgd": trajectory("sgd"),
    "adam": trajectory("adam"),
}
NEEDS = {
    name: name for name in ("logits", "hessian_vector_product", "adapt", "meta_losses")
}  # stage: optional function
TRAJECTORIES = ("sgd", "adam")  # a hundred times as dear as the other stages
NEEDS |= dict.fromkeys(TRAJECTORIES, "train_steps")


def stages_of(case):
    """Return the names of the stages that a case has, in order."""
    rules = {rule["name"] for rule in case.optimizers}
    return [stage for stage in STAGES if stage not in TRAJECTORIES or stage in rules]


# ---- the answers ---------------------------------------------------------------------------------


def irmv1_penalties(engine, case):
    """Return the penalty in Eq. 2 of each environment."""
    return {f"env{e}": engine.irmv1_penalty(case.params, env) for e, env in enumerate(case.envs)}


def sigma(engine, case):
    """Return sigma (Eq. 5) and w_ij, the derivative of the braces of Eq. 6 by the meta-loss R_j(theta'_i)."""
    L = meta_losses(engine, case)["meta_losses"]
    s = engine.sigma(L)
    slope = (L - np.mean(L)) / (len(L) * s) if s > 0 else np.zeros(len(L))
    return {"sigma": s, "w": 1 + case.meta["std_weight"] * slope}


EXTRA = {
    "irmv1_penalties": irmv1_penalties,
    "sigma": sigma,
}  # in the golden files, not asked of backends


def answers(case, engine=None, stages=None):
    """Return the answers of the spec, or a copy of it, to some stages of a case or all and the extras: {stage: {name: array}}."""
    engine = engine or Spec()
    found = {
        stage: STAGES[stage](engine, case)
        for stage in stages_of(case)
        if stages is None or stage in stages
    }
    found |= {
        extra: EXTRA[extra](engine, case) for extra in EXTRA if stages is None or extra in stages
    }
    return {
        stage: {key: np.asarray(part, np.float64) for key, part in parts.items()}
        for stage, parts in found.items()
    }


# ---- how far an answer may be off ----------------------------------------------------------------

TOLERANCES = {  # stage: units of rounding, and why as many
    "logits": (16, "a chain of dot products"),
    "risk": (16, "the logits' rounding and a mean"),
    "gradient": (32, "forward and backward pass"),
    "erm": (32, "sums of risks and gradients"),
    "irmv1": (32, "the penalty's own derivative besides"),
    "v_rex": (32, "differences of risks, in the scale"),
    "mm_rex": (32, "as erm"),
    "hessian_vector_product": (32, "two passes forward and two backward"),
    "adapt": (32, "a gradient a step"),
    "meta_losses": (32, "the inner steps' rounding carried into a risk"),
    "meta_irm_first_order": (64, "inner steps, then a gradient at theta'"),
    "meta_irm_without_sigma": (64, "inner steps, a gradient at theta', and the way back"),
    "meta_irm": (64, "the same, weighted by differences of meta-losses"),
    "sgd": (64, "ten steps, each with its own rounding"),
    "adam": (
        128,
        "as sgd; a gradient's rounding is divided by epsilon where the gradient is small",
    ),
    "irmv1_penalties": (32, "the square of a mean"),
    "sigma": (64, "differences of meta-losses, in the scale"),
}
NUDGE = 2.0**-30
NUDGES = 2


def nudge(seed, shape, content):
    """Draw numbers up to `NUDGE`, the same for the same content, so that equal environments stay equal."""
    return NUDGE * np.random.default_rng([seed, zlib.crc32(content.tobytes())]).uniform(
        -1, 1, shape
    )


def nudged_answers(case, seed, stages):
    """Return the answers after rounding far coarser than that of float64.

    Each input and each risk is moved by a random share of itself, and each sample's loss as if its
    slope and its curvature by the logits were rounded at the scale of 1, as p - y and p (1 - p)
    are.
    """
    copy = copy_of_spec()
    original = copy.cross_entropy

    def cross_entropy(f, y):
        slope, curvature, share = (
            nudge(seed, f.shape, y),
            nudge(seed + 1, f.shape, y),
            nudge(seed, (), y),
        )
        return (1 + share) * original(f, y) + np.sum(slope * f + curvature * f * f / 2) / len(y)

    copy.cross_entropy = cross_entropy

    def move(a):
        return a * (1 + nudge(seed, a.shape, a))

    return answers(case.map(move, lambda value: float(move(np.float64(value)))), copy, stages)


def scales(case, right):
    """Return the scale of rounding of each array of `right`, the spec's answers: {stage: {name: float}}.

    It is the largest entry plus the most that any entry moves under coarse rounding, over the
    coarseness. Cancellation and ill-conditioning show in it by themselves. A trajectory's steps are
    differences of parameters; their size counts, too.
    """
    moved = [nudged_answers(case, seed, right) for seed in range(NUDGES)]
    largest = {
        name: float(np.abs(part).max(initial=0)) for name, part in named(case.params).items()
    }
    found = {}
    for stage, parts in right.items():
        found[stage] = {}
        for name, part in parts.items():
            shift = max(np.abs(other[stage][name] - part).max(initial=0) for other in moved) / NUDGE
            own = largest[name] if stage in TRAJECTORIES else 0.0
            found[stage][name] = float(f"{np.abs(part).max(initial=0) + shift + own:.3g}")
    return found


def margin(case):
    """Return the distance from 0 of the nearest input of a hidden unit, exact zeros apart, over all points that stages visit."""
    copy, nearest = copy_of_spec(), [np.inf]
    original = copy.logits

    def watched(params, x):
        h = numbers(x)
        for W, b in params[:-1]:
            a = h @ numbers(W) + numbers(b)
            nearest[0] = min(nearest[0], np.abs(a[a != 0]).min(initial=np.inf))
            h = np.maximum(a, 0)
        return original(params, x)

    copy.logits = watched
    for stage in ("adapt", "meta_losses", *TRAJECTORIES):
        if stage in stages_of(case):
            STAGES[stage](copy, case)
    return nearest[0]

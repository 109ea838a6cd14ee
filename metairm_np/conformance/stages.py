"""What is asked of a backend, stage by stage, and how far an answer may be off."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import autograd.numpy as anp
import numpy as np

from metairm_np import spec
from metairm_np.conformance import replies
from metairm_np.conformance.backends import Spec, copy_of_spec, numbers
from metairm_np.conformance.cases import named


class Stage(NamedTuple):
    """A question, ask(backend, case) -> {name: array}, and how its answer is compared."""

    ask: Callable
    what: str
    units: int  # how many units of rounding an answer may be off,
    reason: str  # and why as many
    needs: str = "value_and_grad"  # the backend's function that answers


# ---- the questions -------------------------------------------------------------------------------


PAIR = "value_and_grad"


def each_env(answer_of):
    """Return the question of answer_of(backend, case, env), an array or arrays by name."""

    def ask(backend, case):
        found = {}
        for e, env in enumerate(case.envs):
            answer = answer_of(backend, case, env)
            parts = answer if isinstance(answer, dict) else {"": answer}
            found |= {f"env{e}_{name}" if name else f"env{e}": part for name, part in parts.items()}
        return found

    return ask


def logits(backend, case, env):
    """Return f_theta(x)."""
    shape = (len(env), len(case.params[-1][1]))
    return replies.fitted(replies.array(backend.logits(case.params, env.x), "logits"), shape)


def risk(backend, case, env):
    """Return R^e by the backend's `risk`, or else as the ERM objective of one environment."""
    if hasattr(backend, "risk"):
        return replies.number(backend.risk(case.params, env), "risk")
    return replies.number(replies.two(backend.value_and_grad("erm", case.params, [env]), PAIR)[0])


def gradient(backend, case, env):
    """Return grad R^e, the gradient of ERM on one environment."""
    _, answer = replies.two(backend.value_and_grad("erm", case.params, [env]), PAIR)
    return replies.layers(answer, case.params)


def irmv1_penalty(backend, case, env):
    """Return the penalty in Eq. 2."""
    return replies.number(backend.irmv1_penalty(case.params, env), "the penalty")


def hessian_vector_product(backend, case, env):
    """Return H v."""
    product = backend.hessian_vector_product(case.params, env, case.vector)
    return replies.layers(product, case.params, what="the product")


def objective(name, **changed):
    """Return the question of the value and the gradient of an objective."""

    def ask(backend, case):
        hyper = case.hyper(name) | changed
        answer = backend.value_and_grad(name, case.params, case.envs, **hyper)
        value, gradient = replies.two(answer, PAIR)
        return {"value": replies.number(value), **replies.layers(gradient, case.params)}

    return ask


def adapt(backend, case):
    """Ask for theta'_i after each number of inner steps (Eq. 3)."""
    answer = {}
    for i, env in enumerate(case.envs):
        inner = case.inner(i)
        for t in range(1, inner.get("inner_steps", 1) + 1):
            theta = backend.adapt(case.params, env, **inner | {"inner_steps": t})
            answer |= replies.layers(theta, case.params, f"env{i}_step{t}_", "theta'")
    return answer


def meta_losses(backend, case):
    """Ask for the meta-losses in order (Eq. 4)."""
    given = {key: value for key, value in case.meta.items() if key != "std_weight"}
    L = backend.meta_losses(case.params, case.envs, **given)
    return {"meta_losses": of_pairs(L, case, "meta_losses")}


def of_pairs(values, case, what):
    """Return one number for each pair (i, j)."""
    pairs = case.meta.get("pairs") or spec.all_pairs(
        len(case.envs), case.meta.get("same_env", False)
    )
    return replies.fitted(replies.array(values, what), (len(pairs),))


def trajectory(optimizer):
    """Return the question of the parameters' changes at each of the first steps."""

    def ask(backend, case):
        rule = next(rule for rule in case.optimizers if rule["name"] == optimizer)
        path = backend.train_steps(
            case.objective, case.params, case.envs, rule, case.steps, **case.hyper(case.objective)
        )
        points = [named(case.params)]
        points += [replies.layers(theta, case.params, what="theta") for theta in path]
        return {
            key: np.diff([np.asarray(point[key], np.float64) for point in points], axis=0)
            for key in points[0]
        }

    return ask


def sigma(backend, case):
    """Ask for sigma (Eq. 5) and w_ij, the derivative of Eq. 6 by the meta-loss R_j(theta'_i)."""
    answer = backend.sigma_and_weights(case.params, case.envs, **case.meta)
    s, w = replies.two(answer, "sigma_and_weights")
    return {"sigma": replies.number(s, "sigma"), "w": of_pairs(w, case, "w")}


STAGES = {
    "logits": Stage(
        each_env(logits),
        "f_theta(x) on each environment",
        16,
        "a chain of dot products",
        "logits",
    ),
    "risk": Stage(each_env(risk), "R^e on each environment", 16, "the logits' rounding and a mean"),
    "gradient": Stage(
        each_env(gradient),
        "grad R^e on each environment",
        32,
        "forward and backward pass",
    ),
    "erm": Stage(objective("erm"), "value and gradient of ERM", 32, "sums of risks and gradients"),
    "irmv1_penalties": Stage(
        each_env(irmv1_penalty),
        "the penalty in Eq. 2 of each environment",
        32,
        "the square of a mean",
        "irmv1_penalty",
    ),
    "irmv1": Stage(objective("irmv1"), "of IRMv1", 32, "the penalty's own derivative besides"),
    "v_rex": Stage(objective("v_rex"), "of V-REx", 32, "differences of risks, in the scale"),
    "mm_rex": Stage(objective("mm_rex"), "of MM-REx", 32, "as erm"),
    "hessian_vector_product": Stage(
        each_env(hessian_vector_product),
        "H v on each environment",
        32,
        "two passes forward and two backward",
        "hessian_vector_product",
    ),
    "adapt": Stage(
        adapt, "theta'_i after 1, 2, ... inner steps (Eq. 3)", 32, "a gradient a step", "adapt"
    ),
    "meta_losses": Stage(
        meta_losses,
        "R_j(theta'_i) in order (Eq. 4)",
        32,
        "the inner steps' rounding carried into a risk",
        "meta_losses",
    ),
    "sigma": Stage(
        sigma,
        "sigma (Eq. 5), and the weight w_ij of each meta-loss in the gradient",
        64,
        "differences of meta-losses, in the scale",
        "sigma_and_weights",
    ),
    "meta_irm_first_order": Stage(
        objective("meta_irm", first_order=True),
        "value and gradient with `first_order=True`",
        64,
        "inner steps, then a gradient at theta'",
    ),
    "meta_irm_without_sigma": Stage(
        objective("meta_irm", std_weight=0.0),
        "with `std_weight=0`",
        64,
        "inner steps, a gradient at theta', and the way back",
    ),
    "meta_irm": Stage(
        objective("meta_irm"),
        "of the braces of Eq. 6",
        64,
        "the same, weighted by differences of meta-losses",
    ),
    "sgd": Stage(
        trajectory("sgd"),
        "change of the parameters at each of ten steps, or more, SGD with momentum",
        64,
        "ten steps, each with its own rounding",
        "train_steps",
    ),
    "adam": Stage(
        trajectory("adam"),
        "the same under Adam",
        128,
        "as sgd; a gradient's rounding is divided by epsilon where the gradient is small",
        "train_steps",
    ),
}
REQUIRED = ("meta_irm_without_sigma", "meta_irm")  # unless the user says otherwise
TRAJECTORIES = ("sgd", "adam")  # a hundred times as expensive as the other stages


def stages_of(case):
    """Return the names of the stages that a case has, in order."""
    rules = {rule["name"] for rule in case.optimizers}
    return [stage for stage in STAGES if stage not in TRAJECTORIES or stage in rules]


# ---- the answers ---------------------------------------------------------------------------------


def answers(case, engine=None, stages=None):
    """Return {stage: {name: array}}, what the spec, or a copy of it, answers to a case.

    `stages` are some or, by default, all.
    """
    engine = engine or Spec()
    return {
        stage: {
            key: np.asarray(part, np.float64)
            for key, part in STAGES[stage].ask(engine, case).items()
        }
        for stage in stages_of(case)
        if stages is None or stage in stages
    }


# ---- how far an answer may be off ----------------------------------------------------------------


def allowed(stage, dtype):
    """Return the largest difference that a stage may show, in units of the scale."""
    return STAGES[stage].units * float(np.finfo(dtype).eps)


NUDGE = 2.0**-30
NUDGES = 2


def nudge(seed, shape, content):
    """Draw numbers up to `NUDGE`, the same for the same content: equal environments stay equal."""
    rng = np.random.default_rng([seed, zlib.crc32(content.tobytes())])
    return NUDGE * rng.uniform(-1, 1, shape)


def mm_rex_of_ties(copy):
    """Return MM-REx in which risks nearer than 2^-20 tie, so that a nudge does not part them."""

    def mm_rex(params, envs, lambda_min):
        R = copy.risks(params, envs)
        known = numbers(R)
        tied = known >= np.max(known) - 2.0**-20 * np.abs(known).max()
        largest = anp.dot(tied / np.sum(tied), R)
        return (1 - len(envs) * lambda_min) * largest + lambda_min * anp.sum(R)

    return mm_rex


def nudged_answers(case, seed, stages):
    """Return the answers after rounding far coarser than that of float64.

    Each input and each risk is moved by a random share of itself, and each sample's loss as if its
    slope and its curvature by the logits were rounded at the scale of 1, as p - y and p (1 - p)
    are. Risks that tie stay tied.
    """
    copy = copy_of_spec()
    copy.mm_rex = mm_rex_of_ties(copy)
    copy.OBJECTIVES["mm_rex"] = copy.mm_rex
    original = copy.cross_entropy

    def cross_entropy(f, y):
        slope, curvature = nudge(seed, f.shape, y), nudge(seed + 1, f.shape, y)
        share = nudge(seed, (), y)
        return (1 + share) * original(f, y) + np.sum(slope * f + curvature * f * f / 2) / len(y)

    copy.cross_entropy = cross_entropy

    def move(a):
        return a * (1 + nudge(seed, a.shape, a))

    return answers(case.map(move, lambda value: float(move(np.float64(value)))), copy, stages)


def scales(case, right):
    """Return {stage: {name: float}}, the scale of each array of `right`, the spec's answers.

    It is the largest entry plus the most that any entry moves under coarse rounding, over the
    coarseness. Cancellation and ill-conditioning show in it by themselves. A trajectory's steps are
    differences of parameters, and sigma is one of meta-losses; their size counts, too.
    """
    moved = [nudged_answers(case, seed, right) for seed in range(NUDGES)]
    terms = {stage: named(case.params) for stage in TRAJECTORIES}
    if "sigma" in right:
        terms["sigma"] = {"sigma": meta_losses(Spec(), case)["meta_losses"]}
    found = {}
    for stage, parts in right.items():
        found[stage] = {}
        for name, part in parts.items():
            shift = max(np.abs(other[stage][name] - part).max(initial=0) for other in moved) / NUDGE
            own = np.abs(terms.get(stage, {}).get(name, 0.0)).max()
            found[stage][name] = float(f"{np.abs(part).max(initial=0) + shift + own:.3g}")
    return found


def margin(case):
    """Return how near hidden units come to their kinks, where they are not exactly at them.

    All points theta that the stages visit count.
    """
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
            STAGES[stage].ask(copy, case)
    return nearest[0]

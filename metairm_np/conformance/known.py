"""What is known of a mistake that has no name: where it shows, where not, and how to see it."""

import textwrap

import numpy as np

from metairm_np.conformance.cases import Case
from metairm_np.conformance.evidence import ROOM
from metairm_np.conformance.stages import TRAJECTORIES

WIDTH = 100
ASKED_AGAIN = 5  # outcomes, in the other dtype


def options(case: Case):
    """Return what can be said of a case, {text: bool}."""
    meta, sizes = case.meta, [len(env) for env in case.envs]
    equal = all(np.array_equal(env.x, case.envs[0].x) for env in case.envs[1:])
    biased = case.params[-1][0].shape[1] > 1
    return {
        "environments are not equal": not equal,
        "environments are equal": equal,
        "inner_steps > 1": meta.get("inner_steps", 1) > 1,
        "inner_steps = 1": meta.get("inner_steps", 1) == 1,
        "pairs is given": "pairs" in meta,
        "same_env is given": bool(meta.get("same_env")),
        "gradient_noise is given": "gradient_noise" in meta,
        "l2 > 0": case.l2 > 0,
        "inner_l2 > 0": meta.get("inner_l2", 0.0) > 0,
        "inner_lr > 0": meta["inner_lr"] > 0,
        "there is one output": not biased,
        "there are several outputs": biased,
        "there are hidden layers": len(case.params) > 1,
        "there are two hidden layers or more": len(case.params) > 2,
        "there are more than two environments": len(sizes) > 2,
        "environments have different numbers of samples": len({*sizes}) > 1,
        "an environment has more than 30 samples": max(sizes) > 30,
    }


def what_is_known(evidence):
    """Return lines about what differs: which checks, what they share, and the smallest to paste."""
    wrong = [o for o in evidence.outcomes if not o.ok]
    unusable = [o for o in wrong if o.answer is None]
    answered = [o for o in wrong if o.answer is not None and o.differences] or wrong
    stage = answered[0].stage
    facts = [f"the first wrong stage is {stage}"]
    first = [o for o in answered if o.stage == stage]
    right = [o for o in evidence.outcomes if o.ok and o.stage == stage]
    facts.append(where(evidence, first, right, stage))
    facts += [sizes(answered)] if answered[0].differences else []
    facts += in_other_dtype(evidence, first)
    if unusable:
        facts.append(f"{len(unusable)} checks have no usable answer: {unusable[0].problem}")
    lines = ["What is known:"]
    for fact in facts:
        lines += textwrap.wrap(fact, WIDTH, initial_indent="- ", subsequent_indent="  ")
    smallest = min(first, key=lambda o: simplicity(evidence, o))
    return [*lines, "", "The smallest check that differs, to paste:", "", *code(evidence, smallest)]


def where(evidence, wrong, right, stage):
    """Return in which cases a stage is wrong."""
    said = [options(evidence.solved(o).case) for o in wrong]
    unsaid = [options(evidence.solved(o).case) for o in right]
    if not right:
        return f"{stage} is wrong in every case"
    shared = [text for text in said[0] if all(known[text] for known in said)]
    exactly = [text for text in shared if not any(known[text] for known in unsaid)]
    if exactly:
        return f"{stage} is wrong exactly where {', which is where '.join(exactly[:2])}"
    both = [
        f"{one} and {other}"
        for k, one in enumerate(shared)
        for other in shared[k + 1 :]
        if not any(known[one] and known[other] for known in unsaid)
    ]
    if both:
        return f"{stage} is wrong exactly where {both[0]}"
    telling = [text for text in shared if not all(known[text] for known in unsaid)]
    if telling:
        return f"{stage} is wrong only where {' and '.join(telling)}, but not everywhere there"
    return f"{stage} is wrong in {len(wrong)} of {len(wrong) + len(right)} cases"


def sizes(wrong):
    """Return what the differences have in common."""
    valued = [o for o in wrong if "value" in o.differences]
    largest = max((o.largest for o in wrong), default=np.inf)
    size = f", off by {largest:.1e} of the scale at most" if np.isfinite(largest) else ", or NaN"
    if valued and all(o.differences["value"] <= o.allowed for o in valued):
        return "values are right, gradients are wrong" + size
    gradients = [
        o.differences[key] <= o.allowed for o in valued for key in o.differences if key != "value"
    ]
    if valued and all(gradients):
        return "gradients are right, values are wrong" + size
    return "answers are wrong" + size


def in_other_dtype(evidence, wrong):
    """Return whether the same is wrong in the other dtype, a list of at most one sentence."""
    other = "float32" if evidence.dtype == "float64" else "float64"
    cheap = sorted(wrong, key=evidence.cost)[:ASKED_AGAIN]
    again = [evidence.ask(evidence.solved(o), o.stage, other) for o in cheap]
    if all(o.ok for o in again):
        return [f"only in {evidence.dtype}: in {other} the same checks are right"]
    return []


# ---- the smallest check --------------------------------------------------------------------------


def simplicity(evidence, outcome):
    """Return the key by which the simplest outcome is the smallest."""
    case = evidence.solved(outcome).case
    return (
        case.name.startswith("random_"),
        outcome.largest <= ROOM * outcome.allowed,
        len(case.meta) + (case.l2 > 0),
        evidence.cost(outcome),
    )


def keywords(given):
    """Return keywords as they are written in a call."""
    return "".join(
        f', {key}=case.meta["gradient_noise"]' if key == "gradient_noise" else f", {key}={value!r}"
        for key, value in given.items()
    )


def call(outcome, case):
    """Return the call that answers an outcome, without the engine."""
    stage = outcome.stage
    wrong = [key for key, size in outcome.differences.items() if not size <= outcome.allowed]
    e = wrong[0][3:].partition("_")[0] if wrong and wrong[0].startswith("env") else 0
    one, every = f"case.params, case.envs[{e}]", "case.params, case.envs"
    inner = {key: value for key, value in case.meta.items() if key != "std_weight"}
    calls = {
        "logits": f"logits({one}.x)",
        "risk": f"risk({one})",
        "gradient": f'value_and_grad("erm", case.params, [case.envs[{e}]])',
        "irmv1_penalties": f"irmv1_penalty({one})",
        "hessian_vector_product": f"hessian_vector_product({one}, case.vector)",
        "adapt": f"adapt({one}, **case.inner({e}))",
        "meta_losses": f"meta_losses({every}{keywords(inner)})",
        "sigma": f"sigma_and_weights({every}{keywords(case.meta)})",
    }
    if stage in TRAJECTORIES:
        rule = next(rule for rule in case.optimizers if rule["name"] == stage)
        given = f"{rule!r}, {case.steps}{keywords(case.hyper(case.objective))}"
        return f'train_steps("{case.objective}", {every}, {given})'
    changed = {
        "meta_irm_first_order": {"first_order": True},
        "meta_irm_without_sigma": {"std_weight": 0.0},
    }
    name = "meta_irm" if stage.startswith("meta_irm") else stage
    given = keywords(case.hyper(name) | changed.get(stage, {})) if stage not in calls else ""
    return calls.get(stage) or f'value_and_grad("{name}", {every}{given})'


def code(evidence, outcome):
    """Return the lines that compare the backend with the spec in one check."""
    case = evidence.solved(outcome).case
    if case.name.startswith("random_"):
        return [f"(a random case, {case.name}: take it from `random_cases` with the same seed)"]
    asked = call(outcome, case)
    dtype = "" if evidence.dtype == "float64" else f'.astype("{evidence.dtype}")'
    return [
        "from metairm_np.conformance import Spec, vectors",
        f'case = vectors.load()["{case.name}"].case{dtype}  # {case.note}',
        f"print(Spec().{asked})",
        f"print(backend.{asked})",
    ]

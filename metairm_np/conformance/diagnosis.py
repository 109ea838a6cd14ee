"""Which known mistakes a backend has: those whose answers are the backend's, all of them."""

from dataclasses import dataclass, field

import numpy as np

from metairm_np.conformance.backends import Spec
from metairm_np.conformance.evidence import ROOM, apart
from metairm_np.conformance.search import explanations, spec_with
from metairm_np.conformance.stages import STAGES, TRAJECTORIES

AGAIN = 3  # outcomes of a stage that are looked at where all would be too expensive


@dataclass
class Finding:
    """A named mistake.

    Attributes
    ----------
    name, cause, remedy : str
    explains : list of str
        The checks, "case/stage", that differ and in which the mistake shows.
    number : str
        The number in it, such as "c = 0.5", or "".
    alike : list of str
        Other mistakes, or several, "A + B", that explain as much.
    """

    name: str
    cause: str
    remedy: str
    explains: list
    number: str = ""
    alike: list = field(default_factory=list)


def diagnosis(evidence):
    """Return the mistakes that together explain all that differs, or none.

    What is seen without knowing any mistake, such as inputs that were changed, is named in any
    case.
    """
    remaining, findings = [o for o in evidence.outcomes if not o.ok], []
    for search in (changes_inputs, is_random):
        found = search(evidence, remaining)
        findings += found
        remaining = unexplained(remaining, found)
    findings += (
        with_rounded_sigma(evidence, remaining)
        or wrong_equations(evidence, remaining)
        or in_lower_precision(evidence, remaining)
    )
    for finding in findings:
        finding.explains = [f"{o.case}/{o.stage}" for o in finding.explains]
    return findings


def unexplained(remaining, findings):
    """Return the outcomes that no finding explains."""
    return [o for o in remaining if not any(o in finding.explains for finding in findings)]


def some(outcomes):
    """Return a few outcomes with an answer of each stage: the first, the last, one between."""
    found = []
    for stage in dict.fromkeys(o.stage for o in outcomes):
        own = [o for o in outcomes if o.stage == stage and o.answer is not None]
        found += [own[k] for k in sorted({0, len(own) // 2, len(own) - 1}) if own]
    return found


# ---- equations written wrongly -------------------------------------------------------------------


def wrong_equations(evidence, remaining):
    """Return the findings of the catalogue's mistakes that explain all that remains, or none."""
    found = explanations(evidence, remaining)
    if not found:
        return []
    chosen = found[0]
    remedies = {c.mistake.remedy for c in chosen}
    alike = [
        " + ".join(c.mistake.name for c in other)
        for other in found[1:]
        if {c.mistake.remedy for c in other} != remedies  # or else it makes no difference
    ]
    whole, findings = spec_with(*chosen), []
    explained = [o for o in remaining if evidence.fits(whole, o)]
    for choice in chosen:
        m = choice.mistake
        shown = [o for o in explained if evidence.shows(spec_with(choice), o)]
        findings.append(Finding(m.name, m.cause, m.remedy, shown, choice.number, alike))
    return findings


def with_rounded_sigma(evidence, remaining):
    """Return the finding that equal meta-losses have a sigma above 0, and what explains the rest.

    The mean of equal numbers may be rounded, and the derivative of the root of what is left is not
    0. Which multiple of the right gradient comes out cannot be predicted.
    """
    rounded = [o for o in remaining if is_multiple_of_right(evidence, o)]
    rest = [o for o in remaining if o not in rounded]
    found = wrong_equations(evidence, rest) if rounded else []
    if not rounded or (rest and not found):
        return []
    return found + [
        Finding(
            "sigma of equal meta-losses rounded above 0",
            "the mean of equal meta-losses is rounded, sigma is some 1e-17, and its derivative is "
            "not 0 but up to 1 / n for each meta-loss",
            "subtract the first meta-loss before the mean is taken: (L - L[0]).std()",
            rounded,
        )
    ]


def is_multiple_of_right(evidence, outcome):
    """Return whether environments are equal, the value right and the gradient c times the right."""
    solved = evidence.solved(outcome)
    case, right = solved.case, solved.answers[outcome.stage]
    equal = all(np.array_equal(env.x, case.envs[0].x) for env in case.envs)
    if outcome.stage != "meta_irm" or not equal or case.l2 or not outcome.differences:
        return False
    if outcome.differences["value"] > outcome.allowed:
        return False
    a, b = (
        np.concatenate([np.ravel(answer[key]) for key in right if key != "value"])
        for answer in (outcome.answer, right)
    )
    if not np.isfinite(a).all() or not b.any():
        return False
    c = a @ b / (b @ b)
    return np.abs(a - c * b).max() <= ROOM * outcome.allowed * np.abs(b).max() * max(1.0, abs(c))


# ---- what is not an equation ---------------------------------------------------------------------


def changes_inputs(evidence, remaining):
    """Return the finding that arrays of the caller are written to, or none."""
    changed = [o for o in remaining if o.problem.startswith("changed its input")]
    found = Finding(
        "inputs changed in place",
        "params or another input is updated in place (p -= lr * g, p.data), so that a later use of "
        "it sees other numbers",
        "work on copies, and make new arrays in each step",
        [o for o in changed if all(d <= o.allowed for d in o.differences.values())],
    )
    return [found] if changed else []


def is_random(evidence, remaining):
    """Return the finding that the same question has different answers, or none."""
    again = [o for o in some(remaining) if o.stage not in TRAJECTORIES]
    differ = []
    for o in again:
        solved = evidence.known[o.case]
        second = evidence.ask(solved, o.stage, evidence.dtype).answer or {}
        given = {key: s for key, s in solved.scales[o.stage].items() if key in o.answer}
        if (
            "when asked again" in o.problem
            or second.keys() != o.answer.keys()
            or apart(o.answer, second, given) > ROOM * o.allowed
        ):
            differ.append(o)
    if not differ:
        return []
    if all(
        "gradient_noise" in evidence.known[o.case].case.meta
        and o.differences.get("value", 0) <= o.allowed
        for o in remaining
    ):
        return [
            Finding(
                "noise resampled in the backward pass",
                "the DropGrad multipliers are drawn again for the gradient: values are right, "
                "gradients differ each time",
                "draw the multipliers once a step, and use the same in both passes",
                remaining,
            )
        ]
    return [
        Finding(
            "not deterministic",
            "the same question has different answers: noise that is drawn inside, dropout, or "
            "memory that is used again",
            "take every random number from the arguments",
            remaining if len(differ) == len(again) else differ,
        )
    ]


PRECISIONS = {  # name: (units of rounding, cause, remedy)
    "computes in float32": (
        (2.0**-23,),
        "float64 inputs are converted to float32 somewhere (a framework's default type, a float32 "
        "constant, x64 not enabled)",
        "convert nothing: torch.tensor(x, dtype=torch.float64), "
        "jax.config.update('jax_enable_x64', True)",
    ),
    "computes in half precision": (
        (2.0**-10, 2.0**-7),
        "products are taken in float16, bfloat16 or TF32 (autocast, "
        "torch.set_float32_matmul_precision, the default precision of JAX on accelerators)",
        "switch autocast off, and ask for the highest precision",
    ),
}
SAME_SIZE = 16  # rounding differs from rounding by no more than this factor, in the middle


def in_lower_precision(evidence, remaining):
    """Return the finding that all differs as it does by coarse rounding, or none.

    In every stage of a function in which anything differs, the differences are then those of the
    spec in float32, times the ratio of the units of rounding. Where a stage is right, or differs by
    much more or less, it is something else.
    """
    if not remaining or any(not o.differences for o in remaining):
        return []
    ratios = {}
    functions = {STAGES[o.stage].needs for o in remaining}
    asked = [o for o in evidence.outcomes if STAGES[o.stage].needs in functions]
    for o in some([o for o in asked if o.stage not in (*TRAJECTORIES, "risk")]):  # it may be apart
        ratios.setdefault(o.stage, []).append(o.largest / max(single(evidence, o), 2.0**-27))
    middle = [float(np.median(found)) for found in ratios.values()]
    if evidence.dtype == "float64" and middle:
        for name, (units, cause, remedy) in PRECISIONS.items():
            for unit in units:
                size = unit / 2.0**-23
                if all(size / SAME_SIZE <= ratio <= size * SAME_SIZE for ratio in middle):
                    return [Finding(name, cause, remedy, remaining)]
    return []


def single(evidence, outcome):
    """Return how much the spec in float32 differs from itself."""
    solved, stage = evidence.solved(outcome), outcome.stage
    with np.errstate(all="ignore"):
        answer = STAGES[stage].ask(Spec(), solved.case.astype("float32"))
    return apart(
        {key: np.asarray(part) for key, part in answer.items()},
        solved.answers[stage],
        solved.scales[stage],
    )

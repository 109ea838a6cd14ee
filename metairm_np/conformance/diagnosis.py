"""Which known mistake a backend has: the one whose answers are the backend's."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import STAGES, TRAJECTORIES, allowed

CLOSER = 0.1  # a mistake's answer has to be at least ten times as near as the right one
ROOM = 4  # and as near as this many times what a right answer may be off,
LEFT = 1e-3  # or leave no more than this share of the difference


@dataclass
class Finding:
    """A named mistake.

    Attributes
    ----------
    name, cause, remedy : str
    explains : list of str
        The checks, "case/stage", that differ and in which the backend answers as the mistake does.
    contradicted : list of str
        Those of the same stages in which the mistake would have shown and the backend answers
        otherwise, right or wrong.
    """

    name: str
    cause: str
    remedy: str
    explains: list
    contradicted: list

    @property
    def score(self):
        """How many more checks speak for the mistake than against it."""
        return len(self.explains) - len(self.contradicted)


@dataclass
class Evidence:
    """All that was asked of a backend.

    Attributes
    ----------
    known : dict of str to Solved
        The cases by name.
    outcomes : list of Outcome
        Without those that were left out.
    dtype : str
    ask : function (Solved, stage) -> Outcome
        Asks the backend again.
    """

    known: dict
    outcomes: list
    dtype: str
    ask: Callable

    def fits(self, mistaken, outcome):
        """Return whether a mistake explains a wrong outcome."""
        solved = self.known[outcome.case]
        return fits(outcome, solved, mistaken_answer(mistaken, solved, outcome.stage))

    def shows(self, mistaken, outcome):
        """Return whether a mistake's answer is not the right one."""
        solved, stage = self.known[outcome.case], outcome.stage
        answer = mistaken_answer(mistaken, solved, stage)
        shown = (
            np.inf if answer is None else apart(answer, solved.answers[stage], solved.scales[stage])
        )
        return shown > ROOM * outcome.allowed

    def contradicts(self, mistaken, outcome):
        """Return whether a mistake would have shown, and the backend answers otherwise."""
        return self.shows(mistaken, outcome) and not (
            not outcome.ok and self.fits(mistaken, outcome)
        )

    def finding(self, mistake, mistaken, remaining):
        """Return what a mistake explains of the remaining outcomes, and what contradicts it."""
        explained = [o for o in remaining if self.fits(mistaken, o)]
        stages = {o.stage for o in explained if o.answer is not None}
        contradicted = [
            o
            for o in self.outcomes
            if o.answer is not None and o.stage in stages and self.contradicts(mistaken, o)
        ]
        evident = bool(stages)  # that both raise an error is no evidence
        return Finding(
            mistake.name, mistake.cause, mistake.remedy, explained if evident else [], contradicted
        )


def diagnosis(known, outcomes, dtype, ask):
    """Return the mistakes that explain what differs, the one that explains most first.

    A mistake explains a check if its answer is the backend's; it is contradicted by a check of the
    same kind in which it would have shown and the backend answers otherwise. The one with the most
    checks explained beyond those that contradict it is named, then the next one for what is left;
    where no single mistake fits, two at once are tried.
    """
    known = {solved.case.name: solved for solved in known}
    evidence = Evidence(known, [o for o in outcomes if not o.left_out], dtype, ask)
    remaining, findings = [o for o in evidence.outcomes if not o.ok], []
    for search in (changes_inputs, is_random, wrong_equations, in_single_precision):
        found = search(evidence, remaining)
        findings += found
        remaining = unexplained(remaining, found)
    return merged(findings)


def unexplained(remaining, findings):
    """Return the outcomes that no finding explains."""
    return [o for o in remaining if not any(o in finding.explains for finding in findings)]


def merged(findings):
    """Return one finding for each name, as a mistake may be found alone and in company."""
    found = {}
    for f in findings:
        same = found.setdefault(f.name, Finding(f.name, f.cause, f.remedy, [], []))
        same.explains += [f"{o.case}/{o.stage}" for o in f.explains]
        same.contradicted += [f"{o.case}/{o.stage}" for o in f.contradicted]
    return list(found.values())


# ---- answers compared ----------------------------------------------------------------------------


@lru_cache(maxsize=100_000)
def mistaken_answer(mistaken, solved, stage):
    """Return what a mistake answers, or None if it raises an error."""
    try:
        with np.errstate(all="ignore"):
            answer = STAGES[stage].ask(mistaken, solved.case)
            return {key: np.asarray(part, np.float64) for key, part in answer.items()}
    except Exception:
        return None


def apart(answer, other, scales):
    """Return the largest difference of two answers in units of the scale, NaN equal to NaN.

    It is infinite if their shapes differ.
    """
    worst = 0.0
    for key, scale in scales.items():
        if key not in answer or np.shape(answer[key]) != np.shape(other[key]):
            return np.inf
        a, b = np.asarray(answer[key], np.float64), other[key]
        finite = np.isfinite(b)
        if not np.array_equal(np.isfinite(a), finite):
            return np.inf
        larger = np.abs(b[finite]).max(initial=scale) or 1.0
        worst = max(worst, float(np.abs(a[finite] - b[finite]).max(initial=0.0) / larger))
    return worst


def fits(outcome, solved, mistaken):
    """Return whether a wrong answer is the mistaken one, with almost nothing left unexplained."""
    if mistaken is None or outcome.answer is None:
        return mistaken is None and outcome.answer is None
    left = apart(outcome.answer, mistaken, solved.scales[outcome.stage])
    to_right = max(outcome.differences.values(), default=np.inf)
    if not np.isfinite(to_right):  # NaN, or another shape: how far off it is cannot be said
        return left <= ROOM * outcome.allowed
    return left <= CLOSER * to_right and left <= max(ROOM * outcome.allowed, LEFT * to_right)


# ---- equations written wrongly -------------------------------------------------------------------


def wrong_equations(evidence, remaining):
    """Return the findings of the catalogue's mistakes, those that explain most first."""
    findings = []
    while remaining:
        found = best(evidence, remaining) or two_at_once(evidence, remaining)
        if not found:
            break
        findings += found
        remaining = unexplained(remaining, found)
    return findings


def probes(wrong):
    """Return groups of a few wrong outcomes, those of the first stages first."""
    stages = list(dict.fromkeys(o.stage for o in wrong))
    for start in range(0, len(stages), 4):
        group = []
        for stage in stages[start : start + 4]:
            of_stage = [o for o in wrong if o.stage == stage and o.answer is not None]
            n = len(of_stage)
            group += [of_stage[k] for k in sorted({0, n // 2, n - 1}) if n]
        yield group


def best(evidence, remaining):
    """Return the finding that explains most of the remaining outcomes, or all that tie.

    Trajectories are expensive. The mistakes are chosen without them where anything else is wrong.
    """
    cheap = [o for o in remaining if o.stage not in TRAJECTORIES] or remaining
    every = [(mistake, b) for mistake in MISTAKES.values() for b in mistake.backends()]
    for group in probes(cheap):
        hits = [sum(evidence.fits(b, o) for o in group) for _, b in every]
        scores = {
            (mistake, b): evidence.finding(mistake, b, cheap).score
            for (mistake, b), hit in zip(every, hits)
            if hit and 2 * hit >= max(hits)
        }
        top = max(scores.values(), default=0)
        if top > 0:
            winners = {mistake: b for (mistake, b), score in scores.items() if score == top}
            return [evidence.finding(mistake, b, remaining) for mistake, b in winners.items()]
    return []


def two_at_once(evidence, remaining):
    """Return the findings of the two mistakes that together explain most, or none.

    Both edits are made in one copy of the spec. Only mistakes that change the answer to the first
    wrong check are paired.
    """
    cheap = [o for o in remaining if o.differences and o.stage not in TRAJECTORIES]
    if not cheap:
        return []
    active = [
        (mistake, edit)
        for mistake in MISTAKES.values()
        for edit, mistaken in zip(mistake.edits(), mistake.backends())
        if evidence.shows(mistaken, cheap[0])
    ]
    score, found = 0, []
    for (one, first), (other, second) in itertools.permutations(active, 2):
        both = changed_spec(first, second)
        if one is not other and evidence.fits(both, cheap[0]):
            new = evidence.finding(one, both, cheap).score
            if new > score:
                score, found = new, [(one, both), (other, both)]
    return [evidence.finding(mistake, both, remaining) for mistake, both in found]


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
        [],
    )
    return [found] if changed else []


def is_random(evidence, remaining):
    """Return the finding that the same question has different answers, or none."""
    again = [o for group in probes(remaining) for o in group if o.stage not in TRAJECTORIES]
    differ = []
    for o in again:
        solved = evidence.known[o.case]
        second = evidence.ask(solved, o.stage).answer or {}
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
                [],
            )
        ]
    return [
        Finding(
            "not deterministic",
            "the same question has different answers: noise that is drawn inside, dropout, or "
            "memory that is used again",
            "take every random number from the arguments",
            remaining if len(differ) == len(again) else differ,
            [],
        )
    ]


def in_single_precision(evidence, remaining):
    """Return the finding that all differs by about float32's rounding, or none.

    Much less in most checks, or most checks right, is something else.
    """
    if evidence.dtype != "float64" or not remaining:
        return []
    if any(not o.differences or o.largest > allowed(o.stage, "float32") for o in remaining):
        return []
    stages = {o.stage for o in remaining}
    asked = [o.largest for o in evidence.outcomes if o.stage in stages]
    if np.median(asked) < np.finfo(np.float32).eps / 64:
        return []
    return [
        Finding(
            "computes in float32",
            "float64 inputs are converted to float32 somewhere (a framework's default type, a "
            "float32 constant, x64 not enabled)",
            "convert nothing: torch.tensor(x, dtype=torch.float64), "
            "jax.config.update('jax_enable_x64', True)",
            remaining,
            [],
        )
    ]

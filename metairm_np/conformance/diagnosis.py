"""Which known mistake a backend has: the one whose answers are the backend's."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metairm_np.conformance.asking import allowed, ask
from metairm_np.conformance.mistakes import MISTAKES, changed_spec
from metairm_np.conformance.stages import STAGES, TRAJECTORIES

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
        Those of the same stages in which the mistake would have shown and the backend is right.
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


@lru_cache(maxsize=100_000)
def mistaken_answer(backend, solved, stage):
    """Return what a mistake answers, or None if it raises an error."""
    try:
        with np.errstate(all="ignore"):
            return {
                key: np.asarray(part, np.float64)
                for key, part in STAGES[stage](backend, solved.case).items()
            }
    except Exception:
        return None


def apart(answer, other, scales):
    """Return the largest difference of two answers in units of the scale, NaN equal to NaN; infinite if their shapes differ."""
    worst = 0.0
    for key, scale in scales.items():
        if key not in answer or np.shape(answer[key]) != np.shape(other[key]):
            return np.inf
        a, b = np.asarray(answer[key], np.float64), other[key]
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return np.inf
        finite = np.isfinite(b)
        larger = np.abs(b[finite]).max(initial=scale) or 1.0
        worst = max(worst, float(np.abs(a[finite] - b[finite]).max(initial=0.0) / larger))
    return worst


def fits(outcome, solved, mistaken):
    """Return whether a wrong answer is the one that a mistake gives, and leaves almost nothing unexplained."""
    if mistaken is None or outcome.answer is None:
        return mistaken is None and outcome.answer is None
    left = apart(outcome.answer, mistaken, solved.scales[outcome.stage])
    to_right = max(outcome.differences.values(), default=np.inf)
    return (
        np.isfinite(left)
        and left <= CLOSER * to_right
        and left <= max(ROOM * outcome.allowed, LEFT * to_right)
    )


class Evidence:
    """All that was asked of a backend, and how the known mistakes would have answered."""

    def __init__(self, known, outcomes):
        self.known = {solved.case.name: solved for solved in known}
        self.outcomes = [o for o in outcomes if not o.left_out]
        self.wrong = [o for o in self.outcomes if not o.ok]

    def fits(self, backend, outcome):
        """Return whether a mistake explains a wrong outcome."""
        solved = self.known[outcome.case]
        return fits(outcome, solved, mistaken_answer(backend, solved, outcome.stage))

    def contradicts(self, backend, outcome):
        """Return whether a mistake would have shown where the outcome is right."""
        solved = self.known[outcome.case]
        mistaken = mistaken_answer(backend, solved, outcome.stage)
        shown = (
            np.inf
            if mistaken is None
            else apart(mistaken, solved.answers[outcome.stage], solved.scales[outcome.stage])
        )
        return shown > ROOM * outcome.allowed

    def finding(self, mistake, backend, remaining):
        """Return what a mistake explains of the remaining wrong outcomes, and what contradicts it."""
        explained = [o for o in remaining if self.fits(backend, o)]
        stages = {o.stage for o in explained if o.answer is not None}
        contradicted = [
            o for o in self.outcomes if o.ok and o.stage in stages and self.contradicts(backend, o)
        ]
        evident = any(
            o.answer is not None for o in explained
        )  # that both raise an error is no evidence
        return Finding(
            mistake.name, mistake.cause, mistake.remedy, explained if evident else [], contradicted
        )


def probes(wrong):
    """Return groups of a few wrong outcomes, those of the first stages first."""
    stages = list(dict.fromkeys(o.stage for o in wrong))
    for start in range(0, len(stages), 4):
        group = []
        for stage in stages[start : start + 4]:
            of_stage = [o for o in wrong if o.stage == stage and o.answer is not None]
            group += (
                [of_stage[k] for k in sorted({0, len(of_stage) // 2, len(of_stage) - 1})]
                if of_stage
                else []
            )
        yield group


def best(evidence, remaining):
    """Return the findings that explain most of the remaining wrong outcomes: one, or several that fit equally well, or none.

    Trajectories are dear. The mistakes are chosen without them where anything else is wrong.
    """
    cheap = [o for o in remaining if o.stage not in TRAJECTORIES] or remaining
    for group in probes(cheap):
        hits = {
            (m, b): sum(evidence.fits(b, o) for o in group)
            for m in MISTAKES.values()
            for b in m.backends()
        }
        most = max(hits.values())
        found = {
            key: evidence.finding(*key, cheap)
            for key, hit in hits.items()
            if hit and 2 * hit >= most
        }
        top = max((f.score for f in found.values()), default=0)
        if top > 0:
            winners = {
                mistake: backend for (mistake, backend), f in found.items() if f.score == top
            }
            return [
                evidence.finding(mistake, backend, remaining)
                for mistake, backend in winners.items()
            ]
    return []


def two_at_once(evidence, remaining):
    """Return the findings of the two mistakes that together explain most of the remaining wrong outcomes, or none.

    Both edits are made in one copy of the spec. Only mistakes that change the answer to the first
    wrong check are paired.
    """
    cheap = [o for o in remaining if o.answer is not None and o.stage not in TRAJECTORIES]
    if not cheap:
        return []
    probe, found = cheap[0], []
    active = [
        (mistake, edit)
        for mistake in MISTAKES.values()
        for edit, backend in zip(mistake.edits(), mistake.backends())
        if evidence.contradicts(backend, probe)
    ]
    for (one, first), (other, second) in itertools.permutations(active, 2):
        both = changed_spec(first, second)
        if one is not other and evidence.fits(both, probe):
            found.append((evidence.finding(one, both, cheap).score, one, other, both))
    if not found:
        return []
    score, one, other, both = max(found, key=lambda each: each[0])
    return (
        [evidence.finding(mistake, both, remaining) for mistake in (one, other)]
        if score > 0
        else []
    )


def diagnosis(backend, known, outcomes, dtype):
    """Name the mistakes that explain what differs, the one that explains most first.

    A mistake explains a check if its answer is the backend's; it is contradicted by a check of the
    same kind that the backend passes and the mistake would not. The one with the most checks
    explained beyond those that contradict it is named, then the next one for what is left; where no
    single mistake fits, two at once are tried.
    """
    evidence = Evidence(known, outcomes)
    remaining, findings = list(evidence.wrong), []
    for special in (changes_inputs, is_random):
        found = special(backend, evidence, remaining, dtype)
        if found:
            findings.append(found)
            remaining = [o for o in remaining if o not in found.explains]
    while remaining:
        found = best(evidence, remaining) or two_at_once(evidence, remaining)
        if not found:
            break
        findings += found
        remaining = [o for o in remaining if not any(o in f.explains for f in found)]
    single = in_single_precision(evidence, remaining, dtype)
    if single:
        findings.append(single)
    return merged(findings)


def merged(findings):
    """Return one finding for each name, with the names of its checks; a mistake may be found alone and in company."""
    found = {}
    for f in findings:
        same = found.setdefault(f.name, Finding(f.name, f.cause, f.remedy, [], []))
        same.explains += [f"{o.case}/{o.stage}" for o in f.explains]
        same.contradicted += [f"{o.case}/{o.stage}" for o in f.contradicted]
    return list(found.values())


# ---- what is not an equation ---------------------------------------------------------------------


def changes_inputs(backend, evidence, remaining, dtype):
    """Find that arrays of the caller are written to."""
    changed = [o for o in remaining if o.problem.startswith("changed its input")]
    return changed and Finding(
        "inputs changed in place",
        "params or another input is updated in place (p -= lr * g, p.data), so that a later use of it sees other numbers",
        "work on copies, and make new arrays in each step",
        [o for o in changed if max(o.differences.values()) <= o.allowed],
        [],
    )


def is_random(backend, evidence, remaining, dtype):
    """Find that the same question has different answers."""
    again = [o for group in probes(remaining) for o in group if o.stage not in TRAJECTORIES]
    differ = []
    for o in again:
        solved = evidence.known[o.case]
        second = ask(backend, solved, o.stage, dtype).answer
        if second is None or apart(o.answer, second, solved.scales[o.stage]) > ROOM * o.allowed:
            differ.append(o)
    if not differ:
        return None
    with_noise = [o for o in remaining if "gradient_noise" in evidence.known[o.case].case.meta]
    if len(with_noise) == len(remaining) and all(
        o.differences.get("value", 0) <= o.allowed for o in remaining
    ):
        return Finding(
            "noise resampled in the backward pass",
            "the DropGrad multipliers are drawn again for the gradient: values are right, gradients differ each time",
            "draw the multipliers once a step, and use the same in both passes",
            remaining,
            [],
        )
    return Finding(
        "not deterministic",
        "the same question has different answers: noise that is drawn inside, dropout, or memory that is used again",
        "take every random number from the arguments",
        remaining if len(differ) == len(again) else differ,
        [],
    )


def in_single_precision(evidence, remaining, dtype):
    """Find that all that differs does so by no more than float32's rounding."""
    if dtype != "float64" or not remaining:
        return None
    if any(not o.differences or o.largest > allowed(o.stage, "float32") for o in remaining):
        return None
    return Finding(
        "computes in float32",
        "float64 inputs are converted to float32 somewhere (a framework's default type, a float32 constant, x64 not enabled)",
        "convert nothing: torch.tensor(x, dtype=torch.float64), jax.config.update('jax_enable_x64', True)",
        remaining,
        [],
    )

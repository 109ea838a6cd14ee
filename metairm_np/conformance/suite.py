"""The suite: what is asked of a backend, and whether its answers are right."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from tqdm import tqdm

from metairm_np import _checks
from metairm_np.conformance import vectors
from metairm_np.conformance.diagnosis import diagnosis
from metairm_np.conformance.evidence import Evidence, apart
from metairm_np.conformance.known import what_is_known
from metairm_np.conformance.offer import as_backend, declined, name_of, offered
from metairm_np.conformance.random_cases import random_cases
from metairm_np.conformance.replies import UnusableError
from metairm_np.conformance.report import Report
from metairm_np.conformance.stages import REQUIRED, STAGES, TRAJECTORIES, allowed, stages_of

STEADY = 2  # units of rounding, between two answers to the same question

# ---- one question --------------------------------------------------------------------------------


@dataclass(eq=False)
class Outcome:
    """One question asked of a backend.

    Attributes
    ----------
    case, stage : str
    allowed : float
        The largest difference that passes.
    answer : dict of str to array, or None
        The backend's, None if that could not be used.
    differences : dict of str to float
        The largest difference of each array in units of its scale; infinite where it is NaN.
    problem : str
        Why there is no usable answer: an exception, a wrong shape, a changed input.
    left_out : bool
        Whether the backend does not offer it, see `metairm_np.conformance.offer.declined`.
    """

    case: str
    stage: str
    allowed: float
    answer: dict | None = None
    differences: dict = field(default_factory=dict)
    problem: str = ""
    left_out: bool = False

    @property
    def largest(self):
        """The largest difference."""
        return np.inf if self.problem else max(self.differences.values(), default=0.0)

    @property
    def ok(self):
        """Whether the answer is right."""
        return self.largest <= self.allowed


def ask(backend, solved, stage, dtype="float64"):
    """Return the Outcome of one question about one case; the backend gets inputs of its own."""
    case = solved.case.astype(dtype)
    outcome = Outcome(case.name, stage, allowed(stage, dtype))
    try:
        answer = STAGES[stage].ask(backend, case)
        outcome.answer = {key: np.asarray(part) for key, part in answer.items()}
    except Exception as error:
        outcome.problem = declined(error, backend)
        outcome.left_out = bool(outcome.problem)
        if not outcome.left_out:
            text = told(error)
            changed = changed_input(case, solved, dtype)
            outcome.problem = f"{changed}, then {text}" if changed else text
        return outcome
    for key, part in outcome.answer.items():
        if part.dtype.kind not in "fiu":
            outcome.answer, outcome.problem = None, f"{key} has dtype {part.dtype}, not {dtype}"
            return outcome
    right, scale = solved.answers[stage], solved.scales[stage]
    outcome.problem = misfit(outcome.answer, right)
    if not outcome.problem:
        outcome.differences = {
            key: difference(outcome.answer[key], right[key], scale[key]) for key in right
        }
        outcome.problem = changed_input(case, solved, dtype)
    if not outcome.problem and is_asked_twice(case, stage):
        outcome.problem = unsteady(backend, solved, stage, dtype, outcome.answer)
    return outcome


def told(error):
    """Return what an error says, with its type unless it is of an answer that cannot be used."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UnusableError) else f"raised {type(error).__name__}: {text}"


def is_asked_twice(case, stage):
    """Return whether a question is: every fourth or so, and all with noise, as chance hides there.

    Trajectories are too expensive.
    """
    chosen = zlib.crc32(f"{case.name}/{stage}".encode()) % 4 == 0
    return stage not in TRAJECTORIES and (chosen or "gradient_noise" in case.meta)


def unsteady(backend, solved, stage, dtype, first):
    """Return how far off the answer is when the same is asked again, or ""."""
    try:
        answer = STAGES[stage].ask(backend, solved.case.astype(dtype))
        second = {key: np.asarray(part) for key, part in answer.items()}
        size = apart(second, first, solved.scales[stage])
    except Exception as error:
        return f"raised {type(error).__name__} when asked again: {' '.join(str(error).split())}"
    if size <= STEADY * np.finfo(dtype).eps:
        return ""
    return f"answered otherwise when asked again: {size:.1e} of its scale"


def difference(answer, right, scale):
    """Return the largest difference in units of the scale, infinite if anything is NaN."""
    worst = np.abs(np.asarray(answer, np.float64) - right).max(initial=0.0)
    if np.isnan(worst):
        return np.inf
    return float(worst / scale) if scale else (0.0 if worst == 0 else np.inf)


def misfit(answer, right):
    """Return in which array of an answer the name or the shape is wrong, or ""."""
    odd = sorted(answer.keys() ^ right.keys())
    if odd:
        return f"missing or too many arrays: {', '.join(odd)}"
    for key, part in answer.items():
        if part.shape != right[key].shape:
            return f"{key} has shape {part.shape}, not {right[key].shape}"
    return ""


@lru_cache(maxsize=1000)
def contents(solved, dtype):
    """Return what a backend is given, by name."""
    return solved.case.astype(dtype).contents()


def changed_input(case, solved, dtype):
    """Return which input was changed, or ""."""
    before, after = contents(solved, dtype), case.contents()
    for key in before:
        if key not in after or not same(before[key], after[key]):
            return f"changed its input {key} in place"
    return ""


def same(one, other):
    """Return whether two arrays, numbers, lists or dicts are equal."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return repr(one) == repr(other)


# ---- all questions -------------------------------------------------------------------------------


def check_backend(
    backend: Any | Callable,
    dtype: str = "float64",
    *,
    cases: Sequence[str] | None = None,
    random: int = 0,
    seed: int = 0,
    require: Sequence[str] = REQUIRED,
    golden: str = vectors.LATEST,
    diagnose: bool = True,
    progress: bool = False,
) -> Report:
    """Compare a backend with the spec on the golden cases, and on random ones.

    Parameters
    ----------
    backend : object, class or function
        An object or a module with `value_and_grad(name, params, envs, **hyper)`, and whichever it
        has of the functions in docs/conformance.md; a class that makes one without arguments; or a
        function or another object that can be called, which is taken as `value_and_grad`. All take
        and return NumPy arrays.
    dtype : {"float64", "float32"}, default "float64"
        Of the inputs; what may differ is scaled accordingly.
    cases : sequence of str, optional
        The golden cases to take, default all.
    random : int >= 0, default 0
        How many random cases to add, drawn such that the backend takes them.
    seed : int, default 0
        Of the random cases.
    require : sequence of str, default ("meta_irm_without_sigma", "meta_irm")
        The stages without an answer to which the backend does not pass.
    golden : {"v1", "v2"}, default "v2"
        Which golden vectors.
    diagnose : bool, default True
        Whether to look for the mistake behind what differs.
    progress : bool, default False
        Whether to show a bar, on terminals only.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        If `backend` is none, there is no such case, or another argument is out of range.
    """
    _checks.dtype(dtype)
    _checks.count("random", random, 0)
    _checks.count("seed", seed, 0)
    _checks.choice("version of the golden vectors", golden, vectors.FOLDERS)
    backend, dtype, start = as_backend(backend), np.dtype(dtype).name, time.perf_counter()
    solved_cases, stages = vectors.load(vectors.FOLDERS[golden]), offered(backend)
    chosen = list(solved_cases) if cases is None else list(cases)
    for name in chosen:
        _checks.choice("case", name, solved_cases)
    for name in require:
        _checks.choice("stage", name, STAGES)
    known = [solved_cases[name] for name in chosen]
    if random:
        known += map(vectors.solve, random_cases(random, seed, backend))
    questions = [
        (solved, stage) for stage in stages for solved in known if stage in stages_of(solved.case)
    ]
    bar = tqdm(questions, unit="check", leave=False, disable=None if progress else True)
    outcomes = [ask(backend, solved, stage, dtype) for solved, stage in bar]
    missing = sorted({stage.needs for name, stage in STAGES.items() if name not in stages})
    report = Report(name_of(backend), dtype, outcomes, missing, list(require), random)
    if diagnose and report.wrong:
        by_name = {solved.case.name: solved for solved in known}
        evidence = Evidence(by_name, report.answered, dtype, lambda *asked: ask(backend, *asked))
        report.findings = diagnosis(evidence)
        report.known = [] if report.findings else what_is_known(evidence)
    report.seconds = round(time.perf_counter() - start, 3)
    return report

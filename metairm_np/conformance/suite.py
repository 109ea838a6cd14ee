"""The suite: what is asked of a backend, and whether its answers are right."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from metairm_np import _checks
from metairm_np.conformance import vectors
from metairm_np.conformance.diagnosis import diagnosis
from metairm_np.conformance.report import Report
from metairm_np.conformance.stages import STAGES, allowed, stages_of

# ---- the backend ---------------------------------------------------------------------------------


class OnlyValueAndGrad:
    """A function as a backend that offers nothing else."""

    def __init__(self, function):
        self.name, self.value_and_grad = f"{function.__module__}.{function.__qualname__}", function


def as_backend(given):
    """Return the backend that an object is, or that a function `value_and_grad` makes."""
    if inspect.isroutine(given):
        return OnlyValueAndGrad(given)
    if isinstance(given, type) or not callable(getattr(given, "value_and_grad", None)):
        raise TypeError(
            f"{given!r} is no backend; give the function value_and_grad(name, params, envs, "
            "**hyper) or an object that has it, see docs/conformance.md"
        )
    return given


def name_of(backend):
    """Return a backend's own name, or that of its module or class."""
    names = (getattr(backend, "name", None), getattr(backend, "__name__", None))
    return str(names[0] or names[1] or type(backend).__name__)


def offered(backend):
    """Return the stages that a backend has the functions for."""
    return [name for name, stage in STAGES.items() if callable(getattr(backend, stage.needs, None))]


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
        Whether the backend raised NotImplementedError.
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
    except NotImplementedError as error:
        outcome.left_out, outcome.problem = True, str(error) or "not implemented"
        return outcome
    except Exception as error:
        outcome.problem = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
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
        outcome.problem = changed_input(case, solved.case, dtype)
    return outcome


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


def changed_input(case, original, dtype):
    """Return which input array was written to, or ""."""
    before = original.astype(dtype).arrays()
    names = [key for key, part in case.arrays().items() if not np.array_equal(part, before[key])]
    return f"changed its input {names[0]} in place" if names else ""


# ---- all questions -------------------------------------------------------------------------------


def check_backend(
    backend: Any | Callable,
    dtype: str = "float64",
    *,
    cases: Sequence[str] | None = None,
    random: int = 0,
    seed: int = 0,
    diagnose: bool = True,
    progress: bool = False,
) -> Report:
    """Compare a backend with the spec on the golden cases, and on random ones.

    Parameters
    ----------
    backend : object or function
        An object or a module with `value_and_grad(name, params, envs, **hyper)`, and whichever it
        has of `logits`, `risk`, `adapt`, `meta_losses`, `hessian_vector_product` and `train_steps`;
        or a function, which is taken as `value_and_grad`. docs/conformance.md has the signatures.
        All take and return NumPy arrays.
    dtype : {"float64", "float32"}, default "float64"
        Of the inputs; what may differ is scaled accordingly.
    cases : sequence of str, optional
        The golden cases to take, default all.
    random : int >= 0, default 0
        How many random cases to add.
    seed : int, default 0
        Of the random cases.
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
    backend, dtype, start = as_backend(backend), np.dtype(dtype).name, time.perf_counter()
    golden, stages = vectors.load(), offered(backend)
    chosen = list(golden) if cases is None else list(cases)
    for name in chosen:
        _checks.choice("case", name, golden)
    known = [golden[name] for name in chosen]
    known += map(vectors.solve, vectors.random_cases(random, seed))
    questions = [
        (solved, stage) for stage in stages for solved in known if stage in stages_of(solved.case)
    ]
    bar = tqdm(questions, unit="check", leave=False, disable=None if progress else True)
    outcomes = [ask(backend, solved, stage, dtype) for solved, stage in bar]
    missing = sorted({stage.needs for name, stage in STAGES.items() if name not in stages})
    report = Report(name_of(backend), dtype, outcomes, missing)
    if diagnose and report.wrong:
        report.findings = diagnosis(
            known, outcomes, dtype, lambda solved, stage: ask(backend, solved, stage, dtype)
        )
    report.seconds = round(time.perf_counter() - start, 3)
    return report

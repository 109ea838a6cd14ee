"""One question asked of a backend, and how far its answer is off."""

from dataclasses import dataclass, field

import numpy as np

from metairm_np.conformance.stages import STAGES, TOLERANCES


@dataclass(eq=False)
class Outcome:
    """One question asked of a backend.

    Attributes
    ----------
    case, stage : str
    answer : dict of str to array, or None
        What the backend gave, None if that could not be used.
    differences : dict of str to float
        The largest difference of each array in units of its scale; infinite where it is NaN.
    allowed : float
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


def allowed(stage, dtype):
    """Return the largest difference that a stage may show, in units of the scale: units times eps."""
    return TOLERANCES[stage][0] * float(np.finfo(dtype).eps)


def difference(answer, right, scale):
    """Return the largest difference in units of the scale, infinite if anything is NaN."""
    worst = np.abs(np.asarray(answer, np.float64) - right).max(initial=0.0)
    if np.isnan(worst):
        return np.inf
    return float(worst / scale) if scale else (0.0 if worst == 0 else np.inf)


def ask(backend, solved, stage, dtype="float64"):
    """Ask a backend one question about one case, with inputs of its own.

    Returns
    -------
    Outcome
    """
    case = solved.case.astype(dtype)
    outcome = Outcome(case.name, stage, allowed(stage, dtype))
    try:
        outcome.answer = {
            key: np.asarray(part) for key, part in STAGES[stage](backend, case).items()
        }
    except NotImplementedError as error:
        outcome.left_out, outcome.problem = True, str(error) or "not implemented"
        return outcome
    except Exception as error:
        outcome.problem = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
        return outcome
    right, scale = solved.answers[stage], solved.scales[stage]
    outcome.problem = misfit(outcome.answer, right, dtype)
    if not outcome.problem:
        outcome.differences = {
            key: difference(outcome.answer[key], right[key], scale[key]) for key in right
        }
        outcome.problem = changed_input(case, solved.case, dtype)
    return outcome


def misfit(answer, right, dtype):
    """Say in which array of an answer the name, shape or type is wrong, or give ""."""
    if answer.keys() != right.keys():
        odd = sorted(answer.keys() ^ right.keys())
        return f"gave other arrays than asked for: {', '.join(odd)} {'is' if len(odd) == 1 else 'are'} missing or too many"
    for key, part in answer.items():
        if part.shape != right[key].shape:
            return f"{key} has shape {part.shape}, not {right[key].shape}"
        if part.dtype.kind not in "fiu":
            return f"{key} has dtype {part.dtype}, not {dtype}"
    return ""


def changed_input(case, original, dtype):
    """Say which input array was written to, or give ""."""
    before = original.astype(dtype).arrays()
    names = [key for key, part in case.arrays().items() if not np.array_equal(part, before[key])]
    return f"changed its input {names[0]} in place" if names else ""

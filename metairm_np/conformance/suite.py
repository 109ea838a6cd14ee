"""The suite: what a backend answers, compared with the spec, stage by stage."""

import inspect
import platform
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from metairm_np import checks
from metairm_np.conformance import vectors
from metairm_np.conformance.stages import NEEDS, STAGES, TOLERANCES, stages_of
from metairm_np.version import __version__


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
    """Give the largest difference that a stage may show, in units of the scale: units times eps."""
    return TOLERANCES[stage][0] * float(np.finfo(dtype).eps)


def difference(answer, right, scale):
    """Give the largest difference in units of the scale, infinite if anything is NaN."""
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
        outcome.answer = {key: np.asarray(part) for key, part in STAGES[stage](backend, case).items()}
    except NotImplementedError as error:
        outcome.left_out, outcome.problem = True, str(error) or "not implemented"
        return outcome
    except Exception as error:
        outcome.problem = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
        return outcome
    right, scale = solved.answers[stage], solved.scales[stage]
    outcome.problem = misfit(outcome.answer, right, dtype)
    if not outcome.problem:
        outcome.differences = {key: difference(outcome.answer[key], right[key], scale[key]) for key in right}
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


@dataclass
class Report:
    """What `check_backend` found.

    Attributes
    ----------
    backend, dtype : str
    outcomes : list of Outcome
    missing : list of str
        Optional functions that the backend does not offer.
    findings : list of metairm_np.conformance.diagnosis.Finding
        Named mistakes, the one that explains most first.
    seconds : float
    """

    backend: str
    dtype: str
    outcomes: list
    missing: list
    findings: list = field(default_factory=list)
    seconds: float = 0.0

    @property
    def wrong(self):
        """The outcomes that differ."""
        return [o for o in self.outcomes if not o.ok and not o.left_out]

    @property
    def left_out(self):
        """The outcomes of what the backend says it does not implement."""
        return [o for o in self.outcomes if o.left_out]

    @property
    def ran(self):
        """Whether the backend answered anything at all."""
        return any(o.answer is not None for o in self.outcomes)

    @property
    def passed(self):
        """Whether the backend answered, and everything it answered is right."""
        return self.ran and not self.wrong

    @property
    def stages(self):
        """[(name, ok, max_difference)] in order; differences in units of each array's scale."""
        rows = []
        for stage in STAGES:
            asked = [o for o in self.outcomes if o.stage == stage and not o.left_out]
            if asked:
                rows.append((stage, all(o.ok for o in asked), max(o.largest for o in asked)))
        return rows

    @property
    def diagnosis(self):
        """The names of the mistakes found."""
        return [finding.name for finding in self.findings]

    def as_dict(self):
        """Give everything but the answers, as plain values for JSON."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "passed": self.passed,
            "stages": [
                {"name": name, "ok": ok, "max_difference": largest, "allowed": allowed(name, self.dtype)}
                for name, ok, largest in self.stages
            ],
            "diagnosis": [vars(finding) for finding in self.findings],
            "wrong": [
                {"case": o.case, "stage": o.stage, "differences": o.differences, "allowed": o.allowed, "problem": o.problem}
                for o in self.wrong
            ],
            "left_out": [{"case": o.case, "stage": o.stage, "reason": o.problem} for o in self.left_out],
            "not_offered": self.missing,
            "seconds": self.seconds,
            "versions": {"metairm_np": __version__, "numpy": np.__version__, "python": platform.python_version()},
        }


class OnlyValueAndGrad:
    """A function as a backend that offers nothing else."""

    def __init__(self, function):
        self.name, self.value_and_grad = f"{function.__module__}.{function.__qualname__}", function


def as_backend(given):
    """Give the backend that an object is, or that a function `value_and_grad` makes.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if inspect.isroutine(given):
        return OnlyValueAndGrad(given)
    if isinstance(given, type) or not callable(getattr(given, "value_and_grad", None)):
        raise TypeError(
            f"{given!r} is no backend; give the function value_and_grad(name, params, envs, **hyper) or an object that has it, "
            "see docs/conformance.md"
        )
    return given


def offered(backend):
    """Give the stages that a backend has the functions for."""
    return [stage for stage in STAGES if stage not in NEEDS or callable(getattr(backend, NEEDS[stage], None))]


def check_backend(backend, dtype="float64", *, cases=None, random=0, seed=0, diagnose=True, progress=False):
    """Compare a backend with the spec on the golden cases, and on random ones.

    Parameters
    ----------
    backend : object or function
        An object or a module with `value_and_grad(name, params, envs, **hyper)`, and whichever it has of `logits`, `risk`,
        `adapt`, `meta_losses`, `hessian_vector_product` and `train_steps`; or a function, which is taken as `value_and_grad`.
        docs/conformance.md gives the signatures. All take and give NumPy arrays.
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
    checks.dtype(dtype)
    checks.count("random", random, 0)
    checks.count("seed", seed, 0)
    backend, dtype, start = as_backend(backend), np.dtype(dtype).name, time.perf_counter()
    stages = offered(backend)
    chosen = list(vectors.load()) if cases is None else list(cases)
    for name in chosen:
        checks.choice("case", name, vectors.load())
    known = [*(vectors.load()[name] for name in chosen), *map(vectors.solve, vectors.random_cases(random, seed))]
    questions = [(solved, stage) for stage in stages for solved in known if stage in stages_of(solved.case)]
    bar = tqdm(questions, unit="check", leave=False, disable=None if progress else True)
    outcomes = [ask(backend, solved, stage, dtype) for solved, stage in bar]
    missing = sorted({need for need in NEEDS.values() if not callable(getattr(backend, need, None))})
    report = Report(name_of(backend), dtype, outcomes, missing)
    if diagnose and report.wrong:
        from metairm_np.conformance.diagnosis import diagnosis  # the catalogue is needed only here

        report.findings = diagnosis(backend, known, outcomes, dtype)
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def name_of(backend):
    """Give a backend's own name, or that of its module or class."""
    return str(getattr(backend, "name", None) or getattr(backend, "__name__", None) or type(backend).__name__)

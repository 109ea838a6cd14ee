"""The suite: everything asked of a backend, and the report."""

import inspect
import platform
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from metairm_np import _checks
from metairm_np._version import __version__
from metairm_np.conformance import vectors
from metairm_np.conformance.asking import allowed, ask
from metairm_np.conformance.diagnosis import diagnosis
from metairm_np.conformance.stages import NEEDS, STAGES, stages_of


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
        """Return everything but the answers, as plain values for JSON."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "passed": self.passed,
            "stages": [
                {
                    "name": name,
                    "ok": ok,
                    "max_difference": largest,
                    "allowed": allowed(name, self.dtype),
                }
                for name, ok, largest in self.stages
            ],
            "diagnosis": [vars(finding) for finding in self.findings],
            "wrong": [
                {
                    "case": o.case,
                    "stage": o.stage,
                    "differences": o.differences,
                    "allowed": o.allowed,
                    "problem": o.problem,
                }
                for o in self.wrong
            ],
            "left_out": [
                {"case": o.case, "stage": o.stage, "reason": o.problem} for o in self.left_out
            ],
            "not_offered": self.missing,
            "seconds": self.seconds,
            "versions": {
                "metairm_np": __version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


class OnlyValueAndGrad:
    """A function as a backend that offers nothing else."""

    def __init__(self, function):
        self.name, self.value_and_grad = f"{function.__module__}.{function.__qualname__}", function


def as_backend(given):
    """Return the backend that an object is, or that a function `value_and_grad` makes.

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
    """Return the stages that a backend has the functions for."""
    return [
        stage
        for stage in STAGES
        if stage not in NEEDS or callable(getattr(backend, NEEDS[stage], None))
    ]


def check_backend(
    backend, dtype="float64", *, cases=None, random=0, seed=0, diagnose=True, progress=False
):
    """Compare a backend with the spec on the golden cases, and on random ones.

    Parameters
    ----------
    backend : object or function
        An object or a module with `value_and_grad(name, params, envs, **hyper)`, and whichever it
        has of `logits`, `risk`, `adapt`, `meta_losses`, `hessian_vector_product` and `train_steps`;
        or a function, which is taken as `value_and_grad`. docs/conformance.md gives the signatures.
        All take and give NumPy arrays.
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
    stages = offered(backend)
    chosen = list(vectors.load()) if cases is None else list(cases)
    for name in chosen:
        _checks.choice("case", name, vectors.load())
    known = [
        *(vectors.load()[name] for name in chosen),
        *map(vectors.solve, vectors.random_cases(random, seed)),
    ]
    questions = [
        (solved, stage) for stage in stages for solved in known if stage in stages_of(solved.case)
    ]
    bar = tqdm(questions, unit="check", leave=False, disable=None if progress else True)
    outcomes = [ask(backend, solved, stage, dtype) for solved, stage in bar]
    missing = sorted({NEEDS[stage] for stage in STAGES if stage not in stages})
    report = Report(name_of(backend), dtype, outcomes, missing)
    if diagnose and report.wrong:
        report.findings = diagnosis(backend, known, outcomes, dtype)
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def name_of(backend):
    """Return a backend's own name, or that of its module or class."""
    return str(
        getattr(backend, "name", None)
        or getattr(backend, "__name__", None)
        or type(backend).__name__
    )

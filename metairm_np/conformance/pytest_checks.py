"""The suite as pytest tests, one for each question, and random cases by hypothesis.

Both are imported where they are used, since the rest of the suite does without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from metairm_np.conformance import cases
from metairm_np.conformance.offer import as_backend, name_of, offered
from metairm_np.conformance.random_cases import draw_options, unknown_options
from metairm_np.conformance.report import arrays_table, finding_text
from metairm_np.conformance.stages import REQUIRED, margin, stages_of
from metairm_np.conformance.suite import ask, check_backend
from metairm_np.conformance.vectors import LEAST_MARGIN, load, solve

DIAGNOSED: list[tuple] = []  # (backend, dtype, text); a backend need not be hashable


def findings(backend, dtype):
    """Return the whole suite's diagnosis of a backend, as text; it takes some seconds, once."""
    for known, its_dtype, text in DIAGNOSED:
        if known is backend and its_dtype == dtype:
            return text
    report = check_backend(backend, dtype)
    found = list(map(finding_text, report.findings))
    text = "\n".join(found or ["no known mistake explains it", *report.known])
    DIAGNOSED.append((backend, dtype, text))
    return text


class Check:
    """One question, a case and a stage; call it with the backend."""

    def __init__(self, solved, stage, dtype):
        self.solved, self.stage, self.dtype = solved, stage, dtype

    def __str__(self):
        return f"{self.solved.case.name}-{self.stage}-{self.dtype}"

    def __call__(self, backend):
        """Raise AssertionError, with what differs and the diagnosis, unless the answer is right."""
        import pytest

        outcome = ask(backend, self.solved, self.stage, self.dtype)
        if outcome.left_out:
            pytest.skip(f"{name_of(backend)} does not implement it: {outcome.problem}")
        if not outcome.ok:
            raise AssertionError(f"{arrays_table(outcome)}\n\n{findings(backend, self.dtype)}")


class RequiredCheck:
    """Whether a stage that is required is answered for any case at all."""

    def __init__(self, stage, dtype):
        self.stage, self.dtype = stage, dtype

    def __str__(self):
        return f"required-{self.stage}-{self.dtype}"

    def __call__(self, backend):
        """Raise AssertionError unless the backend answers the stage for some golden case."""
        if self.stage in offered(backend):
            for solved in load().values():
                if self.stage in stages_of(solved.case):
                    if not ask(backend, solved, self.stage, self.dtype).left_out:
                        return
        raise AssertionError(
            f"{name_of(backend)} leaves out {self.stage}, which is required; "
            "parametrize_with_checks(require=...) names what is"
        )


class RandomCheck:
    """All questions about random cases; hypothesis makes a failing one as small as it can."""

    def __init__(self, dtype, examples=20):
        self.dtype, self.examples = dtype, examples

    def __str__(self):
        return f"random-{self.dtype}"

    def __call__(self, backend):
        """Raise AssertionError with the smallest failing case that was found."""
        import pytest

        hypothesis = pytest.importorskip(
            "hypothesis", reason="random cases need hypothesis: pip install hypothesis"
        )

        @hypothesis.settings(
            max_examples=self.examples, deadline=None, database=None, derandomize=True
        )
        @hypothesis.given(options(hypothesis.strategies, unknown_options(backend)))
        def run(given):
            case = cases.build("random", **given)
            hypothesis.assume(margin(case) > LEAST_MARGIN)
            for stage in offered(backend):
                if stage in stages_of(case):
                    outcome = ask(backend, solve(case, [stage]), stage, self.dtype)
                    shown = ", ".join(f"{key}={value!r}" for key, value in given.items())
                    assert outcome.ok or outcome.left_out, (
                        f"{arrays_table(outcome)}\nfor build('random', {shown})"
                    )

        run()


def options(st, unknown):
    """Return the strategy of what `cases.build` is given, without the options in `unknown`."""

    @st.composite
    def drawn(draw):
        def integer(low, high):
            return draw(st.integers(low, high))

        given = {"seed": integer(0, 1000)} | draw_options(integer)
        return {key: value for key, value in given.items() if key not in unknown}

    return drawn()


def parametrize_with_checks(
    backends: Sequence[Any | Callable],
    dtypes: Sequence[str] = ("float64", "float32"),
    examples: int = 20,
    require: Sequence[str] = REQUIRED,
) -> Callable:
    """Return the pytest decorator that runs every check of the suite on every backend as a test.

    Parameters
    ----------
    backends : list of objects, classes or functions
        As `check_backend` takes them.
    dtypes : sequence of {"float64", "float32"}, default both
    examples : int >= 0, default 20
        How many random cases hypothesis draws for each backend and dtype.
    require : sequence of str, default ("meta_irm_without_sigma", "meta_irm")
        The stages that may not be left out altogether.

    Returns
    -------
    decorator
        For a test function with the arguments `backend` and `check`, which calls `check(backend)`.

    Examples
    --------
    >>> from metairm_np.conformance import Fast, parametrize_with_checks
    >>> @parametrize_with_checks([Fast()])
    ... def test_conformance(backend, check):
    ...     check(backend)
    """
    import pytest

    params = []
    for backend in map(as_backend, backends):
        for dtype in dtypes:
            checks: list = [
                Check(solved, stage, dtype)
                for stage in offered(backend)
                for solved in load().values()
                if stage in stages_of(solved.case)
            ]
            checks += [RequiredCheck(stage, dtype) for stage in require]
            checks += [RandomCheck(dtype, examples)] if examples else []
            params += [
                pytest.param(backend, check, id=f"{name_of(backend)}-{check}") for check in checks
            ]
    return pytest.mark.parametrize(("backend", "check"), params)

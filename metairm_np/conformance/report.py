"""What the suite found, as values, as text and as JSON."""

from __future__ import annotations

import platform
import textwrap
from dataclasses import dataclass, field

import numpy as np

from metairm_np._version import __version__
from metairm_np.conformance.stages import STAGES, allowed

WIDTH = 100


@dataclass
class Report:
    """What `check_backend` found.

    Attributes
    ----------
    backend, dtype : str
    outcomes : list of metairm_np.conformance.suite.Outcome
        One for each question.
    missing : list of str
        Optional functions that the backend does not offer.
    required : list of str
        The stages without an answer to which it does not pass.
    random : int
        How many random cases were asked for.
    findings : list of metairm_np.conformance.diagnosis.Finding
        The named mistakes, which together explain all that differs.
    known : list of str
        What is known where there is no name, lines of text.
    seconds : float
    """

    backend: str
    dtype: str
    outcomes: list
    missing: list[str]
    required: list[str] = field(default_factory=list)
    random: int = 0
    findings: list = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def left_out(self) -> list:
        """The outcomes of what the backend says it does not implement."""
        return [o for o in self.outcomes if o.left_out]

    @property
    def answered(self) -> list:
        """The other outcomes."""
        return [o for o in self.outcomes if not o.left_out]

    @property
    def wrong(self) -> list:
        """Those that differ."""
        return [o for o in self.answered if not o.ok]

    @property
    def ran(self) -> bool:
        """Whether the backend answered anything at all."""
        return any(o.answer is not None for o in self.outcomes)

    @property
    def passed(self) -> bool:
        """Whether the backend answered what is required, and everything it answered is right."""
        return self.ran and not self.wrong and not self.unasked

    @property
    def unasked(self) -> list[str]:
        """The required stages of which it answered nothing."""
        return [stage for stage in self.required if stage not in self.by_stage]

    @property
    def by_stage(self) -> dict[str, list]:
        """The answered outcomes of each stage, in order."""
        found = {stage: [o for o in self.answered if o.stage == stage] for stage in STAGES}
        return {stage: outcomes for stage, outcomes in found.items() if outcomes}

    @property
    def stages(self) -> list[tuple[str, bool, float]]:
        """[(name, ok, max_difference)] in order; differences in units of each array's scale."""
        return [
            (stage, all(o.ok for o in asked), max(o.largest for o in asked))
            for stage, asked in self.by_stage.items()
        ]

    @property
    def diagnosis(self) -> list[str]:
        """The names of the mistakes found."""
        return [finding.name for finding in self.findings]

    def as_dict(self) -> dict:
        """Return everything but the answers, as plain values for JSON."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "passed": self.passed,
            "stages": [
                {
                    "name": name,
                    "ok": ok,
                    "max_difference": most,
                    "allowed": allowed(name, self.dtype),
                }
                for name, ok, most in self.stages
            ],
            "diagnosis": [vars(finding) for finding in self.findings],
            "known": self.known,
            "wrong": [
                {
                    key: getattr(o, key)
                    for key in ("case", "stage", "differences", "allowed", "problem")
                }
                for o in self.wrong
            ],
            "left_out": [
                {"case": o.case, "stage": o.stage, "reason": o.problem} for o in self.left_out
            ],
            "not_offered": self.missing,
            "required": self.required,
            "required_but_left_out": self.unasked,
            "seconds": self.seconds,
            "versions": {
                "metairm_np": __version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    def text(self, verbose: bool = False) -> str:
        """Return the report as text: a line for each stage, what differs, and the diagnosis.

        Parameters
        ----------
        verbose : bool, default False
            Whether to show the arrays of every check that differs, not only of the first.
        """
        cases = {o.case for o in self.answered}
        random = sum(name.startswith("random_") for name in cases)
        lines = [
            f"{self.backend} against metairm_np.spec in {self.dtype}: {len(self.answered)} checks "
            f"on {len(cases) - random} golden and {random} random cases",
            "",
            f"{'stage':<24}{'checks':>7}{'largest difference':>31}{'allowed':>10}   worst",
            *map(stage_line, self.by_stage.values()),
        ]
        if random < self.random:
            lines += ["", f"Only {random} of {self.random} random cases, no more that it takes."]
        if self.missing:
            lines += ["", f"Not offered, and not checked: {', '.join(self.missing)}."]
        if self.left_out:
            reasons = "; ".join(sorted({o.problem for o in self.left_out}))
            lines += ["", f"Left out as not implemented: {len(self.left_out)} checks ({reasons})."]
        lines += ["", self.verdict()]
        for outcome in self.wrong if verbose else self.wrong[:1]:
            lines += ["", arrays_table(outcome)]
        for finding in self.findings:
            lines += ["", finding_text(finding, f"of the {len(self.wrong)} checks that differ")]
        lines += [""] * bool(self.known) + self.known
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return in a sentence whether the backend passes, or else what is wrong first."""
        if self.passed:
            return "Passed: every answer is the spec's, up to rounding."
        if not self.ran:
            return "Could not run: no question was answered."
        if not self.wrong:
            return (
                f"Not passed: {' and '.join(self.unasked)} left out, though required; the rest is "
                "the spec's, up to rounding. --require A,B names what is."
            )
        wrong, unknown = self.wrong, "" if self.findings else " No known mistake explains it."
        return (
            f"{len(wrong)} of {len(self.answered)} checks differ; "
            f"the first wrong stage is {wrong[0].stage}.{unknown}"
        )


def stage_line(asked):
    """Return the line of a stage, given its outcomes."""
    worst = max(asked, key=lambda o: o.largest)
    wrong = sum(not o.ok for o in asked)
    size = f"{worst.largest:.1e}"
    if not np.isfinite(worst.largest):
        size = worst.problem.split(":")[0] or "NaN"
    return (
        f"{worst.stage:<24}{len(asked):>7}   {f'{wrong} wrong' if wrong else 'OK':<10}"
        f"{size:>18}{worst.allowed:>10.1e}   {worst.case}"
    )


def arrays_table(outcome):
    """Return what is wrong in one check, array by array."""
    lines = [f"{outcome.case}/{outcome.stage}{outcome.problem and ': ' + outcome.problem}"]
    for name, difference in outcome.differences.items():
        size = f"{difference:.1e} of its scale" if np.isfinite(difference) else "NaN"
        lines.append(f"  {name:<16}{'OK' if difference <= outcome.allowed else 'differs':<9}{size}")
    return "\n".join(lines)


def finding_text(finding, of="checks"):
    """Return a named mistake with its cause and remedy."""
    number = finding.number and f", {finding.number}"
    lines = [f"Diagnosis: {finding.name}{number} (explains {len(finding.explains)} {of})"]
    told = [(what, getattr(finding, what)) for what in ("cause", "remedy")]
    if finding.alike:
        told.append(("or", f"{', '.join(finding.alike)}; what was asked does not tell them apart"))
    for what, text in told:
        text = f"{what}: {text}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)

"""Reports as text."""

import textwrap

import numpy as np

from metairm_np._version import __version__
from metairm_np.conformance.asking import allowed

WIDTH = 100


def report_text(report, verbose=False):
    """Return a report: a line a stage, the arrays of the first wrong check (of all with `verbose`), and the diagnosis."""
    cases = {o.case for o in report.outcomes}
    random = sum(name.startswith("random_") for name in cases)
    lines = [
        f"{report.backend} against metairm_np.spec {__version__} in {report.dtype}: {answered(report)} checks on "
        f"{len(cases) - random} golden and {random} random cases",
        "",
        f"{'stage':<24}{'checks':>7}   {'':<10}{'largest difference':>18}{'allowed':>10}   worst",
    ]
    lines += [stage_line(report, *row) for row in report.stages]
    if report.missing:
        lines += ["", f"Not offered, and not checked: {', '.join(report.missing)}."]
    if report.left_out:
        reasons = sorted({o.problem for o in report.left_out})
        lines += [
            "",
            f"Left out as not implemented: {len(report.left_out)} checks ({'; '.join(reasons)}).",
        ]
    lines += ["", verdict(report)]
    for outcome in report.wrong if verbose else report.wrong[:1]:
        lines += ["", arrays_table(outcome)]
    for finding in report.findings:
        lines += ["", finding_text(finding, len(report.wrong))]
    return "\n".join(lines)


def answered(report):
    """Return the number of checks that were not left out."""
    return len(report.outcomes) - len(report.left_out)


def stage_line(report, stage, ok, largest):
    """Return a stage's line."""
    asked = [o for o in report.outcomes if o.stage == stage and not o.left_out]
    worst = max(asked, key=lambda o: o.largest)
    status = "OK" if ok else f"{sum(not o.ok for o in asked)} wrong"
    size = f"{largest:.1e}" if np.isfinite(largest) else worst.problem.split(":")[0] or "NaN"
    return f"{stage:<24}{len(asked):>7}   {status:<10}{size:>18}{allowed(stage, report.dtype):>10.1e}   {worst.case}"


def verdict(report):
    """Say in a sentence whether the backend passes, and else which stage is the first that is wrong."""
    if report.passed:
        return "Passed: every answer is the spec's, up to rounding."
    if not report.ran:
        return "Could not run: no question was answered."
    first = next(name for name, ok, _ in report.stages if not ok)
    unknown = "" if report.findings else " No known mistake explains it."
    return f"{len(report.wrong)} of {answered(report)} checks differ; the first wrong stage is {first}.{unknown}"


def arrays_table(outcome):
    """Return what is wrong in one check, array by array."""
    lines = [
        f"{outcome.case}/{outcome.stage}" + (f": {outcome.problem}" if outcome.problem else "")
    ]
    for name, difference in outcome.differences.items():
        size = f"{difference:.1e} of its scale" if np.isfinite(difference) else "NaN"
        lines.append(f"  {name:<16}{'OK' if difference <= outcome.allowed else 'differs':<9}{size}")
    return "\n".join(lines)


def finding_text(finding, wrong=None):
    """Return a named mistake with its cause and remedy."""
    of = f" of the {wrong} checks that differ" if wrong else " checks"
    against = (
        f"; {len(finding.contradicted)} right ones speak against it" if finding.contradicted else ""
    )
    lines = [f"Diagnosis: {finding.name} (explains {len(finding.explains)}{of}{against})"]
    for what in ("cause", "remedy"):
        lines += textwrap.wrap(
            f"{what}: {getattr(finding, what)}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    return "\n".join(lines)

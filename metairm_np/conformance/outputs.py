"""A report for machines that run tests: JUnit XML, and annotations of GitHub Actions."""

import inspect
import os
import re
from pathlib import Path
from xml.etree import ElementTree

from metairm_np.conformance.report import arrays_table, finding_text

NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# ---- JUnit ---------------------------------------------------------------------------------------


def junit(report):
    """Return a report as JUnit XML: a test for each check, and one for each stage required."""
    name = f"{report.backend}-{report.dtype}"
    suite = ElementTree.Element("testsuite", name=name, time=f"{report.seconds:.3f}")
    for outcome in report.outcomes:
        test = ElementTree.SubElement(
            suite, "testcase", classname=f"{name}.{outcome.stage}", name=outcome.case
        )
        if outcome.left_out:
            ElementTree.SubElement(test, "skipped", message=clean(outcome.problem))
        elif not outcome.ok:
            failed(test, *failure(report, outcome))
    for stage in report.required:
        test = ElementTree.SubElement(suite, "testcase", classname=f"{name}.required", name=stage)
        if stage in report.unasked:
            failed(test, f"{stage} is required and was left out", report.verdict())
    tests = suite.findall("testcase")
    suite.set("tests", str(len(tests)))
    for what, tag in (("failures", "failure"), ("skipped", "skipped")):
        suite.set(what, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("errors", "0")
    ElementTree.SubElement(suite, "system-out").text = clean(report.text())
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suites, "unicode")}\n'


def failure(report, outcome):
    """Return what is wrong in one check in a line, and in full with the mistakes behind it."""
    check = f"{outcome.case}/{outcome.stage}"
    found = [finding for finding in report.findings if check in finding.explains]
    names = " and ".join(finding.name for finding in found) or "no known mistake explains it"
    short = outcome.problem or f"off by {outcome.largest:.1e} of its scale"
    return f"{short} ({names})", "\n\n".join([arrays_table(outcome), *map(finding_text, found)])


def failed(test, message, text):
    """Enter a failure into a testcase."""
    ElementTree.SubElement(test, "failure", message=clean(message)).text = clean(text)


def clean(text):
    """Return a text without the characters that XML cannot have."""
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


# ---- GitHub Actions ------------------------------------------------------------------------------


def annotations(report, backend):
    """Return lines that GitHub Actions shows beside the code: one for each mistake that is named.

    Where there is none the first check that differs, or the verdict, takes their place. A report
    that passes has none.
    """
    if report.passed:
        return []
    of = f"of the {len(report.wrong)} checks that differ"
    found = [(finding.name, finding_text(finding, of)) for finding in report.findings]
    rest = [arrays_table(o) for o in report.wrong[:1]]
    where = location(backend)
    found = found or [("metairm_np.conformance", "\n\n".join([report.verdict(), *rest]))]
    return [
        f"::error {where}title={escaped(title, ':,')}::{escaped(text)}" for title, text in found
    ]


def location(backend):
    """Return the file and line of a backend's value_and_grad if these are below here, or ""."""
    try:
        function = inspect.unwrap(backend.value_and_grad)
        path = Path(inspect.getsourcefile(function)).resolve().relative_to(Path.cwd().resolve())
        line = inspect.getsourcelines(function)[1]
    except (OSError, TypeError, ValueError):  # no Python function, no file, a file elsewhere
        return ""
    return f"file={escaped(os.fspath(path), ':,')},line={line},"


def escaped(text, more=""):
    """Return a text as workflow commands have it."""
    for mark in "%\r\n" + more:
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text

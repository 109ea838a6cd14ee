"""Mistakes that have no name are hardly ever given one, and what is known of them is told."""

import conformance_confusion as confusion
import pytest
from held_out import EDITS
from held_out.to_catch import HELD_OUT

from metairm_np.conformance import Spec, vectors
from metairm_np.conformance.mistakes import MISTAKES


@pytest.mark.slow
def test_at_most_one_in_twenty_is_misnamed():
    assert EDITS.keys() == {*HELD_OUT}
    assert not EDITS.keys() & MISTAKES.keys()
    reports = {name: confusion.report_on(name) for name in HELD_OUT}
    shown = {name: report for name, report in reports.items() if report.wrong}
    assert len(shown) >= 45
    misnamed = [(name, report.diagnosis) for name, report in shown.items() if report.diagnosis]
    assert len(misnamed) <= len(shown) * confusion.AT_MOST, misnamed
    for report in shown.values():
        assert report.diagnosis or "What is known:" in report.text()
    code_runs(shown["GELU units"])


def code_runs(report):
    """Run the code that a report gives to paste."""
    code = report.known[report.known.index("The smallest check that differs, to paste:") + 2 :]
    names = {"backend": Spec(), "print": lambda answer: None}
    exec("\n".join(code), names)
    assert names["case"].name in vectors.load()

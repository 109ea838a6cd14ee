"""Which names the diagnosis gives to mistakes that the catalogue does not have: docs/naming.md.

    PYTHONPATH=tests python tools/conformance_confusion.py

Each held-out mistake (tests/held_out) is a backend that is asked a few cases; it takes minutes. A
name is wrong in any case, as the mistake has none in the catalogue.
"""

import sys
import time
import warnings
from pathlib import Path

from held_out import EDITS, backend
from held_out.to_catch import HELD_OUT, TO_CATCH

from metairm_np.conformance import check_backend
from metairm_np.conformance.mistakes import MISTAKES
from metairm_np.reports.tables import markdown

PAGE = Path(__file__).parent.parent / "docs" / "naming.md"
CASES = ["classes_4_square", "noise_2_inner_steps", "unbalanced_pairs", "small_weights"]
MORE = ["unequal_sizes", "binary_2_layers"]
AT_MOST = 1 / 20  # of the held-out mistakes may be given a name
TEXT = """\
# Names given to mistakes without one

The catalogue of [conformance.md](conformance.md) has {known} mistakes. {listed} others were listed
before any of them was written, and every third was held out: {held_out} that have no entry in it,
written after the rules of the diagnosis ([tests/held_out](../tests/held_out)). Whatever name one of
them is given is wrong. **{misnamed} of the {caught} that differ were given one.** Of the others the
report says what is known; the table has one line of it. Not seen in the cases asked: {missed}.
A check with its diagnosis took {seconds:.1f} s of processor time in the middle, {slowest:.1f} s at
most.

The cases are {cases}; steps_of_erm for what shows in training alone. Where a name was given,
{more} were asked besides, which can only take it away. This page is
written by `tools/conformance_confusion.py`.

{table}
"""


class Few:
    """A backend that offers only some functions of another one."""

    def __init__(self, whole, functions):
        for name in functions:
            setattr(self, name, getattr(whole, name))


def report_on(name):
    """Return the report on a held-out mistake.

    More cases can only take a name away, so that they are asked where a name is given.
    """
    training = EDITS[name].__module__.endswith("training")
    few = Few(backend(name), ["value_and_grad"] + ["train_steps"] * training)
    cases = ["steps_of_erm"] if training else CASES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflow in what is wrong is no matter
        report = check_backend(few, cases=cases)
        if report.diagnosis and not training:
            report = check_backend(few, cases=cases + MORE)
    return report


def told(report):
    """Return the names that a report gives, or the line that tells most."""
    if report.passed:
        return "(does not show)"
    return ", ".join(report.diagnosis) or report.known[2].removeprefix("- ")


def page(rows, took):
    """Return the text of the page, of the table's rows and the seconds that each took."""
    missed = [name for name, _, what in rows if what == "(does not show)"]
    return TEXT.format(
        known=len(MISTAKES),
        listed=len(TO_CATCH),
        held_out=len(HELD_OUT),
        misnamed=sum(bool(named) for _, named, _ in rows),
        caught=len(rows) - len(missed),
        missed=", ".join(missed) or "none",
        seconds=sorted(took)[len(took) // 2],
        slowest=max(took),
        cases=", ".join(CASES),
        more=" and ".join(MORE),
        table=markdown(["mistake", "named", "what the report says"], rows),
    )


if __name__ == "__main__":
    rows, took = [], []
    for name in HELD_OUT:
        start = time.process_time()
        report = report_on(name)
        took.append(time.process_time() - start)
        rows.append((name, "yes" if report.diagnosis else "", told(report)))
        print(*rows[-1], f"{took[-1]:.1f} s", sep=" | ", file=sys.stderr, flush=True)
    PAGE.write_text(page(rows, took), encoding="utf-8")

"""The tables of docs/conformance.md: stages, golden cases, known mistakes, exported arrays.

    python tools/conformance_tables.py

What stands between <!-- NAME --> and <!-- end --> in the page is written anew from the package.
"""

import re
from pathlib import Path

from metairm_np.conformance.golden_cases import GOLDEN
from metairm_np.conformance.mistakes import MISTAKES
from metairm_np.conformance.stages import STAGES
from metairm_np.conformance.trainings.export import ARRAYS

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"
TABLES = {
    "stages": (
        ("stage", "what is compared", "units", "why as many"),
        [(name, s.what, s.units, s.reason) for name, s in STAGES.items()],
    ),
    "cases": (
        ("case", "since", "note"),
        [
            (name, "v1" if (name, note, options) in GOLDEN["v1"] else "v2", note)
            for name, note, options in GOLDEN["v2"]
        ],
    ),
    "mistakes": (
        ("name", "how it comes about", "remedy"),
        [(mistake.name, mistake.cause, mistake.remedy) for mistake in MISTAKES.values()],
    ),
    "arrays": (
        ("name", "shape, type", "what it is"),
        [(name, *about) for name, about in ARRAYS.items()],
    ),
}


def table(head, rows):
    """Return a table in Markdown, with the bars in its cells escaped."""
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in [head, *rows]]
    cells.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def fill(text):
    """Return the page with its tables written anew."""
    return re.sub(
        r"<!-- (?!end)(\w+) -->.*?<!-- end -->",
        lambda found: f"<!-- {found[1]} -->\n\n{table(*TABLES[found[1]])}\n\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

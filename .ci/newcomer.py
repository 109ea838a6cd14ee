"""What somebody does who has installed the package alone, from an empty folder.

    python .ci/newcomer.py     # in an environment with '.[estimator]' and nothing else

README's ten lines on one's own arrays, own CSVs to a table and a page by the template, and the toy.
"""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parent.parent / "README.md"


def run(*command):
    """Run a command line of the package; return what it prints."""
    command = [sys.executable, "-m", "metairm_np.run", *command]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def own_arrays():
    """Run README's lines on one's own arrays."""
    section = README.read_text(encoding="utf-8").split("## Your own data")[1]
    code = re.search(r"```python\n(.*?)```", section, re.S)[1]
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 12, lines  # ten, and two that make the data up
    subprocess.run([sys.executable, "-c", code], check=True)


def own_files():
    """Take three CSV files to a table and a page by the template."""
    rng = np.random.default_rng(0)
    for lab, share in (("lab_a", 0.1), ("lab_b", 0.2), ("lab_c", 0.9)):
        y = rng.integers(2, size=400)
        size, colour = y + rng.normal(size=400), (y + (rng.random(400) < share)) % 2
        with open(f"{lab}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("size", "colour", "y"), *zip(size, colour, y)])
    Path("mine.toml").write_text(run("template"), encoding="utf-8")
    printed = run("mine.toml", "--trials", "2")
    assert all(name in printed for name in ("lab_c", "meta-IRM", "ERM")), printed
    run("report", "runs")
    page = Path("runs/report.html").read_text(encoding="utf-8")
    assert "lab_c" in page
    print(printed)


def main():
    """Do all three."""
    own_arrays()
    own_files()
    print(run("toy"))


if __name__ == "__main__":
    main()

"""The notebooks run from top to bottom, and say what they said when they were committed.

Their numbers come from training, and may differ on another processor: the words are compared.
"""

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from matplotlib import pyplot

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.ipynb"))


def cells(notebook):
    """Return the code of each cell, and what it printed."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for cell in found:
        if cell["cell_type"] == "code":
            printed = [
                "".join(one["text"]) for one in cell["outputs"] if one.get("name") == "stdout"
            ]
            yield "".join(cell["source"]), "".join(printed)


def words(printed):
    """Return the words of a text, numbers as #."""
    return re.sub(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", "#", printed).split()


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_and_prints_what_it_says(notebook, tmp_path, monkeypatch):
    code = list(cells(notebook))
    if any("metairm_np.estimator" in text for text, _ in code):
        pytest.importorskip("sklearn", reason="its last part needs the extra estimator")
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("Agg")
    namespace = {"__name__": notebook.stem}
    for number, (text, told) in enumerate(code):
        with redirect_stdout(StringIO()) as out:
            exec(compile(text, f"{notebook.name}, cell {number}", "exec"), namespace)
        assert words(out.getvalue()) == words(told), f"cell {number}"
    pyplot.close("all")


def test_notebooks_are_committed_with_their_outputs():
    for notebook in NOTEBOOKS:
        for text, told in cells(notebook):
            assert told or "print(" not in text, f"{notebook.name}: run it before committing"

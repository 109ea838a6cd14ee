"""The HTML page: every table, figure and fact of the run folders, in one file."""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from small_sweeps import OPTIONS, SEARCH

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import available, load_study
from metairm_np.reports import figures
from metairm_np.reports.page import _place, page
from metairm_np.sweeps import Folder

VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Notes what is not closed, what the page would load, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.links, self.ids, self.cells = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attributes:
            {"src": self.loaded, "href": self.links, "id": self.ids}.get(key, []).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run folder in it."""
    out = str(tmp_path_factory.mktemp("page") / "runs")
    options = [*OPTIONS, "--algorithms", "erm,v_rex", "--trials", "2", "--out", out]
    assert main(["cmnist", *options]) == 0
    return Path(out)


@pytest.fixture
def two(folder, tmp_path):
    """Return a copy of that folder with a search in it, too."""
    out = shutil.copytree(folder, tmp_path / "the runs")
    assert main([*SEARCH, "--out", str(out)]) == 0
    return out


def test_page_is_whole_and_needs_no_other_file(folder):
    (path,) = folder.iterdir()
    text = page([path]).html
    checker = Checker(text)
    assert all(link.startswith("data:") for link in checker.loaded)
    assert 'name="viewport"' in text
    assert {"ERM", "V-REx", "optimal invariant model", "16.4 ± 0.8"} <= set(checker.cells)
    assert text.count("<img ") == 1
    for fact in ("audited against autograd: ", "numpy</dt>", "float32</dd>", "of computing</dt>"):
        assert fact in text
    for name in ("erm, trial 0: completed 30 steps", "v_rex, trial 1: completed 30 steps"):
        assert f"<li>{name}" in text
    assert "Accuracy in per cent: Colored MNIST, two classes</figcaption>" in text
    assert "Test accuracy over the test environments. " in text


def test_links_lead_to_the_files_that_it_was_made_from(two, tmp_path):
    to = tmp_path / "elsewhere" / "page.html"
    assert main(["report", str(two), "--to", str(to)]) == 0
    checker, found = Checker(to.read_text()), set()
    for link in checker.links:
        if link.startswith("#"):
            assert unquote(link[1:]) in checker.ids
        else:
            assert (to.parent / unquote(link)).is_file()
            found.add(Path(link).name)
    names = ["report.md", "results.csv", "results.json", "accuracy.svg", "search.md", "search.json"]
    assert found == set(names)


def test_searches_come_last_with_what_they_selected(two):
    text = page(two.iterdir()).html
    before, heading, after = text.partition("Search: what Table 1 was before: Colored MNIST")
    assert "<h2" in before
    assert "V-REx: 2 settings in the order of risk" in after
    assert "selected: <code>--set v_rex.lr=" in after
    assert {"selected", "oracle"} <= {
        mark for cell in Checker(text).cells for mark in cell.split(", ")
    }


@pytest.mark.parametrize("error", [ValueError("no such thing"), KeyError("test_accuracy")])
def test_a_folder_where_something_is_wrong_is_named_and_the_others_are_shown(
    two, monkeypatch, capsys, caplog, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(figures, "svg", fail)
    run, search = sorted(two.iterdir())
    (two / "empty-1").mkdir()
    shutil.copy(run / "config.json", two / "empty-1")
    made = page([run, search, two / "empty-1"])
    assert made.shown == [search, two / "empty-1"]
    assert list(made.left_out) == [run]
    (line,) = [one for one in made.html.split("<li>") if f"<code>{run}</code>:" in one]
    assert error.args[0] in line
    assert made.html.count("<p>No trial is finished yet.</p>") == 1
    capsys.readouterr()
    assert main(["report", str(two)]) == 0
    assert capsys.readouterr().out == f"{two / 'report.html'}: 2 run folders, 1 left out\n"
    (said,) = [record.getMessage() for record in caplog.records]
    assert str(run) in said


def test_a_figure_is_drawn_anew_only_where_a_trial_is_another(folder, monkeypatch):
    (path,) = folder.iterdir()
    before, drawn = page([path]).html, []
    monkeypatch.setattr(
        "metairm_np.reports.figures.render",
        lambda figure, render=figures.render: drawn.append(1) or render(figure),
    )
    assert page([path]).html == before
    assert not drawn
    kept = Folder(path)
    record = kept.record("erm-001")
    _storage.write_record(kept.record_path("erm-001"), {**record, "message": "another"})
    assert page([path]).html.replace("trial 1: another", "trial 1: completed 30 steps", 1) == before
    assert drawn


def test_tables_come_first_then_figures_in_the_order_of_their_numbers():
    names = sorted(available(), key=lambda name: _place(load_study(name)))
    assert names[:6] == ["cmnist", "table2", "table3", "table4", "table5", "table6"]
    assert names[6:9] == ["figure4", "figure9", "figure10"]
    assert not any(available()[name]["artefacts"] for name in names[9:])


def test_the_page_goes_beside_the_runs_unless_said(two, tmp_path, capsys):
    run, _ = sorted(two.iterdir())
    capsys.readouterr()
    for folder, n in ((two, 2), (run, 1)):
        assert main(["report", str(folder)]) == 0
        assert capsys.readouterr().out == f"{folder / 'report.html'}: {n} run folders\n"
        assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert main(["report", str(two), "--to", str(run / "config.json" / "page.html")]) == 2
    assert "name another place with --to" in capsys.readouterr().err


def test_a_folder_without_run_folders_is_one_sentence(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "is no run folder and holds none; give one" in capsys.readouterr().err

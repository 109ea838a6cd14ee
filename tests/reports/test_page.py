"""The HTML page: every table, figure and fact of the run folders, in one file."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_sweeps import OPTIONS

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import available, load_study
from metairm_np.reports import figures
from metairm_np.reports.page import _place, page
from metairm_np.sweeps import Folder

VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Notes what is not closed, and what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.cells = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [value for key, value in attributes if key in ("src", "href")]

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


def test_page_is_whole_and_needs_no_other_file(folder):
    (path,) = folder.iterdir()
    text = page([path])
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(link.startswith(("data:", "#")) for link in checker.loaded)
    assert 'name="viewport"' in text
    assert {"ERM", "V-REx", "optimal invariant model", "16.4 ± 0.8"} <= set(checker.cells)
    assert text.count("<img ") == 1
    for fact in ("audited against autograd: ", "numpy</dt>", "float32</dd>", "of computing</dt>"):
        assert fact in text


def test_a_figure_is_drawn_anew_only_where_a_trial_is_another(folder, monkeypatch):
    (path,) = folder.iterdir()
    before, drawn = page([path]), []
    monkeypatch.setattr(
        "metairm_np.reports.figures.render",
        lambda figure, render=figures.render: drawn.append(1) or render(figure),
    )
    assert page([path]) == before
    assert not drawn
    kept = Folder(path)
    record = kept.record("erm-001")
    _storage.write_record(kept.record_path("erm-001"), {**record, "message": "another"})
    assert page([path]) == before
    assert drawn


def test_tables_come_first_then_figures_in_the_order_of_their_numbers():
    names = sorted(available(), key=lambda name: _place(load_study(name)))
    assert names[:6] == ["cmnist", "table2", "table3", "table4", "table5", "table6"]
    assert names[6:9] == ["figure4", "figure9", "figure10"]
    assert all(name.startswith("dynamics") for name in names[9:])


def test_the_command_writes_it_and_leaves_out_searches(folder, tmp_path, capsys):
    (folder / "search-cmnist-1").mkdir()
    (folder / "search-cmnist-1" / "plan.json").write_text("{}")
    assert main(["report", str(folder), "--to", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}: 1 run folders\n"
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_folder_without_run_folders_is_one_sentence(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "is no run folder and holds none; give one" in capsys.readouterr().err

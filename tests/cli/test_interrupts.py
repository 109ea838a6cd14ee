"""Ctrl-C outside of training: one sentence, exit status 130, and what is there stays."""

import subprocess
import sys

import pytest
from small_sweeps import OPTIONS

from metairm_np.cli import main


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line that is interrupted, and returns what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        assert main([*map(str, arguments)]) == 130
        return capsys.readouterr()

    return call


def test_while_figures_are_drawn_the_tables_stay(said, monkeypatch, tmp_path):
    monkeypatch.setattr("metairm_np.reports.figures.render", interrupted)
    out, err = said("cmnist", *OPTIONS, "--algorithms", "erm")
    assert err.strip().startswith("interrupted; the same command makes the tables of runs/")
    assert "| ERM " in out
    (folder,) = tmp_path.glob("runs/*")
    assert (folder / "report.md").is_file()


def test_while_the_page_is_made_no_trial_is_named(said, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["metairm_np.cli.main"], "run_folders", interrupted)
    assert said("report", tmp_path).err == "\ninterrupted; the same command starts again\n"


def test_while_modules_are_imported():
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'numpy.random': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import metairm_np.run\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.meta_path.insert(0, Finder)\n"
        "metairm_np.run.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\ninterrupted before anything began\n"

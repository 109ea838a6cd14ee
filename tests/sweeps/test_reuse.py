"""Trials that experiments share are carried out once, and only those whose results are the same."""

import shutil
from pathlib import Path

import pytest
from small_sweeps import OPTIONS, records

from metairm_np import _storage
from metairm_np.cli import main

pytestmark = pytest.mark.slow

ALL, SHARED = 14, 2  # Table 5's trials, two of each row, and those of meta-IRM, which Table 1 has


def go(out, name, *options):
    """Run a small version of an experiment, and return its run folder."""
    folders = f"{Path(name).stem}-*"
    before = set(out.glob(folders))
    assert main([name, *OPTIONS, "--trials", "2", "--out", str(out), *options]) == 0
    (path,) = set(out.glob(folders)) - before
    return path


def trials_run(text):
    """Return the names of the trials that a command's output says were carried out."""
    return [
        line.split(":")[0]
        for line in text.splitlines()
        if "completed" in line or "stopped early" in line
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a run of Table 1's meta-IRM, and the records of Table 5 on its own."""
    path = tmp_path_factory.mktemp("reuse")
    go(path / "out", "cmnist", "--algorithms", "meta_irm")
    return path / "out", records(go(path / "alone", "table5"))


@pytest.fixture
def shared(made, tmp_path, capsys):
    """Return a copy of that folder, and those records."""
    capsys.readouterr()
    return shutil.copytree(made[0], tmp_path / "out"), made[1]


def test_a_shared_row_is_taken_over_and_the_table_is_the_same(shared, capsys):
    out, alone = shared
    path = go(out, "table5")
    names = trials_run(capsys.readouterr().out)
    assert not any(name.startswith("meta_irm,") for name in names)
    assert len(names) == ALL - SHARED
    assert records(path) == alone


@pytest.mark.parametrize(
    "options",
    [["--seed", "1"], ["--dtype", "float64"], ["--set", "lr=0.5"], ["--set", "label_noise=0.1"]],
)
def test_other_trials_are_not(shared, capsys, options):
    out, _ = shared
    go(out, "table5", *options)
    assert len(trials_run(capsys.readouterr().out)) == ALL


def test_a_damaged_record_is_not(shared, capsys):
    out, alone = shared
    (record,) = out.glob("cmnist-*/trials/meta_irm-001.json")
    record.write_text(record.read_text()[:-30])
    path = go(out, "table5")
    assert len(trials_run(capsys.readouterr().out)) == ALL - SHARED + 1
    assert records(path) == alone


def test_parameters_are_taken_over_where_they_are_wanted(tmp_path, capsys):
    alone = go(tmp_path / "alone", "figure10")
    go(tmp_path / "out", "cmnist", "--algorithms", "irmv1", "--save-params")
    own = tmp_path / "shared.toml"
    own.write_text('base = "cmnist"\nname = "shared"\nrows = ["meta_irm"]\n')
    go(tmp_path / "out", str(own))  # without its parameters
    capsys.readouterr()
    path = go(tmp_path / "out", "figure10")
    assert all(name.startswith("meta_irm,") for name in trials_run(capsys.readouterr().out))
    assert records(path) == records(alone)
    for params in (alone / "trials").glob("*.npz"):
        assert (path / "trials" / params.name).read_bytes() == params.read_bytes()


def test_a_folder_of_another_release_is_no_obstacle(shared, capsys):
    out, _ = shared
    _storage.write_json(
        out / "cmnist-old" / "config.json", {"cases": {"": {"algorithms": {"old": {"gone": 1}}}}}
    )
    go(out, "table5")
    assert len(trials_run(capsys.readouterr().out)) == ALL - SHARED

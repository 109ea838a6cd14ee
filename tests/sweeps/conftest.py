"""Run folders that several tests harm or share."""

import pytest
from small_sweeps import OPTIONS, run

from metairm_np.cli import main
from metairm_np.sweeps import Folder


@pytest.fixture
def made(tmp_path):
    """Return a run folder with two trials of two algorithms and their parameters."""
    run(tmp_path, trials=2, keep_params=True)
    return Folder(tmp_path)


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory):
    """Return a folder with the run folders of two tables."""
    out = tmp_path_factory.mktemp("two") / "runs"
    line = ["cmnist", *OPTIONS, "--out", str(out)]
    assert main([*line, "--algorithms", "erm"]) == 0
    assert main([*line, "--algorithms", "erm", "--set", "v_rex.lr=0.5"]) == 0
    return out

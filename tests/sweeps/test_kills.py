"""A sweep whose processes are killed again and again ends with the table of one left alone."""

import random
import shutil
import subprocess
import sys
import time

import pytest
from small_sweeps import OPTIONS, records

from metairm_np.cli import main

TRIALS, KILLS = 60, 50
LINE = ["cmnist", *OPTIONS, "--algorithms", "erm", "--trials", str(TRIALS)]
COMMAND = [sys.executable, "-m", "metairm_np.run", *LINE]


def workers(parent):
    """Return the ids of the worker processes of a command."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and "spawn_main" in args]


def stored(tmp_path):
    return len(list(tmp_path.glob("runs/*/trials/*.json")))


def start(tmp_path):
    options = ["--jobs", "2", "--checkpoint-every", "5"]
    return subprocess.Popen(
        COMMAND + options, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("ps") is None, reason="finds the worker processes with ps, which is not there"
)
def test_fifty_kills_at_random_moments_change_nothing(tmp_path, capsys):
    rng, kills = random.Random(0), {"parent": 0, "worker": 0}
    process, n = start(tmp_path), 0
    while process.poll() is None:
        if (
            stored(tmp_path) == n or sum(kills.values()) >= KILLS
        ):  # a trial between two kills, so that it ends some day
            time.sleep(0.01)
            continue
        n = stored(tmp_path)
        time.sleep(rng.uniform(0, 0.15))
        if rng.random() < 0.3:
            process.kill()
            process.communicate()
            process = start(tmp_path)
            kills["parent"] += 1
        elif found := workers(process.pid):
            some = rng.sample(found, rng.randint(1, len(found)))  # one, or all at once
            subprocess.run(["kill", "-9", *map(str, some)], check=False)
            kills["worker"] += len(some)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert sum(kills.values()) >= KILLS, kills
    assert min(kills.values()) >= 10
    assert main([*LINE, "--out", str(tmp_path / "whole")]) == 0
    whole = capsys.readouterr().out
    (folder,), (alone,) = (list((tmp_path / name).iterdir()) for name in ("runs", "whole"))
    assert records(folder) == records(alone)
    assert not list(folder.rglob("*.failed.json"))
    assert not list(folder.rglob("*.damaged"))
    assert (
        (folder / "results.csv").read_text().count("\n")
        == (alone / "results.csv").read_text().count("\n")
        == TRIALS + 1
    )

    def table(text):
        return [line for line in text.splitlines() if line.startswith("|")]

    assert table(out) == table(whole)

"""Trials in several processes: the same records as in one, whatever dies on the way."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from metairm_np.processes import WorkersDiedError, in_processes, threads_for

from metairm_np import sweep
from metairm_np.experiments import load

SMALL = ["n_per_env=60", "steps=30", "hidden=[4]", "p_e=[0.9]", "table=[0.9]"]
ALGORITHMS = ["erm", "v_rex"]


def experiment(*changes):
    return load("cmnist", [*SMALL, *changes])


def run(folder, trials=3, **options):
    sweep.run(experiment(), ALGORITHMS, trials, 0, "float32", folder, **options)
    return records(folder)


def records(folder):
    """Give what is a pure function of settings and seed in each stored record."""
    found = {path.name: json.loads(path.read_text()) for path in sorted((folder / "trials").glob("*.json"))}
    varies = ("seconds", "sha256", "machine")
    return {name: {key: value for key, value in record.items() if key not in varies} for name, record in found.items()}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    return run(tmp_path_factory.mktemp("serial"))


def test_two_processes_give_the_same_records(serial, tmp_path):
    assert run(tmp_path, jobs=2) == serial


def test_killed_workers_cost_nothing(tmp_path):
    rng, over, killed = random.Random(0), threading.Event(), []

    def kill():
        stored = 0
        while len(killed) < 3 and not over.wait(0.01):
            now = len(list(tmp_path.rglob("trials/*.json")))
            workers = multiprocessing.active_children()
            if now > stored and workers:
                stored = now
                os.kill(rng.choice(workers).pid, signal.SIGKILL)
                killed.append(True)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        found = run(tmp_path, trials=8, jobs=2, checkpoint_every=5)
    finally:
        over.set()
        thread.join()
    assert len(killed) == 3
    assert found == run(tmp_path / "serial", trials=8)
    assert not list(tmp_path.rglob("*.checkpoint.npz"))


def test_a_trial_that_fails_is_told_and_the_others_go_on(serial, tmp_path, monkeypatch):
    failed = []
    broken = {name: json.loads(json.dumps(table)) for name, table in experiment().config["algorithms"].items()}
    broken["v_rex"]["early_stopping"] = {"threshold": 0.0, "arm": 1.0}  # needs two validation sets
    trial = experiment("validation=0.0")
    trial.config["algorithms"] = broken
    sweep.run(trial, ALGORITHMS, 1, 0, "float32", tmp_path, jobs=2, on_failure=lambda task, error: failed.append((task, error)))
    assert [(task.algorithm, type(error)) for task, error in failed] == [("v_rex", ValueError)]
    assert list(records(tmp_path)) == ["erm-000.json"]


class Deadly:
    """What kills the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_workers_that_always_die_are_given_up():
    with pytest.raises(WorkersDiedError, match="worker processes died 3 times in a row .* try fewer --jobs"):
        list(in_processes([Deadly()], 1))


def test_threads_are_shared_out_and_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr("metairm_np.blas.cores", lambda: 8)
    with threads_for(3):
        assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def start(tmp_path, steps, trials=40):
    settings = [part for text in (*SMALL, f"steps={steps}") for part in ("--set", text)]
    options = ["--algorithms", "erm", "--trials", str(trials), "--jobs", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "metairm_np.run", "cmnist", *settings, *options],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    )  # fmt: skip


def wait_for_a_trial(tmp_path):
    for _ in range(1200):
        if list(tmp_path.rglob("erm-*.json")):
            return
        time.sleep(0.05)
    pytest.fail("no trial was finished within a minute")


def test_a_killed_parent_takes_its_workers_along_and_costs_nothing(tmp_path):
    for _ in range(3):
        process = start(tmp_path, 30, trials=6)
        wait_for_a_trial(tmp_path)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and alive_in_group(process.pid):
            time.sleep(0.05)
        assert not alive_in_group(process.pid)
    process = start(tmp_path, 30, trials=6)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    folder = tmp_path / out.strip().splitlines()[-1]
    whole = tmp_path / "whole"
    sweep.run(experiment(), ["erm"], 6, 0, "float32", whole)
    assert records(folder) == records(whole)
    assert not list(folder.rglob("*.damaged"))


def alive_in_group(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_what_runs_and_twice_stops(times, tmp_path):
    process = start(tmp_path, 60)
    wait_for_a_trial(tmp_path)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to parent and workers alike
        time.sleep(0.3)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing the trials that run; Ctrl-C again stops them" in err
    assert "Traceback" not in err
    assert "the same command goes on from there" in out
    assert 1 <= len(list(tmp_path.rglob("erm-*.json"))) < 40

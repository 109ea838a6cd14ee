"""Sweeps: the same records whatever carries them out, and whatever dies on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from small_sweeps import OPTIONS, Heard, experiment, records, run, tasks

from metairm_np.cli import main
from metairm_np.cli.status import status
from metairm_np.sweeps import sweep, trial
from metairm_np.sweeps.executors import given, processes, threads_for
from metairm_np.sweeps.folder import Folder


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    return run(tmp_path_factory.mktemp("serial"))


@pytest.mark.slow
def test_two_processes_give_the_same_records(serial, tmp_path):
    assert run(tmp_path, workers=processes(2)) == serial


def test_any_executor_gives_the_same_records(serial, tmp_path):
    # at once, although autograd knows one trace at a time only
    with ThreadPoolExecutor(3) as executor:
        assert run(tmp_path, workers=given(executor, 3)) == serial
        assert executor.submit(int, "7").result() == 7  # it is still its owner's


def test_finished_trials_are_not_run_again_and_more_are_added(serial, tmp_path):
    run(tmp_path, trials=2)
    heard = Heard()
    assert run(tmp_path, listener=heard) == serial
    assert heard.names("reused") == ["erm-000", "v_rex-000", "erm-001", "v_rex-001"]
    assert heard.names("begun") == heard.names("finished") == ["erm-002", "v_rex-002"]


def test_no_more_trials_are_under_way_than_there_is_room_for(tmp_path):
    heard, most = Heard(), 0
    with ThreadPoolExecutor(4) as executor:
        run(tmp_path, workers=given(executor, 2), listener=heard)
    under_way = 0
    for what, _ in heard.all:
        under_way += {"begun": 1, "finished": -1}[what]
        most = max(most, under_way)
    assert most == 2


def test_parameters_are_stored_when_asked_for_and_only_then(tmp_path):
    run(tmp_path)
    assert not list(tmp_path.rglob("*.npz"))
    plain = records(tmp_path)
    heard = Heard()
    run(tmp_path, listener=heard, keep_params=True)
    assert len(heard.names("finished")) == 6  # there were no parameters, so that they run again
    kept = {
        name: {k: v for k, v in record.items() if k != "params_sha256"}
        for name, record in records(tmp_path).items()
    }
    assert kept == plain
    with np.load(tmp_path / "trials" / "erm-001.params.npz") as file:
        params = [(file["W0"], file["b0"]), (file["W1"], file["b1"])]
    (task,) = [task for task in tasks() if task.name == "erm-001"]
    data = trial.data_of(json.dumps(experiment().config["environment"]), 0, 1, "float32")
    engine = trial.ENGINES[task.engine]
    assert engine.accuracy(params, data.test(0.9)) == kept["erm-001.json"]["test_accuracy"]["0.9"]
    heard = Heard()
    run(tmp_path, listener=heard, keep_params=True)
    assert heard.names("begun") == []


class Dying:
    """A call that kills its process for some trials, and else does as the real one."""

    def __init__(self, *names):
        self.names = names

    def __call__(self, task):
        if task.name in self.names:
            time.sleep(0.2)  # so that there is another trial to take along
            os._exit(1)
        return trial.carry_out(task)


@pytest.mark.slow
def test_a_trial_that_always_kills_its_worker_fails_alone(serial, tmp_path):
    heard = Heard()
    sweep.run(tasks(), Folder(tmp_path), processes(2), heard, call=Dying("v_rex-000"))
    assert heard.names("failed") == ["v_rex-000"]
    assert heard.names("lost").count("v_rex-000") == sweep.DEATHS - 1
    assert (
        heard.failures[0]["message"] == "its worker process died 4 times (killed, or out of memory)"
    )
    found = records(tmp_path)
    assert found.pop("v_rex-000.failed.json")["status"] == "failed"
    assert found == {name: record for name, record in serial.items() if name != "v_rex-000.json"}
    heard = Heard()
    # it is tried again, and its failure is forgotten
    assert run(tmp_path, listener=heard) == serial
    assert heard.names("begun") == ["v_rex-000"]


class Deadly:
    """What kills the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_workers_that_always_die_are_given_up(tmp_path):
    sentence = "workers died 8 times in a row .* try fewer --jobs"
    with pytest.raises(trial.WorkersError, match=sentence):
        sweep.run(tasks(trials=9), Folder(tmp_path), processes(1), call=Deadly())


def failing(task):
    if task.algorithm == "v_rex":
        raise ZeroDivisionError("by nothing")
    return trial.carry_out(task)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
def test_ctrl_c_does_not_reach_processes_from_their_start_on():
    with processes(1).start() as (executor, _):
        blocked = executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("workers", [None, processes(2)])
def test_a_trial_that_fails_is_recorded_and_the_others_go_on(serial, tmp_path, workers):
    heard = Heard()
    sweep.run(tasks(), Folder(tmp_path), workers, heard, call=failing)
    assert sorted(heard.names("failed")) == ["v_rex-000", "v_rex-001", "v_rex-002"]
    failure = records(tmp_path)["v_rex-001.failed.json"]
    assert failure["message"] == "ZeroDivisionError: by nothing"
    assert "in failing" in failure["traceback"]
    assert {
        name: r for name, r in records(tmp_path).items() if r["status"] != "failed"
    }.items() <= serial.items()


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), trial.WorkersError("unfit"), ImportError("no")],
)
def test_what_is_not_the_trials_fault_ends_the_sweep_and_loses_nothing(tmp_path, error):
    def call(task):
        if task.name == "v_rex-000":
            time.sleep(1)  # meanwhile the other one ends
            raise error
        return trial.carry_out(task)

    heard = Heard()
    with ThreadPoolExecutor(2) as executor, pytest.raises(type(error)):
        sweep.run(tasks(), Folder(tmp_path), given(executor, 2), heard, call=call)
    assert "erm-000.json" in records(tmp_path)
    assert not list(tmp_path.rglob("*.failed.json"))


def test_another_release_is_refused(tmp_path):
    (task, *_) = tasks()
    sentence = "this command 0.0.1; install the same release everywhere"
    with pytest.raises(trial.WorkersError, match=sentence):
        trial.carry_out(replace(task, version="0.0.1"))


def test_threads_are_shared_out_and_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr("metairm_np.fast._blas.cores", lambda: 8)
    with threads_for(3):
        assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def start(tmp_path, *options):
    line = [sys.executable, "-m", "metairm_np.run", "cmnist", *OPTIONS, "--algorithms", "erm"]
    return subprocess.Popen(
        [*line, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background job would ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_trials(tmp_path, n=1):
    for _ in range(1200):
        if len(list(tmp_path.rglob("erm-*.json"))) >= n:
            return
        time.sleep(0.05)
    pytest.fail("no trial was finished within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_finishes_what_runs_and_twice_stops(times, jobs, tmp_path):
    process = start(tmp_path, "--trials", "40", "--jobs", str(jobs), "--set", "steps=300")
    wait_for_trials(tmp_path)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to parent and workers alike
        time.sleep(0.1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"finishing the trial{'s' * (jobs > 1)} that run" in err
    assert "Traceback" not in err
    assert "the same command goes on from there" in out
    stored = len(list(tmp_path.rglob("erm-*.json")))
    assert stored == out.count("erm, trial ")
    assert 1 <= stored < 40


@pytest.mark.slow
def test_two_commands_share_a_folder(tmp_path):
    options = "--trials", "12", "--set", "steps=120"
    both = [start(tmp_path, *options), start(tmp_path, *options, "--jobs", "2")]
    wait_for_trials(tmp_path, 2)
    (folder,) = (tmp_path / "runs").iterdir()
    text = status(folder)
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    ran = [out.count("erm, trial ") for out, _ in outputs]
    assert sum(ran) == 12  # none ran twice
    assert min(ran) > 0
    row = next(line for line in text.splitlines() if line.startswith("| erm"))
    done, _, failed, running, left = (int(cell) for cell in row.split("|")[2:7])
    assert done + running + left == 12
    assert failed == 0
    assert 1 <= running <= 6  # three at a time, some of which end while we look
    assert "to go with" in text
    for out, _ in outputs:
        assert "| ERM                     |     12 |" in out


def test_status_of_a_folder_of_folders(tmp_path):
    line = ["cmnist", *OPTIONS, "--algorithms", "erm", "--trials", "2", "--out"]
    assert main([*line, str(tmp_path / "runs")]) == 0
    text = status(tmp_path / "runs")
    assert "Colored MNIST, two classes" in text
    row = next(line for line in text.splitlines() if line.startswith("| erm"))
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["2", "0", "0", "0", "0"]
    with pytest.raises(FileNotFoundError, match="is no run folder and holds none; give one"):
        status(tmp_path)

"""Sweeps on dask.distributed: the same records, though workers are killed in the midst of trials."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading

import pytest
from small_sweeps import OPTIONS, Heard, records, run, tasks

from metairm_np.sweeps import executors, sweep, trial
from metairm_np.sweeps.folder import Folder

distributed = pytest.importorskip(
    "distributed", reason="needs dask.distributed: pip install 'metairm-np[cluster]'"
)


@pytest.fixture
def cluster():
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "silence_logs": 50,
    }
    with distributed.LocalCluster(**options, host="127.0.0.1") as cluster:
        yield cluster


def test_the_command_line_gives_the_same_records(tmp_path):
    command = [
        sys.executable,
        "-m",
        "metairm_np.run",
        "cmnist",
        *OPTIONS,
        "--algorithms",
        "erm,v_rex",
        "--trials",
        "3",
    ]
    process = subprocess.run(
        [*command, "--dask", "local", "--jobs", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    folder = tmp_path / process.stdout.strip().splitlines()[-1]
    assert records(folder) == run(tmp_path / "serial")


def test_workers_of_a_local_cluster_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("metairm_np.fast._blas.cores", lambda: 6)
    with executors.dask("local", 2).start() as (executor, room):
        assert room() == 2
        assert executor.submit(os.environ.get, "OPENBLAS_NUM_THREADS").result() == "3"
        handler = executor.submit(signal.getsignal, signal.SIGINT).result()
        assert handler == signal.SIG_IGN  # a terminal's Ctrl-C reaches them, too


def test_killed_workers_of_a_cluster_change_nothing(cluster, tmp_path):
    whole, heard, rng = run(tmp_path / "whole", trials=8), Heard(), random.Random(0)
    over, killed = threading.Event(), []

    def kill():
        n = 0
        while len(killed) < 5 and not over.wait(0.01):
            now = len(heard.names("finished"))
            pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
            if now > n and pids:
                n = now
                over.wait(rng.uniform(0, 0.1))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    killed.append(n)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        workers = executors.dask(cluster.scheduler_address, 1)
        assert (
            run(tmp_path / "killed", trials=8, workers=workers, listener=heard, checkpoint_every=5)
            == whole
        )
    finally:
        over.set()
        thread.join()
    assert len(killed) == 5
    assert not list((tmp_path / "killed").rglob("*.checkpoint.npz"))


class Dying:
    """A call that kills its worker for one trial."""

    def __call__(self, task):
        if task.name == "erm-000":
            os.kill(os.getpid(), signal.SIGKILL)
        return trial.carry_out(task)


def test_a_trial_that_always_kills_its_worker_fails_alone(cluster, tmp_path):
    heard = Heard()
    with distributed.Client(cluster) as client:
        client.run_on_scheduler(
            lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0)
        )
    workers = executors.dask(cluster.scheduler_address, 1)
    sweep.run(tasks(trials=2), Folder(tmp_path), workers, heard, Dying())
    assert heard.names("failed") == ["erm-000"]
    assert sorted(heard.names("finished")) == ["erm-001", "v_rex-000", "v_rex-001"]


def test_a_scheduler_that_goes_away_ends_the_sweep_with_a_sentence(tmp_path):
    options = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "silence_logs": 50,
    }
    cluster = distributed.LocalCluster(**options, host="127.0.0.1")
    threading.Timer(4, cluster.close).start()
    with pytest.raises(trial.WorkersError, match="the connection to the .* is lost"):
        run(tmp_path, trials=400, workers=executors.dask(cluster.scheduler_address, 1))


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        (
            "lokal",
            ValueError,
            "--dask is 'lokal'; give local, or a scheduler's address such as tcp://host:8786",
        ),
        ("tcp://127.0.0.1:9", trial.WorkersError, "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_a_wrong_address_is_one_sentence(where, error, message, monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 1)
    with pytest.raises(error, match=message), executors.dask(where, 1).start():
        pass


def test_a_scheduler_without_workers_is_one_sentence(monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 1)
    options = {"n_workers": 0, "dashboard_address": None, "silence_logs": 50}
    with (
        distributed.LocalCluster(**options, host="127.0.0.1") as cluster,
        pytest.raises(trial.WorkersError) as error,
    ):  # noqa: PT012
        with executors.dask(cluster.scheduler_address, 1).start():
            pass
    assert "has no workers; start some with: dask worker --nthreads 1 tcp://127.0.0.1" in str(
        error.value
    )

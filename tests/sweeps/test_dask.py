"""Sweeps on dask.distributed: the same records, though workers are killed during trials."""

import contextlib
import os
import random
import signal
import threading

import pytest
from small_sweeps import OPTIONS, Heard, records, run, tasks

from metairm_np.cli import main
from metairm_np.sweeps import executors, sweep, trial
from metairm_np.sweeps.folder import Folder

distributed = pytest.importorskip(
    "distributed", reason="needs dask.distributed: pip install 'metairm-np[cluster]'"
)


pytestmark = pytest.mark.slow


def cluster_of(n_workers):
    """Start a cluster on this machine."""
    return distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=50,
        host="127.0.0.1",
    )


@pytest.fixture
def cluster():
    with cluster_of(2) as cluster:
        yield cluster


def test_the_command_line_gives_the_same_records(tmp_path, capsys):
    line = ["cmnist", *OPTIONS, "--algorithms", "erm,v_rex", "--trials", "3"]
    assert main([*line, "--dask", "local", "--jobs", "2", "--out", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().err == ""
    (folder,) = (tmp_path / "runs").iterdir()
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
    sweep.run(tasks(trials=2), Folder(tmp_path), workers, heard, call=Dying())
    assert heard.names("failed") == ["erm-000"]
    assert sorted(heard.names("finished")) == ["erm-001", "v_rex-000", "v_rex-001"]


def test_a_scheduler_that_goes_away_ends_the_sweep_with_a_sentence(tmp_path):
    cluster = cluster_of(1)
    threading.Timer(4, cluster.close).start()
    with pytest.raises(trial.WorkersError, match="the connection to the .* is lost"):
        run(tmp_path, trials=400, workers=executors.dask(cluster.scheduler_address, 1))


def test_a_wrong_address_is_one_sentence(monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 1)
    with pytest.raises(trial.WorkersError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        with executors.dask("tcp://127.0.0.1:9", 1).start():
            pass


def test_a_scheduler_without_workers_is_one_sentence(monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 1)
    sentence = "has no workers; start some with: dask worker --nthreads 1 tcp://127.0.0.1"
    with cluster_of(0) as cluster, pytest.raises(trial.WorkersError, match=sentence):
        with executors.dask(cluster.scheduler_address, 1).start():
            pass

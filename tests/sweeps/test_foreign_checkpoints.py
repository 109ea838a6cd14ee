"""No damaged checkpoint, and none of another run, is gone on from."""

import io

import numpy as np
import pytest
from small_sweeps import records, run, tasks

from metairm_np import _storage, sweeps
from metairm_np.environments import synthetic_digits
from metairm_np.sweeps import Folder
from metairm_np.training import Checkpoint, RunOptions, Settings, train

TRIAL = synthetic_digits(0, 40, validation=0.2)
ERM = Settings("erm", steps=6, hidden=(3,))


class CutShortError(Exception):
    pass


def cut_short(path, seed=0, settings=ERM, envs=TRIAL.train, **options):
    """Train until a checkpoint is there, and stop."""

    def on_step(row):
        if row["step"] == 4:
            raise CutShortError

    with pytest.raises(CutShortError):
        run_options = RunOptions(checkpoint=Checkpoint(path, 3), on_step=on_step, **options)
        train(settings, envs, TRIAL.validation, seed, run=run_options)
    assert path.is_file()


def steps_of(path, **options):
    """Return the steps that training from a checkpoint takes."""
    seen = []
    run_options = RunOptions(
        checkpoint=Checkpoint(path, 3), on_step=lambda row: seen.append(row["step"]), **options
    )
    train(ERM, TRIAL.train, TRIAL.validation, 0, run=run_options)
    return seen


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"settings": Settings("erm", steps=6, hidden=(3,), lr=0.1)},
        {"envs": synthetic_digits(1, 40).train},
        {"audit_every": 2},
    ],
    ids=["seed", "settings", "data", "audits"],
)
def test_a_checkpoint_of_another_run_is_set_aside(other, tmp_path, caplog):
    path = tmp_path / "state.npz"
    cut_short(path, **other)
    assert steps_of(path) == list(range(7))
    assert "is the checkpoint of another run" in caplog.text
    assert (tmp_path / "state.npz.foreign").is_file()


def test_a_trials_checkpoint_is_not_anothers(tmp_path):
    whole = run(tmp_path / "whole", trials=2)
    folder = Folder(tmp_path / "cut")

    def stop(row):
        if row["step"] == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweeps.run(tasks(1), folder, sweeps.serial(lambda task: stop), checkpoint_every=5)
    folder.checkpoint_path("erm-000").rename(folder.checkpoint_path("erm-001"))
    sweeps.run(tasks(2), folder, checkpoint_every=5)
    assert records(folder.path) == whole


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def huge():
    """Return an npz file whose header claims 80 TB."""
    small, large = b"(10,), }" + b" " * 12, b"(10000000000000,), }"
    good = npz(a0=np.zeros(10))
    assert small in good
    return good.replace(small, large)


def method(good):
    """Return the checkpoint with another method of compression in its directory."""
    place = good.rindex(b"PK\x01\x02") + 10
    return good[:place] + bytes([good[place] ^ 8]) + good[place + 1 :]


@pytest.mark.parametrize(
    "harm",
    [
        method,
        lambda good: huge(),
        lambda good: npz(outline=np.frombuffer(b"[" * 100_000, np.uint8)),
        lambda good: npz(other=np.zeros(2)),
        lambda good: good[:40],
        lambda good: b"\x93NUMPY" + good,
        lambda good: good + b"x",
    ],
    ids=["method", "80 TB", "nested", "keys", "cut", "npy", "longer"],
)
def test_a_harmed_checkpoint_is_set_aside_whatever_the_harm(harm, tmp_path, caplog):
    path = tmp_path / "state.npz"
    cut_short(path)
    path.write_bytes(harm(path.read_bytes()))
    assert steps_of(path) == list(range(7))
    assert "is damaged; it is kept as state.npz.damaged and made again" in caplog.text


def test_a_checkpoint_that_is_a_folder_a_link_or_too_large_is_set_aside(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    path.mkdir()
    assert steps_of(path) == list(range(7))
    cut_short(tmp_path / "other.npz")
    path.unlink()
    path.symlink_to(tmp_path / "other.npz")
    assert steps_of(path) == list(range(7))
    path.unlink()
    cut_short(path)
    monkeypatch.setattr(_storage, "LARGEST", 100)
    assert steps_of(path) == list(range(7))

"""Run folders: damage is noticed, a full or read-only disk is one sentence, nothing is lost."""

import json
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from small_sweeps import OPTIONS, Heard, experiment, no_root_rights, records, run, tasks

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.cli.status import status
from metairm_np.sweeps.folder import Folder, npz
from metairm_np.sweeps.plan import MOST, name_of, names_in

LINE = ["cmnist", *OPTIONS, "--algorithms", "erm,v_rex"]


@pytest.fixture
def limited(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line with files of at most `limit` bytes."""
    monkeypatch.chdir(tmp_path)

    def call(*options, limit=None):
        capsys.readouterr()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit or before[0], before[1]))
        try:
            code = main([*LINE, *options])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return code, *capsys.readouterr()

    return call


def harmed(good):
    """Return damaged versions of a file's bytes."""
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    return {
        "empty": b"",
        "half": good[: len(good) // 2],
        "bit": bytes(flipped),
        "other": b"\x00\xff[]",
        "long": good + b" ",
    }


@pytest.mark.parametrize("harm", ["empty", "half", "bit", "other", "long"])
def test_damaged_files_are_set_aside_and_the_trials_run_again(harm, tmp_path):
    whole, heard = run(tmp_path, trials=1, keep_params=True), Heard()
    folder = Folder(tmp_path)
    params = folder.params_path("v_rex-000")
    good, bad = params.read_bytes(), {}
    for path in (folder.record_path("erm-000"), params):
        bad[path] = harmed(path.read_bytes())[harm]
        path.write_bytes(bad[path])
    assert run(tmp_path, trials=1, listener=heard, keep_params=True) == whole
    assert heard.names("finished") == ["erm-000", "v_rex-000"]
    assert params.read_bytes() == good
    for path, content in bad.items():
        assert path.with_name(f"{path.name}.damaged").read_bytes() == content


def test_a_record_that_cannot_be_stored_leaves_its_checkpoint(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    folder.checkpoint_path("erm-000").parent.mkdir()
    folder.checkpoint_path("erm-000").write_text("state")
    folder.failure_path("erm-000").write_text("{}")
    monkeypatch.setattr(
        _storage,
        "write_record",
        lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(OSError):
        folder.store("erm-000", {"a": 1})
    assert folder.checkpoint_path("erm-000").exists()
    monkeypatch.undo()
    folder.store("erm-000", {"a": 1})
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["erm-000.json"]


def test_summary_leaves_out_what_is_long_but_checks_it(tmp_path):
    folder, record = (
        Folder(tmp_path),
        {"a": ', "settings": ', "b": {"c": 1}, "settings": {"d": 2}, "history": [{"step": 0}]},
    )
    folder.store("erm-000", record)
    assert folder.summary("erm-000") == {"a": ', "settings": ', "b": {"c": 1}}
    assert _storage.read_record(folder.record_path("erm-000")) == record
    path = folder.record_path("erm-000")
    path.write_text(path.read_text().replace('"step": 0', '"step": 1'))
    assert folder.summary("erm-000") is None


def test_npz_has_every_layer_and_the_same_bytes_each_time(tmp_path):
    params = [
        (np.ones((2, 3), np.float32), np.zeros(3, np.float32)),
        (np.full((3, 1), 2.0), np.zeros(1)),
    ]
    (tmp_path / "p.npz").write_bytes(npz(params))
    with np.load(tmp_path / "p.npz") as file:
        assert {name: (file[name].shape, file[name].dtype.name) for name in file.files} == {
            "W0": ((2, 3), "float32"),
            "b0": ((3,), "float32"),
            "W1": ((3, 1), "float64"),
            "b1": ((1,), "float64"),
        }
        assert (file["W1"] == 2).all()
    assert npz(params) == npz(params)


def sizes(folder):
    """Return first, trials and settings of each row of the plan."""
    return {row: (*asked.values(),) for row, asked in folder.planned().items()}


def test_the_plan_is_what_the_last_command_asked_for_but_keeps_what_has_ended(tmp_path):
    folder = Folder(tmp_path)
    folder.plan(["erm", "v_rex"], 0, 1000)
    folder.plan(["erm"], 0, 3)
    assert sizes(folder) == {"erm": (0, 3, None), "v_rex": (0, 1000, None)}
    assert list(names_in(folder.planned(), "erm")) == ["erm-000", "erm-001", "erm-002"]
    folder.store("erm-004", {"name": "erm-004"})
    folder.fail("erm-006", {"name": "erm-006"})
    folder.plan(["erm"], 0, 2)
    assert sizes(folder)["erm"] == (0, 7, None)
    folder.plan(["erm"], 0, 9)
    assert sizes(folder)["erm"] == (0, 9, None)
    folder.plan(["meta_irm"], 7, 2, settings=3)
    folder.plan(["meta_irm"], 7, 2, settings=2)
    assert list(names_in(folder.planned(), "meta_irm")) == [
        name_of("meta_irm", trial, s) for trial in (7, 8) for s in (0, 1)
    ]


def test_the_plan_of_a_command_at_work_stays(tmp_path):
    code = (
        "import sys; from metairm_np.sweeps.folder import Folder; folder = Folder(sys.argv[1])\n"
        "folder.plan(['erm'], 0, int(sys.argv[2])); print(folder.planned()['erm']['trials'])"
    )

    def trials_after(n):
        command = [sys.executable, "-c", code, str(tmp_path), str(n)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    folder = Folder(tmp_path)
    folder.plan(["erm"], 0, 5)
    with folder.claims():
        assert trials_after(2) == 2  # nothing is claimed
        folder.plan(["erm"], 0, 5)
        assert folder.claim("erm-000")
        assert trials_after(2) == 5
        Folder(tmp_path).plan(["erm"], 0, 3)  # a thread of the same process
        assert trials_after(2) == 5
        folder.release("erm-000")
    assert trials_after(2) == 2


def test_a_claim_outlives_the_look_for_others(tmp_path):
    folder = Folder(tmp_path)
    other = (
        "import sys; from metairm_np.sweeps.folder import Folder\n"
        "with Folder(sys.argv[1]).reading_claims() as claimed: print(claimed('plan.json'))"
    )
    with folder.alone("plan.json"):
        assert folder._claims.are_only("plan.json")
        command = [sys.executable, "-c", other, str(tmp_path)]
        assert subprocess.run(command, capture_output=True, text=True).stdout == "True\n"


def test_the_status_of_an_enormous_plan_takes_no_time(tmp_path, capsys):
    assert main([*LINE, "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    folder, mistaken = Folder(path), {"first": 0, "trials": MOST, "settings": MOST}
    plan = {"erm": mistaken, "v_rex": {**mistaken, "settings": None}}
    _storage.write_record(path / "plan.json", {"rows": plan})
    with folder.claims():
        assert folder.claim("v_rex-004")
        began = time.perf_counter()
        said = status(path)
    assert time.perf_counter() - began < 5
    rows = [line.split("|")[2:7] for line in said.splitlines() if line.startswith("| ")]
    erm, v_rex = rows[1:]
    assert list(map(int, erm)) == [1, 0, 0, 0, MOST**2 - 1]
    assert list(map(int, v_rex)) == [1, 0, 0, 1, MOST - 2]
    capsys.readouterr()
    assert main([*LINE, "--trials", "2", "--out", str(tmp_path)]) == 0
    assert sizes(folder) == {"erm": (0, 2, None), "v_rex": (0, 2, None)}


def test_a_claim_keeps_other_processes_out_until_it_is_released(tmp_path):
    other = (
        "import sys; from metairm_np.sweeps.folder import Folder; folder = Folder(sys.argv[1])\n"
        "with folder.claims(): print([folder.claim(name) for name in ('erm-000', 'erm-001')])"
    )

    def ask():
        return subprocess.run(
            [sys.executable, "-c", other, tmp_path], capture_output=True, text=True, check=True
        ).stdout.strip()

    folder = Folder(tmp_path)
    with folder.claims():
        assert folder.claim("erm-000")
        assert ask() == "[False, True]"
        folder.release("erm-000")
        assert ask() == "[True, True]"
        assert folder.claim("erm-001")
    assert ask() == "[True, True]"


def test_another_commands_finished_trial_is_taken_over(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    folder, heard, seen = Folder(tmp_path / "shared"), Heard(), []

    def claim(self, name):  # the other command has erm-001 for a while, and finishes it
        seen.append(name)
        if name == "erm-001" and seen.count(name) == 2:
            (tmp_path / "whole" / "trials" / "erm-001.json").rename(folder.record_path(name))
        return name != "erm-001" or seen.count(name) > 1

    monkeypatch.setattr(Folder, "claim", claim)
    assert run(folder.path, listener=heard) == whole
    assert heard.n_waiting == 1
    assert heard.names("reused") == ["erm-001"]
    assert "erm-001" not in heard.names("begun")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(jobs, tmp_path, limited):
    more = ["--set", "steps=400"]  # so that a record is much longer than the config
    whole = run(tmp_path / "whole", trials=4, changes=["steps=400"])
    size = min(len(json.dumps(record)) for record in whole.values())
    assert limited(*more, "--trials", "2")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    before = {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}
    code, _, err = limited(*more, "--trials", "4", "--jobs", jobs, limit=size // 2)
    assert code == 2
    assert err.startswith("error: cannot use runs/cmnist-")
    assert "File too large" in err
    assert err.endswith("; fix that, and the same command goes on from there\n")
    assert err.count("\n") == 1
    now = {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}
    assert now == before  # and no half files
    code, out, err = limited(*more, "--trials", "4", "--jobs", jobs)
    assert code == 0, err
    assert "reused: 4 finished trials" in out
    assert records(folder) == whole


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path, limited):
    code, _, err = limited("--jobs", "2", "--checkpoint-every", "3", limit=6000)
    assert code == 2
    assert err.count("\n") == 1
    assert "File too large" in err
    assert not list(tmp_path.rglob("*.failed.json"))


@pytest.mark.slow
def test_a_read_only_folder_is_one_sentence(tmp_path, limited):
    assert limited()[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in (folder / "trials", folder, tmp_path / "runs"):
        path.chmod(0o500)
    try:
        # a folder that is there, and one that is not
        for options in (["--trials", "2"], ["--seed", "1"]):
            process = subprocess.run(
                [sys.executable, "-m", "metairm_np.run", *LINE, *options],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                preexec_fn=no_root_rights,
            )
            assert process.returncode == 2
            assert process.stderr.startswith("error: cannot write to runs/cmnist-")
            assert "name a folder you may write to with --out" in process.stderr
            assert process.stderr.count("\n") == 1
    finally:
        for path in (tmp_path / "runs", folder, folder / "trials"):
            path.chmod(0o700)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_hash_names_what_decides_and_nothing_else():
    def hashes(*changes):
        return {experiment(change).hash(0, "float32") for change in changes}

    base = {experiment().hash(0, "float32")}
    same = "erm.label=Empirical", "v_rex.momentum=0.0", "environment.n_test=400"
    assert hashes(*same) == base
    others = "erm.lr=0.3", "n_test=401", "p_e=[0.8]", "early_stopping.patience=7"
    assert len(hashes(*others) | base) == 5


def test_tasks_are_independent_of_what_is_asked_for_beside():
    one, more = tasks(trials=1), tasks(trials=2)
    assert more[: len(one)] == one
    assert [task.name for task in more] == ["erm-000", "v_rex-000", "erm-001", "v_rex-001"]

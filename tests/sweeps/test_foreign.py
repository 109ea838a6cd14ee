"""Nothing foreign or damaged in a run folder is taken for a result."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from small_sweeps import OPTIONS, SMALL, Heard, no_root_rights, records, run, tasks

from metairm_np import _storage, sweeps
from metairm_np.cli import main
from metairm_np.cli.conclude import conclude_table
from metairm_np.environments import synthetic_digits
from metairm_np.experiments.files import load_study
from metairm_np.sweeps import Contents, Folder
from metairm_np.sweeps.identity import KEYS
from metairm_np.training import Checkpoint, RunOptions, Settings, train


@pytest.fixture
def made(tmp_path):
    """Return a run folder with two trials of two algorithms and their parameters."""
    run(tmp_path, trials=2, keep_params=True)
    return Folder(tmp_path)


def again(folder, **options):
    """Run the same sweep again; return which trials it ran."""
    heard = Heard()
    run(folder.path, trials=2, listener=heard, keep_params=True, **options)
    return heard.names("begun")


def rewrite(folder, name, changes):
    """Write a record anew with other values, whole and with its checksum."""
    _storage.write_record(folder.record_path(name), {**folder.record(name), **changes})


# ---- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("dtype", "float64"),
        ("engine", "spec"),
        ("settings_hash", "0123456789"),
        ("data_checksum", "0123"),
        ("trial", 3),
        ("trial", False),
        ("algorithm", "v_rex"),
        ("case", "other"),
        ("setting", 0),
        ("name", "erm-003"),
    ],
)
def test_a_record_that_differs_in_what_decides_it_is_set_aside(made, key, value, caplog):
    before = records(made.path)
    rewrite(made, "erm-000", {key: value})
    assert again(made) == ["erm-000"]
    assert records(made.path) == before
    assert made.record_path("erm-000").with_name("erm-000.json.foreign").is_file()
    (said,) = [r.getMessage() for r in caplog.records]
    assert "is foreign" in said
    assert key.replace("_", " ") in said or "is the record of" in said


def test_a_copy_is_not_another_trial(made, caplog):
    before = records(made.path)
    shutil.copy(made.record_path("erm-000"), made.record_path("erm-001"))
    shutil.copy(made.params_path("erm-000"), made.params_path("erm-001"))
    shutil.copy(made.record_path("erm-000"), made.trials / "erm-000 (conflicted copy).json")
    contents = Contents.new(load_study("cmnist", SMALL), 0, "float32", "fast")
    names = [record["name"] for record in made.summaries(contents)]
    assert names == ["erm-000", "v_rex-000", "v_rex-001"]
    assert again(made) == ["erm-001"]
    assert records(made.path) == before
    assert len([r for r in caplog.records if "is foreign" in r.getMessage()]) == 2


def test_parameters_of_another_trial_are_not_taken(made):
    good = made.params_path("erm-001").read_bytes()
    shutil.copy(made.params_path("erm-000"), made.params_path("erm-001"))
    with pytest.raises(FileNotFoundError, match="--save-params"):
        made.params("erm-001")
    assert again(made) == ["erm-001"]
    assert made.params_path("erm-001").read_bytes() == good


def test_records_of_an_earlier_release_are_told_in_one_sentence_and_kept(made, caplog):
    before = records(made.path)
    for name in made.names():
        record = {k: v for k, v in made.record(name).items() if k not in KEYS[-2:]}
        _storage.write_record(made.record_path(name), record)
    assert len(again(made)) == 4
    assert records(made.path) == before
    assert len(list(made.trials.glob("*.json.earlier"))) == 4
    (said,) = [r.getMessage() for r in caplog.records]
    assert "4 records are of an earlier release" in said


def test_what_a_folder_takes_from_one_beside_it_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ["cmnist", *OPTIONS, "--trials", "2", "--algorithms", "erm"]
    assert main(line) == 0
    (one,) = (tmp_path / "runs").iterdir()
    shutil.copy(one / "trials" / "erm-000.json", one / "trials" / "erm-001.json")
    assert main([*line, "--set", "v_rex.lr=0.5"]) == 0
    (other,) = set((tmp_path / "runs").iterdir()) - {one}
    names = [json.loads((other / "trials" / f"erm-00{n}.json").read_text()) for n in (0, 1)]
    assert names[0]["test_accuracy"] != names[1]["test_accuracy"]


def test_a_searchs_trial_of_other_settings_is_not_taken(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    line = ["search", "cmnist", *OPTIONS, "--algorithms", "v_rex", "--budget", "2", "--trials", "1"]
    assert main(line) == 0
    (folder,) = map(Folder, (tmp_path / "runs").iterdir())
    first, second = folder.names()
    before = records(folder.path)
    record = {**folder.record(first), "name": second, "setting": 1}
    _storage.write_record(folder.record_path(second), record)
    assert main(line) == 0
    assert records(folder.path) == before
    assert "settings hash" in caplog.text


# ---- checkpoints ---------------------------------------------------------------------------------


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
    good = npz(a0=np.zeros(10))
    return good.replace(b"(10,), }" + b" " * 10, b"(10000000000000,), }"[:18].ljust(18))


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


# ---- plan.json and config.json -------------------------------------------------------------------

HARMS = {
    "empty": lambda good: b"",
    "half": lambda good: good[: len(good) // 2],
    "flipped": lambda good: good.replace(b"erm", b"erl", 1),
    "list": lambda good: b"[1,2]",
    "brackets": lambda good: b"[" * 100_000,
}


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory):
    """Return a folder with a table's and a search's run folder."""
    out = tmp_path_factory.mktemp("two") / "runs"
    line = ["cmnist", *OPTIONS, "--out", str(out)]
    assert main([*line, "--algorithms", "erm"]) == 0
    assert main([*line, "--algorithms", "erm", "--set", "v_rex.lr=0.5"]) == 0
    return out


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["plan.json", "config.json"])
def test_damaged_plans_and_configs_are_one_sentence(
    name, harm, two_folders, tmp_path, capsys, caplog
):
    out = shutil.copytree(two_folders, tmp_path / "runs")
    capsys.readouterr()
    first, second = sorted(out.iterdir())
    path = first / name
    path.write_bytes(HARMS[harm](path.read_bytes()))
    left = path.read_bytes()
    for line in (["status", str(out)], ["report", str(out), "--to", str(tmp_path / "page.html")]):
        caplog.clear()
        assert main(line) == 0
        out_text, said = capsys.readouterr().out, [r.getMessage() for r in caplog.records]
        assert str(second) in out_text or "run folders" in out_text
        if name == "config.json" or line[0] == "status":
            assert len(said) == 1
            assert f"{path} " in said[0]
        assert "| erm" in out_text or line[0] == "report"
    assert path.read_bytes() == left
    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == (1 if name == "config.json" else 2)
    if name == "config.json":
        assert main(["status", str(first)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {path} ")
        assert "run again, writes it anew" in err


@pytest.mark.parametrize("harm", HARMS)
def test_a_searchs_other_algorithms_stay(harm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ["search", "cmnist", *OPTIONS, "--budget", "2", "--algorithms"]
    assert main([*line, "v_rex"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    path = folder / "plan.json"
    path.write_bytes(HARMS[harm](path.read_bytes()))
    assert main([*line, "irmv1"]) == 0
    found = json.loads((folder / "search.json").read_text())
    assert {name: len(rows) for name, rows in found.items()} == {"v_rex": 2, "irmv1": 2}


# ---- where files go, and what they are -----------------------------------------------------------


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", "a\\nb"])
@pytest.mark.parametrize("what", ["name", "algorithm", "case"])
def test_names_that_lead_elsewhere_are_refused(what, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = {"name": name} if what == "name" else {"name": "mine"}
    text = 'base = "cmnist"\n' + "".join(f'{k} = "{v}"\n' for k, v in shown.items())
    text += f'[algorithms."{name}"]\nbase = "erm"\n' * (what == "algorithm")
    text += f'[cases."{name}"]\ntitle = "t"\n' * (what == "case")
    (tmp_path / "mine.toml").write_text(text)
    assert main(["mine.toml", *OPTIONS, "--out", "deep/in/runs"]) == 2
    assert "goes into file names" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("field", ["algorithm", "case"])
def test_a_task_with_such_a_name_is_refused(field, tmp_path):
    fields = {"config": "{}", "algorithm": "erm", "case": "", "trial": 0, field: "../../../up"}
    with pytest.raises(ValueError, match="goes into file names"):
        Folder(tmp_path).record_path(sweeps.Task(**fields).name)


def test_rows_whose_files_would_have_one_name_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "cmnist"\nname = "mine"\nrows = ["b-c", "c"]\n[cases.a]\n[cases.a-b]\n'
        '[algorithms.b-c]\nbase = "erm"\n[algorithms.c]\nbase = "erm"\n'
    )
    with pytest.raises(ValueError, match="two rows are called 'a-b-c'"):
        load_study(str(path))


@pytest.mark.parametrize("inner", ["", "trials"])
def test_links_out_of_the_folder_are_not_followed(inner, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["cmnist", *OPTIONS, "--algorithms", "erm"]
    assert main(line) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    elsewhere = tmp_path / "elsewhere"
    (folder / inner).rename(elsewhere)
    (folder / inner).symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*line, "--trials", "2"]) == 2
    assert "is a symbolic link, which is not followed" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()} == before
    assert main(["status", "runs"]) == 2


def test_a_linked_record_is_not_read_or_written(made, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "record.json"
    made.record_path("erm-000").rename(elsewhere)
    content = elsewhere.read_bytes()
    made.record_path("erm-000").symlink_to(elsewhere)
    assert again(made) == ["erm-000"]
    assert elsewhere.read_bytes() == content
    assert not made.record_path("erm-000").is_symlink()


# ---- commands that share a folder ----------------------------------------------------------------


def test_what_killed_commands_were_writing_is_removed(made):
    for place in (made.path, made.trials):
        (place / ".erm-000.json.01234567.part").write_text("{")
    (made.trials / ".notes").write_text("mine")
    with open(made.trials / ".v_rex-000.json.76543210.part", "wb") as file:
        assert _storage._try_lock(file)  # somebody writes it
        again(made)
        assert [path.name for path in made.path.rglob(".*.part")] == [
            ".v_rex-000.json.76543210.part"
        ]
    again(made)
    assert not list(made.path.rglob(".*.part"))
    assert (made.trials / ".notes").is_file()


def test_looking_does_not_release_what_this_process_claims(made):
    ask = (
        "import sys; from metairm_np.sweeps import Folder; folder = Folder(sys.argv[1])\n"
        "with folder.claims(): print(folder.claim('erm-005'))"
    )
    with made.claims():
        assert made.claim("erm-005")
        with Folder(made.path).reading_claims() as is_claimed:
            assert is_claimed("erm-005")
            assert not is_claimed("erm-006")
        with Folder(made.path).claims():
            pass
        process = subprocess.run(
            [sys.executable, "-c", ask, made.path], capture_output=True, text=True, check=True
        )
        assert process.stdout == "False\n"
        other = Folder(made.path)
        with other.claims():  # another sweep of this process
            assert not other.claim("erm-005")
    with made.claims():
        assert made.claim("erm-005")


def test_only_one_command_at_a_time_is_alone(made):
    order = []

    def second():
        with Folder(made.path).alone("conclusion"):
            order.append("second")

    with made.alone("conclusion"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_last_of_two_conclusions_has_the_whole_table(made, monkeypatch, capsys):
    """The first command reads the trials, the second finishes one more and concludes."""
    contents = Contents.new(load_study("cmnist", SMALL), 0, "float32", "fast")
    late = made.record("erm-001")
    path = made.record_path("erm-001")
    path.unlink()
    summaries, threads = Folder.summaries, []

    def slow(self, contents):
        found = summaries(self, contents)
        if not threads:
            _storage.write_record(path, late)
            other = threading.Thread(
                target=conclude_table, args=(contents, Folder(made.path), "second")
            )
            threads.append(other)
            other.start()
            time.sleep(0.5)  # in which the second would write, if it did not wait
        return found

    monkeypatch.setattr(Folder, "summaries", slow)
    conclude_table(contents, made, "first")
    threads[0].join()
    assert "| erm" not in (made.path / "results.csv").read_text()
    assert "erm,1," in (made.path / "results.csv").read_text()
    assert "second" in (made.path / "report.md").read_text()


@pytest.mark.slow
def test_status_and_report_of_a_folder_that_cannot_be_written(two_folders, tmp_path):
    """As on a read-only disk, with records that would be set aside on another."""
    out = shutil.copytree(two_folders, tmp_path / "runs")
    folder = sorted(out.iterdir())[0]
    (folder / "trials" / "erm-001.json").write_text("{")
    (folder / ".claims").chmod(0o400)
    for path in (folder / "trials", folder, out):
        path.chmod(0o500)
    try:
        for line in (["status", out], ["report", out, "--to", tmp_path / "page.html"]):
            process = subprocess.run(
                [sys.executable, "-m", "metairm_np.run", *map(str, line)],
                capture_output=True,
                text=True,
                timeout=120,
                preexec_fn=no_root_rights,
            )
            assert process.returncode == 0, process.stderr
            assert process.stderr.count("\n") == 1
            assert "erm-001.json is damaged; it is left out" in process.stderr
    finally:
        for path in (out, folder, folder / "trials"):
            path.chmod(0o700)


def test_what_a_killed_report_was_writing_is_removed(two_folders, tmp_path):
    for name in (".page.html.01234567.part", ".other.html.01234567.part", ".page.html.part"):
        (tmp_path / name).write_text("<")
    assert main(["report", str(two_folders), "--to", str(tmp_path / "page.html")]) == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"page.html", ".other.html.01234567.part", ".page.html.part"}


def test_a_figure_from_the_future_is_drawn_again(two_folders, tmp_path):
    out = shutil.copytree(two_folders, tmp_path / "runs")
    line = ["report", str(out), "--to", str(tmp_path / "page.html")]
    for folder in out.iterdir():
        (figure,) = folder.glob("*.svg")
        assert main(line) == 0
        page = (tmp_path / "page.html").read_text()
        figure.write_bytes(b"<svg></svg>")
        os.utime(figure, (4e9, 4e9))
        assert main(line) == 0
        assert (tmp_path / "page.html").read_text() == page

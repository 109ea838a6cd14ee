"""Nothing foreign or damaged in a run folder is taken for a result."""

import json
import shutil

import pytest
from small_sweeps import OPTIONS, SEARCH, SMALL, again, records

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.experiments.files import load_study
from metairm_np.sweeps import Contents, Folder
from metairm_np.sweeps.identity import KEYS


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
    assert main(SEARCH) == 0
    (folder,) = map(Folder, (tmp_path / "runs").iterdir())
    first, second = folder.names()
    before = records(folder.path)
    record = {**folder.record(first), "name": second, "setting": 1}
    _storage.write_record(folder.record_path(second), record)
    assert main(SEARCH) == 0
    assert records(folder.path) == before
    assert "settings hash" in caplog.text


# ---- plan.json and config.json -------------------------------------------------------------------

HARMS = {
    "empty": lambda good: b"",
    "half": lambda good: good[: len(good) // 2],
    "flipped": lambda good: good.replace(b"erm", b"erl", 1),
    "list": lambda good: b"[1,2]",
    "brackets": lambda good: b"[" * 100_000,
}


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
    line = ["search", "constant", *OPTIONS, "--budget", "2", "--algorithms"]
    assert main([*line, "v_rex"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    path = folder / "plan.json"
    path.write_bytes(HARMS[harm](path.read_bytes()))
    assert main([*line, "irmv1"]) == 0
    found = json.loads((folder / "search.json").read_text())
    assert {name: len(rows) for name, rows in found.items()} == {"v_rex": 2, "irmv1": 2}

"""The command line, as a subprocess on the real data."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from metairm_np import _storage
from metairm_np._seeds import child
from metairm_np.cli import main, options, prepare
from metairm_np.experiments.files import load
from metairm_np.sweeps import sweep, trial
from metairm_np.sweeps.executors import serial
from metairm_np.sweeps.folder import Folder

SMALL = ["--set", "n_per_env=300", "--set", "steps=4", "--set", "p_e=[0.9]"]


def command(*arguments):
    return [sys.executable, "-m", "metairm_np.run", *map(str, arguments)]


def run(*arguments, cwd):
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=300)


def without_clock(record):
    """Return what is a pure function of the settings and the seed."""
    return {key: value for key, value in record.items() if key not in ("seconds", "crc32")}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the finished process of a --quick run and its folder."""
    cwd = tmp_path_factory.mktemp("quick")
    process = run("cmnist", "--quick", cwd=cwd)
    return process, cwd / process.stdout.strip().splitlines()[-1]


def test_quick_run_on_real_data(quick):
    process, folder = quick
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""  # no bars where there is no terminal
    assert "\x1b" not in process.stdout
    assert "SMOKE RUN" in process.stdout
    for label in (
        "ERM",
        "ERM (greyscale)",
        "IRMv1",
        "MM-REx",
        "V-REx",
        "meta-IRM",
        "random guess",
        "optimal invariant model",
    ):
        assert f"| {label} " in process.stdout
    assert "70.4 ± 0.9" in process.stdout  # the paper's figure beside ours
    assert "audited against autograd: 18 checks, largest difference" in process.stdout
    assert folder.parent.name == "runs"
    assert folder.name.startswith("cmnist-quick-")


def test_engines_agree_and_have_folders_of_their_own(tmp_path):
    folders = []
    for engine in ("fast", "spec"):
        options = ["--dtype", "float64", "--engine", engine, "--audit-every", 2, "--verbose"]
        process = run("cmnist", *SMALL, "--algorithms", "meta_irm", *options, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
        assert process.stdout.startswith(f"engine {engine}, ")
        assert "audited against autograd: 3 checks" in process.stdout  # steps 0, 2 and the last, 4
        folders.append(tmp_path / process.stdout.strip().splitlines()[-1])
    one, other = (
        json.loads((folder / "trials" / "meta_irm-000.json").read_text()) for folder in folders
    )
    assert folders[0] != folders[1]
    assert (one["engine"], other["engine"]) == ("fast", "spec")
    assert 0 < one["audit"]["largest"] < 1e-12
    assert other["audit"]["largest"] == 0
    assert one["test_accuracy"] == other["test_accuracy"]
    for mine, theirs in zip(one["history"], other["history"]):
        assert mine["validation_risk"] == pytest.approx(theirs["validation_risk"], rel=1e-9)


def test_files_of_a_run(quick):
    _, folder = quick
    names = {path.name for path in folder.iterdir()}
    files = "config.json machine.json plan.json .claims trials results.csv results.json report.md"
    files += " accuracy.json accuracy.png accuracy.svg"
    assert names == set(files.split())
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["dtype"], config["quick"]) == (0, "float32", True)
    machine = json.loads((folder / "machine.json").read_text())
    assert {
        "numpy",
        "autograd",
        "blas",
        "blas_kernels",
        "cores",
        "threads",
        "thread_variables",
    } <= machine.keys()
    assert json.loads((folder / "trials" / "erm-000.json").read_text())["machine"] == machine
    trials = [json.loads(path.read_text()) for path in sorted((folder / "trials").iterdir())]
    assert [trial["algorithm"] for trial in trials] == [
        "erm",
        "erm_grey",
        "irmv1",
        "meta_irm",
        "mm_rex",
        "v_rex",
    ]
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 9
    for row in rows:
        record = next(trial for trial in trials if trial["algorithm"] == row["algorithm"])
        assert float(row["test_accuracy"]) == record["test_accuracy"][row["p_e"]]
    report = (folder / "report.md").read_text()
    assert "SMOKE RUN" in report
    assert "python -m metairm_np.run cmnist --quick" in report
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "accuracy.svg").read_text()


def test_history_is_in_the_trials_file(quick):
    record = json.loads((quick[1] / "trials" / "meta_irm-000.json").read_text())
    assert len(record["history"]) == record["last_step"] + 1
    assert {"meta_loss", "sigma", "risk", "accuracy", "test_accuracy", "validation_risk"} <= record[
        "history"
    ][0].keys()


def test_the_same_command_again_reuses_and_more_adds(tmp_path):
    first = run("cmnist", *SMALL, "--algorithms", "erm,v_rex", cwd=tmp_path)
    folder = tmp_path / first.stdout.strip().splitlines()[-1]
    stored = {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}
    second = run("cmnist", *SMALL, "--algorithms", "erm,meta_irm", "--trials", "2", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "reused: 1 finished trial\n" in second.stdout
    assert second.stdout.strip().splitlines()[-1] == first.stdout.strip().splitlines()[-1]
    now = {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}
    assert stored.items() <= now.items()
    assert now.keys() == {
        "erm-000.json",
        "v_rex-000.json",
        "erm-001.json",
        "meta_irm-000.json",
        "meta_irm-001.json",
    }
    assert "±" in second.stdout.split("| ERM ")[1].split("|")[2]  # two trials have a spread


def test_a_damaged_trial_is_run_again_to_the_same_result(tmp_path):
    arguments = ["cmnist", *SMALL, "--algorithms", "meta_irm"]
    folder = tmp_path / run(*arguments, cwd=tmp_path).stdout.strip().splitlines()[-1]
    path = folder / "trials" / "meta_irm-000.json"
    record = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    again = run(*arguments, cwd=tmp_path)
    assert "reused" not in again.stdout
    assert without_clock(json.loads(path.read_text())) == without_clock(record)
    assert [other.name for other in path.parent.iterdir() if other != path] == [
        "meta_irm-000.json.damaged"
    ]


def test_trials_do_not_depend_on_how_many_there_are(tmp_path):
    one = run(
        "cmnist", *SMALL, "--algorithms", "v_rex", "--trials", "2", "--out", "a", cwd=tmp_path
    )
    two = run(
        "cmnist", *SMALL, "--algorithms", "erm,v_rex", "--trials", "3", "--out", "b", cwd=tmp_path
    )
    records = []
    for process in (one, two):
        path = tmp_path / process.stdout.strip().splitlines()[-1] / "trials" / "v_rex-001.json"
        records.append(without_clock(json.loads(path.read_text())))
    assert records[0] == records[1]


def test_a_diverged_trial_does_not_stop_the_others(tmp_path):
    process = run(
        "cmnist",
        *SMALL,
        "--algorithms",
        "meta_irm,erm",
        "--set",
        "meta_irm.lr=1e30",
        "--set",
        "meta_irm.optimizer=sgd",
        cwd=tmp_path,
    )
    assert process.returncode == 1
    assert (
        "meta_irm, trial 0: diverged: a risk, the objective or its gradient is not finite at step"
        in process.stdout
    )
    assert "diverged: meta_irm-000; see runs/" in process.stderr
    assert process.stderr.count("\n") == 1  # that sentence and no warnings
    assert "erm, trial 0: completed 4 steps" in process.stdout
    folder = tmp_path / process.stdout.strip().splitlines()[-1]
    record = json.loads((folder / "trials" / "meta_irm-000.json").read_text())
    assert record["status"] == "diverged"
    assert len(record["history"]) >= 2
    row = process.stdout.split("| meta-IRM ")[1].splitlines()[0]
    assert row.split("|")[1:3] == [" " * 6 + "0 ", " " * 9 + "- "]  # no usable trial, no number


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    process = subprocess.Popen(
        command("cmnist", *SMALL, "--algorithms", "erm,meta_irm", "--set", "meta_irm.steps=100000"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background job would ignore it
    )
    assert process.stdout.readline().startswith("erm, trial 0: completed")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)  # the first finishes the trial, the second stops it
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: 1 finished trials are in runs/" in out
    assert "| ERM " in out
    assert "Traceback" not in err
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in (folder / "trials").iterdir()] == ["erm-000.json"]
    assert (folder / "report.md").is_file()


def test_ctrl_c_before_the_first_trial_is_one_sentence(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "everything", interrupted)
    assert main(["cmnist"]) == 130
    assert (
        capsys.readouterr().err.strip()
        == "interrupted before the first trial; the same command starts again"
    )


def test_a_folder_that_cannot_be_written_any_more_is_one_sentence(tmp_path):
    arguments = ["cmnist", *SMALL, "--algorithms", "erm"]
    folder = tmp_path / run(*arguments, cwd=tmp_path).stdout.strip().splitlines()[-1]
    (folder / "trials").rename(folder / "kept")
    (folder / "trials").write_text("in the way")
    process = run(*arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert process.stderr.startswith("error: cannot write to runs/")
    assert process.stderr.count("\n") == 1


def test_paper_is_every_table_and_figure_of_the_paper(tmp_path, monkeypatch):
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    args = options.parse(
        ["paper", "--source", "synthetic", "--out", str(tmp_path), "--trials", "2"]
    )
    prepared = prepare.everything(args, "command")
    assert len(prepared) == len(list(tmp_path.iterdir()))
    configs = [_storage.read_json(folder.path / "config.json") for _, folder, _ in prepared]
    artefacts = {artefact for config in configs for artefact in config["artefacts"]}
    assert artefacts == {f"table{n}" for n in range(1, 7)} | {f"figure{n}" for n in range(3, 11)}
    assert all(task.trial in (0, 1) for tasks, _, _ in prepared for task in tasks)


def test_data_dir_says_where_the_sentences_are(tmp_path):
    process = run("table6", "--data-dir", "nowhere", cwd=tmp_path)
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: {tmp_path / 'nowhere'} has no sst2/train.tsv; ")
    assert process.stderr.count("\n") == 1


def test_a_made_up_source_needs_no_files(tmp_path):
    settings = ["--set", "steps=2", "--quick", "--algorithms", "erm", "--source", "synthetic"]
    process = run("table6", *settings, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "(synthetic, vectors of 100 dimensions)" in process.stdout
    process = run("cmnist", *settings, cwd=tmp_path)
    assert process.returncode == 2
    assert "knows no key 'source'" in process.stderr


def test_list(tmp_path):
    process = run("list", cwd=tmp_path)
    assert process.returncode == 0
    assert "| cmnist " in process.stdout
    assert "Table 1" in process.stdout
    assert "about" in process.stdout


def test_help_names_every_option(tmp_path):
    text = run("--help", cwd=tmp_path).stdout
    options = "--algorithms --trials --seed --dtype --set --quick --out --jobs --dask --save-params --checkpoint-every".split()
    for option in (*options, "list", "status", "search", "Exit status"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cmnits"], "unknown experiment 'cmnits'; did you mean 'cmnist'? Known: cmnist"),
        (["none.toml"], "there is no file none.toml"),
        (["cmnist", "--algorithms", "irm"], "unknown algorithm 'irm'; did you mean 'irmv1'"),
        (["cmnist", "--dtype", "float16"], "unknown dtype 'float16'; did you mean"),
        (["cmnist", "--trials", "0"], "--trials is 0; give a whole number >= 1"),
        (["cmnist", "--trials", "x"], "argument --trials: invalid int value: 'x'"),
        (["cmnist", "--seed", "-1"], "seed is -1; give an integer >= 0"),
        (["cmnist", "--set", "stps=3"], "--set knows no key 'stps'; did you mean 'steps'"),
        (
            ["cmnist", "--set", "inner_lr=-1"],
            "algorithm 'meta_irm': inner_lr is -1; give a finite number >= 0",
        ),
        (
            ["cmnist", "--set", "n_per_env=30000"],
            "there are 50000 images to deal; give 25000 or fewer",
        ),
        (["cmnist", "--set", "train_p=[0.1]"], "needs 2 or more environments, got 1"),
        (
            ["cmnist", "--set", "validation=0"],
            "early stopping compares 2 or more validation sets, got 0",
        ),
        (["cmnist", "--out", os.devnull], f"cannot write to {os.devnull}"),
        (["cmnist", "--sed", "1"], "unrecognized arguments: --sed"),
        (["cmnist", "--engine", "fsat"], "unknown engine 'fsat'; did you mean 'fast'"),
        (["cmnist", "--jobs", "0"], "--jobs is 0; give a whole number >= 1"),
        (
            ["cmnist", "--checkpoint-every", "-1"],
            "--checkpoint-every is -1; give a whole number >= 1",
        ),
        (
            ["cmnist", "--dask", "lokal"],
            "--dask is 'lokal'; give local, or a scheduler's address such as tcp://host:8786",
        ),
        (["status", "nowhere"], "nowhere is no run folder and holds none; give one"),
        (["search", "cmnist"], "the following arguments are required: --budget"),
        (["search", "cmnist", "--budget", "0"], "--budget is 0; give a whole number >= 1"),
        (["cmnist", "--audit-every", "0"], "--audit-every is 0; give a whole number >= 1"),
        ([], "the following arguments are required: experiment"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(tmp_path, arguments, message):
    process = run(*arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_trial_cut_short_goes_on_from_its_checkpoint(tmp_path):
    experiment = load(
        "cmnist",
        ["n_per_env=100", "steps=6", "hidden=[4]", "meta_irm.early_stopping={threshold=0, arm=1}"],
    )
    folder = Folder(tmp_path)
    tasks = sweep.tasks_of(experiment, ["meta_irm"], [0], 0, "float32", folder, checkpoint_every=2)

    def cut(row):
        if row["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(tasks, folder, serial(lambda task: cut))
    path = folder.record_path("meta_irm-000")
    assert [other.name for other in path.parent.iterdir()] == ["meta_irm-000.checkpoint.npz"]
    seen = []
    sweep.run(tasks, folder, serial(lambda task: lambda row: seen.append(row["step"])))
    assert seen == [4, 5, 6]
    assert list(path.parent.iterdir()) == [path]
    whole, _ = trial.run_trial(
        experiment, "meta_irm", experiment.data(child(0, 0), "float32"), 0, 0
    )
    _storage.write_record(
        tmp_path / "whole.json", {"name": "meta_irm-000", "case": "", "setting": None, **whole}
    )
    assert without_clock(_storage.read_record(path)) == without_clock(
        _storage.read_record(tmp_path / "whole.json")
    )

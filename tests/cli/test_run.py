"""The command line on the real data."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest

from metairm_np import _storage, sweeps
from metairm_np._seeds import child
from metairm_np.cli import conclude, main, options, prepare
from metairm_np.experiments.files import load
from metairm_np.fast import _blas
from metairm_np.sweeps import trial

SMALL = ["--set", "n_per_env=300", "--set", "steps=4", "--set", "p_e=[0.9]", "--jobs", "1"]
FLAGS = "--algorithms --trials --seed --dtype --set --quick --out --jobs --dask --save-params"
FLAGS = [*FLAGS.split(), "--checkpoint-every"]


def command(*arguments):
    return [sys.executable, "-m", "metairm_np.run", *map(str, arguments)]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line in an empty folder; what it says is captured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAIRM_DATA", "")  # so that what --data-dir sets is put back
    monkeypatch.delenv("METAIRM_DATA")

    def call(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse's
            code = stopped.code
        out, err = capsys.readouterr()
        folder = tmp_path / (out.strip().splitlines() or [""])[-1]
        return SimpleNamespace(code=code, out=out, err=err, folder=folder)

    return call


def interrupted(*_):
    raise KeyboardInterrupt


def stored(folder):
    """Return what is a pure function of settings and seed in each stored trial."""
    records = {}
    for path in sorted((folder / "trials").iterdir()):
        record = json.loads(path.read_text())
        records[path.name] = {
            k: v for k, v in record.items() if k not in ("seconds", "seconds_of", "crc32")
        }
    return records


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the finished process of a --quick run in an empty folder, and its run folder."""
    cwd = tmp_path_factory.mktemp("quick")
    process = subprocess.run(
        command("cmnist", "--quick"), cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return process, cwd / process.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_quick_run_on_real_data(quick):
    process, folder = quick
    assert process.stderr == ""  # no bars where there is no terminal
    assert "\x1b" not in process.stdout
    labels = "ERM|ERM (greyscale)|IRMv1|MM-REx|V-REx|meta-IRM"
    labels += "|meta-IRM, constant inner rate|random guess|optimal invariant model"
    expected = [f"| {label} " for label in labels.split("|")]
    expected += ["SMOKE RUN", "70.4 ± 0.9"]  # the latter the paper's figure beside ours
    expected += ["audited against autograd: 21 checks, largest difference"]
    assert [text for text in expected if text not in process.stdout] == []
    assert folder.parent.name == "runs"
    assert folder.name.startswith("cmnist-quick-")


@pytest.mark.slow
def test_files_of_a_run(quick):
    _, folder = quick
    files = "config.json machine.json plan.json .claims trials results.csv results.json report.md"
    files += " accuracy.json accuracy.png accuracy.svg figures.json"
    assert {path.name for path in folder.iterdir()} == set(files.split())
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["dtype"], config["quick"]) == (0, "float32", True)
    machine = json.loads((folder / "machine.json").read_text())
    names = "numpy autograd blas blas_kernels cores threads thread_variables"
    assert set(names.split()) <= machine.keys()
    trials = {record["algorithm"]: record for record in stored(folder).values()}
    baselines = ["erm", "erm_grey", "irmv1", "mm_rex", "v_rex"]
    assert list(trials) == sorted([*baselines, "meta_irm", "meta_irm_constant"])
    shared_out = ("threads", "thread_variables")  # a worker has its share of the cores
    theirs = trials["erm"]["machine"]
    assert theirs == machine | {key: theirs[key] for key in shared_out}
    meta_irm = trials["meta_irm"]
    assert len(meta_irm["history"]) == meta_irm["last_step"] + 1
    keys = "meta_loss sigma risk accuracy test_accuracy validation_risk"
    assert set(keys.split()) <= meta_irm["history"][0].keys()
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 9
    for row in rows:
        assert float(row["test_accuracy"]) == trials[row["algorithm"]]["test_accuracy"][row["p_e"]]
    report = (folder / "report.md").read_text()
    assert "SMOKE RUN" in report
    assert "python -m metairm_np.run cmnist --quick" in report
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "accuracy.svg").read_text()


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys; from metairm_np.cli import main; main(['list'])\n"
        "print({'scipy', 'matplotlib', 'pooch', 'distributed'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nset()\n")


def test_engines_agree_and_have_folders_of_their_own(run):
    folders, records = set(), []
    for engine in ("fast", "spec"):
        more = ["--dtype", "float64", "--engine", engine, "--audit-every", 2, "--verbose"]
        done = run("cmnist", *SMALL, "--algorithms", "meta_irm", *more)
        assert done.code == 0, done.err
        assert done.out.startswith(f"engine {engine}, ")
        assert re.search(r"\ntime: data \d+ %, gradients \d+ %, watching \d+ %, audits", done.out)
        assert "audited against autograd: 3 checks" in done.out  # steps 0, 2 and the last, 4
        folders.add(done.folder)
        records.append(stored(done.folder)["meta_irm-000.json"])
    one, other = records
    assert len(folders) == 2
    assert (one["engine"], other["engine"]) == ("fast", "spec")
    assert 0 < one["audit"]["largest"] < 1e-12
    assert other["audit"]["largest"] == 0
    assert one["test_accuracy"] == other["test_accuracy"]
    for mine, theirs in zip(one["history"], other["history"]):
        assert mine["validation_risk"] == pytest.approx(theirs["validation_risk"], rel=1e-9)


def test_the_same_command_again_reuses_and_more_adds(run):
    first = run("cmnist", *SMALL, "--algorithms", "erm,v_rex")
    before = {path: path.read_bytes() for path in (first.folder / "trials").iterdir()}
    second = run("cmnist", *SMALL, "--algorithms", "erm,meta_irm", "--trials", 2)
    assert (first.code, second.code, second.folder) == (0, 0, first.folder)
    assert "reused: 1 finished trial\n" in second.out
    assert {path: path.read_bytes() for path in before} == before
    now = stored(first.folder)
    names = "erm-000 erm-001 meta_irm-000 meta_irm-001 v_rex-000"
    assert list(now) == [f"{name}.json" for name in names.split()]
    assert "±" in second.out.split("| ERM ")[1].split("|")[2]  # two trials have a spread
    alone = run("cmnist", *SMALL, "--algorithms", "meta_irm", "--trials", 3, "--out", "alone")
    for name in ("meta_irm-000.json", "meta_irm-001.json"):  # whatever is asked for beside them
        assert stored(alone.folder)[name] == now[name]


def test_a_diverged_trial_does_not_stop_the_others(run):
    wild = ["--set", "meta_irm.lr=1e30", "--set", "meta_irm.optimizer=sgd"]
    done = run("cmnist", *SMALL, "--algorithms", "meta_irm,erm", *wild)
    assert done.code == 1
    said = "diverged: a risk, the objective or its gradient is not finite at step"
    assert f"meta_irm, trial 0: {said}" in done.out
    assert "diverged: meta_irm-000; see runs/" in done.err
    assert done.err.count("\n") == 1  # that sentence and no warnings
    assert "erm, trial 0: completed 4 steps" in done.out
    record = stored(done.folder)["meta_irm-000.json"]
    assert record["status"] == "diverged"
    assert len(record["history"]) >= 2
    row = done.out.split("| meta-IRM ")[1].splitlines()[0]
    assert row.split("|")[1:3] == [" " * 6 + "0 ", " " * 9 + "- "]  # no usable trial, no number


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        (["--trials", "3"], 2),  # a process for each core
        (["--trials", "1"], None),  # one trial: this process, with all threads
        (["--trials", "3", "--jobs", "1"], None),
        (["--trials", "3", "--jobs", "4"], 4),
    ],
)
def test_several_trials_have_a_process_for_each_core(options, jobs, run, monkeypatch):
    asked = []

    def processes(jobs):
        asked.append(jobs)
        return sweeps.serial()

    monkeypatch.setattr(sweeps, "processes", processes)
    monkeypatch.setattr(_blas, "cores", lambda: 2)
    small = [option for option in SMALL if option not in ("--jobs", "1")]
    assert run("cmnist", *small, "--algorithms", "erm", *options).code == 0
    assert asked == [jobs] * (jobs is not None)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    endless = ["--set", "meta_irm.steps=100000", "--set", "meta_irm.early_stopping=false"]
    process = subprocess.Popen(
        command("cmnist", *SMALL, "--algorithms", "erm,meta_irm", *endless),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job would ignore it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline().startswith("erm, trial 0: completed")
    time.sleep(3)  # for the next trial to begin
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)  # the first finishes the trial, the second stops it
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: 1 finished trials are in runs/" in out
    assert "| ERM " in out
    assert "Traceback" not in err
    (folder,) = (tmp_path / "runs").iterdir()
    assert list(stored(folder)) == ["erm-000.json"]
    assert (folder / "report.md").is_file()


def test_ctrl_c_while_the_tables_are_made_is_one_sentence(run, monkeypatch):
    monkeypatch.setattr(conclude, "conclude_table", interrupted)
    done = run("cmnist", *SMALL, "--algorithms", "erm")
    assert done.code == 130
    assert done.err.strip().startswith("interrupted; the same command makes the tables of runs/")


def test_ctrl_c_before_the_first_trial_is_one_sentence(run, monkeypatch):
    monkeypatch.setattr(prepare, "everything", interrupted)
    done = run("cmnist")
    assert done.code == 130
    sentence = "interrupted before the first trial; the same command starts again"
    assert done.err.strip() == sentence


def test_a_folder_that_cannot_be_written_any_more_is_one_sentence(run):
    arguments = ["cmnist", *SMALL, "--algorithms", "erm"]
    folder = run(*arguments).folder
    (folder / "trials").rename(folder / "kept")
    (folder / "trials").write_text("in the way")
    done = run(*arguments)
    assert done.code == 2
    assert done.err.startswith("error: cannot write to runs/")
    assert done.err.count("\n") == 1


def test_paper_is_every_table_and_figure_of_the_paper(tmp_path, monkeypatch):
    monkeypatch.delenv("METAIRM_DATA", raising=False)
    line = ["paper", "--source", "synthetic", "--out", str(tmp_path), "--trials", "2"]
    prepared = prepare.everything(options.parse(line), "command")
    assert len(prepared) == len(list(tmp_path.iterdir()))
    configs = [_storage.read_json(folder.path / "config.json") for _, folder, _ in prepared]
    artefacts = {artefact for config in configs for artefact in config["artefacts"]}
    assert artefacts == {f"table{n}" for n in range(1, 7)} | {f"figure{n}" for n in range(3, 11)}
    assert all(task.trial in (0, 1) for tasks, _, _ in prepared for task in tasks)


def test_a_made_up_source_needs_no_files(run):
    settings = ["--set", "steps=2", "--quick", "--algorithms", "erm", "--source", "synthetic"]
    done = run("table6", *settings)
    assert done.code == 0, done.err
    assert "(synthetic, vectors of 100 dimensions)" in done.out
    done = run("cmnist", *settings)
    assert done.code == 2
    sentence = "--source chooses sentences, and cmnist has none (its data are colored_mnist); "
    assert done.err == f"error: {sentence}leave it out\n"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("list", ["| cmnist ", "Table 1", "about"]),
        ("--help", ["list", "status", "search", "Exit status", *FLAGS]),
    ],
)
def test_list_and_help(run, argument, expected):
    done = run(argument)
    assert done.code == 0
    assert [text for text in expected if text not in done.out] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cmnits", "unknown experiment 'cmnits'; did you mean 'cmnist'? Known: cmnist"),
        ("none.toml", "there is no file none.toml"),
        ("cmnist --algorithms irm", "unknown algorithm 'irm'; did you mean 'irmv1'"),
        ("cmnist --dtype float16", "unknown dtype 'float16'; did you mean"),
        ("cmnist --trials 0", "--trials is 0; give a whole number from 1 to 100000"),
        ("cmnist --trials 99999999999999999999", "give a whole number from 1 to 100000"),
        (
            "dynamics_map --trials 100000 --set n_per_env=10",
            "trials in all, a command runs at most 1000000; give fewer --trials",
        ),
        ("cmnist --trials x", "argument --trials: invalid int value: 'x'"),
        ("cmnist --seed -1", "seed is -1; give an integer >= 0"),
        ("cmnist --set stps=3", "--set knows no key 'stps'; did you mean 'steps'"),
        (
            "cmnist --set inner_lr=-1",
            "algorithm 'meta_irm': inner_lr is -1; give a finite number >= 0",
        ),
        ("cmnist --set n_per_env=30000", "there are 50000 images to deal; give 25000 or fewer"),
        ("cmnist --set train_p=[0.1]", "mm_rex needs 2 or more environments, got 1"),
        (
            "cmnist --set train_p=[0.1] --algorithms erm,meta_irm",
            "meta_irm needs 2 or more environments, got 1",
        ),
        (
            "cmnist --set validation=0",
            "early stopping compares 2 or more validation sets, got 0",
        ),
        (f"cmnist --out {os.devnull}", f"cannot write to {os.devnull}"),
        ("cmnist --sed 1", "unrecognized arguments: --sed"),
        ("cmnist --engine fsat", "unknown engine 'fsat'; did you mean 'fast'"),
        ("cmnist --jobs 0", "--jobs is 0; give a whole number >= 1"),
        ("cmnist --checkpoint-every -1", "--checkpoint-every is -1; give a whole number >= 1"),
        (
            "cmnist --dask lokal",
            "--dask is 'lokal'; give local, or a scheduler's address such as tcp://host:8786",
        ),
        ("table6 --data-dir nowhere", "nowhere has no sst2/train.tsv"),
        ("status nowhere", "nowhere is no run folder and holds none; give one"),
        ("search cmnist", "the following arguments are required: --budget"),
        (
            "search figure9 --budget 1",
            "figure9 has no [search.no_std] or [search.meta_irm_constant]; write one",
        ),
        ("search cmnist --budget 0", "--budget is 0; give a whole number from 1 to 100000"),
        ("cmnist --audit-every 0", "--audit-every is 0; give a whole number >= 1"),
        ("", "the following arguments are required: experiment"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(run, tmp_path, line, message):
    done = run(*line.split())
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_trial_cut_short_goes_on_from_its_checkpoint(tmp_path):
    changes = ["n_per_env=100", "steps=6", "hidden=[4]"]
    changes += ["meta_irm.early_stopping={threshold=0, arm=1}"]
    experiment, folder = load("cmnist", changes), sweeps.Folder(tmp_path)
    tasks = sweeps.tasks_of(experiment, ["meta_irm"], [0])

    def sweep(on_step):
        sweeps.run(tasks, folder, sweeps.serial(lambda task: on_step), checkpoint_every=2)

    def cut(row):
        if row["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(cut)
    path = folder.record_path("meta_irm-000")
    assert [other.name for other in path.parent.iterdir()] == ["meta_irm-000.checkpoint.npz"]
    seen = []
    sweep(lambda row: seen.append(row["step"]))
    assert seen == [4, 5, 6]
    assert list(path.parent.iterdir()) == [path]
    data = experiment.data(child(0, 0), "float32")
    whole, _ = trial.run_trial(experiment, "meta_irm", data, 0, 0)
    whole = {**tasks[0].identity, **whole}
    sweeps.Folder(tmp_path / "whole").store("meta_irm-000", whole)
    assert stored(tmp_path) == stored(tmp_path / "whole")

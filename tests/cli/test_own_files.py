"""Data of one's own on the command line: from the template to a report, and what is refused."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_files import lab, write_csv, write_labs

from metairm_np import _storage
from metairm_np.cli import main
from metairm_np.environments import _samples
from metairm_np.experiments.files import load_study, make_data

FIGURES = 'figures = ["accuracy", "over_steps"]'
SMALL = ["--jobs", "1", "--set", "hidden=[4]", "--set", "steps=4", "--algorithms", "erm,meta_irm"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line in a folder with three labs and mine.toml."""
    monkeypatch.chdir(tmp_path)
    write_labs(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    Path("mine.toml").write_text(call("template")[1], encoding="utf-8")
    edited((FIGURES, "figures = []"))
    return call


def edited(*changes):
    """Write the template with some of its text changed."""
    text = Path("mine.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("mine.toml").write_text(text, encoding="utf-8")


def records():
    """Return the stored trials, by path."""
    return {path: json.loads(path.read_text()) for path in sorted(Path("runs").glob("*/trials/*"))}


# ---- from the template to a report ---------------------------------------------------------------


def test_the_template_edited_for_two_files_and_a_third_to_test_on_gives_a_report(run):
    for new, old in (("north", "lab_a"), ("south", "lab_b"), ("west", "lab_c")):
        x, y = lab(old)
        write_csv(f"{new}.csv", x, np.where(y == "yes", "ill", "well"), id=[f"{new} 1"] * len(y))
    Path("mine.toml").write_text(run("template")[1], encoding="utf-8")
    edited(
        ('train = ["lab_a.csv", "lab_b.csv"]', 'train = ["north.csv", "south.csv"]'),
        ('test = ["lab_c.csv"]', 'test = { "the west" = "west.csv" }'),
        ("# ignore = [", "ignore = ["),
    )
    code, out, error = run("mine.toml", "--trials", "2", "--jobs", "1", "--quick")
    assert (code, error) == (0, "")
    head, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in out.splitlines()
        if line.startswith("| ")
    ]
    assert head == ["algorithm", "trials", "train", "the west"]
    assert [row[0] for row in rows] == ["ERM", "IRMv1", "V-REx", "meta-IRM", "chance"]
    assert "audited against autograd: " in out
    assert re.search(
        r"^erm, trial 0: completed 20 .*; test accuracy [\d.]+ in the west$", out, re.M
    )
    folder = Path(out.strip().splitlines()[-1])
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["environment"] for row in rows] == ["the west"] * 8
    for figure in ("accuracy", "over_steps"):
        assert (folder / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert run("report", "runs", "--to", "page.html")[0] == 0
    assert "- west.csv: SHA-256 " in (folder / "report.md").read_text(encoding="utf-8")
    for page in (Path("page.html"), folder / "report.md"):
        text = page.read_text(encoding="utf-8")
        assert "My data" in text
        assert "the west" in text
        text = re.sub('<style>.*?</style>|base64,[^"]*', "", text, flags=re.DOTALL)
        assert not re.search("paper|Bae|p_e", text)


def test_the_template_as_it_is_runs_searches_and_goes_on(run):
    assert run("mine.toml", *SMALL)[0] == 0
    before = {path: path.read_bytes() for path in records()}
    code, out, _ = run("mine.toml", *SMALL, "--trials", "2")
    assert code == 0
    assert "reused: 2 finished trials" in out
    assert {path: path.read_bytes() for path in before} == before
    assert len(records()) == 4
    assert "±" in out
    code, out, _ = run("status", "runs")
    assert re.search(r"\| meta_irm +\| +2 ", out)
    search = ["search", "mine.toml", "--quick", "--budget", "2", "--trials", "1", *SMALL[:2]]
    code, out, error = run(*search)
    assert code == 0, error
    assert "| lab_c |" in out
    assert "selected: --set meta_irm.inner_lr=" in out
    (found,) = Path("runs").glob("search-mine-quick-*/search.json")
    assert list(json.loads(found.read_text())["erm"][0]["test_accuracy"]) == ["lab_c"]
    edited(("lr = 0.005\nl2 = 0.001\nsteps = 200", "lr = 0.0123\nl2 = 0.001\nsteps = 200"))
    code, out, _ = run(*search)
    assert "reused: 8 finished trials" in out
    assert list(Path("runs").glob("search-*/search.json")) == [found]


def test_all_figures_that_are_of_any_data_are_drawn(run):
    figures = '["accuracy", "accuracy_over_cases", "over_steps", "adaptation_over_steps"]'
    edited(
        ("figures = []", f"figures = {figures}"),
        ('test = ["lab_c.csv"]', 'test = { "$5" = "lab_c.csv" }'),
    )
    code, _, error = run("mine.toml", *SMALL)
    assert (code, error) == (0, "")
    (folder,) = Path("runs").iterdir()
    assert len(list(folder.glob("*.svg"))) == 4
    panels = json.loads((folder / "over_steps.json").read_text())
    assert [panel["title"] for panel in panels] == ["$5", "what early stopping watches"]


def test_one_training_environment_is_enough_for_erm(run):
    head, _, rest = Path("mine.toml").read_text(encoding="utf-8").partition("[algorithms.irmv1]")
    Path("mine.toml").write_text(head, encoding="utf-8")
    edited(
        ('train = ["lab_a.csv", "lab_b.csv"]', 'train = ["lab_a.csv"]'),
        ("validation = 0.2", "validation = 0"),
        ("figures = []", 'figures = ["accuracy", "over_steps"]'),
    )
    code, _, error = run("mine.toml", *SMALL[:-2])
    assert (code, error) == (0, "")


@pytest.mark.parametrize("figure", ["images", "similarity_across", "reading_over_steps"])
def test_figures_of_p_e_are_refused(run, figure):
    edited(("figures = []", f'figures = ["{figure}"]'))
    code, _, error = run("mine.toml")
    assert code == 2
    assert error.startswith(f"error: the figure '{figure}' is of images, or of the same samples")


def test_workers_make_the_same_records_as_one_process(run):
    found = []
    for jobs in ("1", "2"):
        options = ["--jobs", jobs, *SMALL[2:], "--out", f"runs/{jobs}", "--trials", "2"]
        assert run("mine.toml", *options)[0] == 0
        paths = sorted(Path("runs", jobs).glob("*/trials/*"))
        drop = ("seconds", "seconds_of", "crc32", "machine")
        records = [json.loads(path.read_text()) for path in paths]
        found.append([{k: r[k] for k in r if k not in drop} for r in records])
    assert found[0] == found[1]
    assert len(found[0]) == 4


# ---- what is kept --------------------------------------------------------------------------------


def test_a_record_has_the_files_and_the_names_of_classes(run):
    write_labs(Path(), labels=("red", "green", "blue"))
    assert run("mine.toml", *SMALL)[0] == 0
    erm, _ = records().values()
    assert erm["data"]["classes"] == ["blue", "green", "red"]
    assert erm["data"]["sha256"].keys() == {"lab_a.csv", "lab_b.csv", "lab_c.csv"}
    assert erm["data"]["samples"] == {"train": {"lab_a": 60, "lab_b": 60}, "test": {"lab_c": 60}}
    assert erm["test_accuracy"].keys() == {"lab_c"}
    assert erm["data_checksum"]
    assert erm["audit"]["checks"] == 2


def test_the_hash_has_what_is_in_the_files_and_not_where_they_are(run, tmp_path):
    def digest(folder):
        return load_study(folder / "mine.toml").hash(0, "float32")

    shutil.copytree(tmp_path, tmp_path / "moved")
    before = digest(tmp_path)
    assert digest(tmp_path / "moved") == before
    lines = Path("lab_c.csv").read_text().splitlines(keepends=True)
    Path("lab_c.csv").write_text("".join(lines[:-1]))
    assert digest(tmp_path) != before


def test_paths_are_relative_to_the_experiment(run, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("../mine.toml", *SMALL)[0] == 0
    assert list((tmp_path / "elsewhere" / "runs").glob("mine-*/results.json"))
    Path("../mine.toml").rename("mine.toml")
    assert "there is no file" in run("mine.toml", *SMALL)[2]
    edited(('generator = "files"', 'generator = "files"\nfolder = ".."'))
    assert "reused: 2 finished trials" in run("mine.toml", *SMALL)[1]


def test_leaving_one_environment_out_at_a_time_is_a_case_each(run):
    with open("mine.toml", "a", encoding="utf-8") as file:
        for test, train in (("a", "bc"), ("b", "ac"), ("c", "ab")):
            files = ", ".join(f'"lab_{one}.csv"' for one in train)
            table = f'train = [{files}], test = ["lab_{test}.csv"]'
            file.write(f'[cases.{test}]\ntitle = "without {test}"\nenvironment = {{ {table} }}\n')
    code, out, error = run("mine.toml", *SMALL)
    assert (code, error) == (0, "")
    assert [f"### without {name}" in out for name in "abc"] == [True] * 3
    heads = [line.split("|")[4].strip() for line in out.splitlines() if "| algorithm" in line]
    assert heads == ["lab_a", "lab_b", "lab_c"]
    edited(("figures = []", 'figures = ["over_steps"]'))
    assert "compares cases in the same test environments" in run("mine.toml")[2]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("lab_b.csv", "lab_d.csv")], "lab_d.csv; give the path of a file, relative to that of"),
        ([('target = "y"', 'target = "label"')], "lab_a.csv has no column 'label'; "),
        ([('target = "y"', 'target = "size"')], "lab_a.csv has 'no' in column 'y', line 2, which"),
        ([('target = "y"', 'traget = "y"')], "[environment] has no key 'traget'; did you mean"),
        ([('test = ["lab_c.csv"]', "")], "test is (); give files, or names of environments"),
        ([('["lab_c.csv"]', '{ train = "lab_c.csv" }')], "a test environment is called 'train'"),
        (
            [('["lab_c.csv"]', '{ "a\\nb" = "lab_c.csv" }')],
            "name of an environment is 'a\\nb'; give",
        ),
        ([("# [test]", "[test]\np_e = [0.1]")], "test.p_e is [0.1], but test environments from"),
        ([("# [test]", '[test]\ntable = ["lab"]')], "unknown column in test.table 'lab'; did you"),
        ([("# [test]", '[test]\ntable = ["train"]')], "is ['train']; add one or more test env"),
        ([("[algorithms.erm]", "[algorithms.erm]\ngreyscale = true")], "greyscale is for images"),
        ([('title = "My data"', "")], "the experiment has no title; add it, as in a template"),
        ([('train = ["lab_a.csv", "lab_b.csv"]', 'train = ["lab_a.csv"]')], "got 1"),
        ([('generator = "files"', 'generator = "files"\ntrain_p = [0.1]')], "no key 'train_p'"),
    ],
)
def test_a_wrong_experiment_is_one_sentence_before_anything_is_trained(run, changes, message):
    edited(*changes)
    code, out, error = run("mine.toml")
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not Path("runs").exists()


def test_data_that_cannot_be_used_are_one_sentence_before_anything_is_trained(run):
    Path("lab_b.csv").write_text("size,weight,colour,y\n1,,3,yes\n")
    for command in (["mine.toml"], ["search", "mine.toml", "--budget", "1"]):
        code, out, error = run(*command)
        assert (code, out) == (2, "")
        assert error == (
            "error: lab_b.csv has values that are missing, NaN or infinite, 1 in all, the first in "
            "column 'weight', line 2; fill them in, or leave these samples out\n"
        )
    assert not Path("runs").exists()


def test_a_file_that_changed_between_two_commands_is_one_sentence(run):
    assert run("mine.toml", *SMALL)[0] == 0
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    content = Path("lab_c.csv").read_bytes()
    Path("lab_c.csv").write_bytes(content + b"1,2,3,yes\n")
    for command in (
        ["mine.toml"],
        ["search", "mine.toml", "--budget", "1"],
        ["mine.toml", "--quick"],
    ):
        code, out, error = run(*command, *SMALL[:2])
        assert (code, out) == (2, "")
        assert re.match(r"error: \S+lab_c.csv has changed since runs/mine-\w+ was made", error)
        assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before
    assert run("mine.toml", *SMALL, "--out", "others")[0] == 0
    Path("lab_c.csv").write_bytes(content)
    assert "reused: 2 finished trials" in run("mine.toml", *SMALL)[1]


def test_a_file_that_changes_while_trials_run_is_no_other_data(run):
    assert run("mine.toml", *SMALL)[0] == 0
    (folder,) = Path("runs").iterdir()
    environment = _storage.read_json(folder / "config.json")["cases"][""]["environment"]
    write_labs(Path(), n=30)
    _samples.read.cache_clear()  # as in a worker that starts now
    with pytest.raises(ValueError, match="lab_a.csv has changed since its SHA-256 was taken"):
        make_data(environment, 0, "float32")

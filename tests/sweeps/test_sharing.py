"""Where a command's files go, and what commands that share a folder leave each other."""

import os
import shutil
import subprocess
import sys
import threading
import time

import pytest
from small_sweeps import OPTIONS, SMALL, again, no_root_rights

from metairm_np import _storage, sweeps
from metairm_np.cli import main
from metairm_np.cli.conclude import conclude_table
from metairm_np.experiments.files import load_study
from metairm_np.sweeps import Contents, Folder

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

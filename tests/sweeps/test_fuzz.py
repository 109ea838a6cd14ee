"""Whatever happens to the files of run folders, the tables stay what they are."""

import json
import os
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from small_sweeps import OPTIONS

from metairm_np import _storage, sweeps
from metairm_np.cli import main, options, prepare
from metairm_np.cli.status import run_folders, status, usable
from metairm_np.experiments import search_space
from metairm_np.reports import figures, search, tables
from metairm_np.reports.page import page
from metairm_np.sweeps import Folder
from metairm_np.training import Checkpoint

N_DAMAGES = 2000
SMALL = [*OPTIONS, "--set", "steps=6", "--trials", "2", "--save-params"]
LINES = {  # the second has erm's trials from the first
    "table": ["cmnist", *SMALL, "--algorithms", "erm,v_rex"],
    "beside": ["cmnist", *SMALL, "--algorithms", "erm,mm_rex", "--set", "v_rex.lr=0.5"],
    "search": ["search", "constant", *SMALL, "--algorithms", "v_rex", "--budget", "2"],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Return run folders of three commands, what they show, and a copy to harm."""
    whole, harmed = (tmp_path_factory.mktemp(name) / "out" for name in ("whole", "harmed"))
    for line in LINES.values():
        assert main([*line, "--out", str(whole)]) == 0
    drawn = {}
    commands = []
    for kind, line in LINES.items():
        args = options.parse([*line, "--out", str(harmed)])
        ((tasks, folder, _),) = prepare.everything(args, "command")
        kept = Folder(whole / folder.path.name)
        leave_unfinished(kept, tasks[0])
        commands.append(SimpleNamespace(kind=kind, tasks=tasks, folder=folder, kept=kept))
        if kind != "search":
            drawn["svg"] = next(kept.path.glob("*.svg")).read_bytes()
    known = {}  # what carrying out a task gives
    for one in commands:
        one.contents = sweeps.Contents.read(one.kept.path)
        for task in one.tasks:
            found = one.kept.record(task.name), one.kept.params(task.name)
            known[json.dumps(task.identity)] = found
    for one in commands:
        one.shown = shown(one, one.kept)
    return SimpleNamespace(whole=whole, harmed=harmed, commands=commands, known=known, drawn=drawn)


def leave_unfinished(folder, task):
    """Add what a folder has while commands run: a checkpoint, a failure, a half-written file."""
    Checkpoint(folder.checkpoint_path("erm-007"), 1).save({"a": [1, 2]}, "whose")
    about = {"name": "erm-008", "algorithm": "erm", "case": "", "message": "no", "trial": 8}
    folder.fail("erm-008", about)
    (folder.trials / ".erm-000.json.0123.part").write_text("{")


def shown(command, folder):
    """Return what a command shows of a folder."""
    records = folder.summaries(command.contents)
    study = command.contents.study
    if command.kind != "search":
        return tables.tables(study, records), tables.results_csv(records)
    rows = search_space.planned(study, folder.planned(), command.contents.seed)
    by_row = tables.by_row(records)
    return [search.results(row, by_row[row.name]) for row in rows]


def again(house, command):
    """Do what the same command does, its trials carried out as they were before."""

    def call(task):
        record, params = house.known[json.dumps(task.identity)]
        return {k: v for k, v in record.items() if k != "params_sha256"}, params

    folder, tasks = command.folder, command.tasks
    _storage.write_record(folder.path / "config.json", command.contents.config(), indent=1)
    rows = dict.fromkeys(task.row for task in tasks)
    n = len({task.trial for task in tasks})
    settings = {task.setting for task in tasks} - {None}
    folder.plan(rows, tasks[0].trial, n, len(settings) or None)
    sweeps.adopt(folder, tasks)
    sweeps.run(tasks, folder, call=call)
    return shown(command, folder)


# ---- what may happen to a file -------------------------------------------------------------------


def flip(rng, path, content, other):
    place = rng.randrange(len(content) or 1)
    byte = content[place : place + 1] or b"x"
    flipped = bytes([byte[0] ^ 1 << rng.randrange(8)])
    path.write_bytes(content[:place] + flipped + content[place + 1 :])


def cut(rng, path, content, other):
    path.write_bytes(content[: rng.randrange(len(content) or 1)])


def empty(rng, path, content, other):
    path.write_bytes(b"")


def lengthen(rng, path, content, other):
    path.write_bytes(content + rng.randbytes(rng.randrange(1, 9)))


def repeat(rng, path, content, other):
    place = rng.randrange(len(content) or 1)
    path.write_bytes(content[:place] + content[place : place + 64] + content[place:])


def digits(rng, path, content, other):
    """Change a digit, as an editor might."""
    places = [i for i, byte in enumerate(content) if 48 <= byte < 57]
    if places:
        place = rng.choice(places)
        path.write_bytes(content[:place] + bytes([content[place] + 1]) + content[place + 1 :])


def brackets(rng, path, content, other):
    path.write_bytes(rng.choice([b"[1, 2]", b"null", b"{}", b"[" * 100_000, b'{"a":' * 100_000]))


def sealed(rng, path, content, other):
    """Write something else with a checksum that is right."""
    bodies = [b"{", b'{"rows": {"erm": 1}', b'{"name": "erm-000"', b'{"a": ' + b"[" * 99_999]
    body = rng.choice(bodies)
    path.write_bytes(body + _storage.seal(body))


def swap(rng, path, content, other):
    theirs = other.read_bytes()
    other.write_bytes(content)
    path.write_bytes(theirs)


def copy(rng, path, content, other):
    path.write_bytes(other.read_bytes())


def stray(rng, path, content, other):
    path.with_name(f"{path.stem} (conflicted copy){path.suffix}").write_bytes(other.read_bytes())


def rename(rng, path, content, other):
    to = path.with_name(path.name.replace("000", "001") if "000" in path.name else "x.json")
    if not to.is_dir():
        path.rename(to)


def remove(rng, path, content, other):
    path.unlink()


def folder(rng, path, content, other):
    path.unlink()
    path.mkdir()


def link(rng, path, content, other):
    path.unlink()
    path.symlink_to(other)


def future(rng, path, content, other):
    flip(rng, path, content, other)
    os.utime(path, (4e9, 4e9))


HARMS = [flip, cut, empty, lengthen, repeat, digits, brackets, sealed, swap, copy, stray, rename]
HARMS += [remove, folder, link, future]


def files(path):
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name != ".claims")


def snapshot(path):
    found = {}
    for one in sorted(path.rglob("*")):
        found[one] = os.readlink(one) if one.is_symlink() else one.is_file() and one.read_bytes()
    return found


def restore(path, pristine):
    """Make a folder what it was, its files by their relative paths."""
    for one in path.rglob("*"):
        if one.is_symlink() or (one.is_file() and one.relative_to(path) not in pristine):
            one.unlink()
        elif one.is_dir() and one.relative_to(path) in pristine:
            one.rmdir()
    for name, content in pristine.items():
        one = path / name
        if not one.is_file() or one.read_bytes() != content:
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(content)


@pytest.mark.slow
def test_no_damage_and_no_swap_changes_a_table(house, monkeypatch, capsys):
    monkeypatch.setattr(figures, "make", lambda *_: (None, []))
    monkeypatch.setattr(figures, "render", lambda _: house.drawn)
    rng = random.Random(0)
    kinds = {}  # so that the many trials do not keep other files from being harmed
    for path in files(house.whole):
        of_trials = path.parent.name == "trials"
        kind = (path.parent.parent, path.name.partition(".")[2]) if of_trials else path
        kinds.setdefault(kind, []).append(path)
    several = [paths for paths in kinds.values() if len(paths) > 1]
    pristine = {path.relative_to(house.whole): path.read_bytes() for path in files(house.whole)}
    kinds, n_done = [*kinds.values(), *several, *several], 0
    while n_done < N_DAMAGES:
        restore(house.harmed, pristine)
        done = []
        for _ in range(rng.randrange(1, 8)):
            kind = rng.choice(kinds)  # most often that of the other file, too: another trial's
            whole = rng.choice(kind), rng.choice(rng.choice([kind, kind, rng.choice(kinds)]))
            path, other = (house.harmed / one.relative_to(house.whole) for one in whole)
            if path.is_file() and other.is_file() and not path.is_symlink():
                harm = rng.choice(HARMS)
                done.append((harm.__name__, path, other))
                harm(rng, path, path.read_bytes(), other)
        n_done, said = n_done + len(done), f"after {n_done} damages: {done}"
        before = snapshot(house.harmed)
        with_report(house, said)
        assert snapshot(house.harmed) == before, said  # looking changes nothing
        if rng.random() < 0.5:
            for path in (house.commands[1].folder.trials).glob("erm-*"):
                if path.is_file() or path.is_symlink():
                    path.unlink()  # so that it is taken from beside
        for command in house.commands:
            try:
                assert again(house, command) == command.shown, said
            except Exception as error:
                raise AssertionError(said) from error
    capsys.readouterr()


def with_report(house, said):
    """Look at the folders as `status` and `report` do; numbers that they show must be right."""
    try:
        status(house.harmed)
        found = usable(run_folders(house.harmed))
        page([path for path, _ in found if not path.name.startswith("search-")])
    except (ValueError, FileNotFoundError) as error:
        assert "again" in str(error), said  # one sentence
        return
    except Exception as error:
        raise AssertionError(said) from error
    for path, contents in found:
        (command,) = [one for one in house.commands if one.folder.path.name == path.name]
        right = {r["name"]: r for r in command.kept.summaries(command.contents)}
        for record in Folder(path, read_only=True).summaries(contents):
            assert record == right[record["name"]], said


def test_no_harm_to_a_checkpoint_is_loaded(tmp_path):
    checkpoint, other = (Checkpoint(tmp_path / f"{name}.npz", 1) for name in "ab")
    state = {"params": [(np.arange(12.0).reshape(3, 4), np.ones(4))], "step": 3}
    other.save(state, "other run")
    checkpoint.save(state, "run")
    good, rng = checkpoint.path.read_bytes(), random.Random(0)
    harms = [flip, cut, empty, lengthen, repeat, digits, brackets, sealed, copy, folder, link]
    for number in range(500):
        harm = rng.choice(harms)
        harm(rng, checkpoint.path, good, other.path)
        assert checkpoint.load("run") is None, (number, harm)
        assert not os.path.lexists(checkpoint.path)
        checkpoint.path.write_bytes(good)
        assert checkpoint.load("run")["step"] == 3
        for aside in tmp_path.glob("a.npz.*"):
            shutil.rmtree(aside) if aside.is_dir() and not aside.is_symlink() else aside.unlink()

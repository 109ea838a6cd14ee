"""The documentation holds: its code runs, prints what it says, and its links lead somewhere.

- ```python blocks are run, those of a page in one namespace and an empty folder, `load` with small
  settings; one that begins with "# name.py" is a file there. What a block prints is compared with
  the untagged block after it.
- Untagged blocks of "$ command" and what it prints are run, and compared (README's, which is an
  excerpt, with the whole in docs/conformance.md).
- ```sh blocks, and commands in the text, are carried out up to the first trial: options parsed,
  experiments loaded, data made. Of pip, pytest and other programs only what they name is looked up.
- ```text blocks are not run. Links within the project are followed, those to the web are not.
"""

import importlib
import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path

import collect_results
import own_files
import pytest
import small_sweeps

from metairm_np import cli, experiments, sweeps
from metairm_np.conformance import __main__ as conformance
from metairm_np.experiments._inherit import read

ROOT = Path(__file__).resolve().parent.parent
README, CONFORMANCE = ROOT / "README.md", ROOT / "docs" / "conformance.md"
TEMPLATE = ROOT / "experiments" / "template.toml"
CHECK = "conformance check "
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")]
PROJECT = read(ROOT / "pyproject.toml")["project"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# what the text of docs/conformance.md has one change in my_backend.py before each transcript
CHANGES = [
    (".std()", ".std(unbiased=False)"),
    ("graph=True", "graph=False"),
]


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    """Return the (language, text) of a page's blocks; a transcript's language is "$"."""
    found = BLOCK.findall(text_of(page))
    return [("$" if text.startswith("$ ") else language, text) for language, text in found]


def commands():
    """Return all shell commands of the pages, in order, each once."""
    found = []
    for page in PAGES:
        lines = [line for kind, text in blocks(page) if kind == "sh" for line in text.splitlines()]
        prose = BLOCK.sub("", text_of(page))
        lines += re.findall(r"`(python -m metairm_np\.run [^`A-Z]+)`", prose)
        for line in lines:
            words = shlex.split(line, comments=True)
            parts = [list(part) for split, part in groupby(words, "&&".__eq__) if not split]
            found += map(shlex.join, parts)
    return list(dict.fromkeys(found))


# ---- what is printed -----------------------------------------------------------------------------


def alike(told, printed):
    """Return whether two words agree, measured numbers as far as the first one's digits go."""
    try:
        a, b = float(told.rstrip("%")), float(printed.rstrip("%"))
    except ValueError:
        return told == printed
    digits = len(re.sub(r"e.*|\D", "", told).lstrip("0"))
    near = abs(a - b) <= max(1e-12, abs(a) * max(1e-9, 1.01 * 10.0 ** (1 - digits)))
    return near if re.search(r"[.e]", told) else told == printed


def same_line(told, printed):
    """Compare word by word; where all is OK the largest rounding may be in another case."""
    told, printed = told.split(), printed.split()
    if "OK" in told:
        told, printed = told[:-1], printed[:-1]
    return len(told) == len(printed) and all(map(alike, told, printed))


def compare(told, printed):
    """Assert that `printed` is what a page says; a line of "..." stands for any lines."""
    lines, skipping = printed.strip().splitlines(), False
    for line in told.strip().splitlines():
        if line == "...":
            skipping = True
            continue
        while skipping and lines and not same_line(line, lines[0]):
            lines.pop(0)
        assert lines and same_line(line, lines[0]), f"{line!r} was to be printed:\n{printed}"
        lines.pop(0)
        skipping = False
    assert skipping or not lines, f"{lines} was printed, too"


def test_comparing_finds_differences():
    compare("a 0.10\n...\nb 3", "a 0.101\nx\ny\nb 3\n")
    for told, printed in [("a 0.10", "a 0.12"), ("a 3", "a 4"), ("a", "a\nb"), ("a\nb", "a")]:
        with pytest.raises(AssertionError):
            compare(told, printed)


# ---- code ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make an empty folder to work in, where experiments are small."""
    load = experiments.load
    monkeypatch.setattr(experiments, "load", lambda name: load(name, small_sweeps.SMALL))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def files_in(page):
    """Return the blocks that are files, by name."""
    named = [(re.match(r"# (\w+\.py)\n", text), text) for kind, text in blocks(page)]
    return {match[1]: text for match, text in named if match}


def write_backend(changes):
    """Write my_backend.py, with some changes."""
    code = files_in(CONFORMANCE)["my_backend.py"]
    for old, new in changes:
        assert code.count(old) == 1
        code = code.replace(old, new)
    Path("my_backend.py").write_text(code)
    sys.modules.pop("my_backend", None)
    importlib.invalidate_caches()


def transcript(text, changes):
    """Run the commands of a transcript, and compare what they print."""
    pytest.importorskip("torch", reason="my_backend.py needs PyTorch")
    write_backend(changes)
    status = 0
    for command, told in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        if command == "echo $?":
            printed = str(status)
        else:
            assert command.startswith("python -m metairm_np.conformance ")
            with redirect_stdout(io.StringIO()) as out:
                status = conformance.main(shlex.split(command)[3:])
            printed = out.getvalue()
        compare(told, printed)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_runs_and_prints_what_it_says(page, folder):
    if "metairm_np.estimator" in text_of(page):
        pytest.importorskip("sklearn", reason="its code needs the extra estimator")
    namespace, printed, changes = {"__name__": page.stem}, None, 0
    for kind, text in blocks(page):
        if kind == "$" and page == README:
            compare(text, [t for k, t in blocks(CONFORMANCE) if k == "$" and CHECK in t][-1])
        elif kind == "$":
            transcript(text, CHANGES[:changes])
            changes += 1
        elif kind == "python" and text not in files_in(page).values():
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(text, page.name, "exec"), namespace)
            printed = out.getvalue()
        elif not kind:
            assert printed is not None, f"what prints this? {text}"
            compare(text, printed)
        else:
            assert kind in ("python", "sh", "text"), kind


@pytest.mark.slow
def test_the_documented_test_of_a_backend_passes(folder):
    pytest.importorskip("torch", reason="my_backend.py needs PyTorch")
    write_backend(CHANGES[:1])
    name = "test_my_backend.py"
    Path(name).write_text(files_in(CONFORMANCE)[name])
    command = [sys.executable, "-m", "pytest", "-q", "-k", "binary_1_layer", name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ---- commands ------------------------------------------------------------------------------------


def until_the_first_trial(arguments, monkeypatch):
    """Carry out `python -m metairm_np.run`, interrupted where trials begin."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "run", interrupted)
    if "mine.toml" in arguments:
        own_files.write_labs(Path())
        Path("mine.toml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    if arguments[-2:-1] == [">"]:
        arguments = arguments[:-2]
    if "--help" in arguments or "--version" in arguments:
        with pytest.raises(SystemExit, match="0"):
            cli.main(arguments)
    elif arguments == ["template"]:
        assert cli.main(arguments) == 0
    elif arguments[0] in ("list", "status", "report"):
        cli.main(["cmnist", "--algorithms", "erm", *small_sweeps.OPTIONS])
        assert cli.main(arguments) == 0
    else:
        if "--dask" in arguments:
            pytest.importorskip("distributed", reason="--dask needs dask.distributed")
        made_up = ["--source", "synthetic"] if {"paper", "table6"} & {*arguments} else []
        assert cli.main([*arguments, *made_up]) == 130


def extras(requirement):
    return re.findall(r"\w+", re.sub(r"^[^\[]*", "", requirement))


@pytest.mark.parametrize("command", commands())
def test_command(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = PROJECT["optional-dependencies"]
    match shlex.split(command):
        case ["python", "-m", "metairm_np.run", *arguments] | ["metairm-np", *arguments]:
            assert PROJECT["scripts"]["metairm-np"] == "metairm_np.run:main"
            until_the_first_trial(arguments, monkeypatch)
        case ["python", "-m", "metairm_np.conformance", *arguments]:
            assert conformance.parser().parse_args(arguments)
        case ["pip", "install", *requirements]:
            for requirement in [one for one in requirements if one[0] != "-"]:
                assert requirement.partition("[")[0] in (".", "metairm-np")
                assert {*extras(requirement)} <= {*wanted}
        case ["python", "-m", "pytest", *paths] | ["python", *paths]:
            for path in [one for one in paths if "/" in one]:
                assert (ROOT / path).is_file()
        case ["ruff" | "mypy" | "pre-commit" as program, *_]:
            assert any(one.startswith(program) for one in wanted["dev"])
        case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
            pass
        case [path]:
            assert (ROOT / path).is_file()
        case _:
            pytest.fail(f"nothing here knows how to check {command}")


# ---- links and names -----------------------------------------------------------------------------


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {collect_results.anchor(re.sub(r"[`*]", "", heading)) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text_of(page))):
        if not re.match(r"https?://", link):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_code_and_the_experiments_name_pages_that_are_there():
    patterns = (
        "metairm_np/**/*.py",
        "tests/**/*.py",
        "tools/*.py",
        "examples/*",
        "experiments/*.toml",
    )
    for path in [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]:
        for page in re.findall(r"\bdocs/\w+\.md\b", path.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), f"{path} has {page}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_are_there(page):
    rooms = {path.stem for path in (ROOT / "metairm_np").iterdir()}
    for name in re.findall(r"`(?:metairm_np\.)?([a-z]\w*(?:\.\w+)+)[`(]", text_of(page)):
        room, *rest = name.split(".")
        if room in rooms and rest[-1] not in ("py", "md", "toml") and page.name != "CHANGELOG.md":
            if room == "estimator":
                pytest.importorskip("sklearn", reason="needs the extra estimator")
            found = importlib.import_module(f"metairm_np.{room}")
            for part in rest:
                missing = f"{page.name} has {name}"
                found = getattr(found, part, None) or pytest.fail(missing)


def test_the_table_of_the_readme_is_the_one_that_was_printed():
    report = text_of(ROOT / "experiments" / "results" / "cmnist" / "report.md")
    table = re.search(r"(?:^\|.*\n)+", report, re.MULTILINE)[0]
    assert table in text_of(README)

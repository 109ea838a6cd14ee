"""The staircase: each room imports only from rooms below it."""

import ast
from itertools import chain
from pathlib import Path

import pytest

import metairm_np

PACKAGE = Path(metairm_np.__file__).parent
STAIRS = [  # from the lowest; rooms on one stair do not import each other, but for _modules
    {"_version", "_arguments", "_storage", "_checks", "_seeds", "_autodiff"},
    {"mlp", "environments"},
    {"spec", "optimizers"},
    {"fast"},
    {"training"},
    {"analysis", "estimator"},
    {"experiments"},
    {"sweeps"},
    {"reports"},
    {"cli"},
    {"run"},
]
HEIGHT = {room: height for height, rooms in enumerate(STAIRS) for room in rooms}
BESIDE = {"conformance": {"_version", "_arguments", "_storage", "_checks", "_seeds", "_autodiff",
                          "mlp", "environments", "spec", "optimizers", "fast"}}  # fmt: skip
# the part of it on whole trainings needs what trains them, and nothing else of it needs that part
BESIDE["conformance/trainings"] = BESIDE["conformance"] | {"conformance", "training", "experiments"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "bundled" not in path.parts)


def room_of(path):
    parts = path.relative_to(PACKAGE).parts
    return "/".join(parts[:2]) if "/".join(parts[:2]) in BESIDE else parts[0].removesuffix(".py")


def imported(tree):
    """Return the rooms that the imports of a module name, wherever they stand in it."""
    rooms = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            module = node.module.split(".")
            if module[0] == "metairm_np":
                rooms += module[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            rooms += [name[1] for name in names if name[0] == "metairm_np" and len(name) > 1]
    return [room for room in rooms if room != "__version__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_below(path):
    room, found = room_of(path), imported(ast.parse(path.read_text(encoding="utf-8")))
    if room == "__init__":
        assert set(found) <= {"_version", "environments", "fast", "mlp", "spec", "training"}
    elif room in BESIDE:
        assert set(found) <= BESIDE[room] | {room}
    else:
        lower = {other for other in found if other != room}
        same = HEIGHT[room] == 0  # the private modules that all stand on may stand on each other
        above = [r for r in lower if HEIGHT[r] >= HEIGHT[room] + same]
        assert not above, f"{room} imports {above}"


def test_only_the_command_line_needs_whole_trainings():
    for path in (PACKAGE / "conformance").rglob("*.py"):
        inside = room_of(path) == "conformance/trainings" or path.name == "__main__.py"
        assert inside or "trainings" not in path.read_text(encoding="utf-8"), path


def test_a_step_up_is_noticed():
    text = "def f():\n    from metairm_np.cli import main\n    import metairm_np.sweeps.folder\n"
    assert imported(ast.parse(text)) == ["cli", "sweeps"]
    assert imported(ast.parse("from metairm_np import fast, _checks")) == ["fast", "_checks"]


def test_the_private_modules_have_no_cycle():
    graph = {
        path.stem: set(imported(ast.parse(path.read_text(encoding="utf-8"))))
        for path in PACKAGE.glob("_*.py")
        if path.stem != "__init__"
    }
    while graph:
        free = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert free, f"a cycle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in free}


def test_every_room_has_its_stair_and_the_top_level_is_small():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= {*chain(*STAIRS), *BESIDE}
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_spec_never_needs_fast():
    assert not {"fast", "training"} & set(imported(ast.parse((PACKAGE / "spec.py").read_text())))

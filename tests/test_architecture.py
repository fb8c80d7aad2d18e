"""The walls of the house, read from the syntax trees: who may import whom, and where imports may stand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from webdancer_cli.options import settings

PACKAGE = Path(__file__).parent.parent / "webdancer_cli"
TESTS = Path(__file__).parent

KERNEL = 0
HEIGHT = {
    "text": -1,
    "web": 1,
    "agent": 2,
    "synthesis": 2,
    "grading": 2,
    "report": 2,
    "training": 3,
    "stages": 4,
    "dry_run": 4,
    "cli": 5,
    "__main__": 6,
}
"""How high a room stands; a file that is not named here belongs to the kernel, below which there is ``text`` alone.
Imports point down only."""

STRANGERS = {"agent", "grading"}
"""Two rooms on one floor that do not know each other."""

HEAVY = {"torch", "transformers", "peft", "vllm", "safetensors", "tokenizers"}
ONLY_IN = {"trafilatura": {"web/extract.py"}, "bm25s": {"web/corpus.py", "web/passages.py"}}

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]
each_file = pytest.mark.parametrize("path", FILES, ids=NAMES)


def room(path: Path) -> str:
    """The room of a file: its folder, or its own name when it lies flat."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def height(name: str) -> int:
    return HEIGHT.get(name, KERNEL)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imported(node: ast.AST) -> list[str]:
    """The full names that one import statement brings; relative imports are forbidden elsewhere."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return [f"{module}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(path)):
        for name in imported(node):
            yield node.lineno, name


def inside(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, room and full name of every import from the package itself."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "webdancer_cli" and len(parts) > 1:
            yield line, parts[1], name


def may_import(mine: str, theirs: str) -> bool:
    """Down the house, within a room, within the kernel; and along a floor, for rooms that know each other."""
    if mine == theirs or height(theirs) < height(mine):
        return True
    return height(theirs) == height(mine) and {mine, theirs} != STRANGERS


@each_file
def test_imports_point_down_only(path: Path) -> None:
    mine = room(path)
    assert not [(line, name) for line, theirs, name in inside(path) if not may_import(mine, theirs)]


def test_what_the_rooms_may_and_may_not() -> None:
    assert may_import("stages", "web") and may_import("agent", "records") and may_import("flow", "jsonl")
    assert may_import("records", "text") and not may_import("text", "records")
    assert not may_import("web", "agent") and not may_import("records", "web") and not may_import("training", "stages")
    assert not may_import("agent", "grading") and not may_import("grading", "agent")


@each_file
def test_stages_never_import_each_other(path: Path) -> None:
    if room(path) == "stages":
        assert not [name for _, theirs, name in inside(path) if theirs == "stages"]


@each_file
def test_only_the_front_door_and_the_stages_know_the_stages(path: Path) -> None:
    if room(path) not in ("cli", "stages"):
        assert not [name for _, theirs, name in inside(path) if theirs == "stages"]


@each_file
def test_torch_and_its_kin_are_imported_in_training_alone(path: Path) -> None:
    if room(path) != "training":
        assert not [(line, name) for line, name in imports(path) if name.split(".")[0] in HEAVY]


@each_file
def test_a_library_with_one_door_enters_through_it(path: Path) -> None:
    file = path.relative_to(PACKAGE).as_posix()
    for library, doors in ONLY_IN.items():
        if file not in doors:
            assert not [(line, name) for line, name in imports(path) if name.split(".")[0] == library]


@each_file
def test_function_level_imports_stand_in_the_front_door_alone(path: Path) -> None:
    if path.name == "cli.py":
        return
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [(node.lineno, name) for function in functions for node in ast.walk(function) for name in imported(node)]


@each_file
def test_imports_are_absolute(path: Path) -> None:
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.level > 0]


@each_file
def test_nothing_is_done_on_import(path: Path) -> None:
    """A module may define, and build constants; it may not print, loop, open a file or run a command."""
    if path.name == "__main__.py":
        return
    loops = [node.lineno for node in tree(path).body if isinstance(node, ast.For | ast.While | ast.With)]
    calls = [node.lineno for node in tree(path).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not loops + calls


POLICIES = {
    "endings.py": "whatever ends a command early costs one line",
    "web/fetch.py": "whatever an answer provokes is the failure of its URL",
}
"""Who may catch everything, and why."""


@each_file
def test_no_handler_swallows_everything(path: Path) -> None:
    """``except:`` and ``except Exception:`` need a policy."""
    if path.relative_to(PACKAGE).as_posix() in POLICIES:
        return
    bare = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert not bare


@pytest.mark.parametrize("command", settings.COMMANDS)
def test_command_stage_file_and_test_file_carry_one_name(command: str) -> None:
    assert (PACKAGE / "stages" / f"{command}.py").is_file()
    assert (TESTS / "stages" / f"test_{command}.py").is_file()


def test_every_stage_file_is_a_command() -> None:
    stages = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert stages <= set(settings.COMMANDS)


def test_no_room_is_named_for_nothing() -> None:
    empty_names = {"utils", "util", "helpers", "core", "common", "manager", "misc"}
    assert not [name for name in NAMES if set(Path(name).with_suffix("").parts) & empty_names]


def test_the_walker_sees_a_broken_rule(tmp_path: Path) -> None:
    """The rules above are only worth something if the walker finds an import wherever it hides."""
    file = tmp_path / "x.py"
    file.write_text("def f():\n    if 1:\n        import torch.nn\n    from webdancer_cli import stages\n")
    assert sorted(imports(file)) == [(3, "torch.nn"), (4, "webdancer_cli.stages")]
    assert list(inside(file)) == [(4, "stages", "webdancer_cli.stages")]

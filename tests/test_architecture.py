"""The walls of the house, read from the syntax trees: who may import whom, and where imports may stand."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from webdancer_cli.options import settings

PACKAGE = Path(__file__).parent.parent / "webdancer_cli"
TESTS = Path(__file__).parent

FLOORS = (
    ("errors", "text", "parent_death"),
    ("options", "services"),
    ("data", "config"),
    ("records",),
    ("tape", "user_functions", "prompts", "transcript", "terminal", "world", "cluster"),
    ("llm",),
    ("web",),
    ("web/fetch",),
    ("web/extract", "web/json_api"),
    ("web/crawl", "web/search"),
    ("web/live",),
    ("grading",),
    ("synthesis",),
    ("synthesis/builtin/read",),
    ("synthesis/builtin/ask",),
    ("synthesis/builtin", "synthesis/chat"),
    ("agent", "report"),
    ("training",),
    ("stages", "dry_run", "doctor"),
    ("web_wiring",),
    ("wiring",),
    ("command_registry",),
    ("commands",),
    ("doctor_command",),
    ("cli",),
    ("__main__",),
)
"""The rooms from the ground up: folders, and files that lie flat. Imports lead to lower floors, or stay in the room."""
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}

HEAVY = {"torch", "transformers", "peft", "vllm", "safetensors", "tokenizers"}
ONLY_IN = {
    "trafilatura": {"web/extract/html_page.py"},
    "bm25s": {"web/bm25.py"},
    "ray": {"cluster/on_ray.py"},
    "tantivy": {f"web/page_index/{name}.py" for name in ("layout", "reader", "writer")},
}

NAMED_IN = {
    "webdancer_cli.training.transformers_engine": {"training/engines.py"},
    "webdancer_cli.training.vllm_engine": {"training/engines.py"},
}
"""Modules that stand behind a protocol, and the one file that may name them."""

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]


def room(module: str) -> str:
    """The room of a module, given as a path below the package without its ending: the longest that is named above."""
    parts = module.split("/")
    names = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in HEIGHT), parts[0])


def room_of(path: Path) -> str:
    return room(path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def imported(node: ast.AST) -> list[str]:
    """The full names that one import statement brings; relative imports are forbidden elsewhere."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return [f"{module}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in nodes(path):
        for name in imported(node):
            yield node.lineno, name


def inside(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, room and full name of every import from the package itself."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "webdancer_cli" and (PACKAGE / f"{parts[1]}.py").exists() | (PACKAGE / parts[1]).is_dir():
            yield line, room("/".join(parts[1:])), name


def may_import(mine: str, theirs: str) -> bool:
    """Down the house, or within a room; and the policy that plays knows nothing of those who grade it."""
    return mine == theirs or (HEIGHT[theirs] < HEIGHT[mine] and (mine, theirs) != ("agent", "grading"))


def each_file() -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(PACKAGE).as_posix(), path) for path in FILES)


def test_every_file_has_a_room_of_a_known_height() -> None:
    assert not [name for name, path in each_file() if name != "__init__.py" and room_of(path) not in HEIGHT]


def test_imports_point_down_only() -> None:
    upward = [
        (name, line, imported)
        for name, path in each_file()
        for line, theirs, imported in inside(path)
        if name != "__init__.py" and not may_import(room_of(path), theirs)
    ]
    assert not upward


def test_what_the_rooms_may_and_may_not() -> None:
    assert may_import("stages", "web/crawl") and may_import("agent", "data") and may_import("data", "data")
    assert not may_import("web/fetch", "web/extract") and not may_import("data", "llm")
    assert not may_import("training", "stages") and not may_import("web/crawl", "web/search")
    assert not may_import("agent", "grading") and not may_import("grading", "agent")


def test_stages_never_import_each_other() -> None:
    stages = [(name, path) for name, path in each_file() if room_of(path) == "stages"]
    assert stages
    assert not [(name, line) for name, path in stages for line, theirs, _ in inside(path) if theirs == "stages"]


def test_torch_and_its_kin_are_imported_in_training_alone() -> None:
    others = [(name, path) for name, path in each_file() if room_of(path) != "training"]
    found = [(name, line, brought) for name, path in others for line, brought in imports(path)]
    assert not [(name, line) for name, line, brought in found if brought.split(".")[0] in HEAVY]


def test_a_library_with_one_door_enters_through_it() -> None:
    found = [(name, brought.split(".")[0]) for name, path in each_file() for _, brought in imports(path)]
    doors = {library: {name for name, brought in found if brought == library} for library in ONLY_IN}
    assert all(doors[library] <= ONLY_IN[library] for library in ONLY_IN)


def test_what_stands_behind_a_protocol_is_named_in_one_file() -> None:
    found = [(name, brought) for name, path in each_file() for _, brought in imports(path)]
    for module, doors in NAMED_IN.items():
        assert {name for name, brought in found if brought.startswith(module)} == doors


LAZY = {"command_registry.py", "commands.py", "doctor_command.py", "web_wiring.py", "wiring.py"}
"""Where imports may stand inside functions: ``--help`` must not wait for torch."""


def test_function_level_imports_stand_in_the_front_door_alone() -> None:
    found = []
    for name, path in each_file():
        for function in nodes(path):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and name not in LAZY:
                found += [(name, node.lineno) for node in ast.walk(function) if imported(node)]
    assert not found


def test_imports_are_absolute() -> None:
    found = [(name, node) for name, path in each_file() for node in nodes(path)]
    assert not [(name, node.lineno) for name, node in found if isinstance(node, ast.ImportFrom) and node.level > 0]


def test_nothing_is_done_on_import() -> None:
    """A module may define, and build constants; it may not print, loop, open a file or run a command."""
    done = []
    for name, path in each_file():
        for node in tree(path).body if name != "__main__.py" else []:
            is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            if is_call or isinstance(node, ast.For | ast.While | ast.With):
                done.append((name, node.lineno))
    assert not done


CATCHES_ALL = {
    "terminal/exit_codes.py": "whatever ends a command early costs one line",
    "training/weight_broadcast.py": "whatever ends the sending thread is told to who waits for it",
    "web/fetch/fetcher.py": "whatever an answer provokes is the failure of its URL",
}
"""Who may catch everything, and why."""


def test_no_handler_swallows_everything() -> None:
    """``except:`` and ``except Exception:`` need a policy."""
    bare = [
        name
        for name, path in each_file()
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert set(bare) <= set(CATCHES_ALL)


SAME_CONTRACT = {"run", "plan_memory"}
"""What several stages have under one name, since it means the same in each."""


def test_no_public_class_or_function_has_two_meanings() -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = [node.name for path in FILES for node in tree(path).body if isinstance(node, kinds)]
    counts = Counter(name for name in names if not name.startswith("_") and name not in SAME_CONTRACT)
    assert not {name for name, count in counts.items() if count > 1}


ASKS = ("is_", "has_", "may_", "can_")
CHANGES = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popleft", "remove", "setdefault", "update"}


def test_a_function_whose_name_asks_changes_nothing_of_its_object() -> None:
    functions = [
        (name, node)
        for name, path in each_file()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.lstrip("_").startswith(ASKS)
    ]
    assert len(functions) > 50
    assert not [(name, node.name) for name, node in functions if any(map(_changes_its_object, ast.walk(node)))]


def _changes_its_object(node: ast.AST) -> bool:
    """``self.x = …``, ``self.x += …``, ``self.x[y] = …`` and ``self.x.append(…)``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in CHANGES and ast.unparse(node.func.value).startswith("self.")
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return any(ast.unparse(target).startswith("self.") for target in targets)


def test_the_walker_sees_a_change_in_each_of_its_forms() -> None:
    for line in ("self.x = 1", "self.x += 1", "self.x[0] = 1", "self.x.append(1)"):
        assert any(map(_changes_its_object, ast.walk(ast.parse(line)))), line
    assert not any(map(_changes_its_object, ast.walk(ast.parse("x = self.y.get(1)"))))


FILE_LINES, FUNCTION_LINES = 400, 60
LOOPS = {"take_steps", "train_rl"}
"""The two training loops, which are read from top to bottom."""


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    assert not [name for name, path in each_file() if len(path.read_text("utf-8").splitlines()) > FILE_LINES]


def test_no_function_is_longer_than_a_screen() -> None:
    functions = [
        (name, node)
        for name, path in each_file()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in LOOPS
    ]
    assert not [(name, node.name) for name, node in functions if _length(node) > FUNCTION_LINES]


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


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
    file.write_text("def f():\n    if 1:\n        import torch.nn\n    from webdancer_cli.web.fetch import fetcher\n")
    assert sorted(imports(file)) == [(3, "torch.nn"), (4, "webdancer_cli.web.fetch.fetcher")]
    assert list(inside(file)) == [(4, "web/fetch", "webdancer_cli.web.fetch.fetcher")]

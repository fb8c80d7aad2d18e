"""``pyproject.toml`` names what the package imports, and nothing else in its core."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOT_IMPORTED = {"lxml-html-clean"}
"""Needed at run time by a dependency that does not ask for it in every pip."""


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~ ;]", requirement)[0]) for requirement in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: str, *, inside: bool) -> set[str]:
    """The distributions, named like their modules, that ``folder`` imports; not ``inside``: that all the rest does."""
    home, found = ROOT / "webdancer_cli" / folder, set()
    for path in (ROOT / "webdancer_cli").rglob("*.py"):
        if path.is_relative_to(home) is inside:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {module.partition(".")[0] for module in modules}
    return {normal(module) for module in found - {*sys.stdlib_module_names, "webdancer_cli"}}


def test_the_core_lists_what_it_imports_and_no_more() -> None:
    assert imported("training", inside=False) == names(PROJECT["dependencies"]) - NOT_IMPORTED


def test_training_finds_all_it_imports_in_its_extra() -> None:
    core, train = names(PROJECT["dependencies"]), names(PROJECT["optional-dependencies"]["train"])
    assert imported("training", inside=True) <= core | train


@pytest.mark.parametrize("extra", ["train", "vllm", "vllm-cpu", "report", "dev"])
def test_the_extras_that_the_documentation_names_are_there(extra: str) -> None:
    assert PROJECT["optional-dependencies"][extra]

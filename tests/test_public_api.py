"""What ``import webdancer_cli`` promises: every name is there, documented, lazy, and enough for the example."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import webdancer_cli

ROOT = Path(__file__).parent.parent
NAMES = [name for name in webdancer_cli.__all__ if name != "__version__"]


def told_to_type_checkers() -> dict[str, str]:
    """Each name imported under TYPE_CHECKING, with the module and the name that it has there."""
    tree = ast.parse((ROOT / "webdancer_cli" / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def test_every_public_name_is_what_type_checkers_are_told() -> None:
    told = told_to_type_checkers()
    assert sorted(told) == NAMES
    for name, place in told.items():
        module, _, attribute = place.rpartition(".")
        assert getattr(webdancer_cli, name) is getattr(sys.modules[module], attribute), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = webdancer_cli.nothing_here  # type: ignore[attr-defined]
    assert set(NAMES) <= set(dir(webdancer_cli))


def test_the_library_page_explains_every_public_name() -> None:
    text = (ROOT / "docs" / "library.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)[`(.]", text))
    assert not set(NAMES) - named
    used = set(re.findall(r"\bwd\.(\w+)", text + (ROOT / "examples" / "library.py").read_text("utf-8")))
    assert used <= set(NAMES)


def test_importing_the_package_and_reading_records_imports_nothing_heavy() -> None:
    script = (
        "import sys, webdancer_cli as wd\n"
        "first = sorted(name for name in sys.modules if name.startswith('webdancer_cli.'))\n"
        "wd.QA, wd.read_records\n"
        "print(first, sorted({'torch', 'transformers', 'typer', 'httpx', 'bm25s'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


@pytest.mark.slow
def test_the_example_plays_grades_and_renders_in_40_lines() -> None:
    example = ROOT / "examples" / "library.py"
    assert len(example.read_text("utf-8").splitlines()) <= 40
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    question, reward, tokens = done.stdout.splitlines()
    # Every turn is strict and the answer right: 0.1 · 1 + 0.9 · 1. Each of the three tools is called once.
    assert question.endswith("766 (correct), tools {'search': 1, 'visit': 1, 'years_between': 1}")
    assert reward == "reward 1.0"
    total, loss = map(int, re.findall(r"\d+", tokens))
    assert 0 < loss < total

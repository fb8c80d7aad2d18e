"""``docs/extending.md`` works as written: each of its sections is followed, to the letter, in a copy of the package.

A fenced block after a file's name in backticks is that file, one of kind ``diff`` an edit of it, and one of kind
``shell`` is run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
INTRODUCTION = PAGE.partition("\n## ")[0]


class Block(NamedTuple):
    kind: str
    file: str
    text: str


def blocks(section: str) -> list[Block]:
    """The fenced blocks, each with the last file that is named before it."""
    found, file = [], ""
    for part in re.finditer(r"^```(\w+)\n(.*?)^```|`([\w/.]+\.(?:py|toml))`", section, re.MULTILINE | re.DOTALL):
        if part[3]:
            file = part[3]
        else:
            found.append(Block(part[1], file, part[2]))
    return found


def edited(text: str, diff: str) -> str:
    """The text with the lines that a diff adds and without those that it takes away. They stand there once.

    A long line may be named by its beginning.
    """
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(old) == 1, f"{text.count(old)} times in the file:\n{old}"
    return text.replace(old, new)


def follow(section: str, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for block in blocks(section):
        path = folder / block.file
        if block.kind == "diff":
            path.write_text(edited(path.read_text("utf-8"), block.text), "utf-8")
        elif block.kind == "shell":
            script = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
        else:
            assert not path.exists(), block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, a ``webdancer`` and a ``python`` that run it, and what the introduction makes."""
    folder = tmp_path_factory.mktemp("extending")
    shutil.copytree(ROOT / "webdancer_cli", folder / "webdancer_cli", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "bin").mkdir()
    for name, arguments in {"webdancer": "-m webdancer_cli ", "python": ""}.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (folder / "bin" / name).chmod(0o755)
    follow(INTRODUCTION, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_each_section_works_as_written(copy: Path, title: str) -> None:
    follow(SECTIONS[title], copy)


def test_all_that_can_be_added_has_a_section() -> None:
    expected = ["A tool", "A search service", "Prompts", "A chat template", "A question type", "A stage"]
    assert list(SECTIONS) == expected
    assert all(any(block.kind == "shell" for block in blocks(section)) for section in SECTIONS.values())


def test_an_edit_that_does_not_fit_the_file_fails() -> None:
    """Each edit of the page is tried against the file as it stands: the page cannot fall behind it."""
    with pytest.raises(AssertionError, match="0 times"):
        edited("KNOWN = [\n", " KNOWN = (\n+    1,\n")
    assert edited("KNOWN = (\n    2,\n", " KNOWN = (\n+    1,\n") == "KNOWN = (\n    1,\n    2,\n"
    assert edited('A = ("b", "c")\n', '-A = ("b",\n+A = ("a", "b",\n') == 'A = ("a", "b", "c")\n'
    assert edited("x\ndef f():\n", "+y\n def f():\n") == "x\ny\ndef f():\n"

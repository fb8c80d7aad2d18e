"""``docs/scale.md`` works as written: its first example is run, and equals what one process makes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from webdancer_cli.commands import app

ROOT = Path(__file__).parent.parent
EXAMPLE = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "scale.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
README = (ROOT / "README.md").read_text("utf-8")


def run(script: str, folder: Path) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "webdancer").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m webdancer_cli "$@"\n')
    (folder / "bin" / "webdancer").chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def episodes(path: Path) -> list[str]:
    """The records without the name of the web: that tells index and file apart."""
    return sorted(re.sub(r'"web":"\w+:', '"web":"', line) for line in path.read_text().splitlines())


@pytest.mark.slow
def test_the_example_of_the_scale_page_gives_what_one_process_gives(tmp_path: Path) -> None:
    run(EXAMPLE, tmp_path)
    run("webdancer sample --data qa.jsonl --web pages.jsonl --out whole.jsonl", tmp_path)
    whole = episodes(tmp_path / "whole.jsonl")
    assert len(whole) == 20 and episodes(tmp_path / "trajectories.jsonl") == whole


def test_the_readme_and_the_commands_help_show_the_same_example() -> None:
    lines = [line for line in EXAMPLE.splitlines() if re.match("webdancer (index|split|map)", line)]
    helps = {info.name: info.help or "" for info in app.registered_commands}
    assert len(lines) == 3
    for line in lines:
        assert line in README and line in helps[line.split()[1]], line

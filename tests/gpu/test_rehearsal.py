"""The kit for a GPU goes all its ways on the CPU, so that it runs when there is a GPU for ten minutes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_every_part_has_figures_or_says_why_not(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "run.py"), "--rehearse", "--out", str(tmp_path), "--wheels", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stderr
    parts: dict[str, dict[str, Any]] = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {name: part["failed"] for name, part in parts.items() if "failed" in part} == {}
    figures = {(name, case): told for name, part in parts.items() for case, told in part.get("figures", {}).items()}
    # Of attention, the CPU lacks a kernel; TRL is in an environment of its own.
    failed = {key: told["failed"] for key, told in figures.items() if "failed" in told}
    assert all(case.startswith("cudnn") for _, case in failed), failed
    skipped = {key: told["skipped"] for key, told in figures.items() if "skipped" in told}
    assert all(name.startswith("trl") for name, _ in skipped), skipped
    speeds = [told["tokens_per_second"] for (name, case), told in figures.items() if name == "sft-0.6b" and "-" in case
              and not case.startswith("open")]  # fmt: skip
    assert len(speeds) == 6 and min(speeds) > 0
    assert figures["smoke", "cli"]["metrics"][-1]["step"] == 2
    assert figures["rl", "rl"]["steps"][-1]["updates"] == 1
    assert parts["device-tests"]["tests"].keys() == {"passed"}

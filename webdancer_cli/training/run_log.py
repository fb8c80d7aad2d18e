"""What a run writes step by step, as JSON lines; of a run that goes on, what it wrote after its checkpoint goes."""

from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.data.jsonl import LineWriter

METRICS = "metrics.jsonl"
ROLLOUTS = "rollouts.jsonl"
"""Some rollouts of every step, to be read."""


def open_log(path: Path, step: int) -> LineWriter:
    """A file of lines that hold their ``step``, ready for that of the next one after ``step``."""
    if step and path.is_file():
        cut(path, step)
    return LineWriter(str(path), append=step > 0)


def cut(path: Path, step: int) -> None:
    """Leave the lines up to ``step``; a torn one goes, too. The file is whole at any moment."""
    beside = path.with_suffix(".cut")
    with path.open("rb") as old, beside.open("wb") as new:
        new.writelines(line for line in old if _step(line) <= step)
    beside.replace(path)


def _step(line: bytes) -> float:
    try:
        value: Any = msgspec.json.decode(line) if line.endswith(b"\n") else {}
    except msgspec.DecodeError:
        value = {}
    return float(value.get("step", "inf")) if isinstance(value, dict) else float("inf")

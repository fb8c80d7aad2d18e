"""Training runs as they are shown: the curves of a ``metrics.jsonl``, and its alarms."""

from typing import Any, Literal

import msgspec


class Alarm(msgspec.Struct, kw_only=True):
    """What a run said about itself at a step."""

    step: int
    text: str


class RunView(msgspec.Struct, kw_only=True):
    """Curves over ``steps``: a value per step, None where a line has none. Nested metrics are "endings.answered"."""

    name: str
    source: int
    method: Literal["sft", "rl"]
    steps: list[int]
    curves: dict[str, list[float | None]]
    alarms: list[Alarm]


class RunCurves:
    """Collects the lines of one ``metrics.jsonl``. A step that is told again, after a resume, counts as told last."""

    def __init__(self) -> None:
        self._lines: dict[int, dict[str, float]] = {}
        self._alarms: dict[int, list[Alarm]] = {}

    def add(self, line: dict[str, Any]) -> None:
        step = line["step"]
        self._lines[step] = self._lines.get(step, {}) | numbers(line)
        if alarms := alarms_of(line):
            self._alarms[step] = alarms

    def view(self, name: str, source: int) -> RunView:
        steps = sorted(self._lines)
        metrics = dict.fromkeys(metric for step in steps for metric in self._lines[step])
        return RunView(
            name=name,
            source=source,
            method="rl" if "reward" in metrics else "sft",
            steps=steps,
            curves={metric: [self._lines[step].get(metric) for step in steps] for metric in metrics},
            alarms=[alarm for step in steps for alarm in self._alarms.get(step, [])],
        )


def numbers(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a line by name, also those inside its objects; what is not finite is none."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
            found[prefix + name] = value
    found.pop("step", None)
    return found


def alarms_of(line: dict[str, Any]) -> list[Alarm]:
    """The alarms of a line: texts, or objects with a text; one alone needs no list."""
    given = line.get("alarms") or line.get("alarm") or []
    return [Alarm(step=line["step"], text=_text(alarm)) for alarm in (given if isinstance(given, list) else [given])]


def _text(alarm: object) -> str:
    if isinstance(alarm, dict):
        parts = [str(alarm[name]) for name in ("name", "alarm", "text", "message", "remedy") if alarm.get(name)]
        return ": ".join(parts) or str(alarm)
    return str(alarm)

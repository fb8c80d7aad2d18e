"""Metrics for those who watch: the lines of ``metrics.jsonl`` and the scores of ``eval``, sent to a tracker as they are
written.

The file is what counts and is always there. A tracker that fails does not end a run; that is told once. Nothing here
needs torch.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from webdancer_cli.data.pipeline import Say
from webdancer_cli.errors import UsageError

PROJECT = "webdancer"


class Tracker(Protocol):
    """Takes the numbers of a step."""

    def log(self, metrics: dict[str, float], step: int) -> None: ...
    def finish(self) -> None: ...


class TensorBoard:
    """Event files in ``out/tensorboard``."""

    def __init__(self, out: Path):
        module = import_module("tensorboard.summary")
        self._writer = module.Writer(str(out / "tensorboard"))

    def log(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step=step)
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()


class RunTracker:
    """wandb, or trackio, which has its interface."""

    def __init__(self, library: str, out: Path, about: dict[str, Any]):
        self._library = import_module(library)
        self._library.init(project=PROJECT, name=out.name, config=about.get("options", {}))

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._library.log(metrics, step=step)

    def finish(self) -> None:
        self._library.finish()


class Tracked:
    """One run's tracker, or none; only rank 0 has one."""

    def __init__(self, kind: str, out: Path, about: dict[str, Any], say: Say):
        self._say = say
        self._tracker = _open(kind, out, about) if kind != "none" else None

    def log(self, line: dict[str, Any]) -> None:
        """The numbers of a line, those inside its objects by dotted names; what is no number stays in the file."""
        numbers = dict(_numbers(line))
        self._try(lambda tracker: tracker.log(numbers, int(line["step"])))

    def close(self) -> None:
        self._try(lambda tracker: tracker.finish())

    def _try(self, do: Any) -> None:
        if self._tracker is None:
            return
        try:
            do(self._tracker)
        except (OSError, RuntimeError, ValueError) as error:
            self._say(f"nothing more is tracked: {' '.join(str(error).split())[:200]}; the files have it all")
            self._tracker = None


def _numbers(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield prefix + name, float(value)


def _open(kind: str, out: Path, about: dict[str, Any]) -> Tracker:
    """Raises UsageError for a tracker that is not installed or does not let us in."""
    try:
        return TensorBoard(out) if kind == "tensorboard" else RunTracker(kind, out, about)
    except ImportError:
        raise UsageError(f"--track {kind}: {kind} is not installed: pip install {kind}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"--track {kind}: {' '.join(str(error).split())[:200]}") from None

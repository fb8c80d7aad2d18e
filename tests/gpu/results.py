"""How a part says what it measured: a JSON line a figure, written at once, so that nothing measured is lost."""

import contextlib
import json
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MESSAGE_CHARS = 600


class Results:
    """A file of figures. ``deadline_seconds`` from now on no further one is begun."""

    def __init__(self, file: Path, deadline_seconds: float):
        self._file = file
        self._deadline = time.monotonic() + deadline_seconds

    @property
    def remaining_seconds(self) -> float:
        return self._deadline - time.monotonic()

    def add(self, name: str, **figures: Any) -> None:
        line = json.dumps({"name": name, **figures})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    @contextlib.contextmanager
    def figures(self, name: str) -> Iterator[dict[str, Any]]:
        """A dictionary to fill; what fails is told in it with what was measured before, and the part goes on."""
        found: dict[str, Any] = {}
        began = time.monotonic()
        try:
            yield found
        except Exception as error:  # whatever fails, the other figures are worth having
            traceback.print_exc()
            found["failed"] = message(error)
        self.add(name, **found, wall_seconds=round(time.monotonic() - began, 2))


def message(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MESSAGE_CHARS]

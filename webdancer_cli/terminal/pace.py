"""How fast something goes, and how long the rest will take."""

import time
from collections.abc import Callable

MOST_SAMPLES = 256


class Pace:
    """Told how much is done, at any moments, it tells the rate of the second half of the time so far: what was slow at
    the beginning, since models were loaded or calls had to come back first, is soon forgotten. Where less is done than
    before, other work has begun, which has a rate of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._samples: list[tuple[float, int]] = []
        self._began: float | None = None

    def note(self, done: int) -> None:
        if self._began is None:
            self._began = self._clock()
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((self._clock(), done))
        if len(self._samples) > MOST_SAMPLES:
            del self._samples[1::2]

    @property
    def seconds(self) -> float:
        """Since it was first told."""
        return self._clock() - self._began if self._began is not None else 0.0

    @property
    def per_second(self) -> float | None:
        """None before anything was done."""
        if len(self._samples) < 2:
            return None
        now = self._clock()
        (began, _), (_, done) = self._samples[0], self._samples[-1]
        middle = (began + now) / 2
        at, before = next(sample for sample in reversed(self._samples) if sample[0] <= middle or sample[0] == began)
        return (done - before) / (now - at) if done > before and now > at else None

    def seconds_left(self, total: int) -> float | None:
        rate = self.per_second
        return max(0.0, total - self._samples[-1][1]) / rate if rate else None


def rate_text(per_second: float) -> str:
    """With the unit in which it is easy to read: 12/s, 3.1/s, 8/min, 5/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            rate = per_second * seconds
            return f"{rate:,.0f}/{unit}" if rate >= 10 else f"{rate:.1f}/{unit}"
    return f"{per_second * 3600:.0f}/h"


def time_text(seconds: float) -> str:
    """As one says it: 45 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

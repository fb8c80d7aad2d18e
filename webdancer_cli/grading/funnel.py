"""The funnel in numbers: how many trajectories came into each stage, and why some went no further."""

from collections import Counter
from dataclasses import dataclass, field

from webdancer_cli.errors import Reject


@dataclass
class FunnelStep:
    """One stage of the funnel."""

    name: str
    entered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        return self.entered - self.dropped.total()

    def take(self, reject: Reject | None = None) -> None:
        """Count a trajectory that came in, and went no further if there is a ``reject``."""
        self.entered += 1
        if reject:
            self.dropped[reject.reason] += 1


@dataclass
class Funnel:
    """What became of the trajectories, stage by stage."""

    steps: list[FunnelStep]

    def step(self, name: str) -> FunnelStep:
        return next(step for step in self.steps if step.name == name)

    def count(self, passed: int, reject: Reject | None = None) -> None:
        """Count a trajectory that passed so many stages; the next one dropped it if there is a ``reject``, and the last
        one if it passed them all: it cannot be written."""
        if reject:
            passed = min(passed, len(self.steps) - 1)
        for step in self.steps[:passed]:
            step.take()
        if reject:
            self.steps[passed].take(reject)

    def table(self) -> str:
        """A table for reading: in, out and share of each stage, and the reasons below it."""
        lines = [f"{'stage':<24}{'in':>10}{'out':>10}{'share':>9}"]
        for step in self.steps:
            lines.append(f"{step.name:<24}{step.entered:>10}{step.kept:>10}{_share(step.kept, step.entered):>9}")
            lines += [
                f"  {reason:<22}{'':>10}{-count:>10}{_share(count, step.entered):>9}"
                for reason, count in step.dropped.most_common()
            ]
        first, last = self.steps[0], self.steps[-1]
        lines.append(f"{'all':<24}{first.entered:>10}{last.kept:>10}{_share(last.kept, first.entered):>9}")
        return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"

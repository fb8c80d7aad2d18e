"""What waits in temporary files for the end of ``filter``'s input: only then is it known which are the best."""

from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.records import QA, Trajectory, from_object, to_object
from webdancer_cli.grading.selection import SelectionEntry, select_best, selection_entry


class TrajectorySpool:
    """Trajectories that wait in a temporary file for the end of the input, since only then it is known who is best."""

    def __init__(self, spool: IO[bytes]):
        self._spool = spool
        self._places: dict[str, list[int]] = {}
        self._standing: set[int] = set()

    def add(self, trajectory: Trajectory, stands: bool) -> None:
        """``stands``: an earlier run has written it."""
        at = self._spool.tell()
        self._places.setdefault(trajectory.qa.id, []).append(at)
        if stands:
            self._standing.add(at)
        self._spool.write(msgspec.json.encode(to_object(trajectory)) + b"\n")

    def released(self, count: int) -> Iterator[tuple[Trajectory, bool]]:
        """All that wait, in input order, and whether each is among the best ``count`` of its question."""
        kept = {entry.at for places in self._places.values() for entry in self._best(places, count)}
        self._spool.seek(0)
        at = 0
        for line in self._spool:
            yield _unspool(line), at in kept
            at += len(line)

    def _best(self, places: list[int], count: int) -> list[SelectionEntry]:
        """What stands stays; so the choice is that of an uninterrupted run only where it was a part of that."""
        entries = [self._entry(at) for at in places]
        chosen = select_best(entries, count)
        standing = [entry for entry in entries if entry.at in self._standing]
        return chosen if set(standing) <= set(chosen) else select_best(entries, count, standing)

    def _entry(self, at: int) -> SelectionEntry:
        self._spool.seek(at)
        return selection_entry(_unspool(self._spool.readline()), at)


def _unspool(line: bytes) -> Trajectory:
    return from_object(Trajectory, msgspec.json.decode(line))


class QuestionLog:
    """The questions seen, and which have a kept trajectory. Those seen wait in a file; without one, nothing is kept."""

    def __init__(self, spool: IO[bytes] | None) -> None:
        self._seen = KeySet()
        self._solved = KeySet()
        self._spool = spool

    def seen_in(self, trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
        for trajectory in trajectories:
            qa = trajectory.qa
            if self._spool and self._seen.add(qa.id):
                self._spool.write(msgspec.json.encode([qa.id, to_object(qa)]) + b"\n")
            yield trajectory

    def solved(self, qa: QA) -> None:
        if self._spool:
            self._solved.add(qa.id)

    def write_unsolved(self, path: str) -> int:
        """Write the questions without a kept trajectory, in the order of their first appearance."""
        assert self._spool
        self._spool.seek(0)
        with LineWriter(path) as writer:
            for line in self._spool:
                id, question = msgspec.json.decode(line)
                if id not in self._solved:
                    writer.write(question)
        return writer.count

"""What an earlier run has written already, so that nothing is written or paid for twice: read once, from its records.

A question that a model wrote names the group of pages that the model was shown, by a key, and how many questions of
that group the output has. The group is done when they are all there. If a question failed for a reason that may
pass, no record names its group, and the group is asked about again. So is a group that left no record at all: none of
its questions was sound, or new.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.records import QA

GROUP = "group"


class GroupMark(msgspec.Struct):
    """What a record says of its group; ``questions`` is the number of those in the output."""

    key: str
    questions: int


def mark_group(questions: Iterable[QA], key: str, count: int) -> None:
    """Let the records of a whole group of ``count`` questions name it."""
    for qa in questions:
        qa.extra = {**qa.extra, GROUP: msgspec.to_builtins(GroupMark(key, count))}


def group_mark(fields: Mapping[str, Any]) -> GroupMark | None:
    """What a record says of its group, by its columns; None if it names none."""
    try:
        return msgspec.convert(fields.get(GROUP), GroupMark)
    except msgspec.ValidationError:  # a column of the user's own
        return None


class Earlier:
    """What an earlier run wrote: the ids of its questions, their number by type, and the groups they belong to."""

    def __init__(self) -> None:
        self.ids = KeySet()
        self.types: Counter[str] = Counter()
        self._groups: dict[str, tuple[int, int]] = {}

    def add(self, qa: QA) -> None:
        self.ids.add(qa.id)
        self.types[qa.type] += 1
        if mark := group_mark(qa.extra):
            self._groups[mark.key] = self.count(mark.key) + 1, mark.questions

    def count(self, key: str) -> int:
        """How many records name a group."""
        return self._groups.get(key, (0, 0))[0]

    def groups(self, *, begun: bool = False) -> set[str]:
        """The keys of the groups whose questions are all there; with ``begun``, of those that have any."""
        return {key for key, (there, of) in self._groups.items() if begun or there >= of}

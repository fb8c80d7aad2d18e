"""What an earlier run has written already, so that no page is paid for twice: read from its records.

A question that a model wrote names the group of pages that it was shown, by a key, and how many sound questions that
group gave. The group is done when they are all there. If a question failed for a reason that may pass, no record names
its group, and the group is asked about again. So is a group that left no record at all: none of its questions was
sound, or new.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.protocols import RefusedQuestion

GROUP = "group"


class Group(msgspec.Struct):
    """What a record says of its group; ``questions`` is the number of sound ones."""

    key: str
    questions: int


def marked(outcomes: list[QA | RefusedQuestion], key: str, *, already: int = 0) -> list[QA | RefusedQuestion]:
    """The outcomes of a whole group; their records name it by ``key`` unless one of them is to be tried again.

    ``already`` counts the sound questions of the group whose records are there.
    """
    sound = [outcome for outcome in outcomes if isinstance(outcome, QA)]
    failed = any(isinstance(outcome, RefusedQuestion) and outcome.reject.failed for outcome in outcomes)
    for qa in sound:
        qa.extra = _without_group(qa.extra)
        if not failed:
            qa.extra[GROUP] = msgspec.to_builtins(Group(key, already + len(sound)))
    return outcomes


class Regroup:
    """Brings the outcomes of a group together again when some were refused on the way, and marks what is left anew."""

    def __init__(self) -> None:
        self._held: list[QA | RefusedQuestion] = []
        self._key = ""
        self._awaited = 0
        self._already = 0

    def add(self, outcome: QA | RefusedQuestion, group: Group | None) -> list[QA | RefusedQuestion]:
        """The outcomes that are complete now. ``group`` is what the question said of its group when it was written."""
        if group is None and not self._key:
            return [outcome]
        before = self._begun(group) if group else []
        self._held.append(outcome)
        return before + (self._come() if group else [])

    def already_there(self, group: Group | None) -> list[QA | RefusedQuestion]:
        """The same, when a question of the group has a record from an earlier run: it is sound, and needs no other."""
        if group is None:
            return []
        before = self._begun(group)
        self._already += 1
        return before + self._come()

    def _begun(self, group: Group) -> list[QA | RefusedQuestion]:
        """What is left of another group, when this one begins."""
        if group.key == self._key:
            return []
        before = self.rest()
        self._key, self._awaited = group.key, group.questions
        return before

    def _come(self) -> list[QA | RefusedQuestion]:
        """All of the group when its last sound question has come."""
        self._awaited -= 1
        if self._awaited > 0:
            return []
        marked(self._held, self._key, already=self._already)
        return self._emptied()

    def rest(self) -> list[QA | RefusedQuestion]:
        """What is there of a group of which no more will come: it names no group, which is asked about again."""
        for outcome in self._held:
            if isinstance(outcome, QA):
                outcome.extra = _without_group(outcome.extra)
        return self._emptied()

    def _emptied(self) -> list[QA | RefusedQuestion]:
        held, self._held = self._held, []
        self._key, self._awaited, self._already = "", 0, 0
        return held


def _without_group(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name != GROUP}


def group_of(fields: Mapping[str, Any]) -> Group | None:
    """What a record says of its group, by its columns; None if it names none."""
    try:
        return msgspec.convert(fields.get(GROUP), Group)
    except msgspec.ValidationError:  # a column of the user's own
        return None


class Earlier:
    """What ``out`` holds: its questions counted by type, and those of each group."""

    def __init__(self, out: str):
        self.types: Counter[str] = Counter()
        self._groups: dict[str, tuple[int, int]] = {}
        for _, _, value in jsonl.read_values(out, lambda _: None) if Path(out).is_file() else ():
            if isinstance(value, dict):
                self._add(value)

    def _add(self, value: dict[str, Any]) -> None:
        self.types[str(value.get("type", ""))] += 1
        if group := group_of(value):
            there, _ = self._groups.get(group.key, (0, 0))
            self._groups[group.key] = there + 1, group.questions

    def groups(self, *, begun: bool = False) -> set[str]:
        """The keys of the groups whose questions are all there; with ``begun``, of those that have any."""
        return {key for key, (there, of) in self._groups.items() if begun or there >= of}

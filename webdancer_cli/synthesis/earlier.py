"""What an earlier run has written already, so that no page is paid for twice: read from its records.

A question that a model wrote names the group of pages that it was shown, by a key, and how many sound questions that
group gave. The group is done when they are all there. If a question failed for a reason that may pass, no record names
its group, and the group is asked about again.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli import jsonl
from webdancer_cli.records import QA
from webdancer_cli.synthesis.roles import Refused

GROUP = "group"


class Group(msgspec.Struct):
    """What a record says of its group; ``questions`` is the number of sound ones."""

    key: str
    questions: int


def marked(outcomes: list[QA | Refused], key: str) -> list[QA | Refused]:
    """The outcomes of a whole group; their records name it by ``key`` unless one of them is to be tried again."""
    sound = [outcome for outcome in outcomes if isinstance(outcome, QA)]
    failed = any(isinstance(outcome, Refused) and outcome.reject.failed for outcome in outcomes)
    for qa in sound:
        qa.extra = {name: value for name, value in qa.extra.items() if name != GROUP}
        if not failed:
            qa.extra[GROUP] = msgspec.to_builtins(Group(key, len(sound)))
    return outcomes


def key_of(record: QA | dict[str, Any]) -> str:
    """The key of a record's group; "" if it names none."""
    group = _group(record.extra if isinstance(record, QA) else record)
    return group.key if group else ""


def _group(fields: dict[str, Any]) -> Group | None:
    try:
        return msgspec.convert(fields.get(GROUP), Group)
    except msgspec.ValidationError:  # a column of the user's own
        return None


class Earlier:
    """What ``out`` holds: its questions counted by type, and those of each group."""

    def __init__(self, out: str):
        self.types: Counter[str] = Counter()
        self._groups: dict[str, tuple[int, int]] = {}
        for _, _, value in jsonl.values(out, lambda _: None) if Path(out).is_file() else ():
            if isinstance(value, dict):
                self._add(value)

    def _add(self, value: dict[str, Any]) -> None:
        self.types[str(value.get("type", ""))] += 1
        if group := _group(value):
            there, _ = self._groups.get(group.key, (0, 0))
            self._groups[group.key] = there + 1, group.questions

    def groups(self, *, begun: bool = False) -> set[str]:
        """The keys of the groups whose questions are all there; with ``begun``, of those that have any."""
        return {key for key, (there, of) in self._groups.items() if begun or there >= of}

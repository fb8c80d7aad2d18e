"""Of several trajectories of one question, which to keep: the shortest correct one first, then those that differ most.

Short means fewest turns, then fewest characters of the agent's own. Two trajectories differ by the words of their calls
(tool names, queries, addresses, goals): their distance is the share of all these words that only one of them has
(Jaccard). Next is always the one whose distance to the nearest chosen one is greatest; a tie goes to the shorter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from webdancer_cli.data.records import Trajectory, content_id
from webdancer_cli.grading.exact_match import normalise_answer
from webdancer_cli.text.words import raw_words
from webdancer_cli.transcript.contexts import without_summaries
from webdancer_cli.transcript.grammar import Turn, parse_turn


class SelectionEntry(NamedTuple):
    """What the choice looks at; ``at`` is the place in the input, which settles the last ties."""

    wrong: bool
    turns: int
    chars: int
    at: int
    asked: frozenset[str] = frozenset()


def selection_entry(trajectory: Trajectory, at: int) -> SelectionEntry:
    own = [message.content for message in without_summaries(trajectory) if message.role == "assistant"]
    calls = (turn.call for turn in map(parse_turn, own) if turn.call)
    asked = frozenset(word for call in calls for word in [call.name, *raw_words(_json(call.arguments))])
    wrong = trajectory.verdict is not None and trajectory.verdict.outcome != "correct"
    return SelectionEntry(wrong, len(own), sum(map(len, own)), at, asked)


def select_best(
    entries: Sequence[SelectionEntry], count: int, standing: Sequence[SelectionEntry] = ()
) -> list[SelectionEntry]:
    """At most ``count`` of the trajectories of a question, or those ``standing``: they are chosen already, all."""
    left = sorted((entry for entry in entries if entry not in standing), key=lambda entry: entry[:4])
    chosen = list(standing) or ([left.pop(0)] if left and count else [])
    while left and len(chosen) < count:
        chosen.append(left.pop(_farthest(left, chosen)))
    return chosen


def _farthest(left: Sequence[SelectionEntry], chosen: Sequence[SelectionEntry]) -> int:
    """The first of those that are farthest from what is chosen; correct ones before others."""
    nearest = [(not entry.wrong, min(jaccard_distance(entry.asked, other.asked) for other in chosen)) for entry in left]
    return nearest.index(max(nearest))


def jaccard_distance(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard's: 0 for the same words, 1 for none in common."""
    both = len(one | other)
    return 1 - len(one & other) / both if both else 0.0


def duplicate_key(trajectory: Trajectory, turns: Sequence[Turn]) -> str:
    """Equal for trajectories of one question with the same calls in the same order and the same answer."""
    calls = _json([[turn.call.name, turn.call.arguments] for turn in turns if turn.call])
    return content_id(trajectory.qa.id, calls, normalise_answer(trajectory.answer or ""))


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()

"""What a policy saw of its own history at each turn, read off the record of its episode.

    append     all of it
    keep:K     its own turns, and the last K observations; of older ones a line
    fold       its first messages, the latest of its summaries, and what came since

An episode is its opening, and then turns, each followed by what was answered to it. At every turn the policy saw the
opening and *some* of the earlier turns with their answers, as they were or as a line. So a context that was rewritten
still holds the policy's own turns as they were written, and none of their ids has to be made again.

A summary is written between a call and its result. Without the summaries and what asked for them, the messages are
those of an episode whose context was never rewritten: that is what is graded.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from webdancer_cli.data.context import Context
from webdancer_cli.data.records import Attempt, Message, Trajectory

RULE = re.compile(r"keep:[1-9]\d*|fold(:[1-9]\d*)?")
"""The context policies that rewrite."""


class BrokenContext(ValueError):
    """A record whose context says less than its messages need, or of turns that there are not."""


class SeenExchange(NamedTuple):
    """An earlier turn, by its number from 0, and what the policy sees of what was answered to it."""

    turn: int
    answered: str


class SeenContext(NamedTuple):
    """Messages as the policy saw them, up to the end of a turn; the last ``written`` of its turns it wrote in them."""

    messages: list[Message]
    written: int


def kept_observations(rule: str) -> int | None:
    """How many observations stay in full, None for all."""
    kind, _, number = rule.partition(":")
    return int(number) if kind == "keep" else None


def exchanges_seen(answers: Sequence[str], context: Context, turn: int) -> list[SeenExchange]:
    """What stands between the opening and turn ``turn``, or the last of ``answers`` if that comes first.

    ``answers`` are what was answered to the turns, in their order.
    """
    first = max((fold for fold in context.folds if fold < turn), default=0)
    kept = kept_observations(context.rule)
    left_out = 0 if kept is None else turn - kept
    return [
        SeenExchange(at, (context.lines[at] if at < left_out else "") or answers[at])
        for at in range(first, min(turn, len(answers)))
    ]


def seen_contexts(messages: Sequence[Message], context: Context | None) -> list[SeenContext]:
    """The contexts in which the turns of an episode were written: each turn in exactly one of them, in their order.

    One context for as long as it only grew. Raises BrokenContext.
    """
    turns = [message for message in messages if message.role == "assistant"]
    if context is None:
        return [SeenContext(list(messages), len(turns))]
    opening, answers = _opening(messages), _answers(messages)
    _check(context, turns, answers)
    found: list[SeenContext] = []
    for number, turn in enumerate(turns):
        shown = shown_messages(opening, turns, exchanges_seen(answers, context, number))
        grows = bool(found) and shown[: len(found[-1].messages)] == found[-1].messages
        written = found.pop().written if grows else 0
        found.append(SeenContext([*shown, turn], written + 1))
    return found


def shown_messages(
    opening: Sequence[Message], turns: Sequence[Message], exchanges: Sequence[SeenExchange]
) -> list[Message]:
    """The opening and these exchanges as messages; ``turns`` are all of the policy's."""
    pairs = ((turns[exchange.turn], Message("user", exchange.answered)) for exchange in exchanges)
    return [*opening, *(message for pair in pairs for message in pair)]


def without_summaries(record: Trajectory | Attempt) -> list[Message]:
    """The messages of an episode as they would be had its context not been folded."""
    folds = set(record.context.folds) if record.context else set()
    kept: list[Message] = []
    turn = 0
    for message in record.messages:
        if message.role == "assistant":
            turn += 1
            if turn - 1 in folds:
                kept.pop()  # what asked for it
                continue
        kept.append(message)
    return kept


def _opening(messages: Sequence[Message]) -> list[Message]:
    first = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return list(messages[:first])


def _answers(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages[len(_opening(messages)) :] if message.role == "user"]


def _check(context: Context, turns: Sequence[Message], answers: Sequence[str]) -> None:
    if not RULE.fullmatch(context.rule):
        raise BrokenContext(f"{context.rule}: is no context policy")
    left_out = len(turns) - 1 - (kept_observations(context.rule) or len(turns))
    if len(answers) < len(turns) - 1 or len(context.lines) < left_out:
        raise BrokenContext(f"{context.rule}: {len(turns)} turns, {len(answers)} answers, {len(context.lines)} lines")
    if any(not 0 < fold < len(turns) for fold in context.folds):
        raise BrokenContext(f"{context.rule}: a summary in turn {max(context.folds)} of {len(turns)}")

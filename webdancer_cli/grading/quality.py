"""Quality by rule (paper, section 2): number of actions, evidence for the answer, thoughts, repetition."""

import json
from collections.abc import Iterator, Sequence

from webdancer_cli.config import Filter
from webdancer_cli.grading.format import Fault, observations
from webdancer_cli.grading.repetition import max_repeats, own_words, words
from webdancer_cli.records import Message
from webdancer_cli.transcript import Turn
from webdancer_cli.web.words import content_words
from webdancer_cli.web.words import words as stems

NGRAM_WORDS = 10


def quality_fault(messages: Sequence[Message], turns: Sequence[Turn], limits: Filter) -> Fault | None:
    """The first fault by rule, or None; ``turns`` are the assistant turns as read, ``limits`` what may be set."""
    return (
        _action_fault(turns, limits)
        or _evidence_fault(messages, turns, limits.min_support)
        or next(_thought_faults(turns, limits), None)
        or _repetition_fault(messages, limits.max_ngram_repeats)
    )


def _action_fault(turns: Sequence[Turn], limits: Filter) -> Fault | None:
    actions = [json.dumps([turn.call.name, turn.call.arguments], sort_keys=True) for turn in turns if turn.call]
    if len(actions) < limits.min_actions:
        return Fault("too_few_actions", f"{len(actions)} tool calls, fewer than {limits.min_actions}")
    if limits.max_actions is not None and len(actions) > limits.max_actions:
        return Fault("too_many_actions", f"{len(actions)} tool calls, more than {limits.max_actions}")
    if len(set(actions)) < len(actions):
        return Fault("repeated_call", next(action for at, action in enumerate(actions) if action in actions[:at]))
    return None


def _evidence_fault(messages: Sequence[Message], turns: Sequence[Turn], min_support: float) -> Fault | None:
    shown = [text for text in observations(messages) if text.strip()]
    if not shown:
        return Fault("answer_before_evidence", "no observation precedes the answer")
    answer = turns[-1].answer if turns else None
    if min_support > 0 and answer and (support := best_support(answer, shown)) < min_support:
        return Fault(
            "unsupported_answer", f"{support:.2f} of its words stand in one observation, less than {min_support}"
        )
    return None


def best_support(answer: str, shown: Sequence[str]) -> float:
    """The share of the answer's meaningful words that stand in the one observation which has most of them.

    An answer without any word, a sign or a smiley, has nothing that could be looked for: 1.
    """
    wanted = content_words(answer)
    return max(len(wanted & set(stems(text))) for text in shown) / len(wanted) if wanted else 1.0


def _thought_faults(turns: Sequence[Turn], limits: Filter) -> Iterator[Fault]:
    if not limits.min_thought_words and limits.max_thought_words is None:
        return
    for number, turn in enumerate(turns, start=1):
        count = len(words(turn.thought))
        if count < limits.min_thought_words:
            yield Fault("short_thought", f"{count} words in turn {number}, fewer than {limits.min_thought_words}")
        elif limits.max_thought_words is not None and count > limits.max_thought_words:
            yield Fault("long_thought", f"{count} words in turn {number}, more than {limits.max_thought_words}")


def _repetition_fault(messages: Sequence[Message], most: int) -> Fault | None:
    repeats = max_repeats(own_words(messages), NGRAM_WORDS, least=most + 1) if most else 0
    return Fault("repetition", f"a {NGRAM_WORDS}-gram occurs {repeats} times, more than {most}") if repeats else None

"""Quality by rule (paper, section 2): number of actions, evidence for the answer, thoughts, repetition."""

import json
from collections.abc import Iterator, Sequence

from webdancer_cli.data.records import Message
from webdancer_cli.grading.format import FormatFault, observations
from webdancer_cli.grading.repetition import max_repeats, policy_words, split_words
from webdancer_cli.options.config import FilterOptions
from webdancer_cli.text.words import content_stems
from webdancer_cli.text.words import stems as stems
from webdancer_cli.transcript.grammar import Turn

NGRAM_WORDS = 10


def quality_fault(
    messages: Sequence[Message], turns: Sequence[Turn], limits: FilterOptions, *, forgets: bool = False
) -> FormatFault | None:
    """The first fault by rule, or None; ``turns`` are the assistant turns as read, ``limits`` what may be set.

    A policy that ``forgets``, since its context is rewritten, may make a call again.
    """
    return (
        _action_fault(turns, limits, forgets=forgets)
        or _evidence_fault(messages, turns, limits.min_support)
        or next(_thought_faults(turns, limits), None)
        or _repetition_fault(messages, limits.max_ngram_repeats)
    )


def _action_fault(turns: Sequence[Turn], limits: FilterOptions, *, forgets: bool) -> FormatFault | None:
    actions = [json.dumps([turn.call.name, turn.call.arguments], sort_keys=True) for turn in turns if turn.call]
    if len(actions) < limits.min_actions:
        return FormatFault("too_few_actions", f"{len(actions)} tool calls, fewer than {limits.min_actions}")
    if limits.max_actions is not None and len(actions) > limits.max_actions:
        return FormatFault("too_many_actions", f"{len(actions)} tool calls, more than {limits.max_actions}")
    if not forgets and len(set(actions)) < len(actions):
        return FormatFault("repeated_call", next(action for at, action in enumerate(actions) if action in actions[:at]))
    return None


def _evidence_fault(messages: Sequence[Message], turns: Sequence[Turn], min_support: float) -> FormatFault | None:
    shown = [text for text in observations(messages) if text.strip()]
    if not shown:
        return FormatFault("answer_before_evidence", "no observation precedes the answer")
    answer = turns[-1].answer if turns else None
    if min_support > 0 and answer and (support := best_support(answer, shown)) < min_support:
        return FormatFault(
            "unsupported_answer", f"{support:.2f} of its words stand in one observation, less than {min_support}"
        )
    return None


def best_support(answer: str, shown: Sequence[str]) -> float:
    """The share of the answer's meaningful words that stand in the one observation which has most of them.

    An answer without any word, a sign or a smiley, has nothing that could be looked for: 1.
    """
    wanted = content_stems(answer)
    return max(len(wanted & set(stems(text))) for text in shown) / len(wanted) if wanted else 1.0


def _thought_faults(turns: Sequence[Turn], limits: FilterOptions) -> Iterator[FormatFault]:
    if not limits.min_thought_words and limits.max_thought_words is None:
        return
    for number, turn in enumerate(turns, start=1):
        count = len(split_words(turn.thought))
        if count < limits.min_thought_words:
            yield FormatFault("short_thought", f"{count} words in turn {number}, fewer than {limits.min_thought_words}")
        elif limits.max_thought_words is not None and count > limits.max_thought_words:
            yield FormatFault("long_thought", f"{count} words in turn {number}, more than {limits.max_thought_words}")


def _repetition_fault(messages: Sequence[Message], most: int) -> FormatFault | None:
    repeats = max_repeats(policy_words(messages), NGRAM_WORDS, least=most + 1) if most else 0
    return (
        FormatFault("repetition", f"a {NGRAM_WORDS}-gram occurs {repeats} times, more than {most}") if repeats else None
    )

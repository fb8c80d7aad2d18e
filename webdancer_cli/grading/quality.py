"""Quality by rule (paper, section 2): number of actions, no severe repetition, evidence before the answer."""

import json
from collections.abc import Sequence

from webdancer_cli.grading.format import Fault, observations
from webdancer_cli.grading.repetition import max_repeats, own_words
from webdancer_cli.records import Message
from webdancer_cli.transcript import Turn

NGRAM_WORDS = 10


def quality_fault(
    messages: Sequence[Message],
    turns: Sequence[Turn],
    *,
    min_actions: int,
    max_actions: int | None,
    max_ngram_repeats: int,
) -> Fault | None:
    """The first fault by rule, or None; ``turns`` are the assistant turns as read."""
    actions = [json.dumps([turn.call.name, turn.call.arguments], sort_keys=True) for turn in turns if turn.call]
    if len(actions) < min_actions:
        return Fault("too_few_actions", f"{len(actions)} tool calls, fewer than {min_actions}")
    if max_actions is not None and len(actions) > max_actions:
        return Fault("too_many_actions", f"{len(actions)} tool calls, more than {max_actions}")
    if len(set(actions)) < len(actions):
        repeated = next(action for at, action in enumerate(actions) if action in actions[:at])
        return Fault("repeated_call", repeated)
    if not any(text.strip() for text in observations(messages)):
        return Fault("answer_before_evidence", "no observation precedes the answer")
    repeats = max_repeats(own_words(messages), NGRAM_WORDS, least=max_ngram_repeats + 1)
    if repeats:
        return Fault("repetition", f"a {NGRAM_WORDS}-gram occurs {repeats} times, more than {max_ngram_repeats}")
    return None

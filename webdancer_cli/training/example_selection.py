"""Which of the policy's words a trajectory teaches, and what becomes of one that is too long.

    --train-on all        every turn of the policy, to its end token
    --train-on last       the last turn alone
    --train-on answers    from ``<answer>`` to ``</answer>``, and the end token of that turn

A trajectory that is too long is left out, or cut after the last turn of the policy that fits: what stays is a whole
beginning of it, and what bears loss in it is what would have borne loss before.

A trajectory whose context was rewritten gives an example for each of its contexts. Every turn bears loss in one of
them: that in which it was written.
"""

from collections.abc import Sequence
from typing import Literal

from webdancer_cli.data.context import Context
from webdancer_cli.data.records import Message
from webdancer_cli.training.batches import Example
from webdancer_cli.training.renderer import ASSISTANT, Renderer, Tokens
from webdancer_cli.transcript.contexts import SeenContext, seen_contexts

TrainOn = Literal["all", "last", "answers"]
Overlong = Literal["drop", "truncate"]

TOO_LONG = "too_long"
_THOUGHT_END, _ANSWER, _ANSWER_END = "</think>", "<answer>", "</answer>"


class NothingToLearn(Exception):
    """A trajectory without a token that bears loss; the text is the reason, in snake_case."""


def select_examples(
    renderer: Renderer,
    messages: Sequence[Message],
    context: Context | None = None,
    *,
    train_on: TrainOn,
    overlong: Overlong,
    max_length: int,
) -> tuple[list[Example], bool]:
    """The examples of a trajectory, and whether it was cut. One that is to be dropped goes as a whole.

    Raises NothingToLearn, UnknownTurnOrder as ``encode`` does, and BrokenContext.
    """
    contexts = seen_contexts(messages, context)
    examples, cut, reasons = list[Example](), False, list[NothingToLearn]()
    for seen in contexts[-1:] if train_on == "last" else contexts:
        try:
            example, is_cut = _example(renderer, seen, train_on, overlong, max_length)
        except NothingToLearn as reason:
            if str(reason) == TOO_LONG and overlong == "drop":
                raise
            reasons.append(reason)
            cut = cut or str(reason) == TOO_LONG
        else:
            examples.append(example)
            cut = cut or is_cut
    if not examples:
        raise reasons[0] if reasons else NothingToLearn("no_assistant_turn")
    return examples, cut


def _example(
    renderer: Renderer, seen: SeenContext, train_on: TrainOn, overlong: Overlong, max_length: int
) -> tuple[Example, bool]:
    """An example, and whether it was cut. Raises NothingToLearn."""
    tokens = renderer.encode(seen.messages)
    turns = _turns(tokens)
    trained = _trained(renderer, seen, turns, train_on)
    cut = len(tokens.ids) > max_length
    if cut:
        end = max((turn.stop for turn in turns if turn.stop <= max_length), default=0)
        if overlong == "drop" or not any(span.start < end for span in trained):
            raise NothingToLearn(TOO_LONG)
        trained = [span for span in trained if span.stop <= end]
        tokens = Tokens(tokens.ids[:end], tokens.trainable[:end])
    tokens.trainable = [False] * len(tokens.ids)
    for span in trained:
        tokens.trainable[span.start : span.stop] = [True] * len(span)
    example = Example.of(tokens)
    if not example.loss_tokens:
        raise NothingToLearn("no_answer" if turns and train_on == "answers" else "no_assistant_turn")
    return example, cut


def _turns(tokens: Tokens) -> list[range]:
    """Where the policy's turns stand; between two of them there is always a token of the frame."""
    edges = [at for at, pair in enumerate(zip([False, *tokens.trainable], [*tokens.trainable, False], strict=True))
             if pair[0] != pair[1]]  # fmt: skip
    return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _trained(renderer: Renderer, seen: SeenContext, turns: Sequence[range], train_on: TrainOn) -> list[range]:
    """The spans of tokens that bear loss."""
    first = len(turns) - seen.written
    if train_on == "all":
        return list(turns[first:])
    if train_on == "last":
        return list(turns[-1:])
    contents = [message.content for message in seen.messages if message.role == ASSISTANT]
    spans = []
    for turn, content in zip(turns[first:], contents[first:], strict=True):
        start = content.find(_ANSWER, max(0, content.rfind(_THOUGHT_END)))
        if start >= 0:
            closed = content.find(_ANSWER_END, start)
            end = len(content) if closed < 0 else closed + len(_ANSWER_END)
            answer = renderer.tokens_within(content, start, end)
            spans.append(range(turn.start + answer.start, turn.start + answer.stop))
            spans.append(range(turn.stop - 1, turn.stop))
    return spans

"""Renders what a grading model is shown. Quoted text is neutralised, so that it cannot be taken for the model's reply.

That it cannot close the tags around it either is ``prompts.fill``'s work.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webdancer_cli.data.records import Message, Trajectory
from webdancer_cli.text.passages import passages
from webdancer_cli.transcript.contexts import without_summaries
from webdancer_cli.transcript.grammar import ToolCall, escape_tags, parse_turn, response_text

RECORD_CHARS = 48_000
"""Characters of an episode that a model is shown: about 12,000 tokens of English."""
OWN_SHARE = 0.75
"""The share of them that the agent's own words may fill; what these leave is for what its tools showed."""

_BRACES = str.maketrans("{}", "｛｝")


def neutralise(text: str) -> str:
    """The text without special tokens, and without JSON that could be taken for the reply."""
    return escape_tags(text).translate(_BRACES)


def head_and_tail(text: str, chars: int) -> str:
    """The text, or of a longer one the first three quarters and the last quarter of ``chars``."""
    if len(text) <= chars:
        return text
    tail = chars // 4
    return f"{text[: chars - tail]}\n[{len(text) - chars} characters left out]\n{text[len(text) - tail :]}"


class EpisodePart(NamedTuple):
    """A piece of an episode. ``goal`` is what decides which of its sentences are shown if not all fit."""

    label: str
    text: str
    goal: str
    own: bool = True


def render_episode(trajectory: Trajectory, chars: int = RECORD_CHARS) -> str:
    """An episode to read: thoughts, calls, what tools showed, answer, each under a label of its own.

    Every quoted line begins with ``|``, so that none can pose as a label: a page cannot add steps of the agent.
    If it is longer than ``chars``, the longest observations are shortened to the sentences that matter for the thought
    that follows, and the longest thoughts only where the agent's own words alone are too long. Gaps are marked.
    """
    parts = list(_parts(without_summaries(trajectory), trajectory.qa.question))
    own = sum(len(part.text) for part in parts if part.own)
    room = min(own, int(OWN_SHARE * chars))
    caps = {
        True: _cap([len(part.text) for part in parts if part.own], room),
        False: _cap([len(part.text) for part in parts if not part.own], chars - room),
    }
    shown = [_label_lines("Question", trajectory.qa.question)]
    shown += [_label_lines(part.label, passages(part.text, part.goal, caps[part.own])) for part in parts]
    return neutralise("\n\n".join(shown))


def _label_lines(label: str, text: str) -> str:
    return "\n".join([f"{label}:", *(f"| {line}".rstrip() for line in text.splitlines())])


def _cap(lengths: Sequence[int], room: int) -> int:
    """The greatest length to which the longest texts can be cut so that all together fit into ``room``."""
    for at, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - at)
        if length > share:
            return share
        room -= length
    return max(lengths, default=0)


def _parts(messages: Sequence[Message], question: str) -> Iterator[EpisodePart]:
    turns = [message for message in messages if message.role != "system"][1:]
    step = 0
    for at, message in enumerate(turns):
        if message.role == "assistant":
            step += 1
            yield from _own_parts(message.content, step, question)
        else:
            said = response_text(message.content)
            goal = " ".join([question, *(turn.content for turn in turns[at + 1 : at + 2])])
            yield EpisodePart(f"Shown in step {step}", message.content if said is None else said, goal, own=False)


def _own_parts(content: str, step: int, question: str) -> Iterator[EpisodePart]:
    turn = parse_turn(content)
    if turn.call is None and turn.answer is None:
        yield EpisodePart(f"Step {step}, unreadable", content, question)
        return
    yield EpisodePart(f"Step {step}, thought", turn.thought, question)
    if turn.call:
        yield EpisodePart(f"Step {step}, call", format_call(turn.call), question)
    else:
        yield EpisodePart("Answer", turn.answer or "", question)


def format_call(call: ToolCall) -> str:
    """A call as a programmer would write it."""
    arguments = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join(arguments)})"

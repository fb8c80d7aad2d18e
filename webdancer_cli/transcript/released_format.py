"""The authors' released lines, read and written without loss.

Their trajectory lines are ChatML: ``{type, task, messages, functions, tool_calls, answer, tag}``, where ``answer`` is a
list of lists of strings. What has no place in a Trajectory is kept in its field ``upstream``, so that writing gives the
same bytes. Their question lines ``{question, answer, tag}`` are valid QA lines as they are.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from webdancer_cli.data.jsonl import BadLine, read_records_as
from webdancer_cli.data.records import QA, Message, Trajectory, WrongShape, content_id, from_object
from webdancer_cli.transcript.grammar import declared_tools, parse_turn

TYPE = "chatml"
TASK = "agent/multiturn_search"
KEYS = ("type", "task", "messages", "functions", "tool_calls", "answer", "tag")
"""The keys of a line, in the authors' order."""

_QUESTION_MARK = "\nUser: "
_KEPT = "upstream"


def is_released(value: object) -> bool:
    """Whether a decoded line is a trajectory in the authors' form."""
    return isinstance(value, dict) and value.get("type") == TYPE and "messages" in value and "qa" not in value


def read_trajectories(source: str, on_bad: BadLine | None = None) -> Iterator[Trajectory]:
    """Stream trajectories, in our form or the authors', even mixed. Bad lines go to ``on_bad``."""
    return read_records_as(source, Trajectory, as_trajectory, on_bad)


def as_trajectory(value: object) -> Trajectory:
    """A decoded line of either form. Raises WrongShape."""
    return from_released(value) if is_released(value) else from_object(Trajectory, value)


def from_released(value: Any) -> Trajectory:
    """The Trajectory of an authors' line. Raises WrongShape for messages or answers that are not in their form."""
    try:
        messages = msgspec.convert(value["messages"], list[Message])
        answers = msgspec.convert(value.get("answer", []), list[list[str]])
    except msgspec.ValidationError as error:
        raise WrongShape(f"not a line in the authors' form: {error}") from None
    golds = [answer for group in answers for answer in group] or [""]
    qa = QA(question=question_in(messages), answer=golds[0], aliases=golds[1:], tag=str(value.get("tag", "")))
    turns = [message.content for message in messages if message.role == "assistant"]
    answer = parse_turn(turns[-1]).answer if turns else None
    return Trajectory(
        qa=qa,
        messages=messages,
        ending="no_answer" if answer is None else "answered",
        answer=answer,
        id=messages_id(messages),
        extra={_KEPT: {name: item for name, item in value.items() if name != "messages"}},
    )


def question_in(messages: list[Message]) -> str:
    """The question that the first user message ends with, after ``User: ``; all of it where there is no such mark."""
    task = next((message.content for message in messages if message.role == "user"), "")
    return task.rpartition(_QUESTION_MARK)[2].strip()


def messages_id(messages: list[Message]) -> str:
    """The id of an episode by its content: several of the authors' lines answer the same question."""
    return content_id(*(part for message in messages for part in (message.role, message.content)))


def to_released(trajectory: Trajectory) -> dict[str, Any]:
    """The authors' line of any trajectory; of one that was read from their form, the same line."""
    qa = trajectory.qa
    line = trajectory.extra.get(_KEPT) or {
        "type": TYPE,
        "task": TASK,
        "functions": _functions(trajectory.messages),
        "tool_calls": [],
        "answer": [[qa.answer, *qa.aliases]],
        "tag": qa.tag or qa.type,
    }
    line = {**line, "messages": [{"role": m.role, "content": m.content} for m in trajectory.messages]}
    return {**{key: line[key] for key in KEYS if key in line}, **line}


def encode_released(trajectory: Trajectory) -> bytes:
    """The line of a trajectory as bytes, spaced and escaped as the authors' lines are."""
    return json.dumps(to_released(trajectory), ensure_ascii=False).encode("utf-8", "replace")


def _functions(messages: list[Message]) -> list[dict[str, Any]]:
    """The tools that the prompt declares, in the authors' ``functions`` form."""
    task = next((message.content for message in messages if message.role == "user"), "")
    return [
        {
            "name_for_human": tool["name"],
            "name_for_model": tool["name"],
            "description_for_model": tool.get("description", ""),
            "parameters": tool.get("parameters", {}),
        }
        for tool in declared_tools(task)
    ]

"""Asking a chat model for JSON of a given shape.

The server is asked for the shape's JSON schema if it knows structured output; what it says is validated either way, and
a model whose reply does not hold is told why and asked once more.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from webdancer_cli.errors import ModelError
from webdancer_cli.lenient_json import encodable
from webdancer_cli.llm import ContextFull, Reply
from webdancer_cli.prompts import fill
from webdancer_cli.records import Message, Usage
from webdancer_cli.spending import added

Value = TypeVar("Value")

SHOWN_CHARS = 200
"""Characters of an unreadable reply in the error."""

REPAIR = (
    "This cannot be read: {fault}. Say the same again as one JSON object of the form that was asked for, only that."
)


class Unreadable(ModelError):
    """A reply is not the JSON that was asked for, also when asked again."""


class Completes(Protocol):
    """A model that is asked: ``llm.Chat``, or one that speaks from a script."""

    model: str

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        """The model's next message. Raises ModelError and BudgetSpent."""
        ...


async def ask_for(
    chat: Completes, kind: type[Value], template: str, *, rollout: int = 0, **values: object
) -> tuple[Value, Usage]:
    """The reply to a filled prompt as ``kind``, and what it took. Raises ModelError; Unreadable after one repair.

    ``rollout`` tells apart on the tape what is asked in the same words several times.
    """
    messages, schema = [Message("user", fill(template, **values))], response_format(kind)
    first = await chat.complete(messages, rollout=rollout, schema=schema)
    try:
        return read(kind, first.text), first.usage
    except Unreadable as fault:
        repair = [*messages, Message("assistant", first.text), Message("user", REPAIR.format(fault=fault))]
        try:
            second = await chat.complete(repair, rollout=rollout, schema=schema)
        except ContextFull:
            raise fault from None  # it was so long that there is no room to say what is wrong with it
    return read(kind, second.text), added(first.usage, second.usage)


def response_format(kind: Any) -> dict[str, Any]:
    """What OpenAI-compatible servers take for structured output: the JSON schema of a msgspec type."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = root.get("$ref", "").rpartition("/")[2]
    schema = {**parts.pop(name), **({"$defs": parts} if parts else {})} if name else root
    return {"type": "json_schema", "json_schema": {"name": name or "reply", "schema": schema}}


def read(kind: type[Value], text: str) -> Value:
    """The last JSON object in a reply that fits ``kind``, whatever stands around it. Raises Unreadable.

    Who quotes the form before filling it in, or corrects itself, means the last.
    """
    faults: list[msgspec.ValidationError] = []
    for found in reversed(_objects(text)):
        try:
            return msgspec.convert(found, kind)
        except msgspec.ValidationError as fault:
            faults.append(fault)
    what = faults[0] if faults else "there is no JSON object in it"
    raise Unreadable(f"{what}: {text[:SHOWN_CHARS]}")


def _objects(text: str) -> list[object]:
    """The JSON objects that follow the thought, in order. A tag that one of them quotes ends no thought."""
    decoder = json.JSONDecoder(strict=False)
    found: list[object] = []
    at = 0
    while True:
        start = text.find("{", at)
        if "</think>" in (text[at:start] if start >= 0 else text[at:]):
            found.clear()
        if start < 0:
            return found
        try:
            value, at = decoder.raw_decode(text, start)
            found.append(_encodable(value))
        except (ValueError, RecursionError):
            at = start + 1


def _encodable(value: object) -> object:
    """JSON can escape half a surrogate pair, which can be written neither to a file nor to a server."""
    return json.loads(encodable(json.dumps(value, ensure_ascii=False)))

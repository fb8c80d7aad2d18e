"""Asking a chat model for JSON of a given shape.

The server is asked for the shape's JSON schema if it knows structured output; what it says is validated either way, and
a model whose reply does not hold is told why and asked once more.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol, Self, TypeVar, get_origin, runtime_checkable

import msgspec

from webdancer_cli.data.records import Message, Usage, fits
from webdancer_cli.errors import ModelError
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.llm.client import Reply
from webdancer_cli.llm.model_client import ContextFull
from webdancer_cli.prompts import fill
from webdancer_cli.text.lenient_json import NotJson, decode, find_objects

Value = TypeVar("Value")

Aside = Annotated[str, msgspec.Meta(extra={"aside": True})]
"""A text that is asked for so that the model thinks first: a reply without it, or with anything in it, is whole."""

TextOrNumber = Annotated[str, msgspec.Meta(extra={"number": True})]
"""A text, such as an answer, which models write as a number where it is one."""

SHOWN_CHARS = 200
"""Characters of an unreadable reply in the error."""

REPAIR = (
    "This cannot be read: {fault}. Say the same again as one JSON object of the form that was asked for, only that."
)


class Unreadable(ModelError):
    """A reply is not the JSON that was asked for, also when asked again."""


class ChatModel(Protocol):
    """A model that is asked: ``client.ChatClient``, or one that speaks from a script."""

    model: str

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        """The model's next message. Raises ModelError and RunStopped."""
        ...


async def ask_for_json(
    chat: ChatModel, kind: type[Value], template: str, *, rollout: int = 0, **values: object
) -> tuple[Value, Usage]:
    """The reply to a filled prompt as ``kind``, and what it took. Raises ModelError; Unreadable after one repair.

    ``rollout`` tells apart on the tape what is asked in the same words several times.
    """
    return await ask(chat, kind, fill(template, **values), rollout=rollout)


async def ask(
    chat: ChatModel,
    kind: type[Value],
    prompt: str,
    *,
    rollout: int = 0,
    otherwise: Callable[[str], Value | None] = lambda text: None,
) -> tuple[Value, Usage]:
    """``ask_for_json`` with a prompt that is filled. ``otherwise`` reads a reply that holds no such JSON, if it can."""
    messages, schema = [Message("user", prompt)], response_format(kind)
    first = await chat.complete(messages, rollout=rollout, schema=schema)
    try:
        return _read(kind, _said(first), otherwise), first.usage
    except Unreadable as fault:
        repair = [*messages, Message("assistant", _said(first)), Message("user", REPAIR.format(fault=fault))]
        try:
            second = await chat.complete(repair, rollout=rollout, schema=schema)
        except ContextFull:
            raise fault from None  # it was so long that there is no room to say what is wrong with it
    return _read(kind, _said(second), otherwise), add_usage(first.usage, second.usage)


def _read(kind: type[Value], text: str, otherwise: Callable[[str], Value | None]) -> Value:
    try:
        return parse_as(kind, text)
    except Unreadable:
        if (value := otherwise(text)) is None:
            raise
        return value


def _said(reply: Reply) -> str:
    """The text of a reply; a server that takes all of it for reasoning gives its end as the end of the thought."""
    is_misplaced = not reply.text.strip() and reply.thought.rstrip().endswith(("}", "```"))
    return reply.thought if is_misplaced else reply.text


def response_format(kind: Any) -> dict[str, Any]:
    """What OpenAI-compatible servers take for structured output: the JSON schema of a msgspec type."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = root.get("$ref", "").rpartition("/")[2]
    schema = {**parts.pop(name), **({"$defs": parts} if parts else {})} if name else root
    return {"type": "json_schema", "json_schema": {"name": name or "reply", "schema": schema}}


# ---- reading -------------------------------------------------------------------------------------------------------


@runtime_checkable
class CorrectsItself(Protocol):
    """A kind of reply that knows when the words after it take it back."""

    def corrected(self, after: str) -> Self:
        """The reply with the correction that ``after`` makes, if it makes one."""
        ...


def parse_as(kind: type[Value], text: str) -> Value:
    """The last JSON object in a reply that fits ``kind``, whatever stands around it. Raises Unreadable.

    Who quotes the form before filling it in, or corrects itself, means the last. The JSON may be almost JSON, and a
    value almost of its type: what fits exactly goes before what can be made to fit.
    """
    found, faults = list(_objects(text, "[{" if _single_list(kind) else "{")), []
    for fit in (msgspec.convert, coerce):
        for value, after in reversed(found):
            try:
                reply = fit(value, kind)
            except msgspec.ValidationError as fault:
                faults.append(fault)
            else:
                return reply.corrected(after) if isinstance(reply, CorrectsItself) else reply
    what = faults[0] if faults else "there is no JSON object in it"
    raise Unreadable(f"{what}: {text[:SHOWN_CHARS]}")


def _objects(text: str, opening: str) -> list[tuple[object, str]]:
    """The JSON objects that follow the thought, in order, each with what follows it up to the next.

    A tag that one of them quotes ends no thought.
    """
    text = _unquoted(text)
    found = list(find_objects(text, opening))
    edges = [0, *(object.end for object in found)]
    gaps = [text[end:start] for end, start in zip(edges, [*(object.start for object in found), len(text)], strict=True)]
    said = max((at for at, gap in enumerate(gaps) if "</think>" in gap), default=0)
    return [(object.value, gaps[at + 1]) for at, object in enumerate(found) if at >= said]


def _unquoted(text: str) -> str:
    """The text inside one that is a JSON string, or escaped like one, as a whole."""
    body = text.strip()
    if not body.startswith(('"{', '"[', '{\\"')):
        return text
    try:
        value, _ = decode(body)
    except NotJson:
        return text
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- values that are almost of their type --------------------------------------------------------------------------


def coerce(value: object, kind: type[Value]) -> Value:
    """The value as ``kind``, where no more is amiss than form: the spelling of keys, a list where a text was asked, or
    an object one level deeper. Raises msgspec.ValidationError.
    """
    info = msgspec.inspect.type_info(kind)
    try:
        return msgspec.convert(_bent(value, info), kind)
    except msgspec.ValidationError:
        inside = [_bent(inner, info) for inner in _inside(value)]
        fitting = [inner for inner in inside if fits(inner, kind)]
        if len(fitting) != 1:
            raise
        return msgspec.convert(fitting[0], kind)


def _inside(value: object) -> list[object]:
    """The objects one level deeper; one may be written as text."""
    if not isinstance(value, dict):
        return []
    inner = [_decoded(item) if isinstance(item, str) else item for item in value.values()]
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in inner]


def _decoded(text: str) -> object:
    if not text.lstrip().startswith(("{", "[", "```")):
        return text
    try:
        return decode(text)[0]
    except NotJson:
        return text


def _bent(value: Any, info: msgspec.inspect.Type) -> Any:
    """The value in the form of a type, as far as that is a matter of form."""
    if isinstance(info, msgspec.inspect.Metadata):
        if _is_marked(info, "number") and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return _bent(value, info.type)
    if isinstance(info, msgspec.inspect.StructType):
        return _bent_object(value, info)
    if isinstance(info, msgspec.inspect.ListType):
        value = _decoded(value) if isinstance(value, str) else value
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [_bent(item, info.item_type) for item in items]
    if isinstance(info, msgspec.inspect.StrType):
        return _bent_text(value)
    if isinstance(info, msgspec.inspect.BoolType):
        return TRUTHS.get(value.strip(" .!*").casefold(), value) if isinstance(value, str) else value
    if isinstance(info, msgspec.inspect.IntType) and isinstance(value, str | float):
        numbers = re.findall(r"\d+", str(value).removesuffix(".0"))
        return int(numbers[0]) if len(numbers) == 1 else value
    return value


TRUTHS = dict.fromkeys(("true", "yes", "ja", "oui", "sí", "si", "是", "да", "はい", "예"), True)
TRUTHS |= dict.fromkeys(("false", "no", "nein", "non", "否", "不是", "нет", "いいえ", "아니요"), False)


def _bent_object(value: Any, info: msgspec.inspect.StructType) -> Any:
    value = _decoded(value) if isinstance(value, str) else value
    if isinstance(value, list) and (name := _single_list(info.cls)):
        value = {name: value}
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return value
    by_spelling = {_spelling(key): key for key in reversed(value)}
    bent: dict[str, Any] = {}
    for field in info.fields:
        name = field.encode_name
        key = name if name in value else by_spelling.get(_spelling(name))
        item = None if key is None else _bent(value[key], field.type)
        if _is_marked(field.type, "aside"):
            bent[name] = item if isinstance(item, str) else ""
        elif key is not None and (field.required or fits(item, _kind_of(info.cls, field.name))):
            bent[name] = item
    return bent


def _is_marked(info: msgspec.inspect.Type, mark: str) -> bool:
    return isinstance(info, msgspec.inspect.Metadata) and bool((info.extra or {}).get(mark))


def _spelling(name: str) -> str:
    """Keys that differ only in case, in marks, in number or in a last letter are one."""
    return re.sub(r"[\W_]", "", name.casefold()).removesuffix("s").removesuffix("e")


def _kind_of(struct: type, name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(struct) if field.name == name)


def _bent_text(value: Any) -> Any:
    """A text: the texts of a list one below the other, those of an object likewise."""
    if value is None:
        return ""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        parts = [_bent_text(item) for item in value]
        return "\n".join(parts) if all(isinstance(part, str) for part in parts) else value
    return value


def _single_list(kind: Any) -> str:
    """The name of a kind's only field, if that is a list: models then write the list alone."""
    fields = msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()
    return fields[0].encode_name if len(fields) == 1 and get_origin(fields[0].type) is list else ""

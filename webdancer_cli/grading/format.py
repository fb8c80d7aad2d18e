"""The format of an episode: what the reward's format term, ``filter``'s validity stage and ``eval`` all mean by it.

An episode is well-formed when every assistant turn is strict (nothing for the parser to mend), every call names a known
tool with valid arguments, turns and observations alternate, at least one tool was called, and it ends with an answer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from webdancer_cli.data.records import Message
from webdancer_cli.transcript.grammar import ToolCall, Turn, declared_tools, parse_turn, response_text

Schema = dict[str, Any]

_TEXTS = {"type": "array", "items": {"type": "string"}}
STANDARD_TOOLS: list[Schema] = [
    {
        "name": "search",
        "parameters": {
            "type": "object",
            "properties": {"query": _TEXTS, "filter_year": {"type": ["integer", "string", "null"]}},
            "required": ["query"],
        },
    },
    {
        "name": "visit",
        "parameters": {
            "type": "object",
            "properties": {"url": _TEXTS, "goal": {"type": "string"}},
            "required": ["url", "goal"],
        },
    },
]
"""The paper's two tools: what a call is checked against when the episode's prompt declares none."""


class FormatFault(NamedTuple):
    """Why an episode is not well-formed: a code that can be counted, and a detail for reading."""

    reason: str
    detail: str = ""


def format_ok(messages: Sequence[Message], tools: Sequence[Schema] | None = None) -> bool:
    """The binary format score of an episode."""
    return format_fault(messages, tools) is None


def format_fault(
    messages: Sequence[Message], tools: Sequence[Schema] | None = None, turns: Sequence[Turn] | None = None
) -> FormatFault | None:
    """The first fault of an episode, or None. Without ``tools``, calls are checked against what the prompt declares.

    ``turns`` are the assistant turns, if the caller has read them already.
    """
    fault = _order_fault(messages)
    if fault:
        return fault
    turns = own_turns(messages) if turns is None else turns
    fault = next(filter(None, map(_turn_fault, turns)), None) or _plan_fault(turns)
    if fault:
        return fault
    schemas = {tool["name"]: tool.get("parameters", {}) for tool in tools or tools_of(messages)}
    return next((found for turn in turns if turn.call and (found := call_fault(turn.call, schemas))), None)


def own_turns(messages: Sequence[Message]) -> list[Turn]:
    return [parse_turn(message.content) for message in messages if message.role == "assistant"]


def tools_of(messages: Sequence[Message]) -> list[Schema]:
    """The schemas of the tools that the policy was shown, or the paper's two."""
    task = next((message.content for message in messages if message.role == "user"), "")
    return declared_tools(task) or STANDARD_TOOLS


def _order_fault(messages: Sequence[Message]) -> FormatFault | None:
    """[system] user (assistant user)* assistant, and what follows a call is an observation."""
    roles = [message.role for message in messages if message.role != "system"]
    if "assistant" not in roles:
        return FormatFault("no_turns", "the policy wrote nothing")
    if any(message.role == "system" for message in messages[1:]):
        return FormatFault("roles_out_of_order", "a system message after the first")
    expected = ["assistant" if index % 2 else "user" for index in range(len(roles))]
    if roles != expected:
        return FormatFault("roles_out_of_order", "user and assistant must alternate, beginning with the user")
    if roles[-1] != "assistant":
        return FormatFault("no_answer", "the episode ends with an observation")
    return None


def _turn_fault(turn: Turn) -> FormatFault | None:
    if "invented_response" in turn.repairs:
        return FormatFault("invented_observation", "a tool response inside an assistant turn")
    if turn.repairs:
        return FormatFault("malformed_turn", ", ".join(turn.repairs))
    return None


def _plan_fault(turns: Sequence[Turn]) -> FormatFault | None:
    if turns[-1].answer is None:
        return FormatFault("no_answer", "the last turn is a call")
    if not turns[-1].answer:
        return FormatFault("empty_answer")
    if any(turn.answer is not None for turn in turns[:-1]):
        return FormatFault("turns_after_answer")
    return FormatFault("no_tool_call") if len(turns) == 1 else None


def observations(messages: Sequence[Message]) -> list[str]:
    """The tool responses of an episode, unwrapped."""
    texts = (response_text(message.content) for message in messages if message.role == "user")
    return [text for text in texts if text is not None]


def call_fault(call: ToolCall, schemas: dict[str, Schema]) -> FormatFault | None:
    """Checks a call against the JSON schemas of the tools, by name; an argument that no schema names is ignored."""
    if call.name not in schemas:
        return FormatFault("unknown_tool", f"{call.name!r}: there are {', '.join(schemas)}")
    schema = schemas[call.name]
    for name in schema.get("required", []):
        if _is_blank(call.arguments.get(name)):
            return FormatFault("invalid_arguments", f"{call.name}: {name!r} is missing or empty")
    for name, declared in schema.get("properties", {}).items():
        if name in call.arguments and not _fits(call.arguments[name], declared):
            given = type(call.arguments[name]).__name__
            return FormatFault("invalid_arguments", f"{call.name}: {name!r} has the wrong type ({given})")
    return None


def _is_blank(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_blank(item) for item in value)
    return value is None or (isinstance(value, str) and not value.strip())


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def _fits(value: object, schema: Schema) -> bool:
    """Whether a value has the declared type. One text may stand for a list of texts (paper: ``url: str | [str]``)."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return any(_fits(value, choice) for choice in choices)
    kinds = schema.get("type", [])
    return not kinds or any(_is_kind(value, kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _is_kind(value: object, kind: str, schema: Schema) -> bool:
    items = schema.get("items", {})
    if kind == "array" and not isinstance(value, list):
        return isinstance(value, str) and _fits(value, items)
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    if kind not in _TYPES or not isinstance(value, _TYPES[kind]):
        return kind not in _TYPES
    return all(_fits(item, items) for item in value) if isinstance(value, list) else True

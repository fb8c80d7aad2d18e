"""Tool calls as models write them: JSON, and what is almost JSON, to a ToolCall.

A strict call is ``{"name": …, "arguments": {…}}`` and nothing else. Everything else that can be read without guessing
is mended, and the mend is named; a call that was cut off is not completed.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec


class ToolCall(msgspec.Struct):
    """A call as the policy wrote it, with its arguments decoded."""

    name: str
    arguments: dict[str, Any]


def read_call(text: str, repairs: list[str]) -> tuple[ToolCall | None, str]:
    """The call that ``text`` (what follows ``<tool_call>``) holds, or None, and what follows its close tag."""
    body, closed, after = text.partition("</tool_call>")
    value = _strict_json(body)
    if value is None:
        before, inner, after, closed = _object_in(text)
        if not closed:
            repairs.append("unclosed_tool_call")
        value = _mended_json(before, inner, bool(closed), repairs)
    elif not closed:
        repairs.append("unclosed_tool_call")
    return _as_call(value, repairs), after


def read_untagged(text: str, repairs: list[str]) -> ToolCall | None:
    """A call whose tags are missing: what follows the thought is one JSON object with a name and arguments."""
    outside, inner, after, _ = _object_in(text)
    value = _strict_json(inner)
    if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
        return None
    repairs.append("untagged_call")
    if (outside + after).replace("```json", "").replace("```", "").strip():
        repairs.append("text_around_json")
    return _as_call(value, repairs)


def _strict_json(text: str) -> Any:
    """The JSON value, or None for anything that is not JSON as its standard has it."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def _object_in(text: str) -> tuple[str, str, str, str]:
    """Text around the first JSON object (or list), the object, what follows the close tag, and that tag or "".

    Brackets and close tags inside strings do not count. An object that does not end takes all up to the close tag.
    """
    match = _OBJECT_START.search(text)
    start = match.start() if match else len(text)
    end = _end_of_object(text, start)
    if end is None:
        body, closed, after = text.partition("</tool_call>")
        return body[:start], body[start:], after, closed
    trailing, closed, after = text[end:].partition("</tool_call>")
    next_action = _ACTION.search(trailing)
    if next_action:  # the close tag belongs to a later call, if there is one
        after = trailing[next_action.start() :] + closed + after
        trailing, closed = trailing[: next_action.start()], ""
    return text[:start] + trailing.strip(), text[start:end], after, closed


_OBJECT_START = re.compile(r"\{|\[(?=\s*\{)")
_ACTION = re.compile(r"<tool_call>|<answer>")
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
"""A JSON string; one without an end reaches to the end of the text, so that searching takes linear time."""
_STRING_OR_QUOTED = rf"{_STRING}|" + _STRING.replace('"', "'")
_TOKEN = re.compile(rf"[{{}}\[\]]|{_STRING_OR_QUOTED}", re.DOTALL)


def _end_of_object(text: str, start: int) -> int | None:
    """Where the brackets that open at ``start`` are closed again."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        if match[0] in "{[":
            depth += 1
        elif match[0] in "}]":
            depth -= 1
            if depth <= 0:
                return match.end()
    return None


def _mended_json(outside: str, text: str, closed: bool, repairs: list[str]) -> Any:
    """The value of JSON-like text, and the name of the mend that made it readable."""
    outside = outside.replace("```json", "```")
    if outside.strip():
        repairs.append("fenced_json" if not outside.replace("```", "").strip() else "text_around_json")
    value = _strict_json(text)
    if value is None:
        name, value = next(_mends(text, closed), ("", None))
        repairs.extend([name] if name else [])
    if isinstance(value, dict) and "name" not in value and (match := re.fullmatch(r"\W*(\w+)\W*", outside)):
        repairs.append("name_outside_json")
        value = {"name": match[1], "arguments": value}
    return value


def _mends(text: str, closed: bool) -> Iterator[tuple[str, Any]]:
    """Readings of almost-JSON, the most harmless mend first. A call that was cut off is not completed."""
    tries: list[tuple[str, Callable[[], Any]]] = [
        ("lone_surrogate", lambda: json.loads(text)),
        ("trailing_comma", lambda: json.loads(_without_trailing_commas(text))),
        ("control_character", lambda: json.loads(text, strict=False)),
        ("python_literal", lambda: json.loads(_from_python(text))),
        ("bare_words", lambda: json.loads(_with_quoted_keys(text))),
        ("curly_quotes", lambda: json.loads(text.translate(_STRAIGHT))),
    ]
    if closed:
        tries.append(("unclosed_json", lambda: json.loads(text.strip() + _missing_brackets(text))))
    for name, read in tries:
        try:
            yield name, json.loads(encodable(json.dumps(read(), ensure_ascii=False, allow_nan=False)))
        except (ValueError, RecursionError):
            continue


_STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})


def encodable(text: str) -> str:
    """Half a surrogate pair cannot be written as UTF-8: it becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _without_trailing_commas(text: str) -> str:
    """A comma before a closing bracket dropped; commas inside strings stay."""
    return re.sub(rf"({_STRING})|,(?=\s*[}}\]])", lambda match: match[1] or "", text, flags=re.DOTALL)


def _from_python(text: str) -> str:
    """A Python literal as JSON: strings in single quotes, and None, True and False outside of strings."""
    pattern = rf"{_STRING_OR_QUOTED}|\b(?:None|True|False)\b"
    return re.sub(pattern, lambda match: _CONSTANTS.get(match[0]) or _double_quoted(match[0]), text, flags=re.DOTALL)


_CONSTANTS = {"None": "null", "True": "true", "False": "false"}


def _double_quoted(string: str) -> str:
    if string[0] == '"':
        return string
    inner = string[1:].removesuffix("'").replace("\\'", "'")
    return '"' + re.sub(r'(\\.)|"', lambda match: match[1] or '\\"', inner, flags=re.DOTALL) + '"'


def _with_quoted_keys(text: str) -> str:
    """``{name: "search"}`` as JavaScript has it."""
    pattern = rf"({_STRING})|([{{,]\s*)([A-Za-z_]\w*)(?=\s*:)"
    return re.sub(pattern, lambda match: match[1] or f'{match[2]}"{match[3]}"', text, flags=re.DOTALL)


def _missing_brackets(text: str) -> str:
    stack: list[str] = []
    for match in _TOKEN.finditer(text):
        if match[0] in "{[":
            stack.append("}" if match[0] == "{" else "]")
        elif match[0] in "}]" and stack:
            stack.pop()
    return "".join(reversed(stack))


_NAME_KEYS = ("tool", "tool_name", "function", "action")
_ARGUMENT_KEYS = ("parameters", "args", "input", "action_input", "kwargs")


def _as_call(value: Any, repairs: list[str]) -> ToolCall | None:
    value = _canonical_keys(_single_object(value, repairs), repairs)
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name.strip():
        repairs.append("unreadable_call")
        return None
    if name != name.strip():
        repairs.append("untidy_name")
    arguments = value["arguments"] if "arguments" in value else _flat_arguments(value, repairs)
    if isinstance(arguments, str):
        repairs.append("arguments_as_text")
        arguments = _strict_json(arguments) or next(_mends(arguments, closed=False), ("", None))[1]
    if not isinstance(arguments, dict):
        repairs.append("unreadable_arguments")
        return None
    return ToolCall(name.strip(), _canonical_arguments(name.strip(), arguments, repairs))


def _single_object(value: Any, repairs: list[str]) -> Any:
    """The object inside JSON as text, a list of calls, or an envelope ``{"type": "function", "function": {…}}``."""
    if isinstance(value, str):
        repairs.append("json_as_text")
        value = _strict_json(value)
    if isinstance(value, list) and value:
        repairs.append("call_list" if len(value) == 1 else "extra_tool_call")
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        repairs.append("enveloped_call")
        value = value["function"]
    return value


def _canonical_keys(value: Any, repairs: list[str]) -> Any:
    """The same object with ``name`` and ``arguments`` under these names."""
    if not isinstance(value, dict):
        return value
    renamed = dict(value)
    if len(value) == 1 and not set(value) & {"name", "arguments", *_NAME_KEYS, *_ARGUMENT_KEYS}:
        repairs.append("name_as_key")
        ((key, item),) = value.items()
        return {"name": key, "arguments": item}
    for wanted, others in (("name", _NAME_KEYS), ("arguments", _ARGUMENT_KEYS)):
        other = next((key for key in others if key in renamed), None)
        if wanted not in renamed and other:
            repairs.append("renamed_keys")
            renamed[wanted] = renamed.pop(other)
    return renamed


def _flat_arguments(value: dict[str, Any], repairs: list[str]) -> dict[str, Any] | None:
    """Arguments that stand beside the name instead of under ``arguments``."""
    flat = {key: item for key, item in value.items() if key != "name"}
    if not flat:
        return None
    repairs.append("flat_arguments")
    return flat


def _canonical_arguments(name: str, arguments: dict[str, Any], repairs: list[str]) -> dict[str, Any]:
    """The released data declares ``queries`` in one place and ``query`` in another: both are read, one is written."""
    if name != "search" or "queries" not in arguments or "query" in arguments:
        return arguments
    repairs.append("queries_argument")
    return {("query" if key == "queries" else key): item for key, item in arguments.items()}

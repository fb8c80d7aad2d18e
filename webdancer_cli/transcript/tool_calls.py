"""Tool calls as models write them: JSON, and what is almost JSON, to a ToolCall.

A strict call is ``{"name": …, "arguments": {…}}`` and nothing else. Everything else that can be read without guessing
is mended, and the mend is named; a call that was cut off is not completed.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from webdancer_cli.text.lenient_json import NotJson, ParsedValue, decode, parse_list, value_at


class ToolCall(msgspec.Struct):
    """A call as the policy wrote it, with its arguments decoded."""

    name: str
    arguments: dict[str, Any]


def parse_call(text: str, repairs: list[str]) -> tuple[ToolCall | None, str]:
    """The call that ``text`` (what follows ``<tool_call>``) holds, or None, and what follows its close tag."""
    body, closed, after = text.partition("</tool_call>")
    value = _strict_json(body)
    if value is None:
        outside, found, after, closed = _object_in(text)
        if not closed:
            repairs.append("unclosed_tool_call")
        value = _repair_json(outside, found, repairs) if found else _decode_or_none(body, repairs)
        if found is None and outside.strip() and value is None:
            repairs.append("text_around_json")
    elif not closed:
        repairs.append("unclosed_tool_call")
    return _as_call(value, repairs), after


def parse_untagged_call(text: str, repairs: list[str]) -> ToolCall | None:
    """A call whose tags are missing: what follows the thought is one JSON object with a name and arguments."""
    outside, found, after, _ = _object_in(text)
    value = found.value if found else None
    if not found or not isinstance(value, dict) or set(value) != {"name", "arguments"}:
        return None
    repairs.append("untagged_call")
    if _bare(outside + after):
        repairs.append("text_around_json")
    repairs.extend(found.repairs)
    return _as_call(value, repairs)


def _strict_json(text: str) -> Any:
    """The JSON value, or None for anything that is not JSON as its standard has it."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):  # in older releases the first is no ValueError
        return None


def _object_in(text: str) -> tuple[str, ParsedValue | None, str, str]:
    """Text around the first JSON object (or list), the object, what follows the close tag, and that tag or "".

    A close tag inside a string does not count. An object that does not end takes all up to the close tag.
    """
    body, closed, after = text.partition("</tool_call>")
    match = _OBJECT_START.search(text)
    if not match or match.start() >= len(body):
        return body, None, after, closed
    start = match.start()
    found = _readable(body, start) or _readable(text, start)
    if found is None:
        found = _readable(body, start, ended=True) if closed else None
        outside = body[:start] + (body[found.end :].strip() if found else "")
        return outside, found, after, closed
    trailing, closed, after = text[found.end :].partition("</tool_call>")
    next_action = _ACTION.search(trailing)
    if next_action:  # the close tag belongs to a later call, if there is one
        after = trailing[next_action.start() :] + closed + after
        trailing, closed = trailing[: next_action.start()], ""
    return text[:start] + trailing.strip(), found, after, closed


_OBJECT_START = re.compile(r"\{|\[(?=\s*\{)")
_ACTION = re.compile(r"<tool_call>|<answer>")


def _readable(text: str, start: int, *, ended: bool = False) -> ParsedValue | None:
    """The value that begins there, unless it cannot be written as JSON, like a number that is none."""
    try:
        found = value_at(text, start, ended=ended)
    except NotJson:
        return None
    return None if "not_a_number" in found.repairs else found


def _bare(outside: str) -> str:
    """What stands around an object beside the marks of a code fence."""
    return outside.replace("```json", "").replace("```", "").strip()


def _repair_json(outside: str, found: ParsedValue, repairs: list[str]) -> Any:
    """The value of JSON-like text, and the names of the mends that made it readable."""
    if outside.strip():
        repairs.append("text_around_json" if _bare(outside) else "fenced_json")
    repairs.extend(found.repairs)
    value = found.value
    if isinstance(value, dict) and "name" not in value and (match := re.fullmatch(r"\W*(\w+)\W*", outside)):
        repairs.append("name_outside_json")
        value = {"name": match[1], "arguments": value}
    return value


def _decode_or_none(text: str, repairs: list[str]) -> Any:
    """The value that a text is, or None."""
    try:
        value, mended = decode(text)
    except NotJson:
        return None
    if "not_a_number" in mended:
        return None
    repairs.extend(mended)
    return value


_NAME_KEYS = ("tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS = ("parameters", "params", "args", "input", "action_input", "kwargs")
_ENVELOPES = ("function", "tool_call", "function_call", "tool_calls", "call")


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
        arguments = _decode_or_none(arguments, repairs)
    arguments = _single_arguments(arguments, repairs)
    if not isinstance(arguments, dict):
        repairs.append("unreadable_arguments")
        return None
    return ToolCall(name.strip(), _canonical_arguments(name.strip(), arguments, repairs))


def _single_object(value: Any, repairs: list[str]) -> Any:
    """The object inside JSON as text, a list of calls, or an envelope ``{"type": "function", "function": {…}}``."""
    if isinstance(value, str):
        repairs.append("json_as_text")
        value = _decode_or_none(value, repairs)
    value = _first_call(value, repairs)
    if isinstance(value, dict) and not isinstance(value.get("name"), str):
        inner = next((value[key] for key in _ENVELOPES if isinstance(value.get(key), dict | list)), None)
        if inner is not None:
            repairs.append("enveloped_call")
            value = _first_call(inner, repairs)
            if isinstance(value, dict) and isinstance(value.get("function"), dict):
                value = value["function"]
    return value


def _first_call(value: Any, repairs: list[str]) -> Any:
    if isinstance(value, list) and value:
        repairs.append("call_list" if len(value) == 1 else "extra_tool_call")
        value = value[0]
    return value


def _canonical_keys(value: Any, repairs: list[str]) -> Any:
    """The same object with ``name`` and ``arguments`` under these names."""
    if not isinstance(value, dict):
        return value
    renamed = dict(value)
    if len(value) == 1 and not {key.lower() for key in value} & {"name", "arguments", *_NAME_KEYS, *_ARGUMENT_KEYS}:
        repairs.append("name_as_key")
        ((key, item),) = value.items()
        return {"name": key, "arguments": item}
    for wanted, others in (("name", _NAME_KEYS), ("arguments", _ARGUMENT_KEYS)):
        other = next((key for key in renamed if key.lower() in (wanted, *others)), None)
        if wanted not in renamed and other:
            repairs.append("renamed_keys")
            renamed[wanted] = renamed.pop(other)
    return renamed


def _flat_arguments(value: dict[str, Any], repairs: list[str]) -> dict[str, Any] | None:
    """Arguments that stand beside the name instead of under ``arguments``."""
    flat = {key: item for key, item in value.items() if key != "name" and (key, item) != ("type", "function")}
    if not flat:
        return None
    repairs.append("flat_arguments")
    return flat


def _single_arguments(value: Any, repairs: list[str]) -> Any:
    """The arguments inside a list of one, or one level too deep."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        repairs.append("nested_arguments")
        value = value[0]
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key in ("arguments", *_ARGUMENT_KEYS) and isinstance(inner, dict):
            repairs.append("nested_arguments")
            value = inner
    return value


_SPELLINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "search": {"query": ("queries", "search_query", "search_queries")},
    "visit": {"url": ("urls", "link", "links"), "goal": ("goals",)},
}
"""The arguments of the paper's tools, and how else models write them."""


def _canonical_arguments(name: str, arguments: dict[str, Any], repairs: list[str]) -> dict[str, Any]:
    """The arguments of the paper's tools under their names, lists as lists.

    The released data declares ``queries`` in one place and ``query`` in another: both are read, one is written.
    """
    for wanted, others in _SPELLINGS.get(name, {}).items():
        other = next((key for key in arguments if key.lower() in (wanted, *others)), None)
        if wanted not in arguments and other:
            repairs.append("queries_argument" if other == "queries" else "renamed_argument")
            arguments = {(wanted if key == other else key): item for key, item in arguments.items()}
        if wanted in arguments:
            read = as_text if wanted == "goal" else as_texts
            arguments = {**arguments, wanted: read(arguments[wanted], repairs)}
        if wanted == "url" and wanted in arguments:
            arguments = {**arguments, wanted: _without_backslashes(arguments[wanted], repairs)}
    return arguments


_ESCAPED_MARK = re.compile(r"\\(?=[_&?=.#%~()*-])")


def _without_backslashes(urls: Any, repairs: list[str]) -> Any:
    """Addresses whose marks are escaped as in Markdown, without that: none holds a backslash before a mark."""
    if isinstance(urls, list):
        return [_without_backslashes(url, repairs) for url in urls]
    if not isinstance(urls, str) or not _ESCAPED_MARK.search(urls):
        return urls
    repairs.append("escaped_url")
    return _ESCAPED_MARK.sub("", urls)


def as_texts(value: Any, repairs: list[str]) -> Any:
    """What should be a list of texts: one that arrived as text, or inside another list, as the list that it is.

    A text that merely begins with a bracket is a text, and so is one that holds a list of anything else.
    """
    if isinstance(value, str):
        listed = parse_list(value)
        flat = list(_flat(listed[0])) if listed else []
        if not flat or not all(isinstance(item, str) and item.strip() for item in flat):
            return value
        repairs.append("list_as_text")
        return flat
    if not isinstance(value, list):
        return value
    items = [as_texts(item, repairs) if isinstance(item, str) else item for item in value]
    if any(isinstance(item, list) for item in value):
        repairs.append("nested_list")
    return list(_flat(items))


def _flat(items: list[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def as_text(value: Any, repairs: list[str]) -> Any:
    """What should be one text: the texts of a list joined."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        repairs.append("text_as_list")
        return "; ".join(value)
    return value

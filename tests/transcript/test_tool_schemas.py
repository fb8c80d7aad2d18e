"""What is wrong with a call, by the schema of its tool."""

from typing import Any

import pytest

from webdancer_cli.transcript.grammar import ToolCall
from webdancer_cli.transcript.tool_schemas import STANDARD_TOOLS, CallFault, call_fault


@pytest.mark.parametrize(
    ("name", "arguments", "valid"),
    [
        ("search", {"query": ["a", "b"]}, True),
        ("search", {"query": ["a", " "]}, True),
        ("search", {"query": "a"}, True),
        ("search", {"query": ["a"], "whatever": 1}, True),
        ("search", {"query": []}, False),
        ("search", {"query": [" "]}, False),
        ("search", {"query": ""}, False),
        ("search", {"query": None}, False),
        ("search", {"query": 5}, False),
        ("search", {"query": ["a", 5]}, False),
        ("search", {}, False),
        ("visit", {"url": "http://a", "goal": "g"}, True),
        ("visit", {"url": ["http://a", "http://b"], "goal": "g"}, True),
        ("visit", {"url": ["http://a"], "goal": ""}, True),
        ("visit", {"url": ["http://a"], "goal": ["g"]}, False),
        ("visit", {"url": ["http://a"]}, False),
        ("visit", {"goal": "g"}, False),
        ("Search", {"query": ["a"]}, False),
    ],
)
def test_a_call_of_the_standard_tools(name: str, arguments: dict[str, Any], valid: bool) -> None:
    assert (call_fault(ToolCall(name, arguments), STANDARD_TOOLS) is None) is valid


def of(schema: Any, value: object) -> CallFault | None:
    return call_fault(ToolCall("tool", {"x": value}), [{"name": "tool", "parameters": {"properties": {"x": schema}}}])


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"type": "integer"}, 5, True),
        ({"type": "integer"}, True, False),
        ({"type": "integer"}, 5.5, False),
        ({"type": "integer", "minimum": 6}, 5, False),
        ({"type": "number"}, 5, True),
        ({"type": "boolean"}, True, True),
        ({"type": "object"}, {}, True),
        ({"type": "object"}, [], False),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], True),
        ({"type": "array", "items": {"type": "integer"}}, "1", False),
        ({"type": "array", "items": {"type": "string"}}, "1", False),
        ({"type": "array"}, [1, "a"], True),
        ({"type": "array", "maxItems": 1}, [1, 2], False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, False),
        ({"oneOf": [{"type": "string"}]}, "a", True),
        ({"enum": ["km", "mile"]}, "furlong", False),
        ({"const": 1}, 2, False),
        ({"type": "string", "pattern": "^[a-z]+$"}, "A", False),
        ({"type": "string"}, "", True),
        ({}, {"any": ["thing"]}, True),
    ],
)
def test_an_argument_is_checked_as_json_schema_has_it(schema: dict[str, Any], value: object, valid: bool) -> None:
    assert (of(schema, value) is None) is valid


POINT = {
    "properties": {"p": {"$ref": "#/$defs/Point"}},
    "required": ["p"],
    "additionalProperties": False,
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"p": {"x": 1}}, None),
        ({}, "plot: 'p' is a required property"),
        ({"p": {"x": "1"}}, "plot: p.x: '1' is not of type 'integer'"),
        ({"p": {"x": 1}, "q": 2}, "plot: Additional properties are not allowed ('q' was unexpected)"),
    ],
)
def test_a_fault_names_tool_place_and_what_was_wanted(arguments: dict[str, Any], said: str | None) -> None:
    fault = call_fault(ToolCall("plot", arguments), [{"name": "plot", "parameters": POINT}])
    assert fault == (said and CallFault("invalid_arguments", said))


@pytest.mark.parametrize("schema", [{"type": "unheard of"}, {"enum": 5}, "text", 7, {"$ref": "#/nowhere"}])
def test_what_is_no_schema_checks_nothing(schema: Any) -> None:
    assert of(schema, 5) is None


@pytest.mark.parametrize("parameters", [None, [], [{"name": "x", "type": "string"}], "x: str", {"required": "x"}])
def test_parameters_that_are_no_schema_check_nothing(parameters: Any) -> None:
    assert call_fault(ToolCall("tool", {"x": 1}), [{"name": "tool", "parameters": parameters}]) is None


def test_one_property_that_is_no_schema_leaves_the_others_checked() -> None:
    parameters = {"properties": {"a": {"type": "str"}, "b": {"type": "integer"}}, "required": ["b"]}
    tools = [{"name": "tool", "parameters": parameters}]
    assert call_fault(ToolCall("tool", {"a": 1, "b": 2}), tools) is None
    assert call_fault(ToolCall("tool", {"a": 1, "b": "2"}), tools)
    assert call_fault(ToolCall("tool", {"a": 1}), tools)


def test_a_reference_to_another_document_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **_: opened.append(args))
    assert of({"$ref": "http://127.0.0.1:9/schema.json"}, 5) is None and opened == []


def test_arguments_nested_beyond_reason_are_a_fault() -> None:
    tree = {"type": "object", "properties": {"x": {"$ref": "#"}}}
    value: dict[str, Any] = {}
    for _ in range(2000):
        value = {"x": value}
    fault = call_fault(ToolCall("tool", value), [{"name": "tool", "parameters": tree}])
    assert fault and fault.detail == "tool: its arguments are nested too deeply"

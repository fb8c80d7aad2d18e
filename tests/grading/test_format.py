"""The format of an episode, fault by fault."""

from typing import Any

import pytest

from webdancer_cli.data.records import Message
from webdancer_cli.grading.format import STANDARD_TOOLS, FormatFault, call_fault, format_fault, format_ok, observations
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

SYSTEM = Message("system", "You seek.")
QUESTION = Message("user", "Who built the tower?")
SCHEMAS = {tool["name"]: tool["parameters"] for tool in STANDARD_TOOLS}


def calls(name: str = "search", **arguments: Any) -> Message:
    turn = Turn(thought="Look.", call=ToolCall(name, arguments or {"query": ["tower"]}))
    return Message("assistant", render_turn(turn))


def answers(text: str = "Eiffel") -> Message:
    return Message("assistant", render_turn(Turn(thought="So.", answer=text)))


def shows(text: str = "By Eiffel.") -> Message:
    return Message("user", render_response(text))


def says(role: Any, content: str) -> Message:
    return Message(role, content)


GOOD = [SYSTEM, QUESTION, calls(), shows(), calls("visit", url="http://a", goal="builder"), shows(), answers()]


def test_a_good_episode_has_no_fault() -> None:
    assert format_fault(GOOD) is None and format_ok(GOOD)
    assert format_ok(GOOD[1:])  # without a system message, too


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no_turns"),
        ([SYSTEM, QUESTION], "no_turns"),
        ([QUESTION, SYSTEM, answers()], "roles_out_of_order"),
        ([answers()], "roles_out_of_order"),
        ([QUESTION, calls(), answers()], "roles_out_of_order"),
        ([QUESTION, QUESTION, calls(), shows(), answers()], "roles_out_of_order"),
        ([QUESTION, calls(), shows()], "no_answer"),
        ([QUESTION, calls(), shows(), calls()], "no_answer"),
        ([QUESTION, answers()], "no_tool_call"),
        ([QUESTION, answers(), shows(), answers()], "turns_after_answer"),
        ([QUESTION, calls(), shows(), answers(" ")], "malformed_turn"),
        ([QUESTION, says("assistant", "Eiffel")], "malformed_turn"),
        (
            [QUESTION, says("assistant", "<think>x</think><tool_call>{}</tool_call>"), shows(), answers()],
            "malformed_turn",
        ),
        (
            [
                QUESTION,
                says("assistant", calls().content + "\n<tool_response>\nmine\n</tool_response>"),
                shows(),
                answers(),
            ],
            "invented_observation",
        ),
        ([QUESTION, calls("fly", to="Rome"), shows(), answers()], "unknown_tool"),
        ([QUESTION, calls("search", q="tower"), shows(), answers()], "invalid_arguments"),
        ([QUESTION, calls("visit", url=["http://a"]), shows(), answers()], "invalid_arguments"),
    ],
)
def test_each_fault_has_its_reason(messages: list[Message], reason: str) -> None:
    fault = format_fault(messages)
    assert fault and fault.reason == reason
    assert not format_ok(messages)


@pytest.mark.parametrize(
    ("name", "arguments", "valid"),
    [
        ("search", {"query": ["a", "b"]}, True),
        ("search", {"query": "a"}, True),
        ("search", {"query": ["a"], "filter_year": 2020}, True),
        ("search", {"query": ["a"], "filter_year": "2020"}, True),
        ("search", {"query": ["a"], "whatever": 1}, True),
        ("search", {"query": []}, False),
        ("search", {"query": [" "]}, False),
        ("search", {"query": ""}, False),
        ("search", {"query": None}, False),
        ("search", {"query": 5}, False),
        ("search", {"query": ["a", 5]}, False),
        ("search", {"query": ["a"], "filter_year": True}, False),
        ("search", {"query": ["a"], "filter_year": [2020]}, False),
        ("search", {}, False),
        ("visit", {"url": "http://a", "goal": "g"}, True),
        ("visit", {"url": ["http://a", "http://b"], "goal": "g"}, True),
        ("visit", {"url": ["http://a"], "goal": ["g"]}, False),
        ("visit", {"goal": "g"}, False),
        ("Search", {"query": ["a"]}, False),
    ],
)
def test_a_call_is_checked_against_its_schema(name: str, arguments: dict[str, Any], valid: bool) -> None:
    assert (call_fault(ToolCall(name, arguments), SCHEMAS) is None) is valid


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"type": "integer"}, 5, True),
        ({"type": "integer"}, True, False),
        ({"type": "integer"}, 5.5, False),
        ({"type": "number"}, 5, True),
        ({"type": "boolean"}, True, True),
        ({"type": "object"}, {}, True),
        ({"type": "object"}, [], False),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], True),
        ({"type": "array", "items": {"type": "integer"}}, "1", False),
        ({"type": "array"}, [1, "a"], True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, False),
        ({"oneOf": [{"type": "string"}]}, "a", True),
        ({}, object, True),
        ({"type": "unheard of"}, 5, True),
    ],
)
def test_arguments_of_custom_tools_have_their_type(schema: dict[str, Any], value: object, valid: bool) -> None:
    schemas = {"tool": {"properties": {"x": schema}}}
    assert (call_fault(ToolCall("tool", {"x": value}), schemas) is None) is valid


def test_the_tools_that_the_prompt_declares_are_the_ones_that_count() -> None:
    tool = '{"name": "fly", "parameters": {"required": ["to"], "properties": {"to": {"type": "string"}}}}'
    question = says("user", f"<tools>\n{tool}\n</tools>\nUser: Where?")
    assert format_ok([question, calls("fly", to="Rome"), shows(), answers()])
    fault = format_fault([question, calls(), shows(), answers()])
    assert fault == FormatFault("unknown_tool", "'search': there are fly")


def test_tools_given_by_the_caller_come_first() -> None:
    tools = [{"name": "fly", "parameters": {}}]
    assert format_ok([QUESTION, calls("fly", to="Rome"), shows(), answers()], tools)
    assert not format_ok(GOOD, tools)


def test_a_reminder_between_turns_is_an_observation_slot() -> None:
    assert format_ok([QUESTION, calls(), says("user", "Answer now."), answers()])


def test_observations_are_unwrapped() -> None:
    assert observations(GOOD) == ["By Eiffel.", "By Eiffel."]

"""The format of an episode, fault by fault."""

from typing import Any

import pytest

from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.grading.format import FormatFault, format_fault, observations, trajectory_fault, well_formed
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

SYSTEM = Message("system", "You seek.")
QUESTION = Message("user", "Who built the tower?")


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
    assert format_fault(GOOD) is None
    assert format_fault(GOOD[1:]) is None  # without a system message, too


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


def test_the_tools_that_the_prompt_declares_are_the_ones_that_count() -> None:
    tool = '{"name": "fly", "parameters": {"required": ["to"], "properties": {"to": {"type": "string"}}}}'
    question = says("user", f"<tools>\n{tool}\n</tools>\nUser: Where?")
    assert format_fault([question, calls("fly", to="Rome"), shows(), answers()]) is None
    fault = format_fault([question, calls(), shows(), answers()])
    assert fault == FormatFault("unknown_tool", "'search': there are fly")


def test_tools_given_by_the_caller_come_first() -> None:
    tools = [{"name": "fly", "parameters": {}}]
    assert format_fault([QUESTION, calls("fly", to="Rome"), shows(), answers()], tools) is None
    assert format_fault(GOOD, tools) == FormatFault("unknown_tool", "'search': there are fly")


def test_a_reminder_between_turns_is_an_observation_slot() -> None:
    assert format_fault([QUESTION, calls(), says("user", "Answer now."), answers()]) is None


def test_observations_are_unwrapped() -> None:
    assert observations(GOOD) == ["By Eiffel.", "By Eiffel."]


@pytest.mark.parametrize(
    ("repairs", "reason"),
    [
        (["1:invented_response"], "invented_observation"),
        (["1:list_as_text", "2:faulty_call"], "invalid_arguments"),
        (["1:missing_goal"], "malformed_turn"),
    ],
)
def test_what_the_agent_mended_or_refused_is_a_fault_though_the_messages_show_none(
    repairs: list[str], reason: str
) -> None:
    played = Trajectory(qa=QA(question="Who?", answer="Eiffel"), messages=GOOD, ending="answered", answer="Eiffel")
    assert well_formed(played)
    played.repairs = repairs
    assert trajectory_fault(played) == FormatFault(reason, ", ".join(repairs)) and not well_formed(played)

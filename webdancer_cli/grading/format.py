"""The format of an episode: what the reward's format term, ``filter``'s validity stage and ``eval`` all mean by it.

An episode is well-formed when every assistant turn is strict (nothing for the parser or for the agent to mend), every
call names a known tool with arguments that its schema takes (``tool_schemas``), turns and observations alternate, at
least one tool was called, and it ends with an answer.
"""

from collections.abc import Sequence
from typing import NamedTuple

from webdancer_cli.data.records import Message, Trajectory
from webdancer_cli.transcript.contexts import without_summaries
from webdancer_cli.transcript.grammar import Turn, declared_tools, parse_turn, response_text
from webdancer_cli.transcript.tool_schemas import STANDARD_TOOLS, Schema, call_fault


class FormatFault(NamedTuple):
    """Why an episode is not well-formed: a code that can be counted, and a detail for reading."""

    reason: str
    detail: str = ""


def well_formed(trajectory: Trajectory, tools: Sequence[Schema] | None = None) -> bool:
    """The binary format score of an episode."""
    return trajectory_fault(trajectory, tools) is None


def trajectory_fault(
    trajectory: Trajectory, tools: Sequence[Schema] | None = None, turns: Sequence[Turn] | None = None
) -> FormatFault | None:
    """The first fault of an episode's messages, or else what the agent had to mend or refuse while it was played.

    Not all of that stands in the messages: an observation that the policy invented is cut off there. Summaries have a
    form of their own, without tags; what is amiss with one is among the repairs.
    """
    return format_fault(without_summaries(trajectory), tools, turns) or _repair_fault(trajectory.repairs)


def _repair_fault(repairs: Sequence[str]) -> FormatFault | None:
    """``repairs`` are as in the record: the number of the model's call, a colon, and the repair."""
    names = {repair.partition(":")[2] for repair in repairs}
    if not repairs:
        return None
    if "invented_response" in names:
        return FormatFault("invented_observation", ", ".join(repairs))
    return FormatFault("invalid_arguments" if "faulty_call" in names else "malformed_turn", ", ".join(repairs))


def format_fault(
    messages: Sequence[Message], tools: Sequence[Schema] | None = None, turns: Sequence[Turn] | None = None
) -> FormatFault | None:
    """The first fault of messages, or None. Without ``tools``, calls are checked against what the prompt declares.

    ``turns`` are the assistant turns, if the caller has read them already.
    """
    fault = _order_fault(messages)
    if fault:
        return fault
    turns = own_turns(messages) if turns is None else turns
    fault = next(filter(None, map(_turn_fault, turns)), None) or _plan_fault(turns)
    if fault:
        return fault
    known = tools or tools_of(messages)
    found = next((found for turn in turns if turn.call and (found := call_fault(turn.call, known))), None)
    return FormatFault(*found) if found else None


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

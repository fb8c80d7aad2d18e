"""THE text grammar: ``<think> <tool_call> <tool_response> <answer>`` to turns and back.

An assistant turn is ``<think>…</think>`` followed by ``<tool_call>{"name": …, "arguments": …}</tool_call>`` or by
``<answer>…</answer>``. A tool response is a *user* message ``<tool_response>…</tool_response>`` (paper, section 3, and
the form of the released trajectories). The agent, the filter, the reward and the loss mask all read turns through this
file; what stands inside ``<tool_call>`` is read by ``transcript/tool_calls.py``.

Reading is tolerant and names every repair; writing is strict; a turn with repairs is not well-formed.
"""

import json
import re
from functools import lru_cache
from typing import Any

import msgspec

from webdancer_cli.transcript.tool_calls import ToolCall, parse_call, parse_untagged_call

__all__ = ["STOP_STRINGS", "TAGS", "ToolCall", "Turn", "declared_tools", "escape_json_tags", "escape_tags"]
__all__ += ["open_thought", "parse_turn", "render_call", "render_response", "render_turn", "response_text"]

TAGS = ("think", "tool_call", "tool_response", "answer")
STOP_STRINGS = ("<tool_response>",)
"""Generation ends here: an observation is never the model's to write."""


class Turn(msgspec.Struct, kw_only=True):
    """One assistant turn: a thought, then a call or an answer (neither, if the text could not be read).

    ``repairs`` names what had to be mended, in snake_case; it is empty exactly for a well-formed turn.
    """

    thought: str = ""
    call: ToolCall | None = None
    answer: str | None = None
    repairs: list[str] = []


# ---- writing -------------------------------------------------------------------------------------------------------


def render_turn(turn: Turn) -> str:
    """The strict text of a turn; grammar tags inside its thought or answer are defused.

    Raises ValueError for a turn that is neither a call nor an answer, or has both.
    """
    if (turn.call is None) == (turn.answer is None):
        raise ValueError("a turn is a call or an answer, and not both")
    thought = f"<think>\n{escape_tags(turn.thought)}\n</think>\n"
    if turn.call is not None:
        return thought + render_call(turn.call)
    return f"{thought}<answer>\n{escape_tags(turn.answer or '')}\n</answer>"


def render_call(call: ToolCall) -> str:
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>\n{escape_json_tags(body)}\n</tool_call>"


def escape_json_tags(body: str) -> str:
    """JSON in whose strings no grammar tag stands literally; it means the same."""
    return _GRAMMAR_TAG.sub(_ESCAPED, body)


def render_response(text: str) -> str:
    """The content of the user message that carries an observation; grammar tags inside ``text`` are defused."""
    return f"<tool_response>\n{escape_tags(text)}\n</tool_response>"


# The "<" of "<think>", "</ Answer >" and the like; possessive (++, *+), so that no text makes it slow.
_GRAMMAR_TAG = re.compile(rf"<(?=\s*+/?+\s*+(?:{'|'.join(TAGS)})\s*+>)", re.IGNORECASE)
_ESCAPED = r"\\u003c"
# The "<" of special tokens that families spell: <|im_end|>, <｜User｜>, </s>, <bos>, <end_of_turn>.
_CHAT_TOKEN = re.compile(
    r"<(?=\|[^<>|\s]{1,40}\|>|｜[^<>｜\s]{1,40}｜>|/?s>|(?:bos|eos|pad|unk)>|(?:start|end)_of_turn>)", re.IGNORECASE
)


def escape_tags(text: str) -> str:
    """Text that can no longer pose as grammar or as a chat template's special token: their ``<`` becomes ``‹``."""
    return _CHAT_TOKEN.sub("‹", _GRAMMAR_TAG.sub("‹", text)) if "<" in text else text


def open_thought(text: str) -> str:
    """A turn that closes a thought which it did not open, with the open tag: a chat template had written that one."""
    close, open_tag = text.find("</think>"), text.find("<think>")
    if close < 0 or 0 <= open_tag < close:
        return text
    thought, rest = text[:close].strip(), text[close + len("</think>") :]
    return f"<think>\n{thought}\n</think>\n{rest.lstrip()}"


# ---- reading -------------------------------------------------------------------------------------------------------


def response_text(content: str) -> str | None:
    """The observation inside a user message, or None if the message is not a tool response."""
    content = content.strip()
    if not (content.startswith("<tool_response>") and content.endswith("</tool_response>")):
        return None
    return _without_frame(content[len("<tool_response>") : -len("</tool_response>")])


def _without_frame(text: str) -> str:
    """The text without the one line break after its open tag and the one before its close tag."""
    return text.removeprefix("\n").removesuffix("\n")


def parse_turn(text: str) -> Turn:
    """Read one assistant turn, tolerantly. Never raises: what cannot be read has neither call nor answer."""
    turn = _read_turn(text)
    if turn.answer is None and (turn.call is None or "untagged_call" in turn.repairs):
        tidied = _UNTIDY_TAG.sub(_tidy_tag, text)
        if tidied != text:
            turn = _read_turn(tidied)
            turn.repairs.insert(0, "untidy_tag")
    turn.repairs = list(dict.fromkeys(turn.repairs))
    return turn


# Tags as models misspell them: "< think >", <Thinking>, <tool-call>, <function_call>, <final_answer>.
_UNTIDY_TAG = re.compile(
    r"<\s*+(/?+)\s*+(think(?:ing)?|tool[_ -]?call|function[_ -]?call|tool_response|(?:final[_ -]?)?answer)\s*+>",
    re.IGNORECASE,
)


def _tidy_tag(match: re.Match[str]) -> str:
    name = match[2].lower()
    tag = next((tag for tag in TAGS if name == tag), "")
    if not tag:
        tag = "think" if name == "thinking" else "answer" if name.endswith("answer") else "tool_call"
    return f"<{match[1]}{tag}>"


def _read_turn(text: str) -> Turn:
    repairs: list[str] = []
    text = _cut_invention(text, repairs)
    thought, rest = _split_thought(text, repairs)
    turn = Turn(thought=thought, repairs=repairs)
    call_at, answer_at = rest.find("<tool_call>"), rest.find("<answer>")
    if call_at >= 0 and (answer_at < 0 or call_at < answer_at):
        _note_outside(rest[:call_at], "text_before_call", repairs)
        turn.call, after = parse_call(rest[call_at + len("<tool_call>") :], repairs)
        _note_after(after, "call", repairs)
    elif answer_at >= 0:
        _note_outside(rest[:answer_at], "text_before_answer", repairs)
        turn.answer = _read_answer(rest[answer_at + len("<answer>") :], repairs)
    elif (call := parse_untagged_call(rest, repairs)) is not None:
        turn.call = call
    else:
        repairs.append("no_action")
    return turn


def _note_outside(text: str, repair: str, repairs: list[str]) -> None:
    if text.strip():
        repairs.append(repair)


def _cut_invention(text: str, repairs: list[str]) -> str:
    at = text.find("<tool_response>")
    if at < 0:
        return text
    repairs.append("invented_response")
    return text[:at]


# ---- the thought ---------------------------------------------------------------------------------------------------


def _split_thought(text: str, repairs: list[str]) -> tuple[str, str]:
    """The thought and what follows it. A thought ends at its close tag, or failing that where an action begins."""
    before, opened, body = _split_opening(text)
    close, action = body.find("</think>"), _first(body, "<tool_call>", "<answer>")
    if not opened and action < (close if close >= 0 else len(body)):
        repairs.append("untagged_thought" if body[:action].strip() else "no_think")
        return body[:action].strip(), body[action:]
    if close < 0:
        repairs.append("unclosed_think" if opened else "no_think")
        return (_join_thoughts(before, body[:action].strip()), body[action:]) if opened else ("", body)
    if not opened:
        repairs.append("unopened_think")
    _note_outside(before, "text_before_think", repairs)
    thought, rest = body[:close], body[close + len("</think>") :]
    if action < close:
        repairs.append("action_in_thought")
        if not _has_action(rest):
            thought, rest = body[:action], body[action:].replace("</think>", "")
    if "<think>" in thought:
        repairs.append("nested_think")
        thought = thought.replace("<think>", "")
    return _more_thoughts(_join_thoughts(before, _without_frame(thought)), rest, repairs)


def _split_opening(text: str) -> tuple[str, str, str]:
    """What stands before the open tag, the tag, and the rest; no tag if an action or a close tag comes first."""
    at = text.find("<think>")
    if at < 0 or at > _first(text, "</think>", "<tool_call>", "<answer>"):
        return "", "", text
    return text[:at].strip(), "<think>", text[at + len("<think>") :]


def _more_thoughts(thought: str, rest: str, repairs: list[str]) -> tuple[str, str]:
    """Doubled close tags dropped and further thoughts joined, up to where something else begins."""
    while match := re.match(r"\s*(?:</think>|<think>(.*?)</think>)", rest, re.DOTALL):
        repairs.append("doubled_close" if match[1] is None else "second_think")
        thought, rest = _join_thoughts(thought, (match[1] or "").strip()), rest[match.end() :]
    return thought, rest


def _join_thoughts(*parts: str) -> str:
    return "\n".join(part for part in parts if part) if parts[0] else parts[-1]


def _first(text: str, *marks: str) -> int:
    return min((at for mark in marks if (at := text.find(mark)) >= 0), default=len(text))


def _has_action(text: str) -> bool:
    return "<tool_call>" in text or "<answer>" in text


# ---- the answer ----------------------------------------------------------------------------------------------------


def _read_answer(text: str, repairs: list[str]) -> str:
    body, closed, after = text.partition("</answer>")
    if not closed:
        repairs.append("unclosed_answer")
    if body.lstrip().startswith("<answer>"):
        repairs.append("doubled_open")
        body = body.replace("<answer>", "")
    _note_after(after, "answer", repairs)
    if not body.strip():
        repairs.append("empty_answer")
    return body.strip()


def _note_after(text: str, action: str, repairs: list[str]) -> None:
    """Name what follows an action, which should be nothing."""
    close = "</answer>" if action == "answer" else "</tool_call>"
    if text.strip() and not text.replace(close, "").strip():
        repairs.append("doubled_close")
    elif "<tool_call>" in text:
        repairs.append("extra_tool_call" if action == "call" else "call_after_answer")
    elif "<answer>" in text:
        repairs.append("extra_answer" if action == "answer" else "answer_after_call")
    else:
        _note_outside(text, f"text_after_{action}", repairs)


# ---- the tools that a prompt declares ------------------------------------------------------------------------------


def declared_tools(content: str) -> list[dict[str, Any]]:
    """The JSON schemas inside ``<tools>…</tools>`` of a prompt; none if there is no such block.

    Reads the authors' list of objects, one object per line, a JSON list, and ``{"function": {…}}`` envelopes.
    """
    start, end = content.find("<tools>"), content.find("</tools>")
    return list(_schemas(content[start + len("<tools>") : end])) if 0 <= start < end else []


@lru_cache(maxsize=64)
def _schemas(block: str) -> tuple[dict[str, Any], ...]:
    found: list[Any] = []
    at = 0
    while (at := block.find("{", at)) >= 0:
        try:
            value, at = json.JSONDecoder().raw_decode(block, at)
        except (ValueError, RecursionError):
            return ()
        found.append(value.get("function", value))
    return tuple(tool for tool in found if isinstance(tool, dict) and isinstance(tool.get("name"), str))

"""Replies in the shapes in which servers and gateways write them: what is needed is read, the rest may be anything."""

import json
from typing import Any

import pytest

from webdancer_cli.data.records import Usage
from webdancer_cli.llm.replies import ContentFiltered, ErrorInBody, NoReply, Reply, parse_body, parse_reply, usage_of
from webdancer_cli.transcript.grammar import parse_turn

TURN = '<think>\nI look.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["x"]}}\n</tool_call>'
THOUGHT, CALL = "I look.", TURN.partition("</think>\n")[2]
FUNCTION = {"name": "search", "arguments": '{"query": ["x"]}'}


def message(finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": finish}]}


def events(*deltas: dict[str, Any], finish: str = "stop", done: bool = True) -> bytes:
    chunks = [{"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"id": "x", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    lines = [f"data: {json.dumps(chunk)}" for chunk in chunks] + (["data: [DONE]"] if done else [])
    return (": ping\n\n" + "\n\n".join(lines) + "\n\n").encode()


def read(body: Any) -> Reply:
    return parse_reply(parse_body(body if isinstance(body, bytes) else json.dumps(body).encode()))


def written(reply: Reply) -> str:
    thought = f"<think>\n{reply.thought}\n</think>\n" if reply.thought else ""
    return thought + reply.text


WHOLE: dict[str, Any] = {
    "text": message(content=TURN),
    "a byte-order mark": "\ufeff".encode() + json.dumps(message(content=TURN)).encode(),
    "white space and NaN": b"\n\n " + json.dumps({**message(content=TURN), "score": float("nan")}).encode(),
    "parts": message(content=[{"type": "text", "text": TURN[:20]}, {"type": "text", "text": TURN[20:]}]),
    "parts that are plain texts": message(content=[TURN]),
    "a part that is not in a list": message(content={"type": "output_text", "text": TURN}),
    "a thinking part": message(content=[{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": CALL}]),
    "a thinking part in parts": message(
        content=[{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": CALL}]
    ),
    "a thought among parts": message(content=[{"text": THOUGHT, "thought": True}, {"text": CALL}]),
    "reasoning_content": message(content=CALL, reasoning_content=THOUGHT),
    "reasoning": message(content=CALL, reasoning=THOUGHT, reasoning_content=None),
    "reasoning as an object": message(content=CALL, reasoning={"content": THOUGHT}),
    "thinking": message(content=CALL, thinking=THOUGHT),
    "reasoning_details": message(
        content=CALL,
        reasoning=None,
        reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}, {"type": "reasoning.text", "text": THOUGHT}],
    ),
    "thinking_blocks": message(content=CALL, thinking_blocks=[{"type": "thinking", "thinking": THOUGHT}]),
    "tool_calls": message("tool_calls", content=None, reasoning_content=THOUGHT, tool_calls=[{"function": FUNCTION}]),
    "tool_calls without their envelope": message(content="", reasoning=THOUGHT, tool_calls=[FUNCTION]),
    "tool_calls with an object": message(
        content=[], reasoning=THOUGHT, tool_calls=[{"function": {"name": "search", "arguments": {"query": ["x"]}}}]
    ),
    "tool_calls whose arguments are a text of JSON in JSON": message(
        content=None, reasoning=THOUGHT,
        tool_calls=[{"function": {"name": "search", "arguments": json.dumps(json.dumps({"query": ["x"]}))}}],
    ),
    "tool_calls with fenced arguments": message(
        content=None, reasoning=THOUGHT,
        tool_calls=[{"function": {"name": "search", "arguments": '```json\n{"query": ["x"]}\n```'}}],
    ),
    "tool_calls beside text": message(content=f" {THOUGHT} ", tool_calls=[{"id": 7, "function": FUNCTION}]),
    "tool_calls beside a whole thought": message(
        content=f"<think>\n{THOUGHT}\n</think>", tool_calls=[{"function": FUNCTION}]
    ),
    "tool_calls that the text repeats": message(content=TURN, tool_calls=[{"function": FUNCTION}]),
    "function_call": message("function_call", content=THOUGHT, function_call=FUNCTION),
    "a tool_use part": message(
        content=[{"type": "text", "text": THOUGHT}, {"type": "tool_use", "name": "search", "input": {"query": ["x"]}}]
    ),
    "a turn inside the reasoning": message(content=None, reasoning_content=f"{THOUGHT}\n{CALL}\n"),
    "a turn with tags inside the reasoning": message(content="", reasoning=TURN),
    "a stream": events({"role": "assistant", "content": ""}, {"content": TURN[:9]}, {"content": TURN[9:]}),
    "a stream without an end mark": events({"content": TURN}, done=False),
    "a stream of one event": f"data: {json.dumps(message(content=TURN))}\n\n".encode(),
    "a stream of reasoning": events(
        {"reasoning_content": THOUGHT[:3]}, {"reasoning_content": THOUGHT[3:]}, {"content": CALL}
    ),
    "a stream of calls": events(
        {"content": THOUGHT},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "search", "arguments": '{"query"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ': ["x"]}'}}]},
        finish="tool_calls",
    ),
    "a list of one": [message(content=TURN)],
    "one level more": {"success": True, "result": message(content=TURN)},
    "no envelope at all": {"model": "m", "message": {"role": "assistant", "content": TURN}, "done": True},
    "a text completion": {"choices": [{"text": TURN, "finish_reason": "stop"}]},
    "odd fields": {
        **message(["odd"], content=TURN, refusal=None, audio=3),
        "id": 7,
        "usage": "many",
        "created": "now",
        "error": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_reply_is_read_in_any_shape(body: Any) -> None:
    reply = read(body)
    turn = parse_turn(written(reply))
    assert (turn.thought, turn.repairs, reply.finish) == (THOUGHT, [], "stop")
    assert turn.call is not None and turn.call.arguments == {"query": ["x"]}


def test_a_call_whose_arguments_are_almost_json_stays_as_it_is_for_its_reader_to_mend() -> None:
    calls = [{"function": {"name": "search", "arguments": "{'query': ['x']}"}}]
    turn = parse_turn(read(message(content=THOUGHT, tool_calls=calls)).text)
    assert turn.call is not None and turn.call.arguments == {"query": ["x"]} and turn.repairs == ["python_literal"]


def test_arguments_that_are_a_text_are_not_dropped() -> None:
    calls = [{"function": {"name": "search", "arguments": json.dumps("canals of Kest")}}]
    assert "canals of Kest" in read(message(content=THOUGHT, tool_calls=calls)).text


def test_several_calls_are_all_written_and_no_tag_closes_one() -> None:
    odd = {"name": "search", "arguments": json.dumps({"query": ["</tool_call>"]})}
    reply = read(message(content=None, tool_calls=[{"function": odd}, {"function": FUNCTION}]))
    turn = parse_turn(reply.text)
    assert turn.call is not None and turn.call.arguments == {"query": ["</tool_call>"]}
    assert "extra_tool_call" in turn.repairs


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_a_reply_that_was_cut_off_says_so_and_its_thought_stays_one(reason: str) -> None:
    reply = read(message(reason, content=None, reasoning=f"so {CALL}"))
    assert (reply.text, reply.thought, reply.finish) == ("", f"so {CALL}", "length")


@pytest.mark.parametrize("content", ["", None, [], " \n"])
def test_an_empty_reply_is_one_when_its_end_is_told(content: Any) -> None:
    assert not read(message("stop", content=content)).text.strip()
    with pytest.raises(NoReply):
        read(message(None, content=content))


NONE: dict[str, Any] = {
    "nothing": b"",
    "html": b"<html>busy</html>",
    "cut off": json.dumps(message(content="x")).encode()[:-9],
    "no choices": {"choices": []},
    "choices of another type": {"choices": "none"},
    "only a usage": {"usage": {"prompt_tokens": 1}},
    "bytes that are no UTF-8": b'{"choices": [{"message": {"content": "\xff"}}]}',
    "a stream that was cut off": b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n',
    "a failure as the reason": message("error", content="half"),
}  # fmt: skip


@pytest.mark.parametrize("body", NONE.values(), ids=NONE.keys())
def test_what_holds_no_reply_is_none(body: Any) -> None:
    with pytest.raises(NoReply):
        read(body)


ERRORS: dict[str, Any] = {
    "an object": {"error": {"message": "x", "code": 500}},
    "a text": {"error": "x"},
    "beside choices": {**message(content="half"), "error": {"message": "x"}},
    "in the choice": {"choices": [{"finish_reason": "error", "error": {"message": "x", "code": 502}}]},
    "in a stream": events({"content": "half"}) + b'data: {"error": {"message": "x"}}\n\n',
    "a stream of nothing else": b'event: error\ndata: {"error": {"message": "x"}}\n\n',
    "vLLM's": {"object": "error", "message": "x", "code": 400},
    "in a list": [{"error": {"code": 503, "message": "x"}}],
    "with a type": {"type": "error", "error": {"type": "overloaded_error", "message": "x"}},
    "a detail": {"detail": "x", "status_code": 500},
}


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS.keys())
def test_an_error_in_the_place_of_a_reply_is_none(body: Any) -> None:
    with pytest.raises(ErrorInBody):
        read(body)


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "sensitive"])
def test_a_filter_is_named(reason: str) -> None:
    with pytest.raises(ContentFiltered, match="filter"):
        read(message(reason, content="half"))


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}, (7, 3, 5)),
        ({"prompt_tokens": 7.0, "completion_tokens": "3", "prompt_tokens_details": None}, (7, 3, 0)),
        ({"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 5}, (7, 3, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "prompt_cache_hit_tokens": 5}, (7, 3, 5)),
        ({"prompt_tokens": None, "completion_tokens": -1, "prompt_tokens_details": []}, (0, 0, 0)),
        (None, (0, 0, 0)),
        ([1], (0, 0, 0)),
    ],
)
def test_counts_are_read_in_any_form(usage: Any, counts: tuple[int, int, int]) -> None:
    inputs, outputs, cached = counts
    assert usage_of({"usage": usage}) == Usage(
        calls=1, input_tokens=inputs, output_tokens=outputs, cached_tokens=cached
    )

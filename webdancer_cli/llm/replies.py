"""What a chat endpoint sent under HTTP 200: a reply, in any of the shapes in which servers and gateways write one.

Read is what is needed (text, thought, calls, finish), whatever the types of the rest. Text may come as parts or as a
stream of events, calls in fields of their own: these are written as the text grammar has them, strictly. A reply that
is empty because the model ended at once is a reply. An error inside is none, and neither is a refusal.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from webdancer_cli.data.records import Usage
from webdancer_cli.services.failures import find_error, json_values
from webdancer_cli.text.lenient_json import strip_fence
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.transcript.grammar import TAGS, escape_json_tags, escape_tags, render_call
from webdancer_cli.transcript.tool_calls import ToolCall

Finish = Literal["stop", "length"]


class Reply(msgspec.Struct, kw_only=True):
    """What a model said. ``thought`` is the reasoning that a reasoning model returns apart from its text.

    ``trace`` is the endpoint's own id of the call.
    """

    text: str
    thought: str = ""
    trace: str = ""
    finish: Finish = "stop"
    usage: Usage = msgspec.field(default_factory=Usage)


class NoReply(Exception):
    """The body holds no reply. Another attempt may bring one."""


class ErrorInBody(Exception):
    """The body is an error in the place of a reply."""


class ContentFiltered(Exception):
    """The model, or a filter around it, refuses to answer."""


Body = Mapping[str, Any]


def parse_body(content: bytes) -> Body:
    """The completion in a body: one object, or the events of a stream put together. Raises NoReply, ErrorInBody."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoReply(f"not a chat completion: {error}") from None
    values = list(json_values(text))
    if any(find_error(value) is not None for value in values):
        raise ErrorInBody
    objects = [value for value in map(_unwrapped, values) if value is not None]
    if not objects:
        what = "nothing" if not text.strip() else "no JSON" if not values else "no choices"
        raise NoReply(f"not a chat completion: {what} in it")
    if len(objects) == 1 and not _is_event(objects[0]):
        return objects[0]
    return _assembled(objects, ended="[DONE]" in text[-100:])


def _unwrapped(value: Any) -> Body | None:
    """The object that has the choices, or the message: itself, in a list of one, or one level deeper."""
    if isinstance(value, list) and len(value) == 1:
        return _unwrapped(value[0])
    if not isinstance(value, dict):
        return None
    if "choices" in value or isinstance(value.get("message"), dict) or "usage" in value:
        return value
    inner = (value.get(key) for key in ("data", "result", "response", "body", "output"))
    return next((each for each in inner if isinstance(each, dict) and "choices" in each), None)


def parse_reply(body: Body) -> Reply:
    """Raises NoReply for a body that was cut off, or that holds nothing; Filtered."""
    message, finish_reason = _message(body)
    said = _Said()
    said.hear(message)
    finish = _finish(finish_reason)
    text, thought = said.written()
    if said.refusal and not text.strip():
        raise ContentFiltered(f"the model refuses: {said.refusal}")
    if not text.strip() and finish == "stop":
        thought, text = _action_in(thought)
    if not (text.strip() or thought.strip() or finish_reason):
        raise NoReply("an empty message that says not why it ended")
    trace = body.get("id")
    return Reply(
        text=text,
        thought=thought,
        trace=mend_surrogates(trace) if isinstance(trace, str) else "",
        finish=finish,
        usage=usage_of(body),
    )


def usage_of(body: Body) -> Usage:
    """What a call took, as far as its server counts, under the names that servers give it."""
    usage = _object(body.get("usage"))
    details = _object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    cached = (
        details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cache_read_input_tokens")
    )
    return Usage(
        calls=1,
        input_tokens=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        output_tokens=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        cached_tokens=_count(cached),
    )


def _count(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# ---- the message and its end ---------------------------------------------------------------------------------------


def _message(body: Body) -> tuple[Mapping[str, Any], str]:
    """The message of the first choice and why it ended, "" if that is not said. Raises NoReply."""
    choices = body.get("choices")
    choice: Any = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        if not isinstance(body.get("message"), dict):
            raise NoReply("a chat completion without choices")
        choice = body
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        message = {"content": message if isinstance(message, str) else choice.get("text")}
    reason = choice.get("finish_reason") or choice.get("finishReason") or choice.get("stop_reason")
    reason = reason or choice.get("done_reason") or ("stop" if choice.get("done") is True else "")
    return message, reason if isinstance(reason, str) else "stop"


_CUT = frozenset(["length", "max_tokens", "max_output_tokens", "model_length", "max_length", "token_limit"])
_FILTERS = frozenset(["content_filter", "content-filter", "safety", "recitation", "prohibited_content", "blocklist"])
_FILTERS |= frozenset(["spii", "sensitive", "refusal", "guardrail_intervened", "content_filtered"])
_BROKEN = frozenset(["error", "abort", "network_error", "insufficient_system_resource", "cancelled", "unknown_error"])


def _finish(reason: str) -> Finish:
    """Raises Filtered and NoReply for a reply that was stopped by a filter, or by a failure."""
    reason = reason.casefold()
    if reason in _FILTERS:
        raise ContentFiltered(f"the reply was stopped by a filter ({reason})")
    if reason in _BROKEN:
        raise NoReply(f"a reply that broke off ({reason})")
    return "length" if reason in _CUT else "stop"


# ---- what it says --------------------------------------------------------------------------------------------------

_THOUGHT_TYPES = frozenset(
    ["thinking", "reasoning", "thought", "reasoning_text", "reasoning.text", "reasoning.summary"]
)
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details", "thought")
_CALL_TYPES = frozenset(["tool_use", "tool_call", "function_call", "function"])


class _Said:
    """Text, thought, calls and refusal, collected from the fields and parts of a message."""

    def __init__(self) -> None:
        self.refusal = ""
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[str] = []

    def hear(self, message: Mapping[str, Any]) -> None:
        self._content(message.get("content"))
        thoughts = (_plain(message.get(field)) for field in _THOUGHT_FIELDS)
        if thought := next(filter(str.strip, thoughts), ""):
            self._thoughts.append(thought)
        refusal = message.get("refusal")
        self.refusal = self.refusal or (refusal if isinstance(refusal, str) else "")
        calls = message.get("tool_calls") or message.get("function_call") or []
        for call in calls if isinstance(calls, list) else [calls]:
            self._call(call)

    def _content(self, content: Any) -> None:
        if isinstance(content, str):
            self._texts.append(content)
        elif isinstance(content, list):
            for part in content:
                self._content(part)
        elif isinstance(content, dict):
            self._part(content)

    def _part(self, part: Mapping[str, Any]) -> None:
        kind = part.get("type")
        if kind in _THOUGHT_TYPES or part.get("thought") is True:
            self._thoughts.append(_plain(part))
        elif kind in _CALL_TYPES:
            self._call(part)
        elif kind == "refusal":
            self.refusal = _plain(part.get("refusal"))
        elif isinstance(part.get("parts"), list):
            self._content(part["parts"])
        else:
            self._texts.append(_plain(part.get("text") or part.get("content")))

    def _call(self, call: Any) -> None:
        inner = call.get("function") if isinstance(call, dict) and isinstance(call.get("function"), dict) else call
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            return
        given = inner.get("arguments", inner.get("input", inner.get("parameters")))
        self._calls.append(_written_call(inner["name"], given))

    def written(self) -> tuple[str, str]:
        """Text and thought. What is said beside calls in fields of their own is the thought before them."""
        text, thought = "".join(self._texts), "\n".join(filter(str.strip, self._thoughts))
        if not self._calls or "<tool_call>" in text:
            return mend_surrogates(text), mend_surrogates(thought)
        calls = "\n".join(self._calls)
        if text.strip() and any(f"<{tag}>" in text or f"</{tag}>" in text for tag in TAGS):
            text = f"{text.rstrip()}\n{calls}"
        elif thought and text.strip():
            text, thought = calls, f"{thought}\n{text.strip()}"
        else:
            text = f"<think>\n{escape_tags(text.strip())}\n</think>\n{calls}" if text.strip() else calls
        return mend_surrogates(text), mend_surrogates(thought)


def _plain(value: Any) -> str:
    """The text in a field that may hold a text, parts of one, or an object around it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        fields = ("text", "thinking", "content", "reasoning", "reasoning_content", "summary", "value")
        return next(filter(None, (_plain(value.get(field)) for field in fields)), "")
    return ""


def _written_call(name: str, given: Any) -> str:
    """A call in the text grammar; arguments that are no JSON stay as they are, for the reader of calls to mend."""
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(strip_fence(given.strip())[0])
            given = json.loads(given) if isinstance(given, str) and given.lstrip().startswith("{") else given
        except (ValueError, RecursionError):
            body = f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {given}}}'
            return f"<tool_call>\n{escape_json_tags(body)}\n</tool_call>"
    if given is None or (isinstance(given, str) and not given.strip()):
        given = {}
    if isinstance(given, str):
        body = json.dumps({"name": name, "arguments": given}, ensure_ascii=False)
        return f"<tool_call>\n{escape_json_tags(body)}\n</tool_call>"
    return render_call(ToolCall(name, given))


def _action_in(thought: str) -> tuple[str, str]:
    """Thought and text where servers took a whole turn for the thought: what ends in an action ends the thought."""
    body = thought.rstrip()
    for tag in ("tool_call", "answer"):
        start = body.rfind(f"<{tag}>")
        if body.endswith(f"</{tag}>") and start >= 0:
            return body[:start].rstrip().removeprefix("<think>").removesuffix("</think>").strip(), body[start:]
    return thought, ""


# ---- streams -------------------------------------------------------------------------------------------------------


def _is_event(body: Body) -> bool:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    return (isinstance(first, dict) and "delta" in first and "message" not in first) or body.get("done") is False


def _assembled(events: Sequence[Body], *, ended: bool) -> Body:
    """The completion that a stream of events makes. Raises NoReply for one that was cut off."""
    message: dict[str, Any] = {"content": ""}
    calls: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {}
    reason = ""
    for event in events:
        body.update({key: event[key] for key in ("id", "usage") if event.get(key)})
        if not event.get("choices") and "message" not in event:
            continue
        piece, why = _message(event)
        reason = why or reason
        _add(message, calls, piece)
    if not (reason or ended):
        raise NoReply("a stream that was cut off")
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**body, "choices": [{"message": message, "finish_reason": reason or "stop"}]}


def _add(message: dict[str, Any], calls: dict[int, dict[str, Any]], piece: Mapping[str, Any]) -> None:
    for field in ("content", *_THOUGHT_FIELDS, "refusal"):
        value = piece.get(field)
        if isinstance(value, str):
            before = message.get(field)
            message[field] = before + value if isinstance(before, str) else value
        elif isinstance(value, list):
            before = message.get(field) or []
            message[field] = [*([before] if isinstance(before, str) else before), *value]
    pieces = piece.get("tool_calls")
    for position, call in enumerate(pieces if isinstance(pieces, list) else _legacy(piece)):
        if isinstance(call, dict):
            index = call.get("index")
            _add_call(
                calls.setdefault(index if isinstance(index, int) else position, {}), _object(call.get("function"))
            )


def _legacy(piece: Mapping[str, Any]) -> Iterable[Any]:
    call = piece.get("function_call")
    return [{"index": 0, "function": call}] if isinstance(call, dict) else []


def _add_call(call: dict[str, Any], piece: Mapping[str, Any]) -> None:
    call["name"] = call.get("name") or piece.get("name")
    more = piece.get("arguments")
    if isinstance(more, str):
        call["arguments"] = call.get("arguments", "") + more
    elif more is not None:
        call["arguments"] = more

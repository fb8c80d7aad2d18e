"""JSON of a given shape from models that give it, from those that do not, and from servers that know no schemas."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import answering

from webdancer_cli.data.records import Message, Usage
from webdancer_cli.llm.client import ChatClient, Reply
from webdancer_cli.llm.model_client import ContextFull
from webdancer_cli.llm.structured_output import Aside, TextOrNumber, Unreadable, ask_for_json, parse_as, response_format


class Part(msgspec.Struct):
    page: int


class Plan(msgspec.Struct):
    title: str
    parts: list[Part] = []


GOOD = '{"title": "x", "parts": [{"page": 2}]}'
ASKED = "Plan {what}."
USED = Usage(calls=1, input_tokens=7, output_tokens=3)


@asynccontextmanager
async def serving(*texts: str, refuses_schemas: bool = False) -> AsyncIterator[tuple[ChatClient, list[dict[str, Any]]]]:
    """A chat with a server that says the texts in turn; and the requests that it got."""
    requests: list[dict[str, Any]] = []
    left = iter(texts)

    def answer(request: dict[str, Any]) -> tuple[int, object]:
        if refuses_schemas and "response_format" in request:
            return 400, {"error": {"message": "unknown field: response_format"}}
        counts = {"prompt_tokens": 7, "completion_tokens": 3}
        return 200, {"choices": [{"message": {"content": next(left)}}], "usage": counts}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
                requests.append(json.loads(await reader.readexactly(length)))
                status, said = answer(requests[-1])
                body = json.dumps(said).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    chat = ChatClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "m")
    yield chat, requests
    await chat.aclose()
    server.close()


async def test_the_schema_is_asked_for_and_the_reply_is_validated() -> None:
    async with serving(GOOD) as (chat, requests):
        assert await ask_for_json(chat, Plan, ASKED, what="it") == (Plan("x", [Part(2)]), USED)
    (request,) = requests
    assert request["response_format"] == response_format(Plan)


def test_a_schema_stands_on_its_own() -> None:
    schema = response_format(Plan)["json_schema"]
    assert schema["name"] == "Plan"
    assert schema["schema"]["type"] == "object" and schema["schema"]["required"] == ["title"]
    assert schema["schema"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert schema["schema"]["$defs"]["Part"]["required"] == ["page"]


async def test_a_server_without_structured_output_is_asked_without_from_then_on() -> None:
    async with serving(GOOD, GOOD, refuses_schemas=True) as (chat, requests):
        assert [await ask_for_json(chat, Plan, ASKED, what="it") for _ in range(2)] == [
            (Plan("x", [Part(2)]), USED)
        ] * 2
    assert ["response_format" in request for request in requests] == [True, False, False]


async def test_a_server_that_knows_json_but_no_schemas_is_asked_for_json_whatever_its_status() -> None:
    said = "[{'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}]"
    asked: list[Any] = []

    def reply(request: Any, _: object) -> tuple[int, object]:
        asked.append(request.get("response_format", {}).get("type"))
        refuses = asked[-1] == "json_schema"
        return (500, {"error": {"message": said}}) if refuses else (200, {"choices": [{"message": {"content": GOOD}}]})

    with answering(reply) as url:
        chat = ChatClient(url, "m")
        for _ in range(2):
            assert (await ask_for_json(chat, Plan, ASKED, what="it"))[0] == Plan("x", [Part(2)])
        await chat.aclose()
    assert asked == ["json_schema", "json_object", "json_object"]


async def test_an_unreadable_reply_is_told_its_fault_and_repaired_once() -> None:
    async with serving('{"title": 3}', GOOD) as (chat, requests):
        plan, used = await ask_for_json(chat, Plan, ASKED, what="it")
    assert plan == Plan("x", [Part(2)])
    assert used == Usage(calls=2, input_tokens=14, output_tokens=6)  # both calls
    said = [(message["role"], message["content"]) for message in requests[1]["messages"]]
    assert said[:2] == [("user", "Plan it."), ("assistant", '{"title": 3}')]
    assert said[2][0] == "user" and "$.title" in said[2][1]


async def test_a_second_unreadable_reply_is_an_error() -> None:
    async with serving("Sorry.", "Sorry again.", GOOD) as (chat, requests):
        with pytest.raises(Unreadable, match=r"no JSON object in it: Sorry again\."):
            await ask_for_json(chat, Plan, ASKED, what="it")
    assert len(requests) == 2


async def test_a_reply_too_long_to_be_repaired_is_unreadable() -> None:
    class Rambling:
        model = "rambling"

        async def complete(self, messages: Sequence[Message], **_: object) -> Reply:
            if len(messages) > 1:
                raise ContextFull("maximum context length")
            return Reply(text='{"title": "and so on and on')

    with pytest.raises(Unreadable, match="no JSON object"):
        await ask_for_json(Rambling(), Plan, ASKED, what="it")


def test_json_is_found_in_whatever_stands_around_it() -> None:
    assert parse_as(Plan, '<think>{"title": "no"}</think> Sure {x}: ```json\n{"title": "yes"}\n```') == Plan("yes")


@pytest.mark.parametrize(
    "text",
    [
        'The form is {"title": "no"}. So: {"title": "yes"}',
        '{"title": "no", "parts": []} Wait. {"title": "yes"} That {"is": "all"}.',
        '{"note": 1} {"title": "yes"} {"title": 3}',
        'Reasons {"title": "no"}, </think> more, </think>{"title": "yes"}',
    ],
)
def test_among_several_objects_the_last_that_fits_counts(text: str) -> None:
    assert parse_as(Plan, text) == Plan("yes")


def test_a_tag_that_a_reply_quotes_ends_no_thought() -> None:
    assert parse_as(Plan, '<think>{"title": "no"}</think>{"title": "what </think> means"}') == Plan(
        "what </think> means"
    )


@pytest.mark.parametrize("text", ['<think>{"title": "no"}</think> I do not know.', '{"title": "no"} </think> {"tit'])
def test_what_stands_in_a_thought_is_no_reply(text: str) -> None:
    with pytest.raises(Unreadable, match="no JSON object"):
        parse_as(Plan, text)


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert parse_as(Plan, r'{"title": "smile \ud83d", "parts": []}') == Plan("smile \ufffd")
    assert parse_as(Plan, r'{"title": "smile \ud83d\ude00"}') == Plan("smile 😀")


class Answer(msgspec.Struct):
    why: Aside
    answer: TextOrNumber
    sure: bool = True


LENIENT: list[tuple[str, Answer]] = [
    ('{"answer": "4",}', Answer("", "4")),
    ("{'why': None, 'answer': '4', 'sure': False}", Answer("", "4", False)),
    ('{"why": "\\(x\\) \\q", "answer": "4"}', Answer("\\(x\\) \\q", "4")),
    (r'{"why": "\(x\)", "answer": "4"}', Answer("\\(x\\)", "4")),
    ('{"why": ["a", "b"], "answer": "4"}', Answer("a\nb", "4")),
    ('{"why": {"text": "a"}, "answer": ["4"]}', Answer("a", "4")),
    ('{"why": 7, "answer": 4}', Answer("", "4")),
    ('{"Why": "a", "ANSWER": "4", "Sure": "No"}', Answer("a", "4", False)),
    ('{"answers": "4"}', Answer("", "4")),
    ('{"answer": "4", "sure": "who knows"}', Answer("", "4")),
    ('{"reply": {"why": "a", "answer": "4"}}', Answer("a", "4")),
    ('{"reply": [{"why": "a", "answer": "4"}]}', Answer("a", "4")),
    ('{"reply": "{\\"why\\": \\"a\\", \\"answer\\": \\"4\\"}"}', Answer("a", "4")),
    ('[{"why": "a", "answer": "4"}]', Answer("a", "4")),
    (json.dumps('{"why": "a", "answer": "4"}'), Answer("a", "4")),
    ('{\\"why\\": \\"a\\", \\"answer\\": \\"4\\"}', Answer("a", "4")),
    ('```json\n{"why": "a "b" c", "answer": "4"}\n```', Answer('a "b" c', "4")),
    ("{why: a, answer: 4}", Answer("a", "4")),
    ('{"why": "a", "answer": "4"} // done', Answer("a", "4")),
    ('{"answer": "no"} {"answer": "4"} {"other": 1}', Answer("", "4")),
    ('<tool_call>{"name": "reply", "arguments": {"answer": "4"}}</tool_call>', Answer("", "4")),
]


@pytest.mark.parametrize(("text", "value"), LENIENT, ids=[case[0] for case in LENIENT])
def test_a_reply_that_differs_in_form_alone_is_read(text: str, value: Answer) -> None:
    assert parse_as(Answer, text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"why": "a"}',
        '{"answer": true}',
        '{"a": {"answer": "1"}, "b": {"answer": "2"}}',
        '{"answer": "4',
        "4",
        "{answer}",
    ],
)
def test_what_is_missing_or_open_is_not_made_up(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_as(Answer, text)


class Several(msgspec.Struct):
    parts: list[Part]


@pytest.mark.parametrize(
    "text",
    [
        '[{"page": 1}, {"page": 2}]',
        '{"parts": [{"page": "1"}, {"page": "page 2"}]}',
        '{"Parts": "[{\\"page\\": 1}, {\\"page\\": 2}]"}',
    ],
)
def test_a_list_is_read_with_and_without_its_frame(text: str) -> None:
    assert parse_as(Several, text) == Several([Part(1), Part(2)])


async def test_a_reply_that_a_server_took_for_reasoning_as_a_whole_is_read_from_its_end() -> None:
    class Misplacing:
        model = "m"

        async def complete(self, messages: Sequence[Message], **_: object) -> Reply:
            return Reply(text="", thought=f"It is x.\n{GOOD}", usage=USED)

    assert await ask_for_json(Misplacing(), Plan, ASKED, what="it") == (Plan("x", [Part(2)]), USED)


@given(st.text())
def test_any_text_is_read_or_is_unreadable(text: str) -> None:
    with suppress(Unreadable):
        assert isinstance(parse_as(Plan, text), Plan)

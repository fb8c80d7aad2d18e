"""The chat client against a local server that misbehaves in the ways real ones do."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from webdancer_cli.data.records import Message
from webdancer_cli.errors import BudgetSpent, ModelError, ServiceRefused, UsageError
from webdancer_cli.llm.budget import Budget, Ledger, Price
from webdancer_cli.llm.client import ChatClient, Reply
from webdancer_cli.llm.endpoints import EndpointPool
from webdancer_cli.llm.model_client import RETRY, ContextFull
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape

pytestmark = pytest.mark.virtual_clock

CANARY = "sk-canary-0123456789"
HELLO = [Message("user", "Who are you?")]
QUICK = RetryPolicy(attempts=3, attempt_seconds=0.3, total_seconds=2, first_pause_seconds=0.01)

Answer = bytes | None
"""A raw HTTP response; b"" cuts the connection; None never answers."""


def http(status: int, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def said(content: str | None, finish: str = "stop", **more: object) -> bytes:
    message = {"role": "assistant", "content": content, **more}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 5}}
    return http(200, {"id": "x", "choices": [{"message": message, "finish_reason": finish}], "usage": usage})


class Server:
    """Answers the n-th request by the n-th answer, and all later ones by the last."""

    def __init__(self, answers: list[Answer]):
        self.answers = answers
        self.requests: list[tuple[str, dict]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line.lower())
            self.requests.append((head.decode(), json.loads(await reader.readexactly(length))))
            answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
            if answer is None:
                await asyncio.sleep(60)
            if not answer:
                break
            writer.write(answer)
            if b"Connection: close" in answer:
                break
        writer.close()


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server(list(answers))
    connections = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        try:
            await server.serve(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    yield server
    listener.close()
    for task in connections:
        task.cancel()


async def ask(server: Server, retry: RetryPolicy = QUICK, **options: object) -> Reply:
    chat = ChatClient(server.url, "a-model", retry=retry, **options)
    try:
        return await chat.complete(HELLO, stop=["<tool_response>"])
    finally:
        await chat.aclose()


async def test_a_reply_carries_text_finish_and_usage() -> None:
    async with serving(said("<think>\nhi\n</think>")) as server:
        reply = await ask(server, temperature=0.6, max_tokens=99)
    assert (reply.text, reply.thought, reply.finish) == ("<think>\nhi\n</think>", "", "stop")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (11, 7, 5)


async def test_the_request_is_what_the_endpoint_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    async with serving(said("hi")) as server:
        await ask(server, temperature=0.6, top_p=0.9, max_tokens=99)
    head, body = server.requests[0]
    assert head.startswith("POST /v1/chat/completions ")
    assert f"Bearer {CANARY}" in head
    assert body == {
        "model": "a-model",
        "messages": [{"role": "user", "content": "Who are you?"}],
        "temperature": 0.6,
        "top_p": 0.9,
        "max_tokens": 99,
        "stop": ["<tool_response>"],
    }


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_in_its_own_field_is_the_thought(field: str) -> None:
    async with serving(said("<answer>4</answer>", **{field: "2 + 2"})) as server:
        reply = await ask(server)
    assert (reply.thought, reply.text) == ("2 + 2", "<answer>4</answer>")


async def test_reasoning_cut_off_before_any_text_is_a_reply_of_length() -> None:
    async with serving(said(None, "length", reasoning="so long")) as server:
        reply = await ask(server)
    assert (reply.text, reply.thought, reply.finish) == ("", "so long", "length")


PASSING = {
    "500": http(500, {"error": {"message": "overloaded"}}),
    "503 in HTML": http(503, b"<html>busy</html>"),
    "429": http(429, {"error": {"message": "slow down"}}),
    "a cut connection": b"",
    "a cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nConnection: close\r\n\r\n{",
    "silence": None,
    "junk": http(200, b"{not json"),
    "another shape": http(200, {"choices": "none"}),
    "no choices": http(200, {"choices": []}),
    "an empty message that says not why": said("", ""),
    "a message that broke off": said("half", "error"),
    "a stream that was cut off": http(200, b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'),
    "an error under 200": http(200, {"error": {"message": "Provider returned error", "code": 502}}),
    "too many requests under 200": http(200, {"error": {"message": "slow down", "code": 429}}),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
async def test_what_may_pass_is_tried_again(failure: Answer) -> None:
    async with serving(failure, said("hi")) as server:
        assert (await ask(server)).text == "hi"
    assert len(server.requests) == 2


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
async def test_what_does_not_pass_is_an_error_in_bounded_time(failure: Answer) -> None:
    started = time.monotonic()
    async with serving(failure) as server:
        with pytest.raises(ModelError, match=r"3 attempts"):
            await ask(server)
    assert len(server.requests) == 3
    assert time.monotonic() - started < 3 * 0.3 + 1.5 * (0.01 + 0.02) + 1e-3  # three attempts and the pauses between


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_what_cannot_succeed_is_not_tried_again(status: int) -> None:
    async with serving(http(status, {"error": {"message": "no such thing"}}), said("hi")) as server:
        with pytest.raises(ModelError, match=rf"HTTP {status}: .*no such thing"):
            await ask(server)
    assert len(server.requests) == 1


FINAL = {
    "a wrong key": (401, {"error": {"message": "Incorrect API key"}}),
    "no credit": (402, {}),
    "no quota": (429, {"error": {"code": "insufficient_quota"}}),
    "no credit, under 400": (400, {"error": {"message": "Your credit balance is too low"}}),
    "no credit, under 200": (200, {"error": {"message": "Insufficient credits", "code": 402}}),
    "a closed account": (403, {"error": {"message": "The account has been deactivated"}}),
}


@pytest.mark.parametrize(("status", "body"), FINAL.values(), ids=FINAL.keys())
async def test_a_key_or_an_account_at_its_end_ends_the_run_after_one_call(status: int, body: object) -> None:
    async with serving(http(status, body), said("hi")) as server:
        chat = ChatClient(server.url, "a-model", retry=QUICK)
        for _ in range(3):
            with pytest.raises(ServiceRefused, match=r"(set OPENAI_API_KEY|add credit).*--resume"):
                await chat.complete(HELLO)
        await chat.aclose()
    assert len(server.requests) == 1


FILTERED = {
    "by the server": http(400, {"error": {"message": "content management policy", "code": "content_filter"}}),
    "by a gateway": http(403, {"error": {"message": "Your input was flagged", "code": 403}}),
    "in the reply": said("half", "content_filter"),
    "with no text": said(None, "SAFETY"),
    "by the model": said(None, refusal="I cannot help with that"),
}


@pytest.mark.parametrize("answer", FILTERED.values(), ids=FILTERED.keys())
async def test_a_question_that_is_refused_is_named_not_repeated_and_ends_no_run(answer: bytes) -> None:
    async with serving(answer, said("hi")) as server:
        chat = ChatClient(server.url, "a-model", retry=QUICK)
        with pytest.raises(ModelError, match=r"content management|flagged|filter|cannot help"):
            await chat.complete(HELLO)
        assert (await chat.complete(HELLO)).text == "hi"
        await chat.aclose()


async def test_an_empty_reply_is_the_models_own_and_is_not_repeated() -> None:
    for content in ("", None, []):
        async with serving(said(content), said("hi")) as server:
            assert (await ask(server)).text == ""
        assert len(server.requests) == 1


async def test_a_new_attempt_has_a_new_seed() -> None:
    async with serving(http(500, {}), said("x", "error"), said("hi")) as server:
        chat = ChatClient(server.url, "a-model", retry=QUICK)
        await chat.complete(HELLO, seed=2**31 - 1)
        await chat.aclose()
    assert [body["seed"] for _, body in server.requests] == [2**31 - 1, 0, 1]


async def test_a_context_too_small_for_the_reply_is_asked_for_a_shorter_one() -> None:
    refusals = [
        {"error": {"message": "max_tokens=8192 cannot be greater than max_model_len=4096. (parameter=max_tokens)"}},
        {"error": {"message": "This model's maximum context length is 4096 tokens."}},
    ]
    async with serving(*(http(400, refusal) for refusal in refusals), said("hi")) as server:
        assert (await ask(server, max_tokens=8192)).text == "hi"
        assert [body["max_tokens"] for _, body in server.requests] == [8192, 2048, 512]


async def test_a_reply_longer_than_the_model_ever_writes_is_asked_for_shorter() -> None:
    refusal = {
        "error": {"message": "max_tokens is too large: 8192. This model supports at most 4096 completion tokens"}
    }
    async with serving(http(400, refusal), said("hi")) as server:
        assert (await ask(server, max_tokens=8192)).text == "hi"
        assert [body["max_tokens"] for _, body in server.requests] == [8192, 4096]


async def test_a_full_context_has_its_own_error() -> None:
    refusal = {"error": {"message": "This model's maximum context length is 4096 tokens."}}
    async with serving(http(400, refusal)) as server:
        with pytest.raises(ContextFull):
            await ask(server)


async def test_retry_after_is_honoured() -> None:
    started = time.monotonic()
    async with serving(http(429, {}, "Retry-After: 0.5"), said("hi")) as server:
        assert (await ask(server)).text == "hi"
    assert time.monotonic() - started == pytest.approx(0.5)


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    started = time.monotonic()
    async with serving(http(429, {}, "Retry-After: 3600"), said("hi")) as server:
        with pytest.raises(ModelError, match="HTTP 429"):
            await ask(server)
    assert len(server.requests) == 1 and time.monotonic() == pytest.approx(started)


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (401, "Incorrect API key provided", ServiceRefused),
        (500, "Broken by", ModelError),
        (400, "Not this", ModelError),
        (200, "Broken by", ModelError),
    ],
)
async def test_the_key_is_in_no_error(
    status: int, said: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    async with serving(http(status, {"error": {"message": f"{said}: {CANARY}"}})) as server:
        with pytest.raises(error, match=rf"{said}: \*\*\*") as caught:
            await ask(server)
    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["sk-\nnew", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_a_usage_error_without_the_key(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        ChatClient("http://127.0.0.1:1/v1", "a-model")
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://127.0.0.1/v1", "http://", "http://[::1/v1"])
def test_a_base_url_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="--base-url"):
        ChatClient(url, "a-model")


async def test_nobody_listening_is_a_model_error_without_the_password() -> None:
    chat = ChatClient("http://user:geheim@127.0.0.1:9/v1", "a-model", retry=QUICK)
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1/chat/completions: ConnectError") as caught:
        await chat.complete(HELLO)
    await chat.aclose()
    assert "geheim" not in str(caught.value)


async def test_calls_run_at_once_up_to_the_number_of_jobs() -> None:
    under_way: list[int] = [0, 0]

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            under_way[0] += 1
            under_way[1] = max(under_way)
            await asyncio.sleep(0.05)
            under_way[0] -= 1
            writer.write(said("hi"))

    listener = await asyncio.start_server(slow, "127.0.0.1", 0)
    chat = ChatClient(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1", "a-model", jobs=5)
    replies = await asyncio.gather(*(chat.complete(HELLO) for _ in range(20)))
    await chat.aclose()
    listener.close()
    assert [reply.text for reply in replies] == ["hi"] * 20
    assert under_way[1] == 5


async def test_a_server_that_bears_three_calls_at_once_gets_all_done_although_forty_are_wanted() -> None:
    under_way: list[int] = [0, 0, 0]

    async def narrow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            if under_way[0] == 3:
                under_way[2] += 1
                writer.write(http(429, {"error": {"message": "slow down"}}))
                continue
            under_way[0] += 1
            await asyncio.sleep(0.01)
            under_way[0] -= 1
            under_way[1] += 1
            writer.write(said("hi"))

    listener = await asyncio.start_server(narrow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    retry = msgspec.structs.replace(RETRY, attempts=12, first_pause_seconds=0.01)
    chat = ChatClient(url, "a-model", jobs=40, retry=retry)
    replies = await asyncio.gather(*(chat.complete(HELLO) for _ in range(120)))
    (endpoint,) = chat._endpoints.all
    await chat.aclose()
    listener.close()
    assert (len(replies), under_way[1]) == (120, 120)
    assert endpoint.limit < 20
    assert under_way[2] < 240  # with forty at once all the time, most of 12 attempts would be refused


async def test_a_call_fails_over_to_an_endpoint_that_lives() -> None:
    async with serving(said("hi")) as server:
        chat = ChatClient(["http://127.0.0.1:9/v1", server.url], "a-model", retry=QUICK)
        replies = [await chat.complete(HELLO) for _ in range(10)]
        await chat.aclose()
    assert {reply.text for reply in replies} == {"hi"}
    assert len(server.requests) == 10


async def test_a_reply_that_repeats_the_key_is_blanked_but_a_placeholder_is_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, text in ((CANARY, "My key is ***."), ("EMPTY", "My key is EMPTY.")):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        async with serving(said(f"My key is {key}.")) as server:
            assert (await ask(server)).text == text


async def test_a_budget_is_asked_before_every_call() -> None:
    ledger = Ledger("a-model", budget=Budget(max_tokens=20))
    async with serving(said("hi")) as server:
        chat = ChatClient(server.url, "a-model", ledger=ledger)
        await chat.complete(HELLO)
        await chat.complete(HELLO)
        with pytest.raises(BudgetSpent):
            await chat.complete(HELLO)
        await chat.aclose()
    assert len(server.requests) == 2  # 11 + 7 tokens each


async def test_a_reply_without_text_is_charged_all_the_same() -> None:
    ledger = Ledger("a-model", budget=Budget(max_tokens=30))
    async with serving(said("", "")) as server:
        with pytest.raises(BudgetSpent):
            await ask(server, ledger=ledger)
    assert len(server.requests) == 2  # 11 + 7 tokens each
    assert (ledger.total.calls, ledger.total.input_tokens, ledger.total.output_tokens) == (2, 22, 14)


async def test_chats_that_share_endpoints_keep_their_own_patience() -> None:
    """A connection that the impatient one has opened serves the patient one."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"patient" in (request := await reader.read(65536)):
            await asyncio.sleep(0 if b"impatient" in request else 0.5)
            writer.write(said("hi"))

    listener = await asyncio.start_server(late, "127.0.0.1", 0)
    shared = EndpointPool([f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"], 4)
    impatient = ChatClient(shared, "impatient", retry=RetryPolicy(attempts=1, attempt_seconds=0.2, total_seconds=1))
    patient = ChatClient(shared, "patient", retry=RetryPolicy(attempts=1, attempt_seconds=5, total_seconds=5))
    assert [(await chat.complete(HELLO)).text for chat in (impatient, patient)] == ["hi", "hi"]
    await patient.aclose()
    listener.close()


async def test_half_a_surrogate_pair_is_sent_as_a_replacement_character(tmp_path: Path) -> None:
    async with serving(said("hi")) as server:
        with Tape(str(tmp_path / "t")) as tape:
            chat = ChatClient(server.url, "a-model", tape=tape)
            assert (await chat.complete([Message("user", "smile \ud83d 😀")])).text == "hi"
            await chat.aclose()
    assert server.requests[0][1]["messages"] == [{"role": "user", "content": "smile \ufffd 😀"}]


async def test_a_tape_answers_in_the_place_of_the_endpoint_and_costs_nothing(tmp_path: Path) -> None:
    ledger = Ledger("a-model", price=Price(input=1.0, output=1.0))
    with Tape(str(tmp_path / "tape")) as tape:
        async with serving(said("one"), said("two")) as server:
            chat = ChatClient(server.url, "a-model", tape=tape, ledger=ledger)
            first = [await chat.complete(HELLO, rollout=rollout) for rollout in (0, 0, 1)]
            await chat.aclose()
    assert [reply.text for reply in first] == ["one", "one", "two"]
    assert [reply.usage.cost for reply in first] == [0.000018] * 3  # 11 + 7 tokens at a millionth of a dollar
    assert (ledger.total.calls, len(server.requests)) == (2, 2)


async def test_what_an_endpoint_refuses_is_learnt_once_for_all_calls_and_told_once() -> None:
    told: list[str] = []
    refused = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}

    class Choosy(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"-length" in line)
                request = json.loads(await reader.readexactly(length))
                self.requests.append((head.decode(), request))
                writer.write(http(400, refused) if "max_tokens" in request else said("hi"))

    server = Choosy([])
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    endpoints = EndpointPool([f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"], 4, told.append)
    chats = [ChatClient(endpoints, "a-model", max_tokens=99, retry=QUICK) for _ in range(2)]
    for _ in range(2):
        replies = await asyncio.gather(*(chat.complete(HELLO) for chat in chats for _ in range(8)))
        assert {reply.text for reply in replies} == {"hi"}
    await chats[0].aclose()
    listener.close()
    assert len(told) == 1 and told[0].endswith("a-model: it takes no max_tokens: sent as max_completion_tokens")
    assert sum("max_tokens" in request for _, request in server.requests) <= 4  # those that were under way at first
    assert server.requests[-1][1]["max_completion_tokens"] == 99


async def test_what_names_nothing_that_was_sent_stays_an_error() -> None:
    async with serving(http(400, {"error": {"message": "System role not supported"}}), said("hi")) as server:
        with pytest.raises(ModelError, match="HTTP 400: System role"):
            await ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_a_full_context_is_known_under_any_status(status: int) -> None:
    refusal = {"error": {"message": "the request exceeds the available context size", "n_ctx": 4096}}
    async with serving(http(status, refusal)) as server:
        with pytest.raises(ContextFull):
            await ask(server, max_tokens=512)
    assert len(server.requests) == 1

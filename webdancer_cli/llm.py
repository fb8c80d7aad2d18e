"""A chat client for any OpenAI-compatible endpoint.

A call gives a reply or raises: an error never becomes text, and silence, junk or an empty message are errors. What may
pass (429, 5xx, cut connections, junk) is tried again, bounded in number and in time; what cannot succeed is not.
"""

import asyncio
import email.utils
import os
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

import httpx
import msgspec

from webdancer_cli import proxies
from webdancer_cli.endpoints import Endpoint, Endpoints
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.lenient_json import encodable
from webdancer_cli.records import Message, Usage
from webdancer_cli.spending import Ledger
from webdancer_cli.tape import SHORTEST_SECRET, Tape, TapeMiss

KEY_VARIABLE = "OPENAI_API_KEY"
FEWEST_TOKENS = 512
"""A reply is not asked to be shorter than this to make it fit."""


TOO_LONG = ("context length", "context_length_exceeded", "max_model_len", "max_tokens is too large")
"""What servers say of messages, or of a reply that is asked to be so long, that do not fit."""


class ContextFull(ModelError):
    """The messages are longer than the model's context; no repetition would help."""


class SchemaRefused(ModelError):
    """The server does not know the structured output that it was asked for."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call is worth waiting for: one attempt, and all attempts with the pauses between them."""

    attempts: int = 6
    attempt_seconds: float = 300
    total_seconds: float = 900
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30

    @classmethod
    def within(cls, seconds: float) -> "Patience":
        """For a caller who waits so long at most: silence is then a failure of the model, not a slow caller."""
        total = 0.9 * seconds
        return cls(total_seconds=total, attempt_seconds=min(cls().attempt_seconds, total))


class Reply(msgspec.Struct, kw_only=True):
    """What a model said. ``thought`` is the reasoning that a reasoning model returns apart from its text.

    ``trace`` is the endpoint's own id of the call.
    """

    text: str
    thought: str = ""
    trace: str = ""
    finish: Literal["stop", "length"] = "stop"
    usage: Usage = msgspec.field(default_factory=Usage)


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    """The parts of a chat completion that are read; everything else is ignored."""

    choices: list[_Choice]
    usage: _Usage | None = None
    id: Any = None


class _Passing(Exception):
    """A failure that another attempt may not meet. ``wait_seconds`` is what the server asked for."""

    def __init__(self, text: str, wait_seconds: float = 0.0, *, unreachable: bool = False):
        super().__init__(text)
        self.wait_seconds = wait_seconds
        self.unreachable = unreachable


class _Busy(_Passing):
    """The server has too much to do."""


class Chat:
    """One model at one endpoint or at several, ``jobs`` calls at once at most. Its key comes from OPENAI_API_KEY.

    Every connection is a client of its own: a pool of httpx looks through all its connections for every request, which
    with a hundred of them costs more than the request. Chats may share ``Endpoints``, and with them what these bear.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | Endpoints,
        model: str,
        *,
        temperature: float = 0.6,
        top_p: float = 0.95,
        max_tokens: int = 2048,
        repetition_penalty: float = 1.0,
        jobs: int = 8,
        patience: Patience | None = None,
        ledger: Ledger | None = None,
        tape: Tape | None = None,
    ):
        self.model = model
        self.patience = patience or Patience()
        self.ledger = ledger or Ledger(model)
        self._tape = tape
        if not isinstance(base_url, Endpoints):
            base_url = Endpoints([base_url] if isinstance(base_url, str) else base_url, jobs)
        self._endpoints = base_url
        self._sampling: dict[str, float] = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        if repetition_penalty != 1:
            self._sampling["repetition_penalty"] = repetition_penalty
        self._key = _key()
        self._ssl = httpx.create_ssl_context()
        self._knows_schemas = True

    async def complete(
        self,
        messages: Sequence[Message],
        stop: Sequence[str] = (),
        *,
        rollout: int = 0,
        schema: Mapping[str, Any] | None = None,
        **sampling: float,
    ) -> Reply:
        """The model's next message. Raises ModelError; ContextFull if the messages are too long for the model.

        ``sampling`` is for this call alone, e.g. its seed. ``rollout`` tells apart on the tape what is asked in the
        same words several times. ``schema`` is the ``response_format`` asked for; a server that knows none of that is
        asked without. Raises BudgetSpent before a call that may not be made any more.
        """
        sendable = [Message(message.role, encodable(message.content)) for message in messages]
        request: dict[str, Any] = {"model": self.model, "messages": sendable, **self._sampling, **sampling}
        if stop:
            request["stop"] = list(stop)
        reply = await self._taped(request, schema, rollout)
        return msgspec.structs.replace(reply, usage=self.ledger.priced(reply.usage))

    async def _taped(self, request: dict[str, Any], schema: Mapping[str, Any] | None, rollout: int) -> Reply:
        if self._tape is None:
            return await self._asked(request, schema)
        asked = [request, schema, rollout]
        try:
            return await self._tape.through("llm", asked, self.model, Reply, lambda: self._asked(request, schema))
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None

    async def _asked(self, request: dict[str, Any], schema: Mapping[str, Any] | None) -> Reply:
        """Ask for fewer tokens where servers count them as part of a context that is too small for so many."""
        while True:
            try:
                return await self._shaped(request, schema)
            except ContextFull:
                if request["max_tokens"] <= FEWEST_TOKENS:
                    raise
                request = {**request, "max_tokens": max(FEWEST_TOKENS, request["max_tokens"] // 4)}

    async def _shaped(self, request: dict[str, Any], schema: Mapping[str, Any] | None) -> Reply:
        """Ask for the schema while the server is not known to refuse it."""
        if schema and self._knows_schemas:
            try:
                return await self._persistently(msgspec.json.encode({**request, "response_format": schema}))
            except SchemaRefused:
                self._knows_schemas = False
        return await self._persistently(msgspec.json.encode(request))

    async def _persistently(self, body: bytes) -> Reply:
        deadline = time.monotonic() + self.patience.total_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(body, deadline)
            except _Passing as failure:
                pause = max(failure.wait_seconds, self._pause(attempt))
                if attempt >= self.patience.attempts or time.monotonic() + pause > deadline:
                    tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                    raise ModelError(f"{self._clean(str(failure))} ({tries})") from None
                await asyncio.sleep(pause)

    async def aclose(self) -> None:
        for endpoint in self._endpoints.all:
            while endpoint.idle:
                await endpoint.idle.pop().aclose()

    def _pause(self, attempt: int) -> float:
        """Exponential, with up to its half again at random, so that clients who failed together come back apart."""
        pause = self.patience.first_pause_seconds * 2 ** (attempt - 1)
        return min(pause, self.patience.longest_pause_seconds) * random.uniform(1.0, 1.5)

    async def _attempt(self, body: bytes, deadline: float) -> Reply:
        """One call at the endpoint whose turn it is, which is told how it went."""
        waiting = asyncio.timeout(deadline - time.monotonic())
        try:
            async with waiting, self._endpoints.turn() as endpoint:
                waiting.reschedule(None)
                self.ledger.check()
                return await self._call(endpoint, body, deadline)
        except TimeoutError:
            raise _Passing("no endpoint had room in time") from None

    async def _call(self, endpoint: Endpoint, body: bytes, deadline: float) -> Reply:
        began = time.monotonic()
        try:
            reply = await self._exchange(endpoint, body, min(self.patience.attempt_seconds, deadline - began))
        except _Busy as busy:
            endpoint.is_too_busy(began, busy.wait_seconds)
            raise
        except _Passing as failure:
            endpoint.failed(began, unreachable=failure.unreachable)
            raise
        endpoint.succeeded()
        return reply

    async def _exchange(self, endpoint: Endpoint, body: bytes, seconds: float) -> Reply:
        try:
            response = await self._post(endpoint, body, seconds)
        except TimeoutError:
            raise _Passing(f"{endpoint.shown}: no reply within {seconds:.3g} seconds") from None
        except httpx.HTTPError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise _Passing(f"{endpoint.shown}: {said}", unreachable=unreachable) from None
        if response.status_code != httpx.codes.OK:
            self._refuse(endpoint, response)
        try:
            completion = _body(self._without_key(response.content))
            self.ledger.charge(_counted(completion), len(body), len(response.content))
            return _reply(completion)
        except _Passing as failure:
            raise _Passing(f"{endpoint.shown}: {failure}") from None

    async def _post(self, endpoint: Endpoint, body: bytes, seconds: float) -> httpx.Response:
        """Post over the connection that was used last, so that as few as needed stay open.

        It may have been opened by another chat, with less patience: the limit is each call's own.
        """
        client = endpoint.idle.pop() if endpoint.idle else self._connection()
        try:
            async with asyncio.timeout(seconds):
                return await client.post(endpoint.url, content=body, timeout=httpx.Timeout(seconds, connect=10))
        finally:
            endpoint.idle.append(client)

    def _connection(self) -> httpx.AsyncClient:
        authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return proxies.client(
            headers={"Content-Type": "application/json", **authorization},
            limits=httpx.Limits(max_connections=1),
            verify=self._ssl,
        )

    def _refuse(self, endpoint: Endpoint, response: httpx.Response) -> NoReturn:
        """Raise what a status other than 200 means."""
        status, said = response.status_code, _first_line(response.text)
        failure = f"{endpoint.shown}: HTTP {status}: {said}" if said else f"{endpoint.shown}: HTTP {status}"
        if status == 429 and "insufficient_quota" in response.text:
            raise ModelError(f"{self._clean(failure)}: the account has no credit left")
        if status in (429, 503):
            raise _Busy(failure, _retry_after(response.headers.get("Retry-After", "")))
        if status in (408, 425) or status >= 500:
            raise _Passing(failure, _retry_after(response.headers.get("Retry-After", "")))
        if status in (400, 413) and _says_too_long(response.text):
            raise ContextFull(self._clean(failure))
        if status in (400, 422) and _says_no_schema(response.text):
            raise SchemaRefused(self._clean(failure))
        hint = {401: f": set {KEY_VARIABLE}", 404: ": is the model's name right, and does --base-url end in /v1?"}
        raise ModelError(f"{self._clean(failure)}{hint.get(status, '')}")

    def _clean(self, text: str) -> str:
        """Servers quote the key that they refuse."""
        return text.replace(self._key, "***") if self._key else text

    def _without_key(self, content: bytes) -> bytes:
        """A reply that repeats the key; one too short for a real key is a placeholder, perhaps an ordinary word."""
        key = self._key.encode()
        return content.replace(key, b"***") if len(key) >= SHORTEST_SECRET else content


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and (key.isprintable() or not key)):
        raise UsageError(f"{KEY_VARIABLE} holds characters that no HTTP header can carry; set it anew")
    return key


def _body(content: bytes) -> _Body:
    try:
        return msgspec.json.decode(content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Passing(f"not a chat completion: {error}") from None


def _reply(body: _Body) -> Reply:
    if not body.choices:
        raise _Passing("a chat completion without choices")
    choice = body.choices[0]
    text = choice.message.content or ""
    thought = choice.message.reasoning_content or choice.message.reasoning or ""
    finish: Literal["stop", "length"] = "length" if choice.finish_reason == "length" else "stop"
    if not text.strip() and not (thought and finish == "length"):
        raise _Passing("an empty message")
    trace = body.id if isinstance(body.id, str) else ""
    return Reply(text=text, thought=thought, trace=trace, finish=finish, usage=_counted(body))


def _counted(body: _Body) -> Usage:
    usage = body.usage or _Usage()
    details = usage.prompt_tokens_details or _PromptDetails()
    return Usage(
        calls=1,
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=details.cached_tokens or 0,
    )


def _first_line(text: str, chars: int = 300) -> str:
    return " ".join(text.split())[:chars]


def _says_too_long(text: str) -> bool:
    return any(said in text for said in TOO_LONG)


def _says_no_schema(text: str) -> bool:
    return "response_format" in text or "json_schema" in text


def _retry_after(value: str) -> float:
    """Seconds from a Retry-After header: a number or a date (RFC 9110, 10.2.3); 0 if there is none."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())

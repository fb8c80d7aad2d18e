"""A chat client for any OpenAI-compatible endpoint.

A call gives a reply or raises: an error never becomes text, and silence and junk are errors. What may pass (429, 5xx,
cut connections, junk) is tried again, bounded in number and in time; what cannot succeed is not. What a failure means
is told in ``failures``, what a reply holds in ``replies``, what an endpoint takes of a request in ``parameters``.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import httpx
import msgspec

from webdancer_cli.data.records import Message
from webdancer_cli.errors import ModelError, ServiceRefused
from webdancer_cli.llm.accepted_parameters import FEWEST_TOKENS
from webdancer_cli.llm.budget import Ledger
from webdancer_cli.llm.endpoints import Endpoint, EndpointPool
from webdancer_cli.llm.replies import ContentFiltered, ErrorInBody, NoReply, parse_body, parse_reply, usage_of
from webdancer_cli.llm.replies import Reply as Reply
from webdancer_cli.options import config
from webdancer_cli.services import proxies
from webdancer_cli.services.failures import classify_failure
from webdancer_cli.services.keys import Redactor, read_key
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds
from webdancer_cli.tape import Tape, TapeMiss
from webdancer_cli.text.surrogates import mend_surrogates

KEY_VARIABLE = "OPENAI_API_KEY"
RETRY = RetryPolicy(attempts=6, attempt_seconds=300, total_seconds=900)
"""For a caller with no limit of its own."""
REMEDIES = {
    "key": f"set {KEY_VARIABLE} to a key that is valid there",
    "account": "add credit to the account, or have its limits raised",
}


def retry_within(seconds: float) -> RetryPolicy:
    """For a caller who waits so long at most: silence is then a failure of the model, not a slow caller."""
    return RETRY.within(0.9 * seconds)


class ContextFull(ModelError):
    """The messages are longer than the model's context; no repetition would help."""


class _Unanswered(Transient):
    """``unreachable``: nobody listens there."""

    def __init__(self, text: str, wait_seconds: float = 0.0, *, unreachable: bool = False):
        super().__init__(text, wait_seconds)
        self.unreachable = unreachable


class _Busy(_Unanswered):
    """The server has too much to do."""


class _RequestAdapted(Exception):
    """The endpoint does not take the request in this form; the next attempt is in another."""


class ChatClient:
    """One model at one endpoint or at several, ``jobs`` calls at once at most. Its key comes from OPENAI_API_KEY.

    Every connection is a client of its own: a pool of httpx looks through all its connections for every request, which
    with a hundred of them costs more than the request. Chats may share ``EndpointPool``, and with them what these bear.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | EndpointPool,
        model: str,
        *,
        temperature: float = config.ModelOptions.temperature,
        top_p: float = config.ModelOptions.top_p,
        max_tokens: int = config.EpisodeOptions.max_turn_tokens,
        repetition_penalty: float = config.PlayerOptions.repetition_penalty,
        jobs: int = config.DataOptions.jobs,
        retry: RetryPolicy = RETRY,
        ledger: Ledger | None = None,
        tape: Tape | None = None,
    ):
        self.model = model
        self.retry = retry
        self.ledger = ledger or Ledger(model)
        self._tape = tape
        if not isinstance(base_url, EndpointPool):
            base_url = EndpointPool([base_url] if isinstance(base_url, str) else base_url, jobs)
        self._endpoints = base_url
        self._sampling: dict[str, float] = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        if repetition_penalty != 1:
            self._sampling["repetition_penalty"] = repetition_penalty
        self._key = read_key(KEY_VARIABLE)
        self._redactor = Redactor([self._key])
        self._ssl = httpx.create_ssl_context()
        self._refused: ServiceRefused | None = None

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
        asked without. Raises BudgetSpent before a call that may not be made any more, and ServiceRefused when no call
        can succeed: then no other is made.
        """
        sendable = [Message(message.role, mend_surrogates(message.content)) for message in messages]
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
            return await self._tape.record_or_replay(
                "llm", asked, self.model, Reply, lambda: self._asked(request, schema)
            )
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None

    async def _asked(self, request: dict[str, Any], schema: Mapping[str, Any] | None) -> Reply:
        """Ask for fewer tokens where servers count them as part of a context that is too small for so many."""
        if schema:
            request = {**request, "response_format": schema}
        while True:
            try:
                return await self._persistently(request)
            except ContextFull:
                if request["max_tokens"] <= FEWEST_TOKENS:
                    raise
                request = {**request, "max_tokens": max(FEWEST_TOKENS, request["max_tokens"] // 4)}

    async def _persistently(self, request: dict[str, Any]) -> Reply:
        """A new attempt has a new seed: what came of the old one would come of it again."""

        async def attempt(number: int, deadline: float) -> Reply:
            reseeded = {"seed": (request["seed"] + number - 1) % 2**31} if "seed" in request else {}
            return await self._attempt({**request, **reseeded}, deadline)

        try:
            return await self.retry.run(attempt)
        except GaveUp as end:
            raise ModelError(self._redactor.text(str(end))) from None

    async def aclose(self) -> None:
        for endpoint in self._endpoints.all:
            while endpoint.idle:
                await endpoint.idle.pop().aclose()

    async def _attempt(self, request: dict[str, Any], deadline: float) -> Reply:
        """One answer, whatever an endpoint has to be asked in another form for it."""
        while True:
            try:
                return await self._in_turn(request, deadline)
            except _RequestAdapted:
                continue

    async def _in_turn(self, request: dict[str, Any], deadline: float) -> Reply:
        """One call at the endpoint whose turn it is, which is told how it went."""
        waiting = asyncio.timeout(deadline - time.monotonic())
        try:
            async with waiting, self._endpoints.turn() as endpoint:
                waiting.reschedule(None)
                self._check()
                return await self._call(endpoint, request, deadline)
        except TimeoutError:
            raise _Unanswered("no endpoint had room in time") from None

    def _check(self) -> None:
        """Raises RunStopped when no further call may be made, or none can succeed: one refusal is enough."""
        self.ledger.check()
        if self._refused:
            raise ServiceRefused(str(self._refused))

    async def _call(self, endpoint: Endpoint, request: dict[str, Any], deadline: float) -> Reply:
        began = time.monotonic()
        seconds = min(self.retry.attempt_seconds, deadline - began)
        try:
            reply = await self._exchange(endpoint, endpoint.takes(self.model).adapted(request), seconds)
        except _Busy as busy:
            endpoint.record_busy(began, busy.wait_seconds)
            raise
        except _Unanswered as failure:
            endpoint.record_failure(began, unreachable=failure.unreachable)
            raise
        endpoint.record_success()
        return reply

    async def _exchange(self, endpoint: Endpoint, sent: dict[str, Any], seconds: float) -> Reply:
        body = msgspec.json.encode(sent)
        try:
            response = await self._post(endpoint, body, seconds)
        except TimeoutError:
            raise _Unanswered(f"{endpoint.shown}: no reply within {seconds:.3g} seconds") from None
        except httpx.HTTPError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise _Unanswered(f"{endpoint.shown}: {said}", unreachable=unreachable) from None
        if response.status_code != httpx.codes.OK:
            self._refuse(endpoint, sent, response)
        try:
            completion = parse_body(self._redactor.content(response.content))
            self.ledger.charge(usage_of(completion), len(body), len(response.content))
            return parse_reply(completion)
        except ErrorInBody:
            self._refuse(endpoint, sent, response)
        except ContentFiltered as refusal:
            raise ModelError(self._redactor.text(f"{endpoint.shown}: {refusal}")) from None
        except NoReply as failure:
            raise _Unanswered(f"{endpoint.shown}: {failure}") from None

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
        return proxies.http_client(
            headers={"Content-Type": "application/json", **authorization},
            limits=httpx.Limits(max_connections=1),
            verify=self._ssl,
        )

    def _refuse(self, endpoint: Endpoint, sent: dict[str, Any], response: httpx.Response) -> NoReturn:
        """Raise what a failure means, under whatever status it came."""
        what = classify_failure(response.status_code, response.content)
        status = what.status or response.status_code
        told = f"{endpoint.shown}: HTTP {status}: {what.said}" if what.said else f"{endpoint.shown}: HTTP {status}"
        told = self._redactor.text(told)
        if what.is_final:
            self._refused = ServiceRefused(f"{told}: {REMEDIES[what.kind]}; --resume goes on from there")
            raise self._refused
        learnt = endpoint.takes(self.model).learn(what, sent)
        if learnt is not None:
            if learnt:
                self._endpoints.tell(f"{endpoint.shown}: {self.model}: {learnt}")
            raise _RequestAdapted
        if what.kind == "too_long":
            raise ContextFull(told)
        wait = max(retry_after_seconds(response.headers.get("Retry-After", "")) or 0.0, what.wait_seconds)
        if what.kind == "busy":
            raise _Busy(told, wait)
        if what.kind == "passing" or what.status == 0:
            raise _Unanswered(told, wait)
        hints = {404: ": is the model's name right, and does --base-url end in /v1?"}
        raise ModelError(f"{told}{hints.get(status, '')}")

"""Calls of one model at OpenAI-compatible endpoints, whatever it is asked for.

A call gives an answer or raises: silence and junk are errors. What may pass (429, 5xx, cut connections, junk) is tried
again, bounded in number and in time; what cannot succeed is not. What a failure means is told in ``failures``, what an
endpoint takes of a request in ``accepted_parameters``; what an answer holds, by whoever extends ``ModelClient``.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, NoReturn, TypeVar

import httpx
import msgspec

from webdancer_cli.errors import ModelError, ServiceRefused
from webdancer_cli.llm.budget import Ledger
from webdancer_cli.llm.endpoints import Endpoint, EndpointPool
from webdancer_cli.llm.replies import Body, ContentFiltered, ErrorInBody, NoReply, usage_of
from webdancer_cli.services import proxies
from webdancer_cli.services.failures import classify_failure
from webdancer_cli.services.keys import Redactor, read_key
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds

Answer = TypeVar("Answer")

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


class RequestRefused(ModelError):
    """There is something in the request that the endpoint does not take, such as what a filter finds in it."""


class ContextFull(RequestRefused):
    """What was sent is longer than the model's context; no repetition would help."""


class _Unanswered(Transient):
    """``unreachable``: nobody listens there."""

    def __init__(self, text: str, wait_seconds: float = 0.0, *, unreachable: bool = False):
        super().__init__(text, wait_seconds)
        self.unreachable = unreachable


class _Busy(_Unanswered):
    """The server has too much to do."""


class _RequestAdapted(Exception):
    """The endpoint does not take the request in this form; the next attempt is in another."""


class ModelClient(ABC, Generic[Answer]):
    """One model at the endpoints of a pool. Its key comes from OPENAI_API_KEY.

    Every connection is a client of its own: a pool of httpx looks through all its connections for every request, which
    with a hundred of them costs more than the request.
    """

    answers_in_tokens = True
    """Whether the length of an answer is an estimate of what a server, which does not count, has written."""

    def __init__(self, endpoints: EndpointPool, model: str, retry: RetryPolicy, ledger: Ledger | None):
        self.model = model
        self.retry = retry
        self.ledger = ledger or Ledger(model)
        self._endpoints = endpoints
        self._key = read_key(KEY_VARIABLE)
        self._redactor = Redactor([self._key])
        self._ssl = httpx.create_ssl_context()
        self._refused: ServiceRefused | None = None

    @abstractmethod
    def _body(self, content: bytes) -> Body:
        """The object in the body of an answer under HTTP 200. Raises NoReply, ErrorInBody."""

    @abstractmethod
    def _answer(self, body: Body, sent: Mapping[str, Any]) -> Answer:
        """What the object says to what was sent. Raises NoReply, ContentFiltered."""

    async def _persistently(self, request: dict[str, Any]) -> Answer:
        """A new attempt has a new seed: what came of the old one would come of it again."""

        async def attempt(number: int, deadline: float) -> Answer:
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

    async def _attempt(self, request: dict[str, Any], deadline: float) -> Answer:
        """One answer, whatever an endpoint has to be asked in another form for it."""
        while True:
            try:
                return await self._in_turn(request, deadline)
            except _RequestAdapted:
                continue

    async def _in_turn(self, request: dict[str, Any], deadline: float) -> Answer:
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

    async def _call(self, endpoint: Endpoint, request: dict[str, Any], deadline: float) -> Answer:
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

    async def _exchange(self, endpoint: Endpoint, sent: dict[str, Any], seconds: float) -> Answer:
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
            found = self._body(self._redactor.content(response.content))
            self.ledger.charge(usage_of(found), len(body), len(response.content) if self.answers_in_tokens else 0)
            return self._answer(found, sent)
        except ErrorInBody:
            self._refuse(endpoint, sent, response)
        except ContentFiltered as refusal:
            raise RequestRefused(self._redactor.text(f"{endpoint.shown}: {refusal}")) from None
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
        if what.kind in ("content", "request"):
            raise RequestRefused(told)
        hints = {404: f": is the model's name right, and does {self._endpoints.flag} end in /v1?"}
        raise ModelError(f"{told}{hints.get(status, '')}")

"""An HTTP service that answers JSON: search APIs, and readers that are services.

What a failure means is told by ``failures``; here it has one of three fates. What may pass (429, 5xx, cut connections,
junk, words that nobody knows) is tried again where that helps, bounded in number and in time, and is then an Outage,
which ends the episode. What no further call can mend (a key that is refused, no credit left, a switch that is off) is
ServiceRefused and ends the run, after one call. Neither becomes an observation, nor does it get on a tape; only what
the service has against the query or the page itself does, as a ToolError.
"""

import asyncio
import codecs
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import httpx
import msgspec

from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.services import proxies
from webdancer_cli.services.failures import Failure, classify_failure, find_error
from webdancer_cli.services.keys import Redactor
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds
from webdancer_cli.web import urls
from webdancer_cli.web.fetch.fetcher import user_agent

Answer = TypeVar("Answer")

ABOUT_THE_REQUEST = frozenset([413, 414, 422, 451])
"""Statuses that need no words: the request is too long, cannot be processed, or may not be answered."""
_ABOUT_THE_REQUEST = re.compile(
    r"\bquer(?:y|ies)\b|\bq\b|search terms?|keywords?|characters|too long|too short|pattern"
    r"|\burls?\b|domain|hostname|web ?page|\bpage\b|goto|navigat|net::|resolv|no content|language|parameter"
)
"""What a service says of a query or a page that it will not take. Other words under 400 may mean anything."""
LONG_PAUSE_SECONDS = 86_400
"""A limit that is reset after more than a day is a plan's, not a pace."""


RETRY = RetryPolicy(attempts=4, attempt_seconds=15, total_seconds=25)
"""Less than what one tool call may take by default, so that the failure is told by its name."""


def tool_retry(tool_seconds: float) -> RetryPolicy:
    """For a tool that may take so long."""
    return RETRY.within(min(RETRY.total_seconds, 0.8 * tool_seconds))


def checked_url(given: str, *, what: str) -> str:
    """An http(s) URL without its last slash. Raises UsageError for anything else."""
    if urls.canonical_url(given) is None:
        raise UsageError(f"{what}: needs a URL such as http://127.0.0.1:8888")
    return given.rstrip("/")


class JsonApi:
    """One service at one address. ``remedies`` says by status what the user can do; these statuses end the run.

    ``results_in`` gives what an answer is about, empty where nothing was found, None for what is no answer: HTTP 200
    with that is a failure, and so is an error beside nothing. ``secrets`` are cut out of all that it says: servers
    quote the key that they refuse. All calls rest while the service asked for a pause.
    """

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        remedies: Mapping[int, str] | None = None,
        results_in: Callable[[Any], Any] = lambda value: value,
        contact: str | None = None,
        retry: RetryPolicy = RETRY,
        at_once: int = 16,
    ):
        self.name = name
        self._headers = {"Accept": "application/json", "User-Agent": user_agent(contact), **(headers or {})}
        self._redactor = Redactor(secrets)
        self._remedies = dict(remedies or {})
        self._results_in = results_in
        self._refused: ServiceRefused | None = None
        self._retry = retry
        self._room = asyncio.Semaphore(at_once)
        self._rest_until = 0.0
        self._client: httpx.AsyncClient | None = None

    async def ask(self, method: str, url: str, kind: type[Answer], **request: Any) -> Answer:
        """The answer as ``kind``; ``request`` is httpx's (params, json). Raises Outage, ToolError, or ServiceRefused.

        Redirects are not followed: the key would go along.
        """

        async def attempt(number: int, deadline: float) -> Answer:
            try:
                async with self._turn(deadline):
                    if self._refused:
                        raise ServiceRefused(str(self._refused))
                    return await self._attempt(method, url, kind, request, deadline)
            except Transient as failure:
                self._rest_until = max(self._rest_until, time.monotonic() + failure.wait_seconds)
                raise

        try:
            return await self._retry.run(attempt)
        except GaveUp as end:
            raise Outage(f"{self.name}: {self._redactor.text(str(end))}") from None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncIterator[None]:
        waiting = asyncio.timeout(deadline - time.monotonic())
        try:
            async with waiting, self._room:
                waiting.reschedule(None)
                await self._rest(deadline)
                yield
        except TimeoutError:
            if not waiting.expired():
                raise
            raise Transient("too many requests were waiting for it") from None

    async def _rest(self, deadline: float) -> None:
        """Wait as long as the service asked some other call to."""
        wait = self._rest_until - time.monotonic()
        if wait > deadline - time.monotonic():
            raise Transient(f"HTTP 429: it wants no request for {wait:.0f} seconds", wait)
        await asyncio.sleep(max(0.0, wait))

    async def _attempt(self, method: str, url: str, kind: type[Answer], request: Any, deadline: float) -> Answer:
        own_words = _own_words(request)
        seconds = max(0.0, min(self._retry.attempt_seconds, deadline - time.monotonic()))
        try:
            async with asyncio.timeout(seconds):
                response = await self._connection().request(method, url, **request)
        except (TimeoutError, httpx.TimeoutException):
            raise Transient(f"no answer within {seconds:.3g} seconds") from None
        except httpx.HTTPError as error:
            raise Transient(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None
        if response.status_code != httpx.codes.OK:
            self._refuse(response, own_words)
        return self._read(response, kind, own_words)

    def _connection(self) -> httpx.AsyncClient:
        """Opened at the first call: only then is there the event loop that it belongs to."""
        if self._client is None:
            self._client = proxies.http_client(headers=self._headers, timeout=self._retry.attempt_seconds)
        return self._client

    def _refuse(self, response: httpx.Response, own_words: Sequence[str]) -> NoReturn:
        """Raise what a failure means, under whatever status it came."""
        what, said = classify_failure(response.status_code, response.content, own_words), _said(response)
        status = what.status or response.status_code
        told = self._redactor.text(f"HTTP {status}: {said}" if said else f"HTTP {status}")
        if remedy := self._remedy(what, status, response):
            self._refused = ServiceRefused(f"{self.name}: {told}: {remedy}; --resume goes on from there")
            raise self._refused
        if what.kind in ("busy", "passing") or what.status == 0:
            asked = retry_after_seconds(response.headers.get("retry-after", "")) or what.wait_seconds
            raise Transient(told if what.status else f"it sent an odd answer: {self._redactor.text(said)}", asked)
        if what.kind in ("content", "too_long") or (what.kind == "request" and _is_about_request(what)):
            raise ToolError(f"{self.name}: {told}", lasts=True)
        if what.kind == "request":
            raise Outage(f"{self.name}: {told}")
        raise Outage(f"{self.name}: {told}: is this the service's address?")

    def _remedy(self, what: Failure, status: int, response: httpx.Response) -> str | None:
        """What the user can do where no further call can succeed."""
        if what.is_final or (status == 429 and _plan_is_spent(response)):
            general = 401 if what.kind == "key" else 402
            return self._remedies.get(status) or self._remedies.get(general) or _GENERAL_REMEDIES[general]
        return self._remedies.get(status) if what.kind == "other" else None

    def _read(self, response: httpx.Response, kind: type[Answer], own_words: Sequence[str]) -> Answer:
        try:
            value = msgspec.json.decode(self._redactor.content(response.content).removeprefix(codecs.BOM_UTF8))
            results = self._results_in(value)
            if results is None or (find_error(value) is not None and (not results or results is value)):
                self._refuse(response, own_words)
            return msgspec.convert(value, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            media_type = response.headers.get("content-type", "").partition(";")[0]
            what = f"{media_type}, not JSON" if media_type and "json" not in media_type else f"an odd answer: {error}"
            raise Transient(f"it sent {what}") from None


_GENERAL_REMEDIES = {401: "use a key that is valid", 402: "add credit to the account, or have its limits raised"}


def _own_words(request: Mapping[str, Any]) -> list[str]:
    """The texts that were sent: a service may repeat a query that speaks of quotas or of keys."""
    sent = [*(request.get("params") or {}).values(), *(request.get("json") or {}).values()]
    return [text for text in sent if isinstance(text, str) and len(text) > 3]


def _is_about_request(what: Failure) -> bool:
    return what.status in ABOUT_THE_REQUEST or bool(what.names) or bool(_ABOUT_THE_REQUEST.search(what.words))


def _plan_is_spent(response: httpx.Response) -> bool:
    """Whether headers such as ``X-RateLimit-Remaining: 1, 0`` tell of a limit that lasts for longer than a day."""
    left, resets = (
        response.headers.get(f"x-ratelimit-{name}", "").replace(" ", "").split(",") for name in ("remaining", "reset")
    )
    spent = [reset for rest, reset in zip(left, resets, strict=False) if rest == "0" and reset.isdigit()]
    return any(LONG_PAUSE_SECONDS < int(reset) < 100 * LONG_PAUSE_SECONDS for reset in spent)


def _said(response: httpx.Response, chars: int = 200) -> str:
    """The reason in the body of a failure, if it is text or JSON; a page of HTML says nothing to the point."""
    if "html" in response.headers.get("content-type", ""):
        return ""
    return " ".join(response.text.split())[:chars]

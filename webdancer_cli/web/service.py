"""An HTTP service that answers JSON: search APIs, and readers that are services.

A failure has one of three fates. What may pass (429, 5xx, cut connections, junk) is tried again, bounded in number and
in time, and is then an Outage, which ends the episode. What no further call can mend (a key that is refused, no credit
left, a switch that is off) is Refused and ends the run. Neither becomes an observation; only what the service has
against the request itself does, as a ToolError.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import httpx
import msgspec

from webdancer_cli import proxies
from webdancer_cli.errors import Outage, Refused, ToolError, UsageError
from webdancer_cli.tape import SHORTEST_SECRET
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import retry_after, user_agent

Answer = TypeVar("Answer")

ABOUT_THE_REQUEST = frozenset([400, 413, 414, 422, 451])
"""What a service says of a query or a page that it will not take."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call is worth waiting for: one attempt, and all attempts with the pauses between them.

    All of it is less than what one tool call may take by default, so that the failure is told by its name.
    """

    attempts: int = 4
    attempt_seconds: float = 15
    total_seconds: float = 25
    first_pause_seconds: float = 0.5

    @classmethod
    def within(cls, seconds: float) -> "Patience":
        """For a tool that may take so long."""
        total = min(cls().total_seconds, 0.8 * seconds)
        return cls(total_seconds=total, attempt_seconds=min(cls().attempt_seconds, total))


class _Passing(Exception):
    """A failure that another attempt may not meet. ``wait_seconds`` is what the server asked for."""

    def __init__(self, text: str, wait_seconds: float = 0.0):
        super().__init__(text)
        self.wait_seconds = wait_seconds


def key_from(variable: str, *, what: str, needed: bool = True) -> str:
    """The key that an environment variable holds. Raises UsageError when there is none, or none that can be sent."""
    key = os.environ.get(variable, "").strip()
    if needed and not key:
        raise UsageError(f"{what} needs a key: set {variable} in the environment")
    if not (key.isascii() and (key.isprintable() or not key)):
        raise UsageError(f"{variable} holds characters that no HTTP header can carry; set it anew")
    return key


def checked_url(given: str, *, what: str) -> str:
    """An http(s) URL without its last slash. Raises UsageError for anything else."""
    if urls.canonical(given) is None:
        raise UsageError(f"{what}: needs a URL such as http://127.0.0.1:8888")
    return given.rstrip("/")


class Service:
    """One service at one address. ``remedies`` says by status what the user can do; these statuses end the run.

    ``secrets`` are cut out of all that it says: servers quote the key that they refuse. All calls rest while the
    service asked for a pause.
    """

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        remedies: Mapping[int, str] | None = None,
        contact: str | None = None,
        patience: Patience | None = None,
        at_once: int = 16,
    ):
        self.name = name
        self._headers = {"Accept": "application/json", "User-Agent": user_agent(contact), **(headers or {})}
        self._secrets = [secret for secret in secrets if secret]
        self._remedies = dict(remedies or {})
        self._patience = patience or Patience()
        self._room = asyncio.Semaphore(at_once)
        self._rest_until = 0.0
        self._client: httpx.AsyncClient | None = None

    async def ask(self, method: str, url: str, kind: type[Answer], **request: Any) -> Answer:
        """The answer as ``kind``; ``request`` is httpx's (params, json). Raises Outage, ToolError, or Refused.

        Redirects are not followed: the key would go along.
        """
        deadline = time.monotonic() + self._patience.total_seconds
        pause = self._patience.first_pause_seconds
        for attempt in range(1, self._patience.attempts + 1):
            try:
                async with self._turn(deadline):
                    return await self._attempt(method, url, kind, request, deadline)
            except _Passing as failure:
                wait = failure.wait_seconds or pause
                self._rest_until = max(self._rest_until, time.monotonic() + failure.wait_seconds)
                if attempt == self._patience.attempts or time.monotonic() + wait > deadline:
                    raise Outage(self._told(failure, attempt)) from None
                await asyncio.sleep(wait)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

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
            raise _Passing("too many requests were waiting for it") from None

    async def _rest(self, deadline: float) -> None:
        """Wait as long as the service asked some other call to."""
        wait = self._rest_until - time.monotonic()
        if wait > deadline - time.monotonic():
            raise _Passing(f"HTTP 429: it wants no request for {wait:.0f} seconds", wait)
        await asyncio.sleep(max(0.0, wait))

    async def _attempt(self, method: str, url: str, kind: type[Answer], request: Any, deadline: float) -> Answer:
        seconds = max(0.0, min(self._patience.attempt_seconds, deadline - time.monotonic()))
        try:
            async with asyncio.timeout(seconds):
                response = await self._connection().request(method, url, **request)
        except (TimeoutError, httpx.TimeoutException):
            raise _Passing(f"no answer within {seconds:.3g} seconds") from None
        except httpx.HTTPError as error:
            raise _Passing(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None
        if response.status_code != httpx.codes.OK:
            self._refuse(response)
        return self._read(response, kind)

    def _connection(self) -> httpx.AsyncClient:
        """Opened at the first call: only then is there the event loop that it belongs to."""
        if self._client is None:
            self._client = proxies.client(headers=self._headers, timeout=self._patience.attempt_seconds)
        return self._client

    def _refuse(self, response: httpx.Response) -> NoReturn:
        """Raise what a status other than 200 means."""
        status, said = response.status_code, _said(response)
        failure = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if remedy := self._remedies.get(status):
            raise Refused(f"{self.name}: {self._clean(failure)}: {remedy}; --resume goes on from there")
        if status in (408, 425, 429) or status >= 500:
            raise _Passing(failure, retry_after(response.headers.get("retry-after", "")) or 0.0)
        if status in ABOUT_THE_REQUEST:
            raise ToolError(f"{self.name}: {self._clean(failure)}", lasts=True)
        raise Outage(f"{self.name}: {self._clean(failure)}: is this the service's address?")

    def _read(self, response: httpx.Response, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(self._without_keys(response.content), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            media_type = response.headers.get("content-type", "").partition(";")[0]
            what = f"{media_type}, not JSON" if media_type and "json" not in media_type else f"an odd answer: {error}"
            raise _Passing(f"it sent {what}") from None

    def _told(self, failure: _Passing, attempts: int) -> str:
        return f"{self.name}: {self._clean(str(failure))} ({attempts} attempt{'s' if attempts > 1 else ''})"

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _without_keys(self, content: bytes) -> bytes:
        """An answer that repeats a key; one too short for a real key is a placeholder, perhaps an ordinary word."""
        for secret in self._secrets:
            if len(secret) >= SHORTEST_SECRET:
                content = content.replace(secret.encode(), b"***")
        return content


def _said(response: httpx.Response, chars: int = 200) -> str:
    """The reason in the body of a failure, if it is text or JSON; a page of HTML says nothing to the point."""
    if "html" in response.headers.get("content-type", ""):
        return ""
    return " ".join(response.text.split())[:chars]

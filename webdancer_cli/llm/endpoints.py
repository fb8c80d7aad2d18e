"""The endpoints of one model, side by side: each gets as many calls at once as it bears, and a dead one gets none.

A limit falls by half when a server says that it is too busy, and rises again with every success (additive increase,
multiplicative decrease). An endpoint that fails several times in a row is set aside, for longer each time; then a
single call finds out whether it is back. When all are set aside they are all tried: somebody waits for an answer.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx

from webdancer_cli.errors import UsageError
from webdancer_cli.llm.accepted_parameters import AcceptedParameters

FAILURES_IN_A_ROW = 3
FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 60.0
GROWTH = 0.25
"""What one success adds to the limit."""


CHAT = "/chat/completions"
EMBEDDINGS = "/embeddings"


def endpoint_url(base_url: str, path: str = CHAT, flag: str = "--base-url") -> httpx.URL:
    """Where a model is asked; ``flag`` is the one that named it. Raises UsageError."""
    try:
        url = httpx.URL(base_url.rstrip("/") + path)
    except httpx.InvalidURL as error:
        raise UsageError(f"{flag} {base_url}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"{flag} {base_url}: needs the form http://HOST:PORT/v1")
    return url


class Endpoint:
    """One server: how much it bears, how it has been doing, and its idle connections."""

    def __init__(self, url: httpx.URL, ceiling: int):
        self.url = url
        self.limit = float(ceiling)
        self.under_way = 0
        self.last_turn_at = float("-inf")
        self.idle: list[httpx.AsyncClient] = []
        self._takes: dict[str, AcceptedParameters] = {}
        self._ceiling = float(ceiling)
        self._failures = 0
        self._awake_at = self._set_aside_at = self._lowered_at = float("-inf")

    @property
    def shown(self) -> str:
        """The URL without a password."""
        return f"{self.url.scheme}://{self.url.netloc.decode()}{self.url.path}"

    def takes(self, model: str) -> AcceptedParameters:
        """What it takes of a request to one of its models."""
        return self._takes.setdefault(model, AcceptedParameters())

    @property
    def has_room(self) -> bool:
        return self.under_way < int(self.limit)

    def is_awake(self, now: float) -> bool:
        """Whether to send calls; after a rest, one at a time until one succeeds."""
        is_doubtful = self._failures >= FAILURES_IN_A_ROW
        return now >= self._awake_at and not (is_doubtful and self.under_way)

    def record_success(self) -> None:
        self._failures = 0
        self.limit = min(self._ceiling, self.limit + GROWTH)

    def record_failure(self, began: float, *, unreachable: bool = False) -> None:
        """``began`` is when the call was sent: those sent before the last rest say nothing new."""
        if began < self._set_aside_at:
            return
        self._failures = max(self._failures + 1, FAILURES_IN_A_ROW if unreachable else 0)
        if self._failures >= FAILURES_IN_A_ROW:
            doublings = min(self._failures - FAILURES_IN_A_ROW, 10)
            self._set_aside_at = time.monotonic()
            self._awake_at = self._set_aside_at + min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2**doublings)

    def record_busy(self, began: float, wait_seconds: float) -> None:
        """Halve the limit, once for all calls that were under way together."""
        now = time.monotonic()
        if began >= self._lowered_at:
            self.limit = max(1.0, self.limit / 2)
            self._lowered_at = now
        self._awake_at = max(self._awake_at, now + min(wait_seconds, LONGEST_REST_SECONDS))


class EndpointPool:
    """Deals out turns: at most ``jobs`` at once in all, each at the least busy endpoint, first come, first served.

    ``tell`` is told, once, what is learnt of an endpoint that a user should know; ``flag`` is the one that names them.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        jobs: int,
        tell: Callable[[str], None] = lambda line: None,
        *,
        path: str = CHAT,
        flag: str = "--base-url",
    ):
        self.tell = tell
        self.flag = flag
        self.all = [Endpoint(endpoint_url(base_url, path, flag), jobs) for base_url in dict.fromkeys(base_urls)]
        self._room = jobs
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Endpoint]:
        endpoint = await self._take()
        try:
            yield endpoint
        finally:
            endpoint.under_way -= 1
            self._room += 1
            self._wake()

    async def _take(self) -> Endpoint:
        while (endpoint := self._best()) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been ours already
                raise
        endpoint.under_way += 1
        endpoint.last_turn_at = time.monotonic()
        self._room -= 1
        if self._room and self._waiting:
            self._wake()  # a limit that rose has room for one more
        return endpoint

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _best(self) -> Endpoint | None:
        if not self._room:
            return None
        now = time.monotonic()
        awake = [endpoint for endpoint in self.all if endpoint.is_awake(now)]
        free = [endpoint for endpoint in awake or self.all if endpoint.has_room]
        return min(free, key=_busyness, default=None)


def _busyness(endpoint: Endpoint) -> tuple[float, float]:
    """Of equally busy ones the one whose last turn is longest ago comes first: quick calls are shared, too."""
    return endpoint.under_way / endpoint.limit, endpoint.last_turn_at

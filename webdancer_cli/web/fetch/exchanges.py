"""What was asked of servers and what they answered, byte for byte: for whoever listens, as the archive of a crawl.

What belongs to a person is left out (``PERSONAL_HEADERS``): cookies, and what proves who asks.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

PERSONAL_HEADERS = frozenset(
    [
        "authorization",
        "cookie",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "set-cookie2",
        "www-authenticate",
    ]
)
"""What neither a tape nor an archive keeps."""

_listener: ContextVar["list[HttpExchange] | None"] = ContextVar("listener", default=None)


@dataclass(frozen=True)
class HttpExchange:
    """A request and its answer. ``body`` is as it was sent (compressed, without chunks), as far as it was read."""

    url: str
    at: str
    target: str
    request_headers: list[tuple[str, str]]
    protocol: str
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    is_whole: bool
    address: str


@contextmanager
def listening() -> Iterator[list[HttpExchange]]:
    """The exchanges that take place while a block runs, in the tasks that it starts, too."""
    heard: list[HttpExchange] = []
    token = _listener.set(heard)
    try:
        yield heard
    finally:
        _listener.reset(token)


class _HeardStream(httpx.AsyncByteStream):
    """Hands a body through, and keeps it."""

    def __init__(self, stream: httpx.AsyncByteStream):
        self._stream = stream
        self.parts: list[bytes] = []
        self.is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self.parts.append(part)
            yield part
        self.is_whole = True

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def overheard(url: str, response: httpx.Response) -> Iterator[None]:
    """Let whoever listens have an exchange whose answer is read while a block runs, however that ends."""
    heard = _listener.get()
    if heard is None or not isinstance(response.stream, httpx.AsyncByteStream):
        yield
        return
    at, stream = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), _HeardStream(response.stream)
    response.stream = stream
    try:
        yield
    finally:
        is_empty = response.headers.get("content-length") == "0"
        heard.append(_exchange(url, at, response, b"".join(stream.parts), stream.is_whole or is_empty))


def _exchange(url: str, at: str, response: httpx.Response, body: bytes, is_whole: bool) -> HttpExchange:
    request = response.request
    return HttpExchange(
        url=url,
        at=at,
        target=request.url.raw_path.decode("ascii"),
        request_headers=_impersonal(request.headers),
        protocol=response.http_version,
        status=f"{response.status_code} {response.reason_phrase}".strip(),
        headers=_impersonal(response.headers),
        body=body,
        is_whole=is_whole,
        address=_address(response),
    )


def _impersonal(headers: httpx.Headers) -> list[tuple[str, str]]:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw]
    return [(name, value) for name, value in pairs if name.lower() not in PERSONAL_HEADERS]


def _address(response: httpx.Response) -> str:
    """The IP address of the server, or of the proxy before it."""
    connection = response.extensions.get("network_stream")
    found = connection.get_extra_info("server_addr") if connection else None
    return str(found[0]) if found else ""

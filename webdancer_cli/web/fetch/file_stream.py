"""Large files that a user names, as streams: from any byte on, through the same guards as pages.

robots.txt is not asked: it is about what a crawler finds by itself.
"""

from collections.abc import AsyncGenerator, AsyncIterator

import httpcore
import httpx

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import retry_after_seconds
from webdancer_cli.web.fetch import cookies
from webdancer_cli.web.fetch.fetcher import (
    MAX_REDIRECTS,
    REDIRECTS,
    BadStatus,
    canonical_or_reject,
    reject_of,
    user_agent,
)
from webdancer_cli.web.fetch.ssrf_guard import GuardedTransport


class FileStreams:
    """Opens files at URLs. Use as ``async with FileStreams(…) as streams``."""

    def __init__(self, *, allow_private: bool, timeout_seconds: float, contact: str | None):
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(allow_private),
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds), pool=None),
            cookies=cookies.no_cookies(),
            headers={"User-Agent": user_agent(contact), "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> "FileStreams":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def stream(self, url: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from a place on, as they come; none behind its end.

        Raises Reject with a reason of ``Fetcher.get``; ``may_pass`` tells whether to go on where it ended.
        """
        target = canonical_or_reject(url)
        headers = {"Range": f"bytes={start}-"} if start else {}
        for _ in range(MAX_REDIRECTS + 1):
            try:
                async with self._client.stream("GET", target, headers=headers) as response:
                    location = response.headers.get("location")
                    if response.status_code not in REDIRECTS or not location:
                        async for part in _parts(target, response, start):
                            yield part
                        return
                    target = canonical_or_reject(location, target)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
                raise reject_of(target, error) from None
        raise Reject("redirect_loop", f"{url}: redirected more than {MAX_REDIRECTS} times")


async def _parts(url: str, response: httpx.Response, start: int) -> AsyncIterator[bytes]:
    """The body from a place on, whether or not the server can begin there."""
    if response.status_code == 416 and start:
        return
    if response.status_code not in (200, 206):
        wait = retry_after_seconds(response.headers.get("retry-after", ""))
        raise BadStatus(url, response.status_code, wait)
    left_out = start if response.status_code == 200 else 0
    async for part in response.aiter_raw():
        kept = part[left_out:]
        left_out -= len(part) - len(kept)
        if kept:
            yield kept

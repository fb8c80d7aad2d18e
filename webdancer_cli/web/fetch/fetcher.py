"""One polite client for the crawler and the tools.

Politeness: robots.txt, Crawl-delay, few requests to one host at a time and apart, Retry-After, an honest User-Agent.
Guards: http and https only, public addresses only (``guard``), every redirect checked like a first request, a limit on
the *decompressed* size, and time limits. Every failure is a Reject whose reason can be counted.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpcore
import httpx
import msgspec

from webdancer_cli import __version__
from webdancer_cli.errors import Reject, WebdancerError
from webdancer_cli.options import config
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds
from webdancer_cli.tape import Tape, TapedAnswer, TapeMiss
from webdancer_cli.text import encoding
from webdancer_cli.user_functions import describe_error
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import block_pages, cookies, markup_redirects, media_types, robots
from webdancer_cli.web.fetch.decompression import Decompressor
from webdancer_cli.web.fetch.exchanges import PERSONAL_HEADERS, overheard
from webdancer_cli.web.fetch.host_queue import HostQueue
from webdancer_cli.web.fetch.media_types import HTML_TYPES
from webdancer_cli.web.fetch.ssrf_guard import GuardedTransport

Value = TypeVar("Value")

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_OF_ONE = 4
"""How often a URL is asked for on the way of one redirect, each time with other cookies."""
LONGEST_WAIT_SECONDS = 60.0
"""A server that asks for more (Retry-After, Crawl-delay) gets this much; a longer Retry-After is not waited for."""

RETRY = RetryPolicy(attempts=3, attempt_seconds=config.CrawlqaOptions.timeout_seconds, growth=3.0)
"""How a page is tried again; each visit has a limit of its own around all attempts."""

_TRANSIENT = frozenset(["http_429", "http_500", "http_502", "http_503", "http_504", "connection_broken"])
"""What may pass by itself within seconds: overload, a server's error, a broken connection."""
_MAY_PASS = frozenset(["http_408", "http_425", "http_429"]) | frozenset(
    ["timeout", "dns_failure", "connection_failed", "connection_broken", "proxy_failure", "robots_unreachable"]
)


class FetchedDocument(msgspec.Struct, kw_only=True):
    """A successful answer. ``url`` is where the redirects ended, ``body`` is decompressed.

    ``content_type`` is what it is (``media``), which may be other than what its headers say.
    """

    url: str
    requested_url: str
    content_type: str
    body: bytes
    fetched_at: str
    headers: dict[str, str] = {}
    """The headers, their names in lower case."""
    crawl_delay: float = 0.0
    """The seconds between two requests that the site's robots.txt asks for."""

    def text(self) -> str:
        """The body as text, its charset as ``encoding`` tells it."""
        markup = self.content_type in HTML_TYPES or not self.content_type
        return encoding.decode_text(self.body, self.headers.get("content-type", ""), markup=markup)

    def redirects_by_markup(self) -> str | None:
        """Where its markup sends every reader (``moved``), if it does."""
        if self.content_type not in HTML_TYPES or not markup_redirects.may_redirect(self.body, self.headers):
            return None
        return markup_redirects.redirect_target(self.text(), self.url, self.headers)


class Wanted(NamedTuple):
    """What is asked of an answer. A robots.txt may have any status of success, and is cut where it is too long."""

    kinds: Collection[str]
    max_bytes: int
    is_robots_txt: bool = False


class _Way:
    """What has been asked on the way to one document. The same URL with other cookies is another question."""

    def __init__(self) -> None:
        self._questions: list[tuple[str, str]] = []

    def goes_on(self, url: str, cookie: str) -> bool:
        """Whether a URL may be asked for next; then it counts as asked."""
        times = sum(url == before for before, _ in self._questions)
        if (url, cookie) in self._questions or times == MOST_OF_ONE or len(self._questions) > MAX_REDIRECTS:
            return False
        self._questions.append((url, cookie))
        return True


class _Rejected(Transient):
    """A reject that may pass within seconds."""

    def __init__(self, reject: Reject):
        super().__init__(str(reject))
        self.reject = reject


class BadStatus(Reject):
    """An answer other than 200. ``retry_after`` is the wait in seconds that the server asked for, if it did."""

    def __init__(self, url: str, status: int, retry_after: float | None):
        super().__init__(f"http_{status}", f"{url}: the server answered {status}")
        self.retry_after = retry_after


def may_pass(reject: Reject) -> bool:
    """Whether the same request may be answered differently later: then it is no answer, and no tape keeps it."""
    return reject.reason in _MAY_PASS or reject.reason.startswith("http_5")


def user_agent(contact: str | None) -> str:
    """``webdancer/0.1.0 (+contact)``: the product token comes first, as robots.txt files expect."""
    return f"{robots.PRODUCT}/{__version__}" + (f" (+{contact})" if contact else "")


class Fetcher:
    """Fetches URLs politely. Use as ``async with Fetcher() as fetcher``.

    Cookies are kept from one document to the next, or else for the redirects of one alone.
    """

    def __init__(
        self,
        *,
        per_host: int = config.CrawlqaOptions.per_host,
        delay_seconds: float = config.CrawlqaOptions.delay_seconds,
        timeout_seconds: float = config.CrawlqaOptions.timeout_seconds,
        max_bytes: int = MAX_BYTES,
        allow_private: bool = False,
        contact: str | None = None,
        retry: RetryPolicy = RETRY,
        tape: Tape | None = None,
        keep_cookies: bool = True,
    ):
        self._tape = tape
        self._cookies = cookies.CookieStore() if keep_cookies else None
        self._allow_private = allow_private
        self._retry = msgspec.structs.replace(retry, attempt_seconds=timeout_seconds)
        self._max_bytes = max_bytes
        self._hosts: defaultdict[str, HostQueue] = defaultdict(lambda: HostQueue(per_host, delay_seconds))
        self._robots = robots.Robots(self._robots_txt)
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(allow_private),
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds), pool=None),
            cookies=cookies.no_cookies(),
            headers={
                "User-Agent": user_agent(contact),
                "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1",
                "Accept-Encoding": "gzip, deflate",
            },
        )

    async def __aenter__(self) -> "Fetcher":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._robots.aclose()
        await self._client.aclose()

    async def get(
        self, url: str, kinds: Collection[str] = HTML_TYPES, *, max_bytes: int | None = None
    ) -> FetchedDocument:
        """The document at a URL, if its media type is one of ``kinds``; none at all are any. ``max_bytes`` is for it.

        Raises Reject, with one of the reasons: bad_url, robots_disallowed, robots_unreachable, dns_failure,
        private_address, connection_failed, connection_broken, proxy_failure, timeout, http_<status>,
        bot_wall (by its headers), redirect_loop, not_html (a media type that was not asked for), too_large,
        bad_encoding, tape_miss (in replay), fetch_failed (whatever else an answer provokes in the libraries that
        read it).
        """
        try:
            return await self._get(url, kinds, Wanted(kinds, max_bytes or self._max_bytes))
        except WebdancerError:
            raise
        except Exception as error:
            raise Reject("fetch_failed", f"{url}: {describe_error(error)}") from error

    async def _get(self, url: str, kinds: Collection[str], wanted: "Wanted") -> FetchedDocument:
        if self._tape is None:
            return await self._follow(url, wanted)
        asked = [urls.canonical_url(url) or url, sorted(kinds), self._allow_private]
        return await self._taped(
            self._tape, asked, url, TapedAnswer[FetchedDocument], lambda: self._impersonal(url, wanted)
        )

    async def sitemaps(self, url: str) -> list[str]:
        """The sitemaps that robots.txt names for the site of a URL. Raises Reject if that cannot be read."""
        if self._tape is None:
            return await self._robots.sitemaps(url)
        parts = urlsplit(canonical_or_reject(url))
        asked = ["sitemaps", f"{parts.scheme}://{parts.netloc}", self._allow_private]
        return await self._taped(self._tape, asked, url, TapedAnswer[list[str]], lambda: self._robots.sitemaps(url))

    async def _taped(
        self,
        tape: Tape,
        asked: Sequence[object],
        url: str,
        shape: type[TapedAnswer[Value]],
        live: Callable[[], Awaitable[Value]],
    ) -> Value:
        async def answered() -> TapedAnswer[Value]:
            try:
                return TapedAnswer(await live())
            except Reject as reject:
                if may_pass(reject):
                    raise
                return TapedAnswer(no=str(reject))

        try:
            answer = await tape.record_or_replay("web", asked, url, shape, answered)
        except TapeMiss as miss:
            raise Reject("tape_miss", str(miss)) from None
        if answer.value is None:
            raise Reject(*answer.no.split(": ", 1))
        return answer.value

    async def _impersonal(self, url: str, wanted: Wanted) -> FetchedDocument:
        """The document without the headers that no tape keeps."""
        fetched = await self._follow(url, wanted)
        fetched.headers = {name: value for name, value in fetched.headers.items() if name not in PERSONAL_HEADERS}
        return fetched

    async def _robots_txt(self, url: str) -> str:
        fetched = await self._follow(url, Wanted((), robots.MAX_BYTES, is_robots_txt=True))
        return encoding.decode_text(fetched.body, fetched.headers.get("content-type", ""))

    async def _follow(self, url: str, wanted: Wanted) -> FetchedDocument:
        """Follow redirects, by status or by markup; each hop is asked of robots.txt, and guarded like the first."""
        requested = target = canonical_or_reject(url)
        jar = cookies.CookieStore() if self._cookies is None else self._cookies
        way = _Way()
        way_post: FetchedDocument | None = None
        while way.goes_on(target, jar.header(target)):
            delay = 0.0 if wanted.is_robots_txt else await self._permitted(target)
            answer = await self._patiently(target, wanted, jar)
            if isinstance(answer, str):
                target, way_post = canonical_or_reject(answer, target), None
                continue
            answer.requested_url, answer.crawl_delay = requested, delay
            there = None if wanted.is_robots_txt else answer.redirects_by_markup()
            if there is None:
                return answer
            target, way_post = there, answer
        if way_post is not None:  # its markup leads back to it, or on for ever: there is nothing else to read
            return way_post
        raise Reject("redirect_loop", f"{requested}: redirected in a circle, or more than {MAX_REDIRECTS} times")

    async def _permitted(self, url: str) -> float:
        """The seconds between two requests that the site asks for. Raises Reject if it forbids the URL."""
        delay = min(await self._robots.permit(url), LONGEST_WAIT_SECONDS)
        host = self._host(url)
        host.delay = max(host.delay, delay)
        return delay

    def _host(self, url: str) -> HostQueue:
        return self._hosts[urlsplit(url).netloc]

    async def _patiently(self, url: str, wanted: Wanted, jar: cookies.CookieStore) -> FetchedDocument | str:
        """Try again what may pass by itself."""
        try:
            return await self._retry.run(lambda number, deadline: self._attempt(url, wanted, jar))
        except GaveUp as end:
            assert isinstance(end.last, _Rejected)
            raise end.last.reject from None

    async def _attempt(self, url: str, wanted: Wanted, jar: cookies.CookieStore) -> FetchedDocument | str:
        """A pause that the server asks for is kept by all that wait for their turn there."""
        host, seconds = self._host(url), self._retry.attempt_seconds
        try:
            async with host.turn(), asyncio.timeout(seconds):
                return await self._request(url, wanted, jar)
        except TimeoutError:
            raise Reject("timeout", f"{url}: no answer within {seconds:g} seconds") from None
        except Reject as reject:
            asked = (reject.retry_after if isinstance(reject, BadStatus) else None) or 0.0
            if reject.reason not in _TRANSIENT or asked > LONGEST_WAIT_SECONDS:
                raise
            host.rest(asked)
            raise _Rejected(reject) from None

    async def _request(self, url: str, wanted: Wanted, jar: cookies.CookieStore) -> FetchedDocument | str:
        """One exchange: the document, or the URL that it redirects to."""
        header = jar.header(url)
        try:
            request = self._client.build_request("GET", url, headers={"Cookie": header} if header else None)
            response = await self._client.send(request, stream=True)
            try:
                jar.take(url, response)
                with overheard(url, response):
                    return await self._answer(url, response, wanted)
            finally:
                await response.aclose()
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpx.InvalidURL) as error:
            raise reject_of(url, error) from None

    async def _answer(self, url: str, response: httpx.Response, wanted: Wanted) -> FetchedDocument | str:
        status = response.status_code
        location = response.headers.get("location")
        if status in REDIRECTS and location:
            return str(location)
        if sign := block_pages.blocking_header(response.headers):
            raise Reject("bot_wall", f"{url}: {sign}")
        if not (response.is_success if wanted.is_robots_txt else status == 200):
            raise BadStatus(url, status, retry_after_seconds(response.headers.get("retry-after", "")))
        headers = {name.lower(): value for name, value in response.headers.items()}
        said = headers.get("content-type", "")

        def check(body: bytes) -> None:
            if wanted.kinds and (found := media_types.detect_media_type(said, body)) not in wanted.kinds:
                but_said = (
                    "" if found == media_types.media_type_of_header(said) else f", sent as {said[:80] or 'nothing'}"
                )
                raise Reject("not_html", f"{url}: is {found}{but_said}")

        body = await _read(url, response, wanted, check)
        return FetchedDocument(
            url=url,
            requested_url=url,
            content_type=media_types.detect_media_type(said, body),
            body=body,
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
            headers=headers,
        )


def canonical_or_reject(url: str, base: str = "") -> str:
    """The canonical form of a URL. Raises Reject ``bad_url`` for anything but http and https."""
    target = urls.canonical_url(url, base)
    if target is None:
        raise Reject("bad_url", f"{url}: not an http or https URL")
    return target


def reject_of(url: str, error: Exception) -> Reject:
    """What an error of the libraries means for a URL."""
    if isinstance(error, httpcore.TimeoutException):
        return Reject("timeout", f"{url}: {type(error).__name__}")
    if isinstance(error, httpcore.ConnectError):
        return Reject("connection_failed", f"{url}: cannot connect ({error}): is the server up?")
    if isinstance(error, httpx.InvalidURL):
        return Reject("bad_url", f"{url}: {error}")
    return Reject("connection_broken", f"{url}: {error or type(error).__name__}")


async def _read(url: str, response: httpx.Response, wanted: Wanted, check: Callable[[bytes], None]) -> bytes:
    """The decompressed body. Past so many bytes it is cut, or refused as too_large; no more is ever held.

    ``check`` is shown the first bytes, then the whole, and may refuse them.
    """
    inflater = Decompressor(url, response.headers.get("content-encoding", ""))
    body, limit = bytearray(), wanted.max_bytes
    shown = False
    async for chunk in response.aiter_raw():
        body += inflater.feed(chunk, limit + 1 - len(body))
        if not shown and len(body) >= media_types.HEAD_BYTES:
            check(bytes(body[: media_types.HEAD_BYTES]))
            shown = True
        if len(body) > limit:
            if wanted.is_robots_txt:
                return bytes(body[:limit])
            raise Reject("too_large", f"{url}: more than {limit:,} bytes")
    check(bytes(body))
    return bytes(body)

"""A breadth-first crawl that gives the same pages in the same order every time, however fast which page answers.

Pages are fetched and extracted side by side, but leave in the order of the frontier, and only a page that has left
adds its links to the frontier. So ``pages.jsonl`` *is* the state of a crawl: with the pages of an interrupted run as
``known``, the frontier is rebuilt from their links, nothing known is fetched again, and the crawl goes on where it
stopped.
"""

import asyncio
import heapq
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from rensa import RMinHash

from webdancer_cli import config
from webdancer_cli.errors import Reject
from webdancer_cli.records import Page
from webdancer_cli.tape import Tape
from webdancer_cli.web import urls
from webdancer_cli.web.extraction import Extraction
from webdancer_cli.web.fetch import Fetcher
from webdancer_cli.web.gate import Reading, Refusal, Terms
from webdancer_cli.web.similar import Similar, signature
from webdancer_cli.web.sitemaps import addresses


@dataclass(frozen=True)
class Skipped:
    """A URL that gave no page, and why.

    ``root`` says that the user named it: that deserves a line of its own, unless it was ``followed``, which is to say
    that it is no page to keep, but led to others.
    """

    url: str
    reason: str
    detail: str
    root: bool
    depth: int
    followed: bool = False


@dataclass(frozen=True)
class Target:
    """A URL of the frontier."""

    url: str
    depth: int
    root: bool = False


@dataclass(frozen=True)
class Known:
    """What a crawl remembers of a page from an earlier run."""

    url: str
    links: tuple[str, ...]
    sha256: str
    signature: RMinHash
    crawl_delay: float


async def crawl(
    roots: Sequence[str],
    options: config.Crawlqa,
    *,
    known: Iterable[Page] = (),
    skipped: Callable[[Skipped], None] = lambda skip: None,
    fetcher: Fetcher | None = None,
    tape: Tape | None = None,
) -> AsyncIterator[Page]:
    """The pages of the roots' sites, breadth first, at most ``max_pages`` of them, links followed to ``max_depth``.

    ``known`` pages are not given again, but count. ``skipped`` is told of every URL that gave no page; its reasons are
    those of ``Fetcher.get``, those of the gate, and: off_site (a redirect left the sites), denied (by the user's
    patterns), trap (an endless URL space), host_silent (the host stopped answering), duplicate (the text, or the URL
    after redirects, was there before), near_duplicate, extraction_failed. Nothing is raised for a single URL. Wrap it
    in ``contextlib.aclosing`` to stop early without delay.
    """
    async with AsyncExitStack() as stack:
        if fetcher is None:
            fetcher = await stack.enter_async_context(_fetcher(options, tape))
        extraction = stack.enter_context(Extraction(options.timeout_seconds))
        run = _Crawl(options, fetcher, extraction, known, skipped)
        stack.push_async_callback(run.stop)
        async for page in run.pages(roots):
            yield page


def _fetcher(options: config.Crawlqa, tape: Tape | None) -> Fetcher:
    return Fetcher(
        per_host=options.per_host,
        delay_seconds=options.delay_seconds,
        timeout_seconds=options.timeout_seconds,
        allow_private=options.allow_private,
        contact=options.contact,
        tape=tape,
    )


class _Crawl:
    """The state of one crawl: the frontier, what is under way, and what was seen."""

    def __init__(
        self,
        options: config.Crawlqa,
        fetcher: Fetcher,
        extraction: Extraction,
        known: Iterable[Page],
        skipped: Callable[[Skipped], None],
    ):
        self._options = options
        self._fetcher = fetcher
        self._extraction = extraction
        self._known = _by_url(known)
        self._skipped = skipped
        self._frontier = Frontier(options.max_depth, options.allow, options.deny, options.per_host)
        self._under_way: deque[tuple[Target, asyncio.Task[Reading | Known]]] = deque()
        self._texts: set[str] = set()
        self._silent: Counter[str] = Counter()
        self._files = FileNames()
        self._similar = Similar(options.similarity)
        self._terms = Terms(options.min_chars, tuple(options.lang))

    async def pages(self, roots: Sequence[str]) -> AsyncIterator[Page]:
        for root in roots:
            self._add_root(root)
        if self._options.sitemap:
            for root in roots:
                await self._add_sitemaps(root)
        kept = 0
        while kept < self._options.max_pages and self._start_more():
            target, task = self._under_way.popleft()
            try:
                page = self._accepted(target, await self._arrived(target, task))
            except Reject as reject:
                self._skip(target, reject)
                self._count_silence(target, reject)
                continue
            finally:
                self._frontier.arrived(target)
            kept += 1
            if isinstance(page, Page):
                yield page

    async def stop(self) -> None:
        tasks = [task for _, task in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add_root(self, root: str) -> None:
        url = urls.canonical(root)
        if url is None:
            self._skipped(Skipped(root, "bad_url", f"{root}: not an http or https URL", root=True, depth=0))
        else:
            self._frontier.add_root(url)

    async def _add_sitemaps(self, root: str) -> None:
        """Queue what the sitemaps of a root's site list, as if the root linked to it."""
        target = Target(urls.canonical(root) or root, 0)
        try:
            async for url in addresses(target.url, self._fetcher, self._tell_sitemap):
                self._follow([url], target)
        except Reject as reject:
            self._tell_sitemap(target.url, reject)

    def _tell_sitemap(self, url: str, reject: Reject) -> None:
        """The user asked for it: what cannot be read of a sitemap deserves a line, like a root."""
        self._skipped(Skipped(url, reject.reason, reject.detail, root=True, depth=0, followed=not reject.failed))

    def _start_more(self) -> bool:
        """Keep requests under way; False when there is nothing left to do."""
        while len(self._under_way) < MOST_UNDER_WAY and (target := self._frontier.take()):
            self._under_way.append((target, asyncio.create_task(self._visit(target))))
        return bool(self._under_way)

    async def _visit(self, target: Target) -> Reading | Known:
        if target.url in self._known:
            return self._known[target.url]
        self._files.check(target.url)
        fetched = await self._fetcher.get(target.url)
        reading = await self._extraction.read(fetched, self._terms)
        reading.page.depth = target.depth
        reading.page.fetched_at = fetched.fetched_at
        if fetched.crawl_delay:
            reading.page.extra["crawl_delay"] = fetched.crawl_delay
        if fetched.url != target.url:
            reading.page.extra["requested_url"] = target.url
        return reading

    async def _arrived(self, target: Target, task: "asyncio.Task[Reading | Known]") -> Reading | Known:
        """What came of a visit. What is told by its name is so whether or not it had been asked for already."""
        try:
            arrived = await task
        except Reject as reject:
            self._files.check(target.url)
            if reject.reason == "not_html":
                self._files.note(target.url, is_file=True)
            raise
        self._files.check(target.url)
        self._files.note(target.url, is_file=False)
        return arrived

    def _accepted(self, target: Target, arrived: Reading | Known) -> Page | Known:
        """Check a page that has arrived and follow its links. Raises Reject when it is not to be kept."""
        page = arrived if isinstance(arrived, Known) else arrived.page
        self._silent[_host(target)] = 0
        self._frontier.pace(page.url, max(_crawl_delay(page), self._options.delay_seconds))
        self._check_redirect(target, page)
        if isinstance(arrived, Reading) and arrived.refusal:
            raise self._refused(target, arrived.page, arrived.refusal)
        if page.sha256 in self._texts:
            raise Reject("duplicate", f"{page.url}: the same text as an earlier page")
        self._texts.add(page.sha256)
        self._follow(_targets(page), target)
        if self._options.similarity < 1 and self._similar.met(_signature(page)) and isinstance(page, Page):
            raise Reject("near_duplicate", f"{page.url}: nearly the same text as an earlier page")
        return page

    def _count_silence(self, target: Target, reject: Reject) -> None:
        """Give up a host that does not answer any more, or every URL of it would cost a time limit."""
        host = _host(target)
        self._silent[host] = self._silent[host] + 1 if reject.reason in _SILENCE else 0
        if self._silent[host] == MOST_SILENT:
            silence = f"{host}: {MOST_SILENT} requests in a row without an answer; it is left alone"
            for left in self._frontier.drop(host):
                self._skip(left, Reject("host_silent", silence))

    def _refused(self, target: Target, page: Page, refusal: Refusal) -> Reject:
        """No page to keep. Where its links are followed it is a way to others, and no failure."""
        if refusal.follow:
            self._follow(_targets(page), target, deeper=0 if refusal.parts else 1)
        return Reject(refusal.reason, refusal.detail, failed=not (refusal.follow and page.links))

    def _check_redirect(self, target: Target, page: Page | Known) -> None:
        if page.url == target.url:
            return
        if target.root:
            self._frontier.allow(page.url)
        if not self._frontier.on_site(page.url):
            raise Reject("off_site", f"{target.url}: redirects to {page.url}")
        if not (target.root or self._frontier.wanted(page.url)):
            raise Reject("denied", f"{target.url}: redirects to {page.url}, which --allow or --deny leave out")
        if not self._frontier.first_time(page.url):
            raise Reject("duplicate", f"{target.url}: redirects to {page.url}, met before")

    def _follow(self, links: Iterable[str], source: Target, deeper: int = 1) -> None:
        for url in links:
            try:
                self._frontier.add(url, source.depth + deeper)
            except Reject as reject:
                self._skip(Target(url, source.depth + deeper), reject)

    def _skip(self, target: Target, reject: Reject) -> None:
        followed = not reject.failed
        self._skipped(Skipped(target.url, reject.reason, reject.detail, target.root, target.depth, followed=followed))


def _signature(page: Page | Known) -> RMinHash:
    return page.signature if isinstance(page, Known) else signature(page.text)


def _crawl_delay(page: Page | Known) -> float:
    return page.crawl_delay if isinstance(page, Known) else float(page.extra.get("crawl_delay", 0.0))


def _targets(page: Page | Known) -> tuple[str, ...]:
    return page.links if isinstance(page, Known) else tuple(link.url for link in page.links)


def _by_url(pages: Iterable[Page]) -> dict[str, Known]:
    """Known pages by the URL that the frontier has for them: the one before redirects."""
    found: dict[str, Known] = {}
    for page in pages:
        links = tuple(link.url for link in page.links)
        requested = str(page.extra.get("requested_url", page.url))
        found[requested] = Known(page.url, links, page.sha256, _signature(page), _crawl_delay(page))
    return found


_SILENCE = frozenset(["timeout", "connection_failed", "connection_broken", "proxy_failure"])
MOST_SILENT = 10
"""After so many requests in a row without an answer, a host is left alone."""

LONGEST_URL = 2000
DEEPEST_PATH = 20
MOST_QUERIES = 200
"""How many query strings of one path are followed."""
MOST_DATES = 400
"""How many days, weeks and months of one calendar are followed: of paths that end in a date, and differ only there."""
TURN_SECONDS = 0.02
"""What a turn of a host counts at least, beside one that is asked every few seconds."""
MOST_UNDER_WAY = 256
AHEAD_PER_REQUEST = 4
"""URLs of a host taken ahead for each request to it at once: pages leave in order, and some answer late."""
AHEAD_SECONDS = 1.0
"""Of a host with a pace, no more URLs are taken ahead than it can be asked for in this time, or others would wait."""

_FILE_NAME = re.compile(
    r"[^/]*\.(7z|avi|bin|bmp|bz2|css|csv|dmg|docx?|epub|exe|flac|gif|gz|ico|iso|jar|jpe?g|js|json|m4a|mkv|mov|mp3|mp4|"
    r"mpe?g|msi|odt|ogg|pdf|png|pptx?|rar|rpm|deb|svg|tar|tgz|tiff?|ttf|txt|wav|webm|webp|whl|wmv|woff2?|xlsx?|xml|xz|"
    r"zip)$",
    re.IGNORECASE,
)
"""Names that a file may have, or a page about it: "Node.js", "File:Map.png"."""
MOST_FILES = 20
"""After so many files in a row, and no page, the others of this folder with this ending are not asked for."""


class FileNames:
    """What the names of a folder have turned out to stand for, where they look like names of files.

    Only a server can tell whether a name is a page's, but a gallery of ten thousand pictures need not be asked for.
    """

    def __init__(self) -> None:
        self._files: Counter[tuple[str, str]] = Counter()

    def check(self, url: str) -> None:
        """Raises Reject ``not_html`` for a URL among those that have all been files so far."""
        kind = self._kind(url)
        if kind and self._files[kind] >= MOST_FILES:
            raise Reject("not_html", f"{url}: by its name a file, as were {MOST_FILES} before it")

    def note(self, url: str, *, is_file: bool) -> None:
        """What a URL was. What was in doubt stays as it is once it is settled: the order of answers must not matter."""
        kind = self._kind(url)
        if kind and self._files[kind] < MOST_FILES:
            self._files[kind] = self._files[kind] + 1 if is_file else 0

    def _kind(self, url: str) -> tuple[str, str] | None:
        head = url.partition("?")[0]
        found = _FILE_NAME.search(head)
        return (head[: found.start()], found.group(1).lower()) if found else None


_DATE_AT_END = re.compile(r"/(?:19|20)\d\d(?:(?:[/-]\d{1,2}){1,2}|[/-]w\d{1,2})/?$", re.IGNORECASE)


class Frontier:
    """URLs to visit: breadth first within a host, the hosts in turn, each URL once, only on the roots' sites.

    A host that wants to be asked seldom has its turn so much less often. Turns follow a clock of their own, not that
    on the wall, or the order of pages would depend on which host answers first.
    """

    def __init__(self, max_depth: int, allow: Sequence[str] = (), deny: Sequence[str] = (), per_host: int = 4):
        self._max_depth = max_depth
        self._allow = allow
        self._deny = deny
        self._queues: dict[str, deque[Target]] = {}
        self._ahead = AHEAD_PER_REQUEST * per_host
        self._turns: list[tuple[float, int, str]] = []
        """As a heap: when a host's turn is, a number that keeps the order, and the host."""
        self._has_turn: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self._now = 0.0
        self._given = 0
        self._paces: dict[str, float] = {}
        self._sites: set[str] = set()
        self._seen: set[str] = set()
        self._queries: Counter[str] = Counter()
        self._dates: Counter[str] = Counter()

    def pace(self, url: str, seconds: float) -> None:
        """The host of a URL is asked once in so many seconds."""
        self._paces[urlsplit(url).netloc] = seconds

    def add_root(self, url: str) -> None:
        self.allow(url)
        if self.first_time(url):
            self._put(Target(url, 0, root=True))

    def allow(self, url: str) -> None:
        """Count the site of a URL among the sites to crawl."""
        self._sites.add(urls.site(url))

    def on_site(self, url: str) -> bool:
        return urls.site(url) in self._sites

    def wanted(self, url: str) -> bool:
        """Whether the user's patterns let a URL in."""
        allowed = not self._allow or any(fnmatchcase(url, pattern) for pattern in self._allow)
        return allowed and not any(fnmatchcase(url, pattern) for pattern in self._deny)

    def first_time(self, url: str) -> bool:
        """Whether a URL was never met before; from now on it was."""
        before = len(self._seen)
        self._seen.add(urls.fingerprint(url))
        return len(self._seen) > before

    def add(self, url: str, depth: int) -> None:
        """Queue a link, unless it is too deep, leads elsewhere, or was met. Raises Reject: denied, trap."""
        if depth > self._max_depth or not self.on_site(url) or not self.first_time(url):
            return
        if not self.wanted(url):
            raise Reject("denied", f"{url}: left out by --allow or --deny")
        self._check_trap(url)
        self._put(Target(url, depth))

    def _check_trap(self, url: str) -> None:
        path, mark, _ = url.partition("?")
        segments = path.split("/")[3:]
        if len(url) > LONGEST_URL or len(segments) > DEEPEST_PATH or _repeats(segments):
            raise Reject("trap", f"{url[:200]}: an endless path")
        self._queries[path] += bool(mark)
        if self._queries[path] > MOST_QUERIES:
            raise Reject("trap", f"{url}: more than {MOST_QUERIES} query strings of one path")
        if date := _DATE_AT_END.search(path):
            self._dates[path[: date.start()]] += 1
            if self._dates[path[: date.start()]] > MOST_DATES:
                raise Reject("trap", f"{url}: more than {MOST_DATES} dates of one calendar")

    def _put(self, target: Target) -> None:
        host = _host(target)
        self._queues.setdefault(host, deque()).append(target)
        self._give_turn(host)

    def _give_turn(self, host: str) -> None:
        """Unless it has one, or has nothing waiting."""
        if host in self._has_turn or not self._queues.get(host):
            return
        self._has_turn.add(host)
        self._given += 1
        turn = self._now + max(self._paces.get(host, 0.0), TURN_SECONDS)
        heapq.heappush(self._turns, (turn, self._given, host))

    def _is_full(self, host: str) -> bool:
        return self._under_way[host] >= self._room(host)

    def _room(self, host: str) -> int:
        """How many URLs of a host may be under way."""
        pace = self._paces.get(host, 0.0)
        return max(1, min(self._ahead, int(AHEAD_SECONDS / pace))) if pace else self._ahead

    def take(self) -> Target | None:
        """The next URL; None when there is none, or none before others have ``arrived``."""
        if not self._turns or self._is_full(self._turns[0][2]):
            return None
        self._now, _, host = heapq.heappop(self._turns)
        self._has_turn.remove(host)
        self._under_way[host] += 1
        target = self._queues[host].popleft()
        self._give_turn(host)
        return target

    def arrived(self, target: Target) -> None:
        """A URL that was taken is dealt with."""
        self._under_way[_host(target)] -= 1

    def drop(self, host: str) -> list[Target]:
        """Forget what waits for a host."""
        left = list(self._queues.pop(host, ()))
        self._turns = [turn for turn in self._turns if turn[2] != host]
        heapq.heapify(self._turns)
        self._has_turn.discard(host)
        return left


def _host(target: Target) -> str:
    return urlsplit(target.url).netloc


def _repeats(segments: Sequence[str]) -> bool:
    """Whether a path goes round in circles: one named segment four times, as in ``/a/b/a/b/a/b/a/``."""
    counts = Counter(segment for segment in segments if segment)
    return any(count >= 4 for count in counts.values())

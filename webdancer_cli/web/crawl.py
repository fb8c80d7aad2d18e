"""A breadth-first crawl that gives the same pages in the same order every time, however fast which page answers.

Pages are fetched and extracted side by side, but leave in the order of the frontier, and only a page that has left
adds its links to the frontier. So ``pages.jsonl`` *is* the state of a crawl: with the pages of an interrupted run as
``known``, the frontier is rebuilt from their links, nothing known is fetched again, and the crawl goes on where it
stopped.
"""

import asyncio
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
from webdancer_cli.web.gate import Document, Reading, Refusal, Terms
from webdancer_cli.web.similar import Similar, shingles, signature
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


@dataclass(frozen=True)
class Known:
    """What a crawl remembers of a page from an earlier run."""

    url: str
    links: tuple[str, ...]
    sha256: str
    signature: RMinHash


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
    patterns), trap (an endless URL space), duplicate (the text, or the URL after redirects, was there before),
    near_duplicate, extraction_failed. Nothing is raised for a single URL. Wrap it in ``contextlib.aclosing`` to stop
    early without delay.
    """
    async with AsyncExitStack() as stack:
        if fetcher is None:
            fetcher = await stack.enter_async_context(_fetcher(options, tape))
        extraction = stack.enter_context(Extraction())
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
        self._frontier = Frontier(options.max_depth, options.allow, options.deny)
        self._under_way: deque[tuple[Target, asyncio.Task[Reading | Known]]] = deque()
        self._texts: set[str] = set()
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
                page = self._accepted(target, await task)
            except Reject as reject:
                self._skip(target, reject)
                continue
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
            async for url in addresses(target.url, self._fetcher):
                self._follow([found for found in [urls.canonical(url)] if found], target)
        except Reject as reject:
            self._skipped(Skipped(target.url, reject.reason, reject.detail, root=False, depth=0))

    def _start_more(self) -> bool:
        """Keep enough requests under way that every host has its share; False when there is nothing left to do."""
        ahead = min(4 * self._options.per_host * max(1, self._frontier.hosts), 256)
        while len(self._under_way) < ahead and (target := self._frontier.take()):
            self._under_way.append((target, asyncio.create_task(self._visit(target))))
        return bool(self._under_way)

    async def _visit(self, target: Target) -> Reading | Known:
        if target.url in self._known:
            return self._known[target.url]
        fetched = await self._fetcher.get(target.url)
        reading = await self._extraction.read(Document(fetched.text(), fetched.url, fetched.headers), self._terms)
        reading.page.depth = target.depth
        reading.page.fetched_at = fetched.fetched_at
        if fetched.url != target.url:
            reading.page.extra["requested_url"] = target.url
        return reading

    def _accepted(self, target: Target, arrived: Reading | Known) -> Page | Known:
        """Check a page that has arrived and follow its links. Raises Reject when it is not to be kept."""
        page = arrived if isinstance(arrived, Known) else arrived.page
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

    def _refused(self, target: Target, page: Page, refusal: Refusal) -> Reject:
        """No page to keep. Where its links are followed it is a way to others, and no failure."""
        if refusal.follow:
            self._follow(_targets(page), target)
        return Reject(refusal.reason, refusal.detail, failed=not (refusal.follow and page.links))

    def _check_redirect(self, target: Target, page: Page | Known) -> None:
        if page.url == target.url:
            return
        if target.depth == 0:
            self._frontier.allow(page.url)
        if not self._frontier.on_site(page.url):
            raise Reject("off_site", f"{target.url}: redirects to {page.url}")
        if not (target.depth == 0 or self._frontier.wanted(page.url)):
            raise Reject("denied", f"{target.url}: redirects to {page.url}, which --allow or --deny leave out")
        if not self._frontier.first_time(page.url):
            raise Reject("duplicate", f"{target.url}: redirects to {page.url}, met before")

    def _follow(self, links: Iterable[str], source: Target) -> None:
        for url in links:
            try:
                self._frontier.add(url, source.depth + 1)
            except Reject as reject:
                self._skip(Target(url, source.depth + 1), reject)

    def _skip(self, target: Target, reject: Reject) -> None:
        root, depth = target.depth == 0, target.depth
        self._skipped(Skipped(target.url, reject.reason, reject.detail, root, depth, followed=not reject.failed))


def _signature(page: Page | Known) -> RMinHash:
    return page.signature if isinstance(page, Known) else signature(shingles(page.text))


def _targets(page: Page | Known) -> tuple[str, ...]:
    return page.links if isinstance(page, Known) else tuple(link.url for link in page.links)


def _by_url(pages: Iterable[Page]) -> dict[str, Known]:
    """Known pages by the URL that the frontier has for them: the one before redirects."""
    found: dict[str, Known] = {}
    for page in pages:
        links = tuple(link.url for link in page.links)
        found[str(page.extra.get("requested_url", page.url))] = Known(page.url, links, page.sha256, _signature(page))
    return found


LONGEST_URL = 2000
DEEPEST_PATH = 20
MOST_QUERIES = 200
"""How many query strings of one path are followed."""

_NO_PAGE = re.compile(
    r"\.(7z|avi|bin|bmp|bz2|css|csv|dmg|docx?|epub|exe|flac|gif|gz|ico|iso|jar|jpe?g|js|json|m4a|mkv|mov|mp3|mp4|mpe?g|"
    r"msi|odt|ogg|pdf|png|pptx?|rar|rpm|deb|svg|tar|tgz|tiff?|ttf|txt|wav|webm|webp|whl|wmv|woff2?|xlsx?|xml|xz|zip)$",
    re.IGNORECASE,
)


class Frontier:
    """URLs to visit: breadth first within a host, the hosts in turn, each URL once, only on the roots' sites."""

    def __init__(self, max_depth: int, allow: Sequence[str] = (), deny: Sequence[str] = ()):
        self._max_depth = max_depth
        self._allow = allow
        self._deny = deny
        self._queues: dict[str, deque[Target]] = {}
        self._turns: deque[str] = deque()
        self._sites: set[str] = set()
        self._seen: set[str] = set()
        self._queries: Counter[str] = Counter()

    @property
    def hosts(self) -> int:
        """How many hosts have URLs waiting."""
        return len(self._turns)

    def add_root(self, url: str) -> None:
        self.allow(url)
        if self.first_time(url):
            self._put(Target(url, 0))

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
        """Queue a link, unless it is too deep, leads elsewhere, or was met. Raises Reject: denied, not_html, trap."""
        if depth > self._max_depth or not self.on_site(url) or not self.first_time(url):
            return
        if not self.wanted(url):
            raise Reject("denied", f"{url}: left out by --allow or --deny")
        if _NO_PAGE.search(urlsplit(url).path):
            raise Reject("not_html", f"{url}: by its name not a page")
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

    def _put(self, target: Target) -> None:
        host = urlsplit(target.url).netloc
        queue = self._queues.setdefault(host, deque())
        if not queue:
            self._turns.append(host)
        queue.append(target)

    def take(self) -> Target | None:
        """The next URL; hosts take turns."""
        if not self._turns:
            return None
        host = self._turns.popleft()
        queue = self._queues[host]
        target = queue.popleft()
        if queue:
            self._turns.append(host)
        return target


def _repeats(segments: Sequence[str]) -> bool:
    """Whether a path goes round in circles: one named segment four times, as in ``/a/b/a/b/a/b/a/``."""
    counts = Counter(segment for segment in segments if segment)
    return any(count >= 4 for count in counts.values())

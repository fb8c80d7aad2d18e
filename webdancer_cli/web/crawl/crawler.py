"""A breadth-first crawl that gives the same pages in the same order every time, however fast which page answers.

Pages are fetched and extracted side by side, but leave in the order of the frontier, and only a page that has left
adds its links to the frontier. So ``pages.jsonl`` *is* the state of a crawl: with the pages of an interrupted run as
``known``, the frontier is rebuilt from their links, nothing known is fetched again, and the crawl goes on where it
stopped. A large crawl has its database beside the pages instead (``crawl_database``): then nothing is rebuilt.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec

from webdancer_cli.data.ordered_map import TasksInOrder
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject
from webdancer_cli.options import config
from webdancer_cli.tape import Tape
from webdancer_cli.web import urls
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase, key_of
from webdancer_cli.web.crawl.frontier import CrawlTarget, FileNames, Frontier, host_of
from webdancer_cli.web.crawl.near_duplicates import KeptTexts, minhash_signature
from webdancer_cli.web.crawl.sitemaps import sitemap_addresses
from webdancer_cli.web.crawl.warc_file import WarcFile, packed
from webdancer_cli.web.extract.page_extractor import PageExtractor
from webdancer_cli.web.extract.page_filter import FilteredPage, PageCriteria, PageRefusal
from webdancer_cli.web.fetch.exchanges import listening
from webdancer_cli.web.fetch.fetcher import Fetcher, may_pass
from webdancer_cli.web.workers import OVERLOADED


@dataclass(frozen=True)
class SkippedUrl:
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
class KnownPage:
    """What a crawl remembers of a page from an earlier run. ``requested_url`` is the one before redirects, which the
    frontier has for it."""

    url: str
    requested_url: str
    links: tuple[str, ...]
    sha256: str
    signature: bytes
    crawl_delay: float

    @classmethod
    def of(cls, page: Page) -> "KnownPage":
        requested = str(page.extra.get("requested_url", page.url))
        links = tuple(link.url for link in page.links)
        return cls(page.url, requested, links, page.sha256, minhash_signature(page.text), _crawl_delay(page))

    def remember(self, database: CrawlDatabase) -> None:
        """Let a crawl know the page, until it meets it."""
        row = (key_of(self.requested_url), msgspec.msgpack.encode(self))
        database.execute("INSERT OR REPLACE INTO known VALUES (?, ?)", row)


def _drop_page(page: Page) -> None:
    """Keeps nothing."""


async def crawl(
    roots: Sequence[str],
    options: config.CrawlqaOptions,
    *,
    known: Iterable[KnownPage] = (),
    skipped: Callable[[SkippedUrl], None] = lambda skip: None,
    keep: Callable[[Page], None] = _drop_page,
    database: CrawlDatabase | None = None,
    archive: WarcFile | None = None,
    fetcher: Fetcher | None = None,
    tape: Tape | None = None,
) -> AsyncGenerator[Page, None]:
    """The pages of the roots' sites, breadth first, at most ``max_pages`` of them, links followed to ``max_depth``.

    ``known`` pages are not given again, but count. ``keep`` is told of each page before it is given, and before the
    ``database`` of the crawl is committed: what it notes there stays with the page. A database that an earlier run
    saved is gone on with; what failed in it for a reason that may pass is tried again. The ``archive`` gets what was
    fetched for each URL, in the order of the pages. ``skipped`` is told of every URL that gave no page; its reasons are
    those of ``Fetcher.get``, those of the gate, and: off_site (a redirect left the sites), denied (by the user's
    patterns), trap (an endless URL space), host_silent (the host stopped answering), duplicate (the text, or the URL
    after redirects, was there before), near_duplicate, extraction_failed. Nothing is raised for a single URL. Wrap it
    in ``contextlib.aclosing`` to stop early without delay.
    """
    async with AsyncExitStack() as stack:
        if database is None:
            database = stack.enter_context(CrawlDatabase())
        for page in known:
            page.remember(database)
        if fetcher is None:
            fetcher = await stack.enter_async_context(_fetcher(options, tape))
        extraction = stack.enter_context(PageExtractor(options.timeout_seconds))
        run = _Crawl(options, fetcher, extraction, database, skipped, keep, archive)
        stack.push_async_callback(run.under_way.cancel)
        async for new in run.pages(roots):
            yield new


def _fetcher(options: config.CrawlqaOptions, tape: Tape | None) -> Fetcher:
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
        options: config.CrawlqaOptions,
        fetcher: Fetcher,
        extraction: PageExtractor,
        database: CrawlDatabase,
        skipped: Callable[[SkippedUrl], None],
        keep: Callable[[Page], None],
        archive: WarcFile | None,
    ):
        self._options = options
        self._fetcher = fetcher
        self._extraction = extraction
        self._database = database
        self._skipped = skipped
        self._keep = keep
        self._archive = archive
        self._records: dict[str, bytes] = {}
        """For the archive, of what is under way or about to leave, by the URL."""
        self._frontier = Frontier(options.max_depth, options.allow, options.deny, options.per_host, database)
        self.under_way: TasksInOrder[CrawlTarget, FilteredPage | KnownPage] = TasksInOrder()
        self._silent: Counter[str] = Counter()
        self._files = FileNames(database)
        self._texts = KeptTexts(options.similarity, database)
        self._terms = PageCriteria(options.min_chars, tuple(options.lang))
        self._kept = int(database.noted("kept", 0))

    async def pages(self, roots: Sequence[str]) -> AsyncIterator[Page]:
        await self._begin(roots)
        while self._kept < self._options.max_pages and self._start_more():
            target, visit = await anext(self.under_way)
            page = self._left(target, visit)
            self._kept += page is not None
            if isinstance(page, Page):
                self._keep(page)
            self._commit()
            if isinstance(page, Page):
                yield page

    async def _begin(self, roots: Sequence[str]) -> None:
        if self._database.noted("begun", False):
            for target in self._frontier.taken_before():
                self.under_way.begin(target, self._visit(target))
            self._frontier.try_again()
            return
        for root in roots:
            self._add_root(root)
        if self._options.sitemap:
            for root in roots:
                with listening() as heard:
                    await self._add_sitemaps(root)
                if self._archive:
                    self._archive.append(packed(heard))
        self._database.note("begun", True)

    def _left(self, target: CrawlTarget, visit: "asyncio.Task[FilteredPage | KnownPage]") -> Page | KnownPage | None:
        """The page of a URL that has been visited; None if it has none to keep."""
        try:
            return self._accepted(target, self._arrived(target, visit))
        except Reject as reject:
            self._skip(target, reject)
            self._count_silence(target, reject)
            return None
        finally:
            self._frontier.arrived(target)
            self._database.execute("DELETE FROM known WHERE key = ?", (key_of(target.url),))
            if self._archive:
                self._archive.append(self._records.pop(target.url, b""))

    def _commit(self) -> None:
        self._frontier.save()
        self._database.note("kept", self._kept)
        if self._archive:
            self._archive.note()
        self._database.commit(self._kept)

    def _add_root(self, root: str) -> None:
        url = urls.canonical_url(root)
        if url is None:
            self._skipped(SkippedUrl(root, "bad_url", f"{root}: not an http or https URL", root=True, depth=0))
        else:
            self._frontier.add_root(url)

    async def _add_sitemaps(self, root: str) -> None:
        """Queue what the sitemaps of a root's site list, as if the root linked to it."""
        target = CrawlTarget(urls.canonical_url(root) or root, 0)
        try:
            async for url in sitemap_addresses(target.url, self._fetcher, self._tell_sitemap):
                self._follow([url], target)
        except Reject as reject:
            self._tell_sitemap(target.url, reject)

    def _tell_sitemap(self, url: str, reject: Reject) -> None:
        """The user asked for it: what cannot be read of a sitemap deserves a line, like a root."""
        self._skipped(SkippedUrl(url, reject.reason, reject.detail, root=True, depth=0, followed=not reject.failed))

    def _start_more(self) -> bool:
        """Keep requests under way; False when there is nothing left to do."""
        while len(self.under_way) < MOST_UNDER_WAY and (target := self._frontier.take()):
            self.under_way.begin(target, self._visit(target))
        return bool(self.under_way)

    async def _visit(self, target: CrawlTarget) -> FilteredPage | KnownPage:
        if row := self._database.execute("SELECT page FROM known WHERE key = ?", (key_of(target.url),)).fetchone():
            return msgspec.msgpack.decode(row[0], type=KnownPage)
        if self._archive is None:
            return await self._read(target)
        with listening() as heard:
            try:
                return await self._read(target)
            finally:
                self._records[target.url] = packed(heard)

    async def _read(self, target: CrawlTarget) -> FilteredPage:
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

    def _arrived(
        self, target: CrawlTarget, visit: "asyncio.Task[FilteredPage | KnownPage]"
    ) -> FilteredPage | KnownPage:
        """What came of a visit. What is told by its name is so whether or not it had been asked for already."""
        try:
            arrived = visit.result()
        except Reject as reject:
            self._files.check(target.url)
            if reject.reason == "not_html":
                self._files.note(target.url, is_file=True)
            raise
        self._files.check(target.url)
        self._files.note(target.url, is_file=False)
        return arrived

    def _accepted(self, target: CrawlTarget, arrived: FilteredPage | KnownPage) -> Page | KnownPage:
        """Check a page that has arrived and follow its links. Raises Reject when it is not to be kept."""
        page = arrived if isinstance(arrived, KnownPage) else arrived.page
        self._silent[host_of(target)] = 0
        self._frontier.pace(page.url, max(_crawl_delay(page), self._options.delay_seconds))
        self._check_redirect(target, page)
        if isinstance(arrived, FilteredPage) and arrived.refusal:
            raise self._refused(target, arrived.page, arrived.refusal)
        if not self._texts.add(page.sha256):
            raise Reject("duplicate", f"{page.url}: the same text as an earlier page")
        self._follow(_targets(page), target)
        if self._options.similarity < 1 and not self._texts.add_signature(_signature(page)) and isinstance(page, Page):
            raise Reject("near_duplicate", f"{page.url}: nearly the same text as an earlier page")
        return page

    def _count_silence(self, target: CrawlTarget, reject: Reject) -> None:
        """Give up a host that does not answer any more, or every URL of it would cost a time limit."""
        host = host_of(target)
        self._silent[host] = self._silent[host] + 1 if reject.reason in _SILENCE else 0
        if self._silent[host] == MOST_SILENT:
            for left in self._frontier.drop(host):
                self._skip(left, Reject("host_silent", self._given_up(host)))

    def _given_up(self, host: str) -> str:
        """Why a host is asked no more; "" if it is."""
        if self._silent[host] < MOST_SILENT:
            return ""
        return f"{host}: {MOST_SILENT} requests in a row without an answer; it is left alone"

    def _refused(self, target: CrawlTarget, page: Page, refusal: PageRefusal) -> Reject:
        """No page to keep. Where its links are followed it is a way to others, and no failure."""
        if refusal.follow:
            self._follow(_targets(page), target, deeper=0 if refusal.parts else 1)
        return Reject(refusal.reason, refusal.detail, failed=not (refusal.follow and page.links))

    def _check_redirect(self, target: CrawlTarget, page: Page | KnownPage) -> None:
        if page.url == target.url:
            return
        if target.root:
            self._frontier.allow(page.url)
        if not self._frontier.on_site(page.url):
            raise Reject("off_site", f"{target.url}: redirects to {page.url}")
        if not (target.root or self._frontier.wanted(page.url)):
            raise Reject("denied", f"{target.url}: redirects to {page.url}, which --allow or --deny leave out")
        if not self._frontier.note(page.url):
            raise Reject("duplicate", f"{target.url}: redirects to {page.url}, met before")

    def _follow(self, links: Iterable[str], source: CrawlTarget, deeper: int = 1) -> None:
        for url in links:
            target = CrawlTarget(url, source.depth + deeper)
            try:
                self._frontier.add(url, target.depth, self._given_up(host_of(target)))
            except Reject as reject:
                self._skip(target, reject)

    def _skip(self, target: CrawlTarget, reject: Reject) -> None:
        followed = not reject.failed
        if may_pass(reject) or reject.reason in ("host_silent", OVERLOADED):
            self._frontier.note_failed(target)
        self._skipped(
            SkippedUrl(target.url, reject.reason, reject.detail, target.root, target.depth, followed=followed)
        )


def _signature(page: Page | KnownPage) -> bytes:
    return page.signature if isinstance(page, KnownPage) else minhash_signature(page.text)


def _crawl_delay(page: Page | KnownPage) -> float:
    return page.crawl_delay if isinstance(page, KnownPage) else float(page.extra.get("crawl_delay", 0.0))


def _targets(page: Page | KnownPage) -> tuple[str, ...]:
    return page.links if isinstance(page, KnownPage) else tuple(link.url for link in page.links)


_SILENCE = frozenset(["timeout", "connection_failed", "connection_broken", "proxy_failure"])
MOST_SILENT = 10
"""After so many requests in a row without an answer, a host is left alone."""

MOST_UNDER_WAY = 256

"""From roots to pages: crawled from URLs, read from folders, archives and files of pages; kept in one corpus."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, ExitStack, aclosing
from pathlib import Path

from webdancer_cli.data import jsonl
from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.pipeline import Progress, RecordWriter
from webdancer_cli.data.records import Page, Record, Rejected
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import count_lines
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.options import config
from webdancer_cli.tape import Tape
from webdancer_cli.web import urls
from webdancer_cli.web.crawl import local_files, warc
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase
from webdancer_cli.web.crawl.crawler import KnownPage, SkippedUrl, crawl
from webdancer_cli.web.crawl.near_duplicates import KeptTexts
from webdancer_cli.web.crawl.page_file import open_page_file
from webdancer_cli.web.crawl.path_lists import is_path_list, without_lists
from webdancer_cli.web.crawl.warc_file import WarcFile
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.fetch.file_stream import FileStreams
from webdancer_cli.web.page_lines import read_pages


class Root(Record, kw_only=True):
    """A line of stdin."""

    url: str


def writes_pages(options: config.CrawlqaOptions) -> bool:
    """Whether the run may write ``options.pages``; pages that are given in files of pages stay there."""
    return not options.roots or not all(map(_is_corpus, options.roots))


class RootPages:
    """The pages of the roots, counted; new ones are written to ``options.pages`` before they are given."""

    def __init__(
        self, options: config.CrawlqaOptions, output: RecordWriter, progress: Progress | None, tape: Tape | None
    ):
        self._options = options
        self._output = output
        self._progress = progress
        self._total: int | None = None
        self._tape = tape
        self._database: CrawlDatabase | None = None
        self._asked = 0
        """Pages at the beginning that need not be given."""
        self._given: int | None = None
        """How many were given of those that waited for the last one."""

    async def stream(self) -> AsyncGenerator[Page, None]:
        """In a pipe they are given when all of them are written, from there. A shard without roots has no pages: its
        file is empty, unless it is a corpus that was given. Those of an earlier run are given again, but for the first
        ones that ``note_asked`` was told of. Raises UsageError.
        """
        options, stats = self._options, self._output.stats
        roots = options.roots or [root.url for root in jsonl.read_records(options.data, Root, self._output.reject_line)]
        if not roots:
            raise UsageError('no roots: name URLs, or pipe lines like {"url": "https://…"} in')
        stored_here = are_paths(roots)
        if options.base and not any(map(is_path_list, roots)):
            raise UsageError(f"--base {options.base}: no root is a list of paths, NAME.paths or NAME.paths.gz")
        roots = without_lists(roots, options.base)
        if stored_here and options.warc:
            raise UsageError(f"--warc {options.warc}: what is read from files is not fetched; leave it out")
        mine = list(take_shard(roots, options.shard, None, lambda root: root if stored_here else urls.site_of(root)))
        if not mine and not any(map(_is_corpus, roots)):
            LineWriter(options.pages, append=options.resume).close()
        if not mine:
            return
        held = jsonl.goes_to_a_pipe(options.out) and not any(map(_is_corpus, mine))
        self._total = _pages_in(mine) if self._progress else None
        async with aclosing(self._stored(mine) if stored_here else self._crawled(mine)) as source:
            async for page in source:
                stats.counts["pages"] += 1
                self.show_progress()
                if not held and stats.counts["pages"] > self._asked:
                    yield page
        self._total = stats.counts["pages"]
        if held and stats.counts["pages"]:
            for self._given, page in enumerate(read_pages(options.pages, _told_already)):
                self.show_progress()
                yield page
            self._given = self._total
        self.show_progress()

    def show_progress(self) -> None:
        """The pages that came, or, where questions had to wait for the last of them, the pages that were asked about
        since."""
        if self._progress:
            done = self._output.stats.counts["pages"] if self._given is None else self._given
            self._progress.step(done, self._total, self._output.stats.brief())

    def note_asked(self, pages: int) -> None:
        """All questions about the first so many pages that were given are written: a resumed run need not read them
        again."""
        if self._database:
            self._database.note("asked_pages", self._asked + pages)

    async def _crawled(self, roots: list[str]) -> AsyncGenerator[Page, None]:
        """With ``resume``, the pages of the earlier crawl come first, from their file."""
        options = self._options
        asked = [roots, *(getattr(options, name) for name in _DECIDE_THE_ORDER)]
        with ExitStack() as stack:
            file = stack.enter_context(
                open_page_file(options.pages, asked, resume=options.resume, at_once=options.warc is not None)
            )
            self._opened(file.database)
            for page in file.earlier(self._output.reject_line):
                if not file.database.is_resumed:
                    KnownPage.of(page).remember(file.database)
                yield page
            file.open(append=options.resume)
            archive = None
            if options.warc:
                archive = WarcFile(options.warc, file.database, resume=options.resume)
                stack.callback(archive.close)
            pages = crawl(
                roots,
                options,
                skipped=_teller(self._output),
                keep=file.write,
                database=file.database,
                archive=archive,
                tape=self._tape,
            )
            async with aclosing(pages):
                async for page in pages:
                    yield page

    async def _stored(self, paths: list[str]) -> AsyncGenerator[Page, None]:
        """The pages of files of pages, which are a corpus already, and of folders and WARC files, which become one."""
        corpora = [path for path in paths if _is_corpus(path)]
        for path in corpora:
            for page in read_pages(path, self._output.reject_line):
                yield page
        if others := [path for path in paths if path not in corpora]:
            async with aclosing(self._unpacked(others)) as pages:
                async for page in pages:
                    yield page

    async def _unpacked(self, paths: list[str]) -> AsyncGenerator[Page, None]:
        """The pages of folders and archives. With ``resume``, those that were read to their end are not read again."""
        options = self._options
        criteria = PageCriteria(options.min_chars, tuple(options.lang))
        asked = [paths, options.min_chars, options.lang, options.similarity]
        with open_page_file(options.pages, asked, resume=options.resume) as file:
            database = file.database
            self._opened(database)
            for page in file.earlier(self._output.reject_line) if database.is_resumed else ():
                yield page
            file.open(append=database.is_resumed)
            kept, pages = KeptTexts(options.similarity, database), database.noted("kept", 0)
            async with AsyncExitStack() as stack:
                elsewhere = any(map(warc.is_warc_url, paths))
                streams = await stack.enter_async_context(_streams(options)) if elsewhere else None
                for path in paths:
                    if database.execute("SELECT 1 FROM archives WHERE name = ?", (path,)).fetchone():
                        continue
                    lost: list[Reject] = []
                    tell = _counter(self._output, lost)
                    found = local_files.read_local_pages([path], criteria, kept, tell, streams)
                    async with aclosing(found):
                        async for page in found:
                            file.write(page)
                            pages += 1
                            yield page
                    if not lost:
                        database.execute("INSERT INTO archives VALUES (?)", (path,))
                    database.note("kept", pages)
                    database.commit(pages)

    def _opened(self, database: CrawlDatabase) -> None:
        if not self._output.stats.counts["pages"]:  # behind files of pages its numbers mean nothing
            self._database = database
            self._asked = database.noted("asked_pages", 0)


_DECIDE_THE_ORDER = (
    "max_depth",
    "per_host",
    "delay_seconds",
    "allow",
    "deny",
    "sitemap",
    "similarity",
    "min_chars",
    "lang",
)
"""Options of a crawl: with other ones it is rebuilt from its pages."""


def _pages_in(roots: list[str]) -> int | None:
    """Of files of pages; how many a site or an archive has, only the end tells."""
    return count_lines(*roots) if all(map(_is_corpus, roots)) else None


def are_paths(roots: list[str]) -> bool:
    """Whether the roots are files, archives elsewhere among them, and folders, or else sites. Raises UsageError for a
    mixture."""
    local = [Path(root).exists() or warc.is_warc_url(root) for root in roots]
    if not any(local) and not any("://" in root for root in roots):
        raise UsageError(f"{roots[0]}: no such file or folder; a URL begins with http:// or https://")
    if any(local) and not all(local):
        raise UsageError(f"{roots[local.index(False)]}: no such file or folder; give either URLs or paths, not both")
    return all(local)


def _is_corpus(path: str) -> bool:
    return Path(path).is_file() and not warc.is_warc(path) and not is_path_list(path)


def _teller(output: RecordWriter) -> Callable[[SkippedUrl], None]:
    """A root that led nowhere is a failure with a line of its own; other skipped URLs are counted by their reasons."""

    def tell(skip: SkippedUrl) -> None:
        if skip.root and not skip.followed:
            output.reject_line(Rejected(reason=skip.reason, detail=skip.detail, record={"url": skip.url}))
        else:
            output.stats.counts["skipped"] += 1
            output.stats.reasons[skip.reason] += 1

    return tell


def _counter(output: RecordWriter, lost: list[Reject]) -> Callable[[Reject], None]:
    """Documents that are no pages are counted by their reasons; what is lost of an archive is a failure. Of a file that
    may be had another time ``lost`` is told, too."""

    def count(reject: Reject) -> None:
        if isinstance(reject, warc.LostBytes | warc.LostFile):
            output.reject_line(Rejected(reason=reject.reason, detail=reject.detail, record={"path": reject.path}))
            if isinstance(reject, warc.LostFile):
                lost.append(reject)
            return
        output.stats.counts["skipped"] += 1
        output.stats.reasons[reject.reason] += 1

    return count


def _streams(options: config.CrawlqaOptions) -> FileStreams:
    return FileStreams(
        allow_private=options.allow_private, timeout_seconds=options.timeout_seconds, contact=options.contact
    )


def _told_already(rejected: Rejected) -> None:
    """A line that is no page was rejected when it was met first."""

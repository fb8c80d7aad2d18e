"""From roots to pages: crawled from URLs, read from folders, archives and files of pages; kept in one corpus."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from webdancer_cli.data import jsonl
from webdancer_cli.data.jsonl import BadLine, LineWriter
from webdancer_cli.data.pipeline import Progress, RecordWriter
from webdancer_cli.data.records import Page, Record, Rejected
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import count_lines
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.options import config
from webdancer_cli.tape import Tape
from webdancer_cli.web import urls
from webdancer_cli.web.crawl import local_files, warc
from webdancer_cli.web.crawl.crawler import KnownPage, SkippedUrl, crawl
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.page_lines import read_pages


class Root(Record, kw_only=True):
    """A line of stdin."""

    url: str


def writes_pages(options: config.CrawlqaOptions) -> bool:
    """Whether the run may write ``options.pages``; pages that are given in files of pages stay there."""
    return not options.roots or not all(map(_is_corpus, options.roots))


async def pages_of_roots(
    options: config.CrawlqaOptions, output: RecordWriter, progress: Progress | None = None, tape: Tape | None = None
) -> AsyncGenerator[Page, None]:
    """The pages of the roots, counted; new ones are written to ``options.pages`` before they are given.

    In a pipe they are given when all of them are written, from there. A shard without roots has no pages: its file is
    empty, unless it is a corpus that was given. Raises UsageError.
    """
    roots = options.roots or [root.url for root in jsonl.read_records(options.data, Root, output.reject_line)]
    if not roots:
        raise UsageError('no roots: name URLs, or pipe lines like {"url": "https://…"} in')
    stored_here = are_paths(roots)
    mine = list(take_shard(roots, options.shard, None, lambda root: urls.site_of(root) or root))
    if not mine and not any(map(_is_corpus, roots)):
        LineWriter(options.pages, append=options.resume).close()
    if not mine:
        return
    held = jsonl.goes_to_a_pipe(options.out) and not any(map(_is_corpus, mine))
    total = _pages_in(mine) if progress else None
    source = _stored(mine, options, output) if stored_here else _crawled(mine, options, output, tape)
    async with aclosing(source):
        async for page in source:
            output.stats.counts["pages"] += 1
            if progress:
                progress.step(output.stats.counts["pages"], total, output.stats.brief())
            if not held:
                yield page
    if held and output.stats.counts["pages"]:
        for page in read_pages(options.pages, _told_already):
            yield page


def _pages_in(roots: list[str]) -> int | None:
    """Of files of pages; how many a site or an archive has, only the end tells."""
    return sum(map(count_lines, roots)) if all(map(_is_corpus, roots)) else None


def are_paths(roots: list[str]) -> bool:
    """Whether the roots are files and folders, or else URLs. Raises UsageError for a mixture."""
    local = [Path(root).exists() for root in roots]
    if not any(local) and not any("://" in root for root in roots):
        raise UsageError(f"{roots[0]}: no such file or folder; a URL begins with http:// or https://")
    if any(local) and not all(local):
        raise UsageError(f"{roots[local.index(False)]}: no such file or folder; give either URLs or paths, not both")
    return all(local)


async def _crawled(
    roots: list[str], options: config.CrawlqaOptions, output: RecordWriter, tape: Tape | None
) -> AsyncGenerator[Page, None]:
    """With ``resume``, the pages of the earlier crawl come first, from their file."""
    known: list[KnownPage] = []
    for page in _earlier(options, output.reject_line):
        known.append(KnownPage.of(page))
        yield page
    with _corpus(options.pages, append=options.resume) as writer:
        pages = crawl(roots, options, known=known, skipped=_teller(output), tape=tape)
        async with aclosing(pages):
            async for page in pages:
                writer.write(page)
                yield page


def _earlier(options: config.CrawlqaOptions, on_bad: BadLine) -> Iterator[Page]:
    """What an interrupted run left in ``options.pages``, which is mended; nothing unless it is to be resumed."""
    if options.resume and Path(options.pages).exists():
        jsonl.cut_torn_line(options.pages)
        yield from read_pages(options.pages, on_bad)


async def _stored(paths: list[str], options: config.CrawlqaOptions, output: RecordWriter) -> AsyncGenerator[Page, None]:
    """The pages of files of pages, which are a corpus already, and of folders and WARC files, which become one."""
    corpora = [path for path in paths if _is_corpus(path)]
    for path in corpora:
        for page in read_pages(path, output.reject_line):
            yield page
    if others := [path for path in paths if path not in corpora]:
        found = local_files.read_local_pages(
            others, PageCriteria(options.min_chars, tuple(options.lang)), options.similarity, _counter(output)
        )
        with _corpus(options.pages) as writer:
            async with aclosing(found):
                async for page in found:
                    writer.write(page)
                    yield page


def _is_corpus(path: str) -> bool:
    return Path(path).is_file() and not warc.is_warc(path)


@contextmanager
def _corpus(path: str, *, append: bool = False) -> Iterator[LineWriter]:
    """Where pages go. A run that keeps none leaves what another wrote: a mistyped root must not cost a corpus."""
    writer = LineWriter(path, append=append)
    try:
        yield writer
    finally:
        writer.close(failed=not writer.count)


def _teller(output: RecordWriter) -> Callable[[SkippedUrl], None]:
    """A root that led nowhere is a failure with a line of its own; other skipped URLs are counted by their reasons."""

    def tell(skip: SkippedUrl) -> None:
        if skip.root and not skip.followed:
            output.reject_line(Rejected(reason=skip.reason, detail=skip.detail, record={"url": skip.url}))
        else:
            output.stats.counts["skipped"] += 1
            output.stats.reasons[skip.reason] += 1

    return tell


def _counter(output: RecordWriter) -> Callable[[Reject], None]:
    """Documents that are no pages are counted by their reasons; what is lost of an archive is a failure."""

    def count(reject: Reject) -> None:
        if isinstance(reject, warc.LostBytes):
            output.reject_line(Rejected(reason=reject.reason, detail=reject.detail, record={"path": reject.path}))
            return
        output.stats.counts["skipped"] += 1
        output.stats.reasons[reject.reason] += 1

    return count


def _told_already(rejected: Rejected) -> None:
    """A line that is no page was rejected when it was met first."""

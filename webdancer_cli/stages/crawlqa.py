"""``webdancer crawlqa``: roots in, pages and questions out, both while the crawl goes on.

Only in a pipe do the questions wait for the last page: the stages behind read the same corpus, and must find it whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from fractions import Fraction
from pathlib import Path
from typing import cast

from webdancer_cli import config, jsonl, prompts
from webdancer_cli.errors import BudgetSpent, Reject, UsageError
from webdancer_cli.flow import Progress, Sink, Tally
from webdancer_cli.jsonl import Writer
from webdancer_cli.records import QA, Page, Record, Rejected
from webdancer_cli.shards import chosen
from webdancer_cli.structured import Completes
from webdancer_cli.synthesis import mix
from webdancer_cli.synthesis.earlier import Earlier
from webdancer_cli.synthesis.repeats import Repeats
from webdancer_cli.synthesis.roles import QuestionWriter, Refused
from webdancer_cli.synthesis.sieve import Checks, Sieve
from webdancer_cli.tape import Tape
from webdancer_cli.web import stored, urls, warc
from webdancer_cli.web.crawl import Skipped, crawl
from webdancer_cli.web.gate import Terms


class Root(Record, kw_only=True):
    """A line of stdin."""

    url: str


async def run(
    options: config.Crawlqa,
    author: QuestionWriter,
    progress: Progress | None = None,
    tape: Tape | None = None,
    judge: Completes | None = None,
) -> Tally:
    """Crawl, keep the pages in ``options.pages``, write the questions as soon as the author has them.

    ``judge`` is asked about each question, if ``options.closed_book`` or ``options.verify``. ``options.limit`` counts
    what an earlier run wrote, too.
    """
    if options.pages in (options.out, options.rejects, options.data):
        raise UsageError(f"--pages {options.pages}: already used for something else; name another file")
    shares, sieve = mix.shares_of(options), _sieve(options, judge)
    with (
        Sink("crawlqa", options.out, options.rejects, resume=options.resume) as sink,
        Repeats(config.Lint.similarity) as met,
    ):
        delivery = Delivery(options, sink, shares, met)
        pages = _pages(options, sink, progress, tape)
        try:
            async with aclosing(pages), aclosing(author.write(pages)) as written:
                outcomes = delivery.new(written)
                async with aclosing(sieve.sift(outcomes) if sieve else outcomes) as sifted:
                    await delivery.take(sifted)
        except BudgetSpent as spent:
            sink.tally.stopped = str(spent)
        delivery.finish()
        return sink.tally


def _sieve(options: config.Crawlqa, judge: Completes | None) -> Sieve | None:
    if not (options.closed_book or options.verify):
        return None
    if judge is None:
        flag = "--closed-book" if options.closed_book else "--verify"
        raise UsageError(
            f"{flag}: needs a model to ask; name one with --model and --base-url, or with --judge-model and"
            " --judge-base-url"
        )
    return Sieve(Checks(judge, prompts.load(options.prompts)).chosen(options), options.jobs)


class Delivery:
    """Where questions go: to the output in their shares, or to the rejects; each once, and no more than the limit."""

    def __init__(self, options: config.Crawlqa, sink: Sink, shares: Mapping[str, Fraction], met: Repeats):
        self._sink = sink
        self._limit = options.limit
        self._met = met
        if len(sink.done):
            met.recall(options.out)
        self._mix = mix.Mix(shares, Earlier(options.out).types if shares and options.resume else None)

    @property
    def is_full(self) -> bool:
        return self._limit is not None and len(self._sink.done) + self._sink.tally.counts["out"] >= self._limit

    async def new(self, outcomes: AsyncIterator[QA | Refused]) -> AsyncGenerator[QA | Refused, None]:
        """Without what an earlier run wrote, and with a question that comes again, or nearly, refused."""
        if self.is_full:
            return
        async for outcome in outcomes:
            if isinstance(outcome, Refused):
                yield outcome
            elif fault := self._met.fault(outcome):
                yield Refused(Reject(fault.reason, fault.detail, failed=False), outcome)
            elif outcome.id in self._sink.done:
                self._sink.tally.counts["already done"] += 1
            else:
                yield outcome

    async def take(self, outcomes: AsyncIterator[QA | Refused]) -> None:
        """Write and reject until all is done or the limit is reached."""
        async for outcome in outcomes:
            if isinstance(outcome, Refused):
                self._reject(outcome)
            else:
                self._pass_on(outcome)
            if self.is_full:
                return

    def _pass_on(self, qa: QA) -> None:
        try:
            for ready in self._mix.pass_on(qa):
                self._sink.put(ready)
                if self.is_full:
                    return
        except Reject as surplus:
            self._sink.reject(surplus, qa, qa.id)

    def _reject(self, refused: Refused) -> None:
        if refused.qa:
            self._sink.reject(refused.reject, refused.qa, refused.qa.id)
        else:
            reject = Rejected(reason=refused.reject.reason, detail=refused.reject.detail, record={"url": refused.url})
            self._sink.reject_line(reject, refused.reject.failed)

    def finish(self) -> None:
        """No more questions will come: what waits for its share is surplus."""
        for qa in self._mix.rest():
            self._sink.reject(mix.surplus(f"{qa.type} had its share"), qa, qa.id)


async def _pages(
    options: config.Crawlqa, sink: Sink, progress: Progress | None, tape: Tape | None
) -> AsyncGenerator[Page, None]:
    """The pages of the roots, counted; new ones are written to ``options.pages`` before they are given.

    In a pipe they are given when all of them are written, from there.
    """
    roots = options.roots or [root.url for root in jsonl.read(options.data, Root, sink.reject_line)]
    if not roots:
        raise UsageError('no roots: name URLs, or pipe lines like {"url": "https://…"} in')
    roots = list(chosen(roots, options.shard, None, lambda root: urls.site(root) or root))
    local = [Path(root).exists() for root in roots]
    if any(local) and not all(local):
        raise UsageError(f"{roots[local.index(False)]}: no such file or folder; give either URLs or paths, not both")
    held = jsonl.goes_to_a_pipe(options.out) and not any(map(_is_corpus, roots))
    source = _stored(roots, options, _counter(sink)) if all(local) else _crawled(roots, options, _teller(sink), tape)
    async with aclosing(source):
        async for page in source:
            sink.tally.counts["pages"] += 1
            if progress:
                progress.step(sink.tally.counts["pages"], options.max_pages, sink.tally.line())
            if not held:
                yield page
    if held:
        for page in jsonl.read(options.pages, Page):
            yield page


def _teller(sink: Sink) -> Callable[[Skipped], None]:
    """A root that led nowhere is a failure with a line of its own; other skipped URLs are counted by their reasons."""

    def tell(skip: Skipped) -> None:
        if skip.root and not skip.followed:
            sink.reject_line(Rejected(reason=skip.reason, detail=skip.detail, record={"url": skip.url}))
        else:
            sink.tally.counts["skipped"] += 1
            sink.tally.reasons[skip.reason] += 1

    return tell


def _counter(sink: Sink) -> Callable[[Reject], None]:
    def count(reject: Reject) -> None:
        sink.tally.counts["skipped"] += 1
        sink.tally.reasons[reject.reason] += 1

    return count


async def _crawled(
    roots: list[str], options: config.Crawlqa, skipped: Callable[[Skipped], None], tape: Tape | None
) -> AsyncGenerator[Page, None]:
    """With ``resume``, the pages of the earlier crawl come first, from their file."""
    for page in _earlier(options):
        yield page
    with Writer(options.pages, append=options.resume) as writer:
        pages = crawl(roots, options, known=_earlier(options), skipped=skipped, tape=tape)
        async with aclosing(cast(AsyncGenerator[Page, None], pages)):
            async for page in pages:
                writer.write(page)
                yield page


def _earlier(options: config.Crawlqa) -> Iterator[Page]:
    """What an interrupted run left in ``options.pages``; nothing unless it is to be resumed."""
    if options.resume and Path(options.pages).exists():
        jsonl.mend(options.pages)
        yield from jsonl.read(options.pages, Page)


async def _stored(
    paths: list[str], options: config.Crawlqa, refused: Callable[[Reject], None]
) -> AsyncGenerator[Page, None]:
    """The pages of files of pages, which are a corpus already, and of folders and WARC files, which become one."""
    corpora = [path for path in paths if _is_corpus(path)]
    for path in corpora:
        for page in jsonl.read(path, Page):
            yield page
    if others := [path for path in paths if path not in corpora]:
        found = stored.pages(others, Terms(options.min_chars, tuple(options.lang)), options.similarity, refused)
        with Writer(options.pages) as writer:
            async with aclosing(found):
                async for page in found:
                    writer.write(page)
                    yield page


def _is_corpus(path: str) -> bool:
    return Path(path).is_file() and not warc.is_warc(path)

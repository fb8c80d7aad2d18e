"""``webdancer crawlqa``: roots in, pages and questions out, both while the crawl goes on.

Only in a pipe do the questions wait for the last page: the stages behind read the same corpus, and must find it whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

from webdancer_cli import prompts
from webdancer_cli.data import jsonl
from webdancer_cli.data.jsonl import BadLine, LineWriter
from webdancer_cli.data.pipeline import Progress, RecordWriter, RunStats
from webdancer_cli.data.records import QA, Page, Record, Rejected
from webdancer_cli.data.shards import take_shard
from webdancer_cli.errors import Reject, RunStopped, UsageError
from webdancer_cli.llm.structured_output import ChatModel
from webdancer_cli.options import config
from webdancer_cli.synthesis import mix
from webdancer_cli.synthesis.model_checks import ModelChecks, ModelFilter, Outcome, UncheckedQuestion
from webdancer_cli.synthesis.protocols import QuestionWriter, RefusedQuestion
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.synthesis.resume import Earlier, Regroup, group_of
from webdancer_cli.tape import Tape
from webdancer_cli.web import urls
from webdancer_cli.web.crawl import local_files, warc
from webdancer_cli.web.crawl.crawler import SkippedUrl, crawl
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.page_lines import read_pages

PAGES_PER_QUESTION = 5
"""A run with fewer questions than one on so many pages says what to do."""


class Root(Record, kw_only=True):
    """A line of stdin."""

    url: str


async def run(
    options: config.CrawlqaOptions,
    author: QuestionWriter,
    progress: Progress | None = None,
    tape: Tape | None = None,
    judge: ChatModel | None = None,
) -> RunStats:
    """Crawl, keep the pages in ``options.pages``, write the questions as soon as the author has them.

    ``judge`` is asked about each question, if ``options.closed_book`` or ``options.verify``. ``options.limit`` counts
    what an earlier run wrote, too.
    """
    if options.pages in (options.out, options.rejects, options.data):
        raise UsageError(f"--pages {options.pages}: already used for something else; name another file")
    if options.pages in options.roots and len(options.roots) > 1:
        raise UsageError(
            f"--pages {options.pages}: is one of several roots, and would be overwritten; name another file"
        )
    shares, model_filter = mix.shares_of(options), _sieve(options, judge)
    with (
        RecordWriter("crawlqa", options.out, options.rejects, resume=options.resume) as output,
        Repeats(config.LintOptions.similarity) as met,
    ):
        delivery = Delivery(options, output, shares, met, model_filter)
        pages = _pages(options, output, progress, tape)
        try:
            async with aclosing(pages), aclosing(author.write(pages)) as written:
                async with aclosing(
                    sifted(written, model_filter, output, options.out) if model_filter else written
                ) as outcomes:
                    await delivery.take(outcomes)
        except RunStopped as stop:
            output.stats.stopped = str(stop)
        delivery.finish()
        if not (delivery.is_full or output.stats.exit_code):
            questions = len(output.done) + output.stats.counts["out"]
            output.stats.remark = _remark(options, author, questions, output.stats.counts["pages"])
        return output.stats


def _remark(options: config.CrawlqaOptions, author: QuestionWriter, questions: int, pages: int) -> str:
    """What to say about a site of which rules understand too little, or a model for which pages are too much."""
    if questions * PAGES_PER_QUESTION >= pages:
        return ""
    if author.name != config.BUILTIN:
        is_small = options.ask == "pages" and pages >= PAGES_PER_QUESTION and not questions
        asked = "a small model writes more when it is asked about one sentence at a time: --ask sentences"
        return f"no question from {pages} pages: {asked}" if is_small else ""
    return (
        f"only {questions} questions from {pages} pages: rules find few facts in such prose; a model writes more: "
        "--model NAME --base-url URL"
    )


def refuse_idle_judge(options: config.CrawlqaOptions) -> None:
    """Raises UsageError for a judge that would be asked nothing."""
    if options.judge_model and not (options.closed_book or options.verify):
        raise UsageError(
            f"--judge-model {options.judge_model}: is asked nothing; say what about with --closed-book or --verify, or"
            " leave it out"
        )


def _sieve(options: config.CrawlqaOptions, judge: ChatModel | None) -> ModelFilter | None:
    refuse_idle_judge(options)
    if not (options.closed_book or options.verify):
        return None
    if judge is None:
        flag = "--closed-book" if options.closed_book else "--verify"
        raise UsageError(
            f"{flag}: needs a model to ask; name one with --model and --base-url, or with --judge-model and"
            " --judge-base-url"
        )
    return ModelFilter(ModelChecks(judge, prompts.load(options.prompts)).chosen(options), options.jobs)


async def sifted(
    written: AsyncIterator[Outcome], model_filter: ModelFilter, output: RecordWriter, out: str
) -> AsyncGenerator[Outcome | UncheckedQuestion, None]:
    """What the sieve leaves. It asks nothing about what an earlier run wrote, or what came before, or nearly."""
    with Repeats(config.LintOptions.similarity) as offered:
        if len(output.done):
            offered.recall(out)

        async def new() -> AsyncGenerator[Outcome | UncheckedQuestion, None]:
            async for outcome in written:
                known = isinstance(outcome, QA) and (offered.fault(outcome) or outcome.id in output.done)
                yield UncheckedQuestion(outcome) if isinstance(outcome, QA) and known else outcome

        async with aclosing(new()) as outcomes, aclosing(model_filter.check(outcomes)) as left:
            async for outcome in left:
                yield outcome


class Delivery:
    """Where questions go: to the output in their shares, or to the rejects; each once, and no more than the limit.

    Only what goes to the output makes a later question a duplicate.
    """

    def __init__(
        self,
        options: config.CrawlqaOptions,
        output: RecordWriter,
        shares: Mapping[str, Fraction],
        met: Repeats,
        model_filter: ModelFilter | None = None,
    ):
        self._sink = output
        self._limit = options.limit
        self._met = met
        self._sieve = model_filter
        self._groups = Regroup()
        if len(output.done):
            met.recall(options.out)
        self._mix = mix.Mix(shares, Earlier(options.out).types if shares and options.resume else None)

    @property
    def is_full(self) -> bool:
        return self._limit is not None and len(self._sink.done) + self._sink.stats.counts["out"] >= self._limit

    async def take(self, outcomes: AsyncIterator[Outcome | UncheckedQuestion]) -> None:
        """Write and reject until all is done or the limit is reached; the questions of a group when all have come."""
        if self.is_full:
            return
        try:
            async for outcome in outcomes:
                self._put(await self._regrouped(outcome))
                if self.is_full:
                    return
        except RunStopped:
            self._put(self._groups.rest())
            raise
        self._put(self._groups.rest())

    async def _regrouped(self, outcome: Outcome | UncheckedQuestion) -> list[Outcome]:
        """The outcomes whose group is complete now that this one has come."""
        qa = outcome if isinstance(outcome, QA) else outcome.qa
        group = group_of(qa.extra) if qa else None
        decided = await self._decided(outcome)
        if decided is None:
            self._sink.stats.counts["already done"] += 1
            return self._groups.already_there(group)
        return self._groups.add(decided, group)

    async def _decided(self, outcome: Outcome | UncheckedQuestion) -> Outcome | None:
        """The question if it is new, or why it is refused; None if an earlier run wrote it."""
        if isinstance(outcome, RefusedQuestion):
            return outcome
        qa = outcome.qa if isinstance(outcome, UncheckedQuestion) else outcome
        if fault := self._met.fault(qa):
            return RefusedQuestion(Reject(fault.reason, fault.detail, failed=False), qa)
        if qa.id in self._sink.done:
            return None
        decided = await self._asked_late(qa) if isinstance(outcome, UncheckedQuestion) else qa
        if isinstance(decided, RefusedQuestion):
            self._met.forget(qa)
        return decided

    async def _asked_late(self, qa: QA) -> Outcome:
        """What came before it was refused: now it is this one's turn."""
        return await self._sieve.asked(qa) if self._sieve else qa

    def _put(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, RefusedQuestion):
                self._reject(outcome)
            elif not self.is_full:
                self._pass_on(outcome)

    def _pass_on(self, qa: QA) -> None:
        try:
            for ready in self._mix.pass_on(qa):
                self._sink.write(ready)
                if self.is_full:
                    return
        except Reject as surplus:
            self._met.forget(qa)
            self._sink.reject(surplus, qa, qa.id)

    def _reject(self, refused: RefusedQuestion) -> None:
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
    options: config.CrawlqaOptions, output: RecordWriter, progress: Progress | None, tape: Tape | None
) -> AsyncGenerator[Page, None]:
    """The pages of the roots, counted; new ones are written to ``options.pages`` before they are given.

    In a pipe they are given when all of them are written, from there. A shard without roots has no pages: its file is
    empty, unless it is a corpus that was given.
    """
    roots = options.roots or [root.url for root in jsonl.read_records(options.data, Root, output.reject_line)]
    if not roots:
        raise UsageError('no roots: name URLs, or pipe lines like {"url": "https://…"} in')
    stored_here = _are_paths(roots)
    mine = list(take_shard(roots, options.shard, None, lambda root: urls.site_of(root) or root))
    if not mine and not any(map(_is_corpus, roots)):
        LineWriter(options.pages, append=options.resume).close()
    if not mine:
        return
    held = jsonl.goes_to_a_pipe(options.out) and not any(map(_is_corpus, mine))
    source = _stored(mine, options, output) if stored_here else _crawled(mine, options, output, tape)
    async with aclosing(source):
        async for page in source:
            output.stats.counts["pages"] += 1
            if progress:
                progress.step(output.stats.counts["pages"], options.max_pages, output.stats.summary())
            if not held:
                yield page
    if held and output.stats.counts["pages"]:
        for page in read_pages(options.pages, _told_already):
            yield page


def _are_paths(roots: list[str]) -> bool:
    """Whether the roots are files and folders, or else URLs. Raises UsageError for a mixture."""
    local = [Path(root).exists() for root in roots]
    if not any(local) and not any("://" in root for root in roots):
        raise UsageError(f"{roots[0]}: no such file or folder; a URL begins with http:// or https://")
    if any(local) and not all(local):
        raise UsageError(f"{roots[local.index(False)]}: no such file or folder; give either URLs or paths, not both")
    return all(local)


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


async def _crawled(
    roots: list[str], options: config.CrawlqaOptions, output: RecordWriter, tape: Tape | None
) -> AsyncGenerator[Page, None]:
    """With ``resume``, the pages of the earlier crawl come first, from their file."""
    for page in _earlier(options, output.reject_line):
        yield page
    with _corpus(options.pages, append=options.resume) as writer:
        known = _earlier(options, _told_already)
        pages = crawl(roots, options, known=known, skipped=_teller(output), tape=tape)
        async with aclosing(cast(AsyncGenerator[Page, None], pages)):
            async for page in pages:
                writer.write(page)
                yield page


@contextmanager
def _corpus(path: str, *, append: bool = False) -> Iterator[LineWriter]:
    """Where pages go. A run that keeps none leaves what another wrote: a mistyped root must not cost a corpus."""
    writer = LineWriter(path, append=append)
    try:
        yield writer
    finally:
        writer.close(failed=not writer.count)


def _earlier(options: config.CrawlqaOptions, on_bad: BadLine) -> Iterator[Page]:
    """What an interrupted run left in ``options.pages``; nothing unless it is to be resumed."""
    if options.resume and Path(options.pages).exists():
        jsonl.cut_torn_line(options.pages)
        yield from read_pages(options.pages, on_bad)


def _told_already(rejected: Rejected) -> None:
    """A line that is no page was rejected when it was met first."""


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


def writes_pages(options: config.CrawlqaOptions) -> bool:
    """Whether the run may write ``options.pages``; pages that are given in files of pages stay there."""
    return not options.roots or not all(map(_is_corpus, options.roots))


def _is_corpus(path: str) -> bool:
    return Path(path).is_file() and not warc.is_warc(path)

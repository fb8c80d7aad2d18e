"""``webdancer crawlqa``: roots in, pages and questions out, both while the crawl goes on.

The trip of a question: page -> author -> group of questions -> checks, duplicates and mix -> written. Only in a pipe do
the questions wait for the last page: the stages behind read the same corpus, and must find it whole.
"""

from contextlib import aclosing

from webdancer_cli import prompts
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, RecordWriter, RunStats
from webdancer_cli.data.records import QA, Rejected
from webdancer_cli.errors import RunStopped, UsageError
from webdancer_cli.llm.structured_output import ChatModel
from webdancer_cli.options import config
from webdancer_cli.synthesis import mix
from webdancer_cli.synthesis.model_checks import ModelChecks
from webdancer_cli.synthesis.protocols import QuestionGroup, QuestionWriter, RefusedQuestion
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.synthesis.resume import Earlier
from webdancer_cli.synthesis.screening import Screen
from webdancer_cli.tape import Tape
from webdancer_cli.web.crawl.roots import RootPages

PAGES_PER_QUESTION = 5
"""A run with fewer questions than one on so many pages says what to do."""


async def run(
    options: config.CrawlqaOptions,
    author: QuestionWriter,
    *,
    progress: Progress | None = None,
    judge: ChatModel | None = None,
    tape: Tape | None = None,
) -> RunStats:
    """Crawl, keep the pages in ``options.pages``, write the questions as soon as the author has them.

    ``judge`` is asked about each question, if ``options.closed_book`` or ``options.verify``. ``options.limit`` counts
    what an earlier run wrote, too.
    """
    shares, checks = mix.shares_of(options), _model_checks(options, judge)
    with Repeats(config.LintOptions.similarity) as repeats:
        earlier = _earlier(options, repeats)
        with RecordWriter("crawlqa", options.out, options.rejects, resume=options.resume, done=earlier.ids) as output:
            mixing = mix.Mix(shares, earlier.types)
            screen, outlet = (
                Screen(repeats, earlier, mixing, checks, options.jobs),
                QuestionOutlet(output, mixing, options.limit),
            )
            source = RootPages(options, output, progress, tape)
            try:
                async with (
                    aclosing(source.stream()) as pages,
                    aclosing(author.write(pages, earlier)) as groups,
                    aclosing(screen.let_through(groups)) as screened,
                ):
                    while not outlet.is_full and (group := await anext(screened, None)):
                        outlet.put(group)
                        if group.pages_done:
                            source.note_asked(group.pages_done)
                        source.show_progress()
            except RunStopped as stop:
                output.stats.stopped = str(stop)
            outlet.finish()
            output.stats.remark = _remark(options, author, outlet)
            return output.stats


def _earlier(options: config.CrawlqaOptions, repeats: Repeats) -> Earlier:
    """What an earlier run wrote, read once; its questions are remembered in ``repeats``."""
    earlier = Earlier()
    for qa in jsonl.resume(options.out, QA) if options.resume else ():
        earlier.add(qa)
        repeats.recall(qa)
    return earlier


def _model_checks(options: config.CrawlqaOptions, judge: ChatModel | None) -> ModelChecks | None:
    if not (options.closed_book or options.verify):
        return None
    if judge is None:
        flag = "--closed-book" if options.closed_book else "--verify"
        raise UsageError(
            f"{flag}: needs a model to ask; name one with --model and --base-url, or with --judge-model and"
            " --judge-base-url"
        )
    return ModelChecks(judge, prompts.load(options.prompts), closed_book=options.closed_book, verify=options.verify)


class QuestionOutlet:
    """Where questions go: to the output in their shares and up to the limit, or to the rejects."""

    def __init__(self, output: RecordWriter, mixing: mix.Mix, limit: int | None):
        self.output = output
        self._mix = mixing
        self._limit = limit

    @property
    def questions(self) -> int:
        """How many are in the output, with those of an earlier run."""
        return len(self.output.done) + self.output.stats.counts["out"]

    @property
    def is_full(self) -> bool:
        return self._limit is not None and self.questions >= self._limit

    def put(self, group: QuestionGroup) -> None:
        if group.already:
            self.output.stats.counts["already done"] += group.already
        for outcome in group.outcomes:
            if isinstance(outcome, RefusedQuestion):
                self._reject(outcome)
            elif not self.is_full:
                self._pass_on(outcome)

    def _pass_on(self, qa: QA) -> None:
        for ready in self._mix.pass_on(qa):
            self.output.write(ready)
            if self.is_full:
                return

    def _reject(self, refused: RefusedQuestion) -> None:
        if refused.qa:
            self.output.reject(refused.reject, refused.qa, refused.qa.id)
        else:
            reject = Rejected(reason=refused.reject.reason, detail=refused.reject.detail, record={"url": refused.url})
            self.output.reject_line(reject, refused.reject.failed)

    def finish(self) -> None:
        """No more questions will come: what waits for its share is surplus."""
        for qa, surplus in self._mix.finish():
            self.output.reject(surplus, qa, qa.id)


def _remark(options: config.CrawlqaOptions, author: QuestionWriter, outlet: QuestionOutlet) -> str:
    """What to say about a site of which rules understand too little, or a model for which pages are too much."""
    questions, pages = outlet.questions, outlet.output.stats.counts["pages"]
    if (
        options.ask == "nothing"
        or outlet.is_full
        or outlet.output.stats.exit_code
        or questions * PAGES_PER_QUESTION >= pages
    ):
        return ""
    if author.name != config.BUILTIN:
        is_small = options.ask == "pages" and pages >= PAGES_PER_QUESTION and not questions
        asked = "a small model writes more when it is asked about one sentence at a time: --ask sentences"
        return f"no question from {pages} pages: {asked}" if is_small else ""
    return (
        f"only {questions} questions from {pages} pages: rules find few facts in such prose; a model writes more: "
        "--model NAME --base-url URL"
    )

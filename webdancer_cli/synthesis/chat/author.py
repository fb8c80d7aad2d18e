"""The author with a chat model (CRAWLQA, paper section 2). What it says is verified, never trusted."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

import msgspec

from webdancer_cli.data.ordered_map import ordered_map
from webdancer_cli.data.records import QA, Evidence, Page, Usage, content_id
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.llm import structured_output
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, fill
from webdancer_cli.synthesis import mix
from webdancer_cli.synthesis.chat import page_groups
from webdancer_cli.synthesis.chat.quotes import QuoteFinder
from webdancer_cli.synthesis.chat.type_checks import type_faults
from webdancer_cli.synthesis.chat.usage_split import split_usage
from webdancer_cli.synthesis.checks import MAX_ANSWER_WORDS, QuestionFault, first_fault
from webdancer_cli.synthesis.protocols import Outcome, QuestionGroup, RefusedQuestion
from webdancer_cli.synthesis.provenance import signed_question
from webdancer_cli.synthesis.resume import Earlier
from webdancer_cli.web import urls

MIN_PAGE_CHARS = 200
"""A page shorter than this gives no question."""


class QuotedPart(msgspec.Struct):
    """``page`` counts from 1."""

    page: int
    quote: str


class AuthoredQuestion(msgspec.Struct):
    question: str
    answer: structured_output.TextOrNumber
    type: str
    evidence: list[QuotedPart]


class AuthorReply(msgspec.Struct):
    questions: list[AuthoredQuestion]


class ChatAuthor:
    """Shows a model groups of linked pages, ``options.jobs`` groups at once, and checks what it writes."""

    def __init__(self, options: config.CrawlqaOptions, chat: structured_output.ChatModel, prompts: PromptSet):
        self.name = chat.model
        self._options = options
        self._chat = chat
        self._quotas = mix.quotas(options)
        files = ["author.md", *(f"author_{name}.md" for name in self._quotas)]
        self._prompts = prompts.id_of(*files)
        self._template = prompts.files["author.md"]
        self._types = "\n\n".join(
            fill(prompts.files[f"author_{name}.md"], count=count) for name, count in self._quotas.items()
        )

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        """The questions of a stream of pages, in the order of the pages.

        A page whose questions an earlier run wrote is shown beside others only.
        """
        done = self._done(earlier)
        found = page_groups.PageGroups(MIN_PAGE_CHARS).of(pages)
        fresh = (group async for group in found if self._key(group[0]) not in done)
        async with aclosing(ordered_map(fresh, self._group, self._options.jobs)) as written:
            async for _, task in written:
                yield task.result()

    def _done(self, earlier: Earlier) -> set[str]:
        """The groups that need not be asked about again. With a tape all are: that costs nothing, and makes the run the
        same. With a mix, what waited for its share when a run was stopped is lost rather than paid for twice.
        """
        return set() if self._options.tape else earlier.groups(begun=bool(self._options.mix))

    def _key(self, head: Page) -> str:
        """What has to be the same for a page not to be asked about again: model, prompts, page, and what is wanted."""
        return content_id(self.name, self._prompts, urls.page_key(head.url), head.text, *self._quotas.items())

    async def _group(self, pages: list[Page]) -> QuestionGroup:
        """What the model writes about a group of pages; its failure, which is tried again. Raises RunStopped."""
        try:
            return QuestionGroup(await self._written(pages), self._key(pages[0]))
        except structured_output.Unreadable as error:
            reject = Reject("unreadable_reply", str(error))
        except ModelError as error:
            reject = Reject("model_error", str(error))
        return QuestionGroup([RefusedQuestion(reject, url=pages[0].url)])

    async def _written(self, group: list[Page]) -> list[Outcome]:
        """What the model writes about a group, checked. Raises ModelError and RunStopped."""
        reply, usage = await self._asked(group)
        return list(self._verified(reply.questions, usage, group))

    async def _asked(self, group: list[Page]) -> tuple[AuthorReply, Usage]:
        return await structured_output.ask_for_json(
            self._chat,
            AuthorReply,
            self._template,
            answer_words=MAX_ANSWER_WORDS,
            boolean="" if self._options.allow_boolean else " The answer is not yes or no.",
            types=self._types,
            pages=page_groups.number_pages(zip(group, page_groups.fit_group(group), strict=True)),
        )

    def _verified(self, questions: list[AuthoredQuestion], usage: Usage, group: list[Page]) -> Iterator[Outcome]:
        """The questions as records, or why they cannot be; each carries its share of the call."""
        texts = [QuoteFinder(page.text) for page in group]
        for written, share in zip(questions, split_usage(usage, len(questions)), strict=True):
            evidence = [_proof(part, group, texts) for part in written.evidence]
            qa = signed_question(
                written.question.strip(), written.answer.strip(), written.type, evidence, author=self.name
            )
            qa.prompts, qa.usage = self._prompts, share
            fault = self._fault(qa, group)
            yield RefusedQuestion(Reject(fault.reason, fault.detail, failed=False), qa) if fault else qa

    def _fault(self, qa: QA, group: list[Page]) -> QuestionFault | None:
        if qa.type not in self._quotas:
            return QuestionFault("unknown_type", qa.type)
        texts = {page.url: page.text for page in group}
        return first_fault(qa, texts, allow_boolean=self._options.allow_boolean) or next(type_faults(qa), None)


def _proof(part: QuotedPart, group: list[Page], texts: list[QuoteFinder]) -> Evidence:
    """The page's own words for the quote. A page number that is none becomes a page that is not known."""
    if not 1 <= part.page <= len(group):
        return Evidence(url=f"page {part.page}", quote=part.quote)
    page = group[part.page - 1]
    quote = texts[part.page - 1].find(part.quote) or part.quote
    return Evidence.of(page, quote)

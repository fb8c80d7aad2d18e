"""The author with a chat model (CRAWLQA, paper section 2). What it says is verified, never trusted."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

import msgspec

from webdancer_cli import config, structured
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.prompts import PromptSet, fill
from webdancer_cli.records import QA, Evidence, Page, Usage, content_id
from webdancer_cli.synthesis import earlier, mix
from webdancer_cli.synthesis.chat import groups
from webdancer_cli.synthesis.chat.quotes import Quotable
from webdancer_cli.synthesis.chat.sharing import shares
from webdancer_cli.synthesis.chat.typed import type_faults
from webdancer_cli.synthesis.checks import MAX_ANSWER_WORDS, Fault, first_fault
from webdancer_cli.synthesis.ordered import in_order
from webdancer_cli.synthesis.roles import Refused
from webdancer_cli.synthesis.signing import sign
from webdancer_cli.web import urls

MIN_PAGE_CHARS = 200
"""A page shorter than this gives no question."""


class QuotedPart(msgspec.Struct):
    """``page`` counts from 1."""

    page: int
    quote: str


class Written(msgspec.Struct):
    question: str
    answer: structured.TextOrNumber
    type: str
    evidence: list[QuotedPart]


class Questions(msgspec.Struct):
    questions: list[Written]


class ChatAuthor:
    """Shows a model groups of linked pages, ``options.jobs`` groups at once, and checks what it writes."""

    def __init__(self, options: config.Crawlqa, chat: structured.Completes, prompts: PromptSet):
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

    async def write(self, pages: AsyncIterator[Page]) -> AsyncGenerator[QA | Refused, None]:
        """The questions of a stream of pages, in the order of the pages.

        A page whose questions an earlier run wrote is shown beside others only.
        """
        done = self._done()
        found = groups.Groups(MIN_PAGE_CHARS).of(pages)
        fresh = (group async for group in found if self._key(group[0]) not in done)
        async with aclosing(in_order(fresh, self._outcomes, self._options.jobs)) as answered:
            async for outcomes in answered:
                for outcome in outcomes:
                    yield outcome

    def _done(self) -> set[str]:
        """The groups that need not be asked about again. With a tape all are: that costs nothing, and makes the run the
        same. With a mix, what waited for its share when a run was stopped is lost rather than paid for twice.
        """
        if not self._options.resume or self._options.tape:
            return set()
        return earlier.Earlier(self._options.out).groups(begun=bool(self._options.mix))

    def _key(self, head: Page) -> str:
        """What has to be the same for a page not to be asked about again: model, prompts, page, and what is wanted."""
        return content_id(self.name, self._prompts, urls.key(head.url), head.text, *self._quotas.items())

    async def _outcomes(self, group: list[Page]) -> list[QA | Refused]:
        try:
            written = await self._written(group)
        except structured.Unreadable as error:
            return [Refused(Reject("unreadable_reply", str(error)), url=group[0].url)]
        except ModelError as error:
            return [Refused(Reject("model_error", str(error)), url=group[0].url)]
        return earlier.marked(written, self._key(group[0]))

    async def _written(self, group: list[Page]) -> list[QA | Refused]:
        """What the model writes about a group, checked. Raises ModelError and RunStopped."""
        reply, usage = await self._asked(group)
        return list(self._verified(reply.questions, usage, group))

    async def _asked(self, group: list[Page]) -> tuple[Questions, Usage]:
        return await structured.ask_for(
            self._chat,
            Questions,
            self._template,
            answer_words=MAX_ANSWER_WORDS,
            boolean="" if self._options.allow_boolean else " The answer is not yes or no.",
            types=self._types,
            pages=groups.numbered(zip(group, groups.shown(group), strict=True)),
        )

    def _verified(self, questions: list[Written], usage: Usage, group: list[Page]) -> Iterator[QA | Refused]:
        """The questions as records, or why they cannot be; each carries its share of the call."""
        texts = [Quotable(page.text) for page in group]
        for written, share in zip(questions, shares(usage, len(questions)), strict=True):
            evidence = [_proof(part, group, texts) for part in written.evidence]
            qa = sign(written.question.strip(), written.answer.strip(), written.type, evidence, author=self.name)
            qa.prompts, qa.usage = self._prompts, share
            fault = self._fault(qa, group)
            yield Refused(Reject(fault.reason, fault.detail, failed=False), qa) if fault else qa

    def _fault(self, qa: QA, group: list[Page]) -> Fault | None:
        if qa.type not in self._quotas:
            return Fault("unknown_type", qa.type)
        texts = {page.url: page.text for page in group}
        return first_fault(qa, texts, allow_boolean=self._options.allow_boolean) or next(type_faults(qa), None)


def _proof(part: QuotedPart, group: list[Page], texts: list[Quotable]) -> Evidence:
    """The page's own words for the quote. A page number that is none becomes a page that is not known."""
    if not 1 <= part.page <= len(group):
        return Evidence(url=f"page {part.page}", quote=part.quote)
    page = group[part.page - 1]
    quote = texts[part.page - 1].find(part.quote) or part.quote
    return Evidence(url=page.url, quote=quote, title=page.title, sha256=page.sha256, fetched_at=page.fetched_at)

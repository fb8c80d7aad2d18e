"""The author with a chat model (CRAWLQA, paper section 2). What it says is verified, never trusted."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import msgspec

from webdancer_cli import config
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.records import QA, Evidence, Page
from webdancer_cli.synthesis.asking import ask_for, numbered
from webdancer_cli.synthesis.checks import MAX_ANSWER_WORDS, first_fault
from webdancer_cli.synthesis.roles import Ask, Refused, question_types
from webdancer_cli.synthesis.signing import sign
from webdancer_cli.web import urls

GROUP_PAGES = 3
"""Pages shown together: one, and those it is linked with."""
PAGE_CHARS = 6000
"""Characters of each page that are shown."""
REMEMBERED_PAGES = 256
"""Pages that a later page may be grouped with."""
MIN_PAGE_CHARS = 200
"""A page shorter than this gives no question."""

DEFINITIONS = {
    "single_hop": "one page answers it.",
    "multi_hop": "the first page names something that the question only describes; a second page gives the answer.",
    "count": "the answer is how many things of a kind the pages list; every thing that is counted has its quote.",
    "intersection": "two conditions, from different places, that only the answer meets together.",
}


class QuotedPart(msgspec.Struct):
    page: int
    quote: str


class Written(msgspec.Struct):
    question: str
    answer: str
    type: str
    evidence: list[QuotedPart]


class Replied(msgspec.Struct):
    questions: list[Written]


class ChatAuthor:
    """Shows a model small groups of linked pages, ``options.jobs`` groups at once, and checks what it writes."""

    def __init__(self, options: config.Crawlqa, ask: Ask, prompts: Mapping[str, str]):
        self.name = options.model
        self._types = question_types(options.types)
        self._per_page = options.per_page
        self._jobs = options.jobs
        self._ask = ask
        self._template = prompts["author.md"]
        self._recent: OrderedDict[str, Page] = OrderedDict()

    async def write(self, pages: AsyncIterator[Page]) -> AsyncGenerator[QA | Refused, None]:
        """The questions of a stream of pages, in the order of the pages."""
        window: deque[asyncio.Task[list[QA | Refused]]] = deque()
        try:
            async for page in pages:
                if len(page.text) >= MIN_PAGE_CHARS:
                    window.append(asyncio.create_task(self._outcomes(self._group(page))))
                while window and (len(window) >= self._jobs or window[0].done()):
                    for outcome in await window.popleft():
                        yield outcome
            while window:
                for outcome in await window.popleft():
                    yield outcome
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    def _group(self, page: Page) -> list[Page]:
        """The page, and pages before it that it links to or that link to it."""
        key = urls.key(page.url)
        linked = {urls.key(link.url) for link in page.links if link.sentence}
        others = [
            other
            for other_key, other in self._recent.items()
            if other_key in linked or any(urls.key(link.url) == key for link in other.links if link.sentence)
        ]
        self._recent[key] = page
        if len(self._recent) > REMEMBERED_PAGES:
            self._recent.popitem(last=False)
        return [page, *others[: GROUP_PAGES - 1]]

    async def _outcomes(self, group: list[Page]) -> list[QA | Refused]:
        try:
            reply = await self._asked(group)
        except ModelError as error:
            return [Refused(Reject("model_error", f"{group[0].url}: {error}"))]
        except Reject as reject:
            return [Refused(reject)]
        return [self._verified(written, group) for written in reply.questions]

    async def _asked(self, group: list[Page]) -> Replied:
        return await ask_for(
            Replied,
            self._ask,
            self._template,
            number=len(group),
            count=self._per_page * len(self._types),
            answer_words=MAX_ANSWER_WORDS,
            types="\n".join(f"- {name}: {DEFINITIONS[name]}" for name in self._types),
            pages=numbered((page, page.text[:PAGE_CHARS]) for page in group),
        )

    def _verified(self, written: Written, group: list[Page]) -> QA | Refused:
        """The question as a record, or why it cannot be one."""
        texts = {page.url: page.text for page in group}
        evidence = [_proof(part, group) for part in written.evidence]
        qa = sign(written.question.strip(), written.answer.strip(), written.type, evidence, author=self.name)
        if written.type not in self._types:
            return Refused(Reject("unknown_type", written.type, failed=False), qa)
        fault = first_fault(qa, texts)
        return Refused(Reject(fault.reason, fault.detail, failed=False), qa) if fault else qa


def _proof(part: QuotedPart, group: list[Page]) -> Evidence:
    """A page number that is none becomes a page that is not known."""
    if not 1 <= part.page <= len(group):
        return Evidence(url=f"page {part.page}", quote=part.quote)
    page = group[part.page - 1]
    return Evidence(url=page.url, quote=part.quote, title=page.title, sha256=page.sha256, fetched_at=page.fetched_at)

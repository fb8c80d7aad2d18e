"""The rewriter with a chat model (E2HQA, paper section 2): it picks an entity, writes the query, restructures.

The search is real, and so are the checks: the sentence must stand in the page, entity and answer must be gone.
"""

from collections.abc import Mapping, Sequence

import msgspec

from webdancer_cli import config
from webdancer_cli.errors import Reject, ToolError
from webdancer_cli.records import QA, Page
from webdancer_cli.synthesis.asking import ask_for, numbered
from webdancer_cli.synthesis.checks import fold, holds, mentions
from webdancer_cli.synthesis.hardening import Description, harder_question, is_found_again
from webdancer_cli.synthesis.roles import Ask
from webdancer_cli.web.passages import passages
from webdancer_cli.web.source import Web
from webdancer_cli.web.words import content_words

RESULTS = 5
PAGE_CHARS = 1500
ATTEMPTS = 3
"""Entities tried for one question."""


class Choice(msgspec.Struct):
    entity: str
    query: str


class Restructured(msgspec.Struct):
    page: int
    sentence: str = ""
    description: str = ""
    question: str = ""


class ChatRewriter:
    """Replaces entities by descriptions that a model makes of search results."""

    def __init__(self, options: config.E2hqa, ask: Ask, prompts: Mapping[str, str]):
        self.name = options.model
        self._ask = ask
        self._choose = prompts["query.md"]
        self._restructure = prompts["rewriter.md"]

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        """The question one level up; None after ``ATTEMPTS`` entities without a sound one. Raises ModelError."""
        tried: list[str] = []
        for _ in range(ATTEMPTS):
            try:
                choice = await self._choice(qa, tried)
                tried.append(choice.entity)
                harder = await self._replaced(qa, choice, web)
            except (Reject, ToolError):
                continue
            if harder is not None:
                return harder
        return None

    async def _choice(self, qa: QA, tried: Sequence[str]) -> Choice:
        avoid = f"Do not choose: {'; '.join(tried)}." if tried else ""
        choice = await ask_for(Choice, self._ask, self._choose, question=qa.question, answer=qa.answer, avoid=avoid)
        answers = [qa.answer, *qa.aliases]
        if not mentions(qa.question, choice.entity) or any(
            mentions(choice.entity, answer) or mentions(answer, choice.entity) for answer in answers
        ):
            raise Reject("bad_entity", choice.entity, failed=False)
        return choice

    async def _replaced(self, qa: QA, choice: Choice, web: Web) -> QA | None:
        pages = [await web.read(hit.url) for hit in await web.search(choice.query, RESULTS)]
        reply = await ask_for(
            Restructured,
            self._ask,
            self._restructure,
            question=qa.question,
            answer=qa.answer,
            entity=choice.entity,
            pages=numbered((page, passages(page.text, choice.query, PAGE_CHARS)) for page in pages),
        )
        if not 1 <= reply.page <= len(pages) or not supported(reply, pages[reply.page - 1]):
            return None
        description = Description(reply.description, reply.sentence, pages[reply.page - 1], choice.query)
        harder = harder_question(qa, choice.entity, description, reply.question.strip(), author=self.name)
        return harder if harder and await is_found_again(description, pages, web) else None


def supported(reply: Restructured, page: Page) -> bool:
    """Whether the sentence is the page's own and carries most of the description, which stands in the question."""
    said = content_words(reply.description)
    known = content_words(f"{reply.sentence} {page.title}")
    return (
        holds(page.text, reply.sentence)
        and 2 * len(said & known) >= len(said) > 0
        and fold(reply.description) in fold(reply.question)
    )

"""What a harder question must hold, whoever rewrote it, and how it is signed."""

from collections.abc import Iterable
from dataclasses import dataclass

from webdancer_cli.data.records import QA, Evidence, Page, Rewrite
from webdancer_cli.errors import ToolError
from webdancer_cli.options import config
from webdancer_cli.synthesis.checks import wording_fault
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import fold
from webdancer_cli.web import urls
from webdancer_cli.web.protocols import Web

TAG = "e2hqa"
FOUND_AGAIN = 5
"""The search for a description must show its source, or the entity's page, among so many results."""


@dataclass(frozen=True)
class Description:
    """A noun phrase for an entity, the sentence of a page that says so, and the query that found it."""

    text: str
    sentence: str
    page: Page
    query: str

    @property
    def is_gloss(self) -> bool:
        """Whether it is a quotation that can stand for a page's title only."""
        return self.text.startswith("“")


def harder_question(
    qa: QA, entity: str, description: Description, question: str, author: str = config.BUILTIN
) -> QA | None:
    """The record of a rewritten question, one page longer if the description is from a page that was not needed before.

    None if the entity is still there, if question, description or its sentence give the answer away, or if the wording
    has a fault.
    """
    if mentions(question, entity) or fold(question) == fold(qa.question):
        return None
    if any(mentions(f"{description.text} {description.sentence}", name) for name in (qa.answer, *qa.aliases)):
        return None
    page = description.page
    harder = QA(
        question=question,
        answer=qa.answer,
        type=qa.type,
        level=max(qa.level, 1) + (page.url not in {proof.url for proof in qa.evidence}),
        aliases=qa.aliases,
        evidence=[Evidence.of(description.page, description.sentence), *qa.evidence],
        chain=[*qa.chain, _round(qa.question, question, entity, description)],
        author=author,
        parent=qa.id,
        tag=TAG,
        extra=qa.extra,
    )
    return harder if wording_fault(harder) is None else None


async def page_at(url: str, web: Web) -> Page | None:
    """The page, if it can be read."""
    try:
        return await web.read(url)
    except ToolError:
        return None


async def is_found_again(description: Description, homes: Iterable[Page], web: Web) -> bool:
    """Whether a search for the description leads to where it is from, or to a page about the entity."""
    hits = await web.search(description.text, FOUND_AGAIN)
    wanted = {urls.page_key(page.url) for page in (description.page, *homes)}
    return any(urls.page_key(hit.url) in wanted for hit in hits)


def _round(before: str, after: str, entity: str, description: Description) -> Rewrite:
    return Rewrite(
        entity=entity,
        query=description.query,
        url=description.page.url,
        sentence=description.sentence,
        description=description.text,
        before=before,
        after=after,
    )

"""Questions and pages as they are shown: an entry for the list, and the rest for whoever opens it."""

from typing import Any

import msgspec

from webdancer_cli.data.records import QA, Evidence, Page, Rejected, Rewrite
from webdancer_cli.report.chunks import Address, Text
from webdancer_cli.report.episodes import Keep


class QuestionEntry(msgspec.Struct, array_like=True, kw_only=True):
    """A row of the list. ``rewrites`` counts the rounds that made it harder, ``reason`` says why it was left out."""

    id: str
    source: int
    question: str
    answer: str
    level: int
    type: str
    author: str
    pages: int
    rewrites: int
    reason: str
    at: Address = (0, 0)


class Origin(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Where a question comes from: the pages that prove it, and the rounds that made it harder."""

    aliases: list[str] = []
    evidence: list[Evidence] = []
    chain: list[Rewrite] = []
    facts: list[tuple[str, str]] = []


class PageEntry(msgspec.Struct, array_like=True, kw_only=True):
    url: str
    source: int
    title: str
    chars: int
    links: int
    at: Address = (0, 0)


class ShownPage(msgspec.Struct, omit_defaults=True, kw_only=True):
    text: Text
    facts: list[tuple[str, str]] = []


class OtherEntry(msgspec.Struct, array_like=True, kw_only=True):
    """A rejected line whose record is neither a question nor an episode."""

    source: int
    stage: str
    reason: str
    detail: str


def of_question(qa: QA, source: int, rejected: Rejected | None = None) -> tuple[QuestionEntry, Origin]:
    entry = QuestionEntry(
        id=qa.id,
        source=source,
        question=qa.question,
        answer=qa.answer,
        level=qa.level,
        type=qa.type,
        author=qa.author,
        pages=len(qa.evidence),
        rewrites=len(qa.chain),
        reason=(rejected.reason or "rejected") if rejected else "",
    )
    return entry, Origin(aliases=qa.aliases, evidence=qa.evidence, chain=qa.chain, facts=_facts(qa, rejected))


def _facts(qa: QA, rejected: Rejected | None) -> list[tuple[str, str]]:
    said = [("left out by", rejected.stage), ("because", rejected.detail)] if rejected else []
    named: list[tuple[str, Any]] = [
        ("author", qa.author),
        ("stage", qa.tag),
        ("made from", qa.parent),
        ("prompts", qa.prompts),
        ("id", qa.id),
    ]
    others = [(name, value) for name, value in qa.extra.items() if isinstance(value, str | int | float)]
    return [(name, str(value)) for name, value in [*said, *named, *others] if value]


def of_page(page: Page, source: int, keep: Keep) -> tuple[PageEntry, ShownPage]:
    entry = PageEntry(url=page.url, source=source, title=page.title, chars=len(page.text), links=len(page.links))
    named = [("fetched", page.fetched_at), ("links from the root", str(page.depth)), ("sha256", page.sha256)]
    return entry, ShownPage(text=keep(page.text), facts=[(name, text) for name, text in named if text])

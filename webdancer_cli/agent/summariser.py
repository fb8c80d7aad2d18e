"""Summarises a page for a goal with a model: evidence and summary, as ``visit`` shows them.

A model that replies, but not with a note, writes nothing: the visit then shows the page's own sentences, and that is
counted. A model that does not reply is an Outage: an episode is not to differ by whether an endpoint was up.
"""

import asyncio
from collections.abc import Iterator

import msgspec

from webdancer_cli.data.pipeline import gather_or_cancel
from webdancer_cli.data.records import Page
from webdancer_cli.errors import ModelError, Outage
from webdancer_cli.llm.structured_output import Aside, ChatModel, Unreadable, ask_for_json
from webdancer_cli.prompts import PromptSet
from webdancer_cli.text.words import sentence_pieces
from webdancer_cli.web.page_passages import passages_of_page
from webdancer_cli.web.workers import Workers

PART_CHARS = 24_000
"""What the model is shown at once: about 6,000 tokens of English, and 16,000 of Chinese."""
MAX_PARTS = 8
"""A page that is longer still is first cut down to its sentences that matter for the goal."""
TIME_SHARE = 0.7
"""The model may take so much of the time of a tool call, after the page was fetched."""


class Note(msgspec.Struct):
    """The model's reply about one part of a page. ``rational`` makes it reason first; the policy does not see it."""

    rational: Aside
    evidence: str
    summary: str


class Summariser:
    """``failures`` counts the pages for which no note came about. ``name`` is its provenance: model and prompt."""

    def __init__(self, chat: ChatModel, prompts: PromptSet, tool_seconds: float):
        self.name = f"{chat.model} {prompts.id_of('summariser.md')}"
        self.failures = 0
        self._chat = chat
        self._workers = Workers()
        self._template = prompts.files["summariser.md"]
        self._seconds = TIME_SHARE * tool_seconds

    async def note(self, page: Page, goal: str) -> Note | None:
        """One note on the whole page, from notes on its parts; None when one of them cannot be read. Raises Outage, and
        ToolError for a page that is too much to look through.
        """
        text = await passages_of_page(page, goal, MAX_PARTS * PART_CHARS, self._workers)
        try:
            async with asyncio.timeout(self._seconds):
                notes = await gather_or_cancel(self._about(part, page, goal) for part in split_text(text, PART_CHARS))
        except Unreadable:
            self.failures += 1
            return None
        except ModelError as error:
            raise Outage(f"summariser: {error}") from None
        except TimeoutError:
            raise Outage(f"summariser: no note on {page.url} within {self._seconds:g} seconds") from None
        return join_notes(notes)

    async def _about(self, part: str, page: Page, goal: str) -> Note:
        note, _ = await ask_for_json(
            self._chat, Note, self._template, goal=goal, title=page.title, url=page.url, text=part
        )
        return note


def join_notes(notes: list[Note]) -> Note:
    """The notes in page order. Parts without evidence say nothing, unless all are."""
    telling = [note for note in notes if note.evidence.strip()] or notes[:1]
    evidence = "\n".join(note.evidence.strip() for note in telling).strip()
    return Note(telling[0].rational, evidence, " ".join(note.summary.strip() for note in telling))


def split_text(text: str, chars: int) -> list[str]:
    """The text in parts of at most ``chars``, cut between paragraphs; a longer paragraph is cut between sentences."""
    found = [""]
    for piece in _pieces(text, chars):
        if found[-1] and len(found[-1]) + len(piece) > chars:
            found.append("")
        found[-1] += piece
    return found


def _pieces(text: str, chars: int) -> Iterator[str]:
    """Paragraphs, or sentences of long ones, or stretches of very long ones; together they are the text."""
    for line in text.splitlines(keepends=True):
        if len(line) <= chars:
            yield line
            continue
        for sentence in sentence_pieces(line):
            yield from (sentence[at : at + chars] for at in range(0, len(sentence), chars))

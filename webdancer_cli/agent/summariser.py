"""What a page says about a goal, by a model: evidence and summary, as a visit shows them.

A model that fails writes nothing: the visit then shows the page's own sentences, and the failure is counted.
"""

import asyncio
from collections.abc import Iterator

import msgspec

from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.llm import Chat
from webdancer_cli.prompts import PromptSet, fill
from webdancer_cli.records import Message, Page
from webdancer_cli.synthesis.asking import json_in
from webdancer_cli.web.passages import passages
from webdancer_cli.web.words import sentence_spans

PART_CHARS = 24_000
"""What the model is shown at once: about 6,000 tokens of English, and 16,000 of Chinese."""
MOST_PARTS = 8
"""A page that is longer still is first cut down to its sentences that matter for the goal."""
ROOM_SHARE = 0.7
"""The share of a tool call's time that the model may take: the rest was for fetching."""
AGAIN = "That was not the JSON object that was asked for ({fault}). Reply with it alone."


class Note(msgspec.Struct):
    """The model's reply about one part of a page."""

    rational: str
    evidence: str
    summary: str


class Summariser:
    """``failures`` counts the pages for which no note came about."""

    def __init__(self, chat: Chat, prompts: PromptSet, tool_seconds: float):
        self.failures = 0
        self._chat = chat
        self._template = prompts.files["summariser.md"]
        self._seconds = ROOM_SHARE * tool_seconds

    async def note(self, page: Page, goal: str) -> Note | None:
        """One note on the whole page, from notes on its parts; None when the model failed on any of them."""
        text = passages(page.text, goal, MOST_PARTS * PART_CHARS)
        try:
            async with asyncio.timeout(self._seconds):
                notes = await asyncio.gather(*(self._about(part, page, goal) for part in parts(text, PART_CHARS)))
        except (ModelError, Reject, TimeoutError):
            self.failures += 1
            return None
        return joined(notes)

    async def _about(self, part: str, page: Page, goal: str) -> Note:
        """The model's note on a part; a reply that cannot be read is asked for once more."""
        asked = fill(self._template, goal=goal, title=page.title, url=page.url, text=part)
        messages = [Message("user", asked)]
        said = (await self._chat.complete(messages)).text
        try:
            return _read(said)
        except Reject as fault:
            retry = [*messages, Message("assistant", said), Message("user", fill(AGAIN, fault=fault.detail[:200]))]
            return _read((await self._chat.complete(retry)).text)

    async def aclose(self) -> None:
        await self._chat.aclose()


def _read(said: str) -> Note:
    """Raises Reject ``unreadable_reply``."""
    try:
        return msgspec.convert(json_in(said), Note)
    except msgspec.ValidationError as error:
        raise Reject("unreadable_reply", str(error)) from None


def joined(notes: list[Note]) -> Note:
    """The notes in page order. Parts without evidence say nothing, unless all are."""
    telling = [note for note in notes if note.evidence.strip()] or notes[:1]
    evidence = "\n".join(note.evidence.strip() for note in telling).strip()
    return Note(telling[0].rational, evidence, " ".join(note.summary.strip() for note in telling))


def parts(text: str, chars: int) -> list[str]:
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
        ends = [end for _, end in sentence_spans(line)][:-1]
        for start, end in zip([0, *ends], [*ends, len(line)], strict=True):
            yield from (line[at : min(at + chars, end)] for at in range(start, end, chars))

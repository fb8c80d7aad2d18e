"""Lists of links under a heading: "Notable people" of a city, "Works" of a writer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.web import urls

MIN_ENTRIES = 2
_HEADING = re.compile(r"[A-Z][a-z]+(?: [a-z]+){0,3}")
_PLURAL = re.compile(r"\b(?:people|alumni|children|[a-z]{3,}s)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LinkListEntry:
    target: str
    anchor: str
    quote: str


@dataclass(frozen=True, slots=True)
class LinkList:
    """``heading`` names what the entries are, in the plural and in lower case: "notable people".

    ``title`` is the heading as it stands there.
    """

    heading: str
    entries: tuple[LinkListEntry, ...]
    title: str = ""

    def question(self, called: str) -> str:
        """How many there are. "Companies founded" cannot be asked for as it stands, and is quoted."""
        if self.heading.startswith(self.title[:1].lower() + self.title[1:]):
            return f"How many {self.heading} are listed for {called}?"
        return f"How many {self.heading.split()[-1]} are listed under “{self.title}” for {called}?"


def read_link_lists(page: Page) -> list[LinkList]:
    """The lists of a page in which every line begins with a link of its own."""
    found = []
    for heading, items in _lists(page.text):
        entries = tuple(_entries(page, items))
        distinct = len({entry.target for entry in entries}) == len(entries) == len(items)
        if distinct and len(entries) >= MIN_ENTRIES:
            found.append(LinkList(_noun_phrase(heading), entries, heading))
    return found


def _noun_phrase(heading: str) -> str:
    """A heading inside a sentence: "Companies founded" are "founded companies"."""
    words = heading[0].lower() + heading[1:]
    first, _, last = words.partition(" ")
    return f"{last} {first}" if re.fullmatch(r"[a-z]+ed", last) else words


def _lists(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every heading that names something in the plural, with the bulleted lines right under it."""
    lines = [squeeze(line) for line in text.splitlines()]
    for at, line in enumerate(lines):
        if _HEADING.fullmatch(line) and _PLURAL.search(line):
            items = []
            for item in lines[at + 1 :]:
                if not item.startswith("- "):
                    break
                items.append(item[2:])
            yield line, items


def _entries(page: Page, items: list[str]) -> Iterator[LinkListEntry]:
    by_quote = {squeeze(link.sentence): link for link in reversed(page.links) if link.sentence}
    for item in items:
        link = by_quote.get(item)
        if link is not None and item.startswith(squeeze(link.text)):
            yield LinkListEntry(urls.page_key(link.url), squeeze(link.text), item)

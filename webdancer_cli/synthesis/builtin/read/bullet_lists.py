"""Lists that say what they list: "The module defines the following classes:" and then the items."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.checks import NUMBER_WORDS
from webdancer_cli.text.spacing import squeeze

MIN_ITEMS, MAX_ITEMS = 3, 12
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+(?P<item>\S.{0,200})$")
_INTRODUCTION = re.compile(
    r"^[^.]*(?:^|\s)(?:the following|these|several|some|various) "
    r"(?P<what>(?:[a-z][a-z-]* ){0,2}?[a-z][a-z-]*s)\b[^.:]*:$"
)
_STANDS = re.compile(r"(?!(?:This|These|Its?|They|There|In addition|In this|The (?:following|result|return))\b)[A-Z]")
_VAGUE = """
    of ways things points specifics arguments steps items changes reasons cases lines its this as is was has happens
    follows
    exists
"""


@dataclass(frozen=True, slots=True)
class BulletList:
    """``what`` is the plural noun that ``introduction`` announces; ``items`` are the lines that follow."""

    what: str
    introduction: str
    items: tuple[str, ...]

    @property
    def question(self) -> str:
        return f"how many {self.what} are listed under “{self.introduction.rstrip(': ')}”"


def read_bullet_lists(page: Page) -> list[BulletList]:
    """The lists of a page whose introduction names what is listed, but not how many there are."""
    lines = [squeeze(line) for line in page.text.splitlines()]
    return [bullet_list for at in range(len(lines)) if (bullet_list := _listing(lines, at))]


def _listing(lines: list[str], at: int) -> BulletList | None:
    found = _INTRODUCTION.search(lines[at]) if 30 <= len(lines[at]) <= 200 and _STANDS.match(lines[at]) else None
    if not found or not set(found["what"].split()).isdisjoint(_VAGUE.split()) or _tells_number(lines[at]):
        return None
    items = tuple(_items(lines, at + 1))
    if not MIN_ITEMS <= len(items) <= MAX_ITEMS or len(set(items)) != len(items) or not _alike(items):
        return None
    return BulletList(found["what"], lines[at], items)


def _items(lines: list[str], at: int) -> Iterator[str]:
    for line in lines[at:]:
        found = _BULLET.match(line)
        if not found:
            return
        yield found["item"]


def _alike(items: tuple[str, ...]) -> bool:
    """Whether all items end alike; terms and their definitions, one per line, do not."""
    if any(item.endswith(":") or item.startswith(("several ", "various ", "other ")) for item in items):
        return False  # headings of lists within the list, or more than one in a line
    return len({item[-1] in ".:;,)" for item in items}) == 1 and len({item[-1] == ")" for item in items}) == 1


def _tells_number(introduction: str) -> bool:
    return bool(re.search(r"\d", introduction)) or any(word in introduction.casefold().split() for word in NUMBER_WORDS)

"""Lists that say what they list: "The module defines the following classes:" and then the items."""

import re
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.checks import NUMBER_WORDS
from webdancer_cli.text.spacing import squeeze

MIN_ITEMS, MAX_ITEMS = 3, 12
_BULLET = re.compile(r"^(?P<inset>\s*)(?:[-*•]|\d+[.)])\s+(?P<item>\S.{0,200})$")
_NOUNS = r"(?P<what>(?:[a-z][a-z-]* ){0,2}?[a-z][a-z-]*s)"
_QUALIFIES = r"(?:of|for|from|in|on|to|by|via|with|that|which|describing|available|as|at|under|are) "
_INTRODUCTION = re.compile(
    rf"^[^.]*(?:^|\s)(?:(?:the following|these) {_NOUNS}(?: {_QUALIFIES}[^.:]*)?"
    rf"|(?:several|some|various) {_NOUNS.replace('what', 'few')})(?: \([^()]*\))?:$"
)
_NOT_ALL = re.compile(
    r"\b(?:such as|for example|for instance|e\.g|where|at least|any of|some of|including|among|mainly|this|other)\b"
)
"""Words of introductions to what is no complete list, or is one of something that stood before."""
_STANDS = re.compile(r"(?!(?:This|These|Its?|They|There|In addition|In this|The (?:following|result|return))\b)[A-Z]")
_SEVERAL = re.compile(r"[^\s:]+, [^\s:]+,? and [^\s:]+(?: (?:are|have|were|can)\b|:|$)")
"""An item that names several: "KERNELS, SUBSYSTEMS and ATTRS are variations …"."""
_VAGUE = """
    of facts tips hints notes questions ways things points specifics arguments steps items changes reasons cases lines
    its this as is was has happens
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
    lines = page.text.splitlines()
    return [bullet_list for at in range(len(lines)) if lines[at].endswith(":") and (bullet_list := _listing(lines, at))]


def _listing(lines: list[str], at: int) -> BulletList | None:
    introduction = squeeze(lines[at])
    fits = 30 <= len(introduction) <= 200 and _STANDS.match(introduction) and not _NOT_ALL.search(introduction)
    found = _INTRODUCTION.search(introduction) if fits else None
    what = (found["what"] or found["few"]) if found else ""
    if not what or not set(what.split()).isdisjoint(_VAGUE.split()) or _tells_number(introduction):
        return None
    items = _items(lines, at + 1)
    if not items or not MIN_ITEMS <= len(items) <= MAX_ITEMS or len(set(items)) != len(items) or not _alike(items):
        return None
    return BulletList(what, introduction, items)


def _items(lines: list[str], at: int) -> tuple[str, ...]:
    """The items from a line on without those of lists within; none if the list seems to go on after other lines."""
    items: list[str] = []
    inset = ""
    while at < len(lines) and (found := _BULLET.match(lines[at])):
        inset = inset if items else found["inset"]
        if found["inset"] == inset:
            items.append(squeeze(found["item"]))
        at += 1
    goes_on = any(_BULLET.match(line) for line in lines[at : at + 2]) and not any(
        line.rstrip().endswith(":") for line in lines[at : at + 2]
    )
    return () if goes_on else tuple(items)


def _alike(items: tuple[str, ...]) -> bool:
    """Whether all items end alike; terms and their definitions, one per line, do not."""
    if any(item.endswith(":") or item.startswith(("several ", "various ", "other ")) for item in items):
        return False  # headings of lists within the list, or more than one in a line
    if any(_SEVERAL.match(item) for item in items):
        return False
    return len({item[-1] in ".:;,)" for item in items}) == 1 and len({item[-1] == ")" for item in items}) == 1


def _tells_number(introduction: str) -> bool:
    return bool(re.search(r"\d", introduction)) or any(word in introduction.casefold().split() for word in NUMBER_WORDS)

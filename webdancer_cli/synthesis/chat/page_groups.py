"""Groups of linked pages, as a model is shown them: a page, what it links to, what links to it, and its siblings.

A group is formed when all pages that its first page links to have come, or ``LOOKAHEAD`` pages later, or at the end: it
depends on the order of the pages alone. It fits a budget of tokens; of a page that is too long the model sees whole
paragraphs or sentences, those first that lead to the other pages of the group.
"""

import re
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from webdancer_cli.data.records import Page
from webdancer_cli.llm.budget import BYTES_PER_TOKEN
from webdancer_cli.text.words import sentence_pieces
from webdancer_cli.web import urls

MOST_PAGES = 6
GROUP_TOKENS = 8000
"""Estimated tokens of all pages of a group together."""
FIRST_SHARE = 0.5
"""The part of a group's budget that its first page may take if the others need theirs."""
LOOKAHEAD = 64
"""Pages that a group waits for."""
REMEMBERED = 256
"""Pages that a later group may hold."""
GAP = "[…]"
"""Stands where a part of a page was left out."""


@dataclass(frozen=True, eq=False)
class LinkedPage:
    """A page in the window, with the pages that its text links to, in that order."""

    page: Page

    @cached_property
    def key(self) -> str:
        return urls.page_key(self.page.url)

    @cached_property
    def targets(self) -> dict[str, None]:
        linked = (urls.page_key(link.url) for link in self.page.links if link.sentence)
        return dict.fromkeys(target for target in linked if target != self.key)


class PageGroups:
    """Forms a group for every page of a stream that can head one; memory holds ``REMEMBERED`` pages."""

    def __init__(self, min_chars: int):
        self._min_chars = min_chars
        self._known: OrderedDict[str, LinkedPage] = OrderedDict()
        self._heads: deque[tuple[int, LinkedPage]] = deque()
        self._count = 0

    async def of(self, pages: AsyncIterator[Page]) -> AsyncIterator[list[Page]]:
        """The groups, in the order of their first pages."""
        async for page in pages:
            for head in self._after(page):
                yield self._around(head)
        for _, head in self._heads:
            yield self._around(head)

    def _after(self, page: Page) -> Iterator[LinkedPage]:
        """The pages whose groups can be formed now that this page has come."""
        linked = LinkedPage(page)
        self._count += 1
        self._known[linked.key] = linked
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if len(page.text) >= self._min_chars:
            self._heads.append((self._count, linked))
        while self._heads and self._is_ready(*self._heads[0]):
            yield self._heads.popleft()[1]

    def _is_ready(self, number: int, head: LinkedPage) -> bool:
        return self._count - number >= LOOKAHEAD or all(target in self._known for target in head.targets)

    def _around(self, head: LinkedPage) -> list[Page]:
        """The page, its children, its parents, then its siblings, as far as they are known."""
        parents = [linked for linked in self._known.values() if head.key in linked.targets]
        siblings = (near for parent in parents for near in _nearest(list(parent.targets), head.key))
        order = dict.fromkeys([*head.targets, *(parent.key for parent in parents), *siblings])
        near = (self._known[key].page for key in order if key in self._known and key != head.key)
        kept = (page for page in near if page.text.strip() and page.text != head.page.text)
        return [head.page, *(page for page, _ in zip(kept, range(MOST_PAGES - 1), strict=False))]


def _nearest(keys: list[str], key: str) -> list[str]:
    """The other keys, those that stand next to ``key`` first."""
    at = keys.index(key)
    order = sorted(range(len(keys)), key=lambda other: abs(other - at))
    return [keys[other] for other in order[1:]]


def approximate_tokens(text: str) -> int:
    """An estimate, for any tokenizer."""
    return -(-_bytes(text) // BYTES_PER_TOKEN)


def fit_group(group: list[Page], budget: int = GROUP_TOKENS) -> list[str]:
    """What of each page of a group is shown, within the budget all together."""
    lengths = [approximate_tokens(page.text) for page in group]
    rooms = _rooms(lengths, budget)
    return [
        page.text if length <= room else excerpt(page, [other for other in group if other is not page], room)
        for page, length, room in zip(group, lengths, rooms, strict=True)
    ]


def _rooms(lengths: list[int], budget: int) -> list[int]:
    """The tokens for each page: to the first its share at least, to the others equal parts; what is spare, to those
    that are longer."""
    others = lengths[1:]
    first = min(lengths[0], max(round(FIRST_SHARE * budget), budget - sum(others)))
    rooms, left = [first], budget - first
    granted: dict[int, int] = {}
    for waiting, at in enumerate(sorted(range(len(others)), key=lambda at: others[at])):
        granted[at] = min(others[at], left // (len(others) - waiting))
        left -= granted[at]
    return [*rooms, *(granted[at] for at in range(len(others)))]


def excerpt(page: Page, others: Iterable[Page], budget: int) -> str:
    """Whole parts of a page within a budget of tokens, in the order of the page, ``GAP`` where others were left out.

    Its beginning comes first, then the parts with links to the ``others``, then the rest from the top. A part is a
    paragraph, or a sentence of one that would take more than a quarter of the budget; a longer sentence is left out.
    """
    parts = list(_parts(page.text, budget // 4))
    towards = {urls.page_key(other.url) for other in others}
    leading = [link.sentence for link in page.links if link.sentence and urls.page_key(link.url) in towards]
    ranked = sorted(range(len(parts)), key=lambda at: (at > 0, not _leads(parts[at], leading), at))
    room, chosen = BYTES_PER_TOKEN * budget, set[int]()
    for at in ranked:
        cost = _bytes(parts[at]) + (0 if {at - 1, at + 1} & chosen else _bytes(f"\n{GAP}\n"))
        if cost <= room:
            chosen.add(at)
            room -= cost
    return _joined(parts, chosen)


def _leads(part: str, sentences: list[str]) -> bool:
    """Whether a part holds one of the sentences, or is a piece of one."""
    words = part.strip()
    return bool(words) and any(said in words or words in said for said in sentences)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _parts(text: str, most_tokens: int) -> Iterator[str]:
    """Paragraphs with the line breaks after them, and the sentences of long ones; together they are the text."""
    for paragraph in re.findall(r"[^\n]+\n*|\n+", text):
        if approximate_tokens(paragraph) <= most_tokens:
            yield paragraph
            continue
        yield from sentence_pieces(paragraph)


def _joined(parts: list[str], chosen: set[int]) -> str:
    text = "".join(part if at in chosen else "\0" for at, part in enumerate(part.replace("\0", " ") for part in parts))
    return re.sub(r"\s*\0+\s*", f"\n{GAP}\n", text).strip()


def number_pages(pages: Iterable[tuple[Page, str]]) -> str:
    """Pages for a prompt, numbered from 1, each with the part of its text to be shown."""
    return "\n\n".join(
        f"[Page {number}] {page.title}\n{page.url}\n{text}" for number, (page, text) in enumerate(pages, 1)
    )

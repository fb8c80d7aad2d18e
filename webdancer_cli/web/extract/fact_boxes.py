"""What a document shows and the rules for main text leave out, since it stands in no paragraph of prose.

These are asides, notes, bylines, captions, figures, definitions, and tables, also of links. Each is put behind what
stands before it in the document. Frames of the site and what is offered along with a text (advertisements, banners,
share bars, newsletters, lists of other pages) are told by their elements, names and first words, and stay out.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from webdancer_cli.web.extract.blocks import Block
from webdancer_cli.web.extract.boilerplate import DEEPEST, is_link_list
from webdancer_cli.web.extract.main_text import KEY_CHARS, LONGEST_LABEL_CHARS, MainText

_FACTS = frozenset(["aside", "figure", "figcaption", "caption", "address", "dl", "dt", "dd", "details", "blockquote"])
_APART = frozenset(["figcaption", "caption", "footer", "address"])
"""Are judged by themselves, also inside other elements of facts."""
_FACT_ROLES = re.compile("note|complementary|figure|definition|term|doc-(?:footnote|endnotes|abstract|tip|notice)")
_FACT_NAME = re.compile(
    r"(?:info|fact|taxo)-?box|by-?line|author|date-?line|(?:pub|post)(?:ed|lished)?-?(?:on|date)|(?:thumb)?caption|credits?|"
    r"note|notice|call-?out|admonition|(?:key-?)?facts?|fact-?sheet|abstract|highlights|corrections?|(?:foot|end)-?notes?|"
    r"references?|glossary|spec(?:ification)?s|vcard|hatnote|legend"
)
_OUT = frozenset(["nav", "menu", "form", "dialog", "iframe", "object"])
_OUT_ROLES = re.compile(
    "navigation|banner|contentinfo|search|menu|menubar|toolbar|tablist|dialog|alertdialog|tooltip|form"
)
_OUT_NAME = re.compile(
    r"(?:^|-)(?:ads?|advert\w*|adsense|adslot|sponsor\w*|promo\w*|banner|cookies?|consent|gdpr|ccpa|shar(?:e|ing)|socials?|"
    r"follow|newsletter|subscri\w*|sign-?up|sign-?in|log-?in|related|recommend\w*|popular|trending|most-?read|"
    r"(?:read|more)-(?:more|next|from|on|stories)|comments?|disqus|outbrain|taboola|toolbar|bread-?crumbs?|paginat\w*|pager|"
    r"modal|pop-?up|overlay|tooltip|hidden|sr-only|screen-reader|widget|menus?|nav\w*|sidebar|footer|paywall|donat\w*|"
    r"edit-?section|toc)(?:-|$)"
)
_OUT_WORDS = re.compile(
    r"(?:you (?:may|might) also|related|recommended|popular|trending|most read|more (?:from|on|stories|in)|"
    r"read (?:more|next)|newsletter|subscribe|sign up|advert|sponsored|share (?:this|on)|follow us|on this page|"
    r"(?:table of )?contents\b|cookies?\b|we use cookies)",
    re.IGNORECASE,
)
"""With what begins that is no part of a text."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LABELS = frozenset(["dt", "th", "h2", "h3", "h4", "h5", "h6"])
LONGEST_VALUE = 200


class ElementPlace(NamedTuple):
    """Where an element stands: in ``main`` or ``article``, in what stays out, in which outermost element of facts."""

    in_text: bool = False
    out: bool = False
    facts: LexborNode | None = None


class FactBox(NamedTuple):
    """The blocks of one element of facts: their numbers in the document."""

    facts: LexborNode
    in_text: bool
    numbers: list[int]


def restore_fact_boxes(text: str, blocks: list[Block]) -> tuple[str, list[Block]]:
    """The text with what it lacks, and the blocks, those that were put in no longer counting as frame."""
    parts = list(_parts(blocks))
    if not text or not parts:
        return text, blocks
    main = MainText(text, blocks, anchors=False)
    ends = [main.end_of(block) if block.squeezed and not block.boilerplate else None for block in blocks]
    found = [number for number, end in enumerate(ends) if end is not None]
    if not found:
        return text, blocks
    behind = list(accumulate(ends, lambda last, end: last if end is None else end, initial=0))
    added: list[tuple[int, str]] = []
    for part in parts:
        lacking = {number for number in part.numbers if ends[number] is None and not main.holds(blocks[number])}
        between = found[0] < part.numbers[0] < found[-1]
        if (part.in_text or between) and _is_lacking(blocks, part, lacking) and _belongs(part.facts):
            put_in = [
                number for number in part.numbers if number in lacking or len(blocks[number].squeezed) < KEY_CHARS
            ]
            added.append((behind[part.numbers[0]], "\n".join(_lines([blocks[number] for number in put_in]))))
            for number in put_in:
                blocks[number] = blocks[number]._replace(boilerplate=False)
    return _with(text, added), blocks


def _parts(blocks: Sequence[Block]) -> Iterator[FactBox]:
    places = ElementPlaces()
    shown = ((number, block.node) for number, block in enumerate(blocks) if block.node is not None and block.text)
    placed = ((number, places.of(node)) for number, node in shown)
    facts = ((number, place, place.facts) for number, place in placed if place.facts is not None and not place.out)
    for _, same in groupby(facts, key=lambda entry: entry[2].mem_id):
        entries = list(same)
        yield FactBox(entries[0][2], entries[0][1].in_text, [number for number, _, _ in entries])


def _is_lacking(blocks: Sequence[Block], part: FactBox, lacking: Collection[int]) -> bool:
    """Whether the text lacks most of it: the values that it does have are there by coincidence."""
    missing = sum(len(blocks[number].squeezed) for number in lacking)
    return 2 * missing > sum(len(blocks[number].squeezed) for number in part.numbers)


def _belongs(facts: LexborNode) -> bool:
    """Whether it is a part of the text, and not something that is offered along with it."""
    text = " ".join(facts.text(separator=" ").split())
    if _OUT_WORDS.match(text) or facts.css_first("form, input:not([type=checkbox]), iframe") is not None:
        return False
    aside = facts.tag in ("aside", "header", "footer", "blockquote") or facts.attributes.get("role") == "complementary"
    return not (aside and is_link_list(facts))


class ElementPlaces:
    """The places of elements, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, ElementPlace] = {}

    def of(self, node: LexborNode | None, above: int = 0) -> ElementPlace:
        if node is None or above > DEEPEST or node.tag in ("body", "html"):
            return ElementPlace()
        if node.mem_id not in self._known:
            self._known[node.mem_id] = _own(node, self.of(node.parent, above + 1))
        return self._known[node.mem_id]


def _own(node: LexborNode, around: ElementPlace) -> ElementPlace:
    role = node.attributes.get("role") or ""
    if node.tag == "main" or role == "main":
        return ElementPlace(in_text=True)
    if around.out or _is_out(node, role):
        return ElementPlace(around.in_text, out=True)
    if node.tag == "article":
        return ElementPlace(in_text=True)
    if (around.facts is None or node.tag in _APART) and _is_facts(node, role, around):
        return ElementPlace(around.in_text, facts=node)
    return around


def _is_out(node: LexborNode, role: str) -> bool:
    attributes = node.attributes
    if (
        node.tag in _OUT
        or _OUT_ROLES.fullmatch(role)
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
    ):
        return True
    return bool(_HIDDEN.search(attributes.get("style") or "")) or any(map(_OUT_NAME.search, _names(node)))


def _is_facts(node: LexborNode, role: str, around: ElementPlace) -> bool:
    if node.tag == "table":
        return _holds_data(node)
    if node.tag in ("header", "footer"):
        return around.in_text or around.facts is not None
    if node.tag in _FACTS or _FACT_ROLES.fullmatch(role):
        return True
    return any(map(_FACT_NAME.fullmatch, _names(node)))


def _names(node: LexborNode) -> list[str]:
    """The class names and the id, in lower case, their parts with hyphens between them."""
    attributes = node.attributes
    given = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return _HUMP.sub("-", given).lower().split() if given != " " else []


def _holds_data(table: LexborNode) -> bool:
    """Whether it has rows and columns, and lays out no page."""
    if len(table.css("table")) > 1 or table.css_first("nav, form, ul ul, h1, article") is not None:
        return False
    return sum(len(row.css("td, th")) >= 2 for row in table.css("tr")[:10]) >= 2


def _lines(blocks: Sequence[Block]) -> Iterator[str]:
    """What stands in an element of facts: rows of tables, items of lists, labels with their values, and lines."""
    waiting: Block | None = None
    for row, same in groupby(blocks, key=lambda block: _around(block.node, "tr")):
        if row is not None:
            cells = groupby(same, key=lambda block: _around(block.node, "td", "th"))
            yield "| " + " | ".join(" ".join(block.text for block in cell) for _, cell in cells) + " |"
            continue
        for block in same:
            if waiting is not None:
                joined = _label_value(waiting, block)
                yield joined or _line(waiting)
                waiting = None
                if joined:
                    continue
            if block.node is not None and block.node.tag in _LABELS:
                waiting = block
            else:
                yield _line(block)
    if waiting is not None:
        yield _line(waiting)


def _line(block: Block) -> str:
    return f"- {block.text}" if block.node is not None and block.node.tag == "li" else block.text


def _label_value(label: Block, value: Block) -> str:
    """A label and its value in one line, so that they are one sentence; "" if they are none."""
    fit = len(label.squeezed) <= LONGEST_LABEL_CHARS and len(value.text) <= LONGEST_VALUE
    if not fit or label.node is None or value.node is None or value.node.tag in _LABELS:
        return ""
    above, beside = label.node.parent, value.node.parent
    if value.node.tag == "p" and beside is not None and beside.tag == "dd":
        beside = beside.parent
    if above is None or beside is None or above.mem_id != beside.mem_id:
        return ""
    return f"{label.text} {value.text}" if label.text[-1] in ":]" else f"{label.text}: {value.text}"


def _around(node: LexborNode | None, *tags: str) -> int | None:
    """Which element with one of these tags is, or stands around, a node."""
    for _ in range(DEEPEST):
        if node is None or node.tag in tags:
            break
        node = node.parent
    return None if node is None or node.tag not in tags else node.mem_id


def _with(text: str, added: Sequence[tuple[int, str]]) -> str:
    """The text with lines put in behind these places."""
    parts, at = [], 0
    for place, lines in sorted(added, key=lambda entry: entry[0]):
        parts += [text[at:place], "\n" * bool(place), lines, "" if place else "\n"]
        at = place
    return "".join([*parts, text[at:]])

"""From HTML to a page: main text by trafilatura; title, links and date by selectolax.

A link carries the sentence of the *main text* that holds its anchor, so that the sentence can be quoted; a link of the
navigation, a header or a footer has none, and is there for the crawler only.
"""

import hashlib
import logging
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import trafilatura
from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.records import Link, Page
from webdancer_cli.web import urls
from webdancer_cli.web.titles import page_title
from webdancer_cli.web.words import sentence_spans

SHORT_CHARS = 250
"""A main text shorter than this is compared with what slower methods find."""

DEEPEST = 100
"""How many elements around a text are looked at."""


def extract(html: str, url: str) -> Page:
    """The page of an HTML document that was found at ``url``. Its text is empty when the document shows none.

    The main text is that of the document without navigation, header, footer and side bars, by the first of these that
    gives any: trafilatura's fast rules (only if they give at least ``SHORT_CHARS``), trafilatura with all its
    fallbacks, trafilatura in favour of recall, all visible text; and last all visible text of the whole document.
    """
    html = _prepared(html)
    tree = LexborHTMLParser(html)
    blocks = list(_blocks(tree))
    text = _main_text(html, blocks)
    page = Page(url=url, title=page_title(tree, url), text=text, links=_links(tree, url, blocks, text))
    page.sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if date := _date(tree):
        page.extra = {"date": date}
    return page


_KEEPS_LINES = re.compile(r"(?=</?(?:pre|textarea)\b)", re.IGNORECASE)
_PERMALINK = re.compile(r"<a\b[^<>]*>\s*(?:¶|#|§|🔗|&para;|&#182;)\s*</a>", re.IGNORECASE)


def _prepared(html: str) -> str:
    """Without permalink marks, and without the line ends that mean nothing in HTML but would look like paragraphs."""
    parts = _KEEPS_LINES.split(_PERMALINK.sub("", html.replace("\x00", "")))
    return "".join(
        part if re.match(r"<\w", part) and at else re.sub(r"\s+", " ", part) for at, part in enumerate(parts)
    )


def _main_text(html: str, blocks: "list[Block]") -> str:
    inner = _without_chrome(html)
    fast = _trafilatura(inner, fast=True)
    if len(fast) >= SHORT_CHARS:
        return fast
    return (
        _trafilatura(inner)
        or _trafilatura(inner, favor_recall=True)
        or "\n".join(block.text for block in blocks if not block.chrome and block.text)
        or "\n".join(block.text for block in blocks if block.text)
    )


def _without_chrome(html: str) -> str:
    tree = LexborHTMLParser(html)
    for node in tree.css(_CHROME):
        node.decompose()
    return tree.html or ""


def _trafilatura(html: str, *, fast: bool = False, favor_recall: bool = False) -> str:
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # that a document is odd is no news to the user
    text = trafilatura.extract(
        html, fast=fast, favor_recall=favor_recall, include_comments=False, include_tables=True, include_links=False
    )
    lines = (re.sub(r"[ \t\u00a0]+", " ", line).rstrip() for line in (text or "").splitlines())
    return "\n".join(line for line in lines if line.strip() and not _RULER.fullmatch(line)).strip()


_RULER = re.compile(r"\|(?:\s*-+\s*\|)+")


class Anchor(NamedTuple):
    node: LexborNode
    at: int
    """Where the anchor begins in the squeezed text of its block."""


class Block(NamedTuple):
    """A run of text under one block element, in document order. ``squeezed`` is the text without white space."""

    text: str
    squeezed: str
    chrome: bool
    """Whether it stands in navigation, a header, a footer or a side bar."""
    anchors: list[Anchor]


_INLINE_TAGS = """
    a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark q rp rt ruby s samp small
    span strike strong sub sup time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())
_UNSEEN = frozenset(["script", "style", "noscript", "template", "head", "title", "svg", "math", "select", "button"])
_CHROME_TAGS = frozenset(["nav", "aside", "menu"])
_PAGE_ENDS = frozenset(["header", "footer"])
"""Chrome only outside ``main`` and ``article``: inside, they open and close the text."""
_CHROME_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "complementary", "menu"])
_CHROME = ", ".join(
    [*sorted(_CHROME_TAGS), "body > header", "body > footer", *(f"[role={role}]" for role in sorted(_CHROME_ROLES))]
)


def _blocks(tree: LexborHTMLParser) -> Iterator[Block]:
    """The visible text of a document, cut where block elements begin and end."""
    owner, texts, squeezed, anchors, chrome = -1, [""], 0, list[Anchor](), False
    for node in tree.root.traverse(include_text=True) if tree.root else ():
        is_text = node.tag == "-text"
        if not is_text and node.tag != "a":
            continue
        block = _block_of(node)
        if block is None:
            continue
        if block.mem_id != owner:
            yield _block(texts, chrome, anchors)
            owner, texts, squeezed, anchors, chrome = block.mem_id, [], 0, [], _in_chrome(block)
        if is_text:
            texts.append(node.text_content or "")
            squeezed += len(_squeeze(texts[-1]))
        else:
            anchors.append(Anchor(node, squeezed))
    yield _block(texts, chrome, anchors)


def _block(texts: list[str], chrome: bool, anchors: list[Anchor]) -> Block:
    text = " ".join("".join(texts).split())
    return Block(text, _squeeze(text), chrome, anchors)


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _block_of(node: LexborNode) -> LexborNode | None:
    """The nearest block element around a node, or None if the node is not seen."""
    for above in _ancestors(node):
        if above.tag in _UNSEEN:
            return None
        if above.tag not in _INLINE:
            return above
    return None


def _in_chrome(block: LexborNode) -> bool:
    ends_page = False
    for node in (block, *_ancestors(block)):
        if node.tag in ("main", "article"):
            return False
        if node.tag in _CHROME_TAGS or (node.attributes.get("role") or "") in _CHROME_ROLES:
            return True
        ends_page = ends_page or node.tag in _PAGE_ENDS
    return ends_page


def _ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """The elements around a node, from the inside; at most ``DEEPEST``, or absurd nesting would cost its square."""
    above = node.parent
    for _ in range(DEEPEST):
        if above is None:
            return
        yield above
        above = above.parent


def _links(tree: LexborHTMLParser, url: str, blocks: list[Block], text: str) -> list[Link]:
    """The links of a document in its order, each target once without a sentence or once per sentence."""
    base_node = tree.css_first("base[href]")
    base = urls.canonical((base_node.attributes.get("href") or "") if base_node else "", url) or url
    place = MainText(text)
    found: dict[tuple[str, str], Link] = {}
    for block in blocks:
        for anchor in block.anchors:
            target = urls.canonical(anchor.node.attributes.get("href") or "", base)
            if target and target != url:
                label = " ".join((anchor.node.text() or _alt(anchor.node)).split())
                sentence = "" if block.chrome else place.sentence(block, anchor.at, label)
                found.setdefault((target, sentence), Link(url=target, text=label, sentence=sentence))
    quoted = {target for target, sentence in found if sentence}
    return [link for (target, sentence), link in found.items() if sentence or target not in quoted]


def _alt(node: LexborNode) -> str:
    image = node.css_first("img[alt]")
    return (image.attributes.get("alt") or "") if image else ""


class MainText:
    """The main text, ready to find where a block of the document ended up in it.

    White space differs between the two, so places are looked up in the squeezed text. ``_cursor`` moves forward with
    the document, so that of several equal passages the right one is found.
    """

    def __init__(self, text: str):
        self._text = text
        self._positions = [at for at, char in enumerate(text) if not char.isspace()]
        self._squeezed = _squeeze(text)
        self._spans = list(sentence_spans(text))
        self._starts = [start for start, _ in self._spans]
        self._lines = self._line_starts()
        self._cursor = 0

    def _line_starts(self) -> dict[str, int]:
        """Squeezed lines and table cells to their places in the squeezed text."""
        places: dict[str, int] = {}
        at = 0
        for line in self._text.splitlines():
            squeezed = _squeeze(line)
            body = squeezed.lstrip("-|")
            places.setdefault(body.rstrip("|"), at + len(squeezed) - len(body))
            cell_at = at
            for cell in squeezed.split("|") if squeezed.startswith("|") else ():
                places.setdefault(cell, cell_at)
                cell_at += len(cell) + 1
            at += len(squeezed)
        places.pop("", None)
        return places

    def sentence(self, block: Block, anchor_at: int, label: str) -> str:
        """The sentence of the main text that holds an anchor, or "" if the anchor is not in the main text."""
        place = self._locate(block.squeezed, anchor_at, len(_squeeze(label)))
        if place is None or not label:
            return ""
        position = self._positions[min(place, len(self._positions) - 1)]
        start, end = self._spans[max(0, bisect_right(self._starts, position) - 1)]
        sentence = re.sub(r"^(?:[-|] )+|\s*\|$", "", self._text[start:end])
        return sentence if _squeeze(label) in _squeeze(sentence) else ""

    def _locate(self, block: str, anchor_at: int, length: int) -> int | None:
        """Where the anchor begins in the squeezed text: by its block as a line, its block, or the text around it."""
        if block in self._lines:
            return self._lines[block] + anchor_at
        for reach in (len(block), 60, 25):
            start = max(0, anchor_at - reach)
            piece = block[start : anchor_at + length + reach]
            if len(piece) < max(30, length + 10):
                return None
            found = self._squeezed.find(piece, self._cursor)
            found = found if found >= 0 else self._squeezed.find(piece)
            if found >= 0:
                self._cursor = found
                return found + anchor_at - start
        return None


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_MARKS = (
    ('meta[property="article:published_time"]', "content"),
    ('meta[itemprop="datePublished"]', "content"),
    ('meta[name="date"]', "content"),
    ("time[datetime]", "datetime"),
)


def _date(tree: LexborHTMLParser) -> str:
    """The page's own date as YYYY-MM-DD, where its markup gives one."""
    for selector, attribute in _DATE_MARKS:
        node = tree.css_first(selector)
        match = _DATE.match((node.attributes.get(attribute) or "").strip()) if node else None
        if match:
            return match.group()
    return ""

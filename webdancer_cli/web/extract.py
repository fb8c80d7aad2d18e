"""From HTML to a page: main text by trafilatura; title, links and date by selectolax.

A link carries the sentence of the *main text* that holds its anchor, so that the sentence can be quoted; a link of the
navigation, a header or a footer has none, and is there for the crawler only.
"""

import hashlib
import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import trafilatura
from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.records import Link, Page
from webdancer_cli.web import urls
from webdancer_cli.web.chrome import DEEPEST, Chrome, without_chrome, without_frame_lines
from webdancer_cli.web.titles import page_title
from webdancer_cli.web.words import sentence_spans

SHORT_CHARS = 250
"""A main text shorter than this is looked for again by slower methods."""

ENOUGH = 0.6
"""The share of a document's words outside links and the frame that a main text should hold."""


def extract(html: str, url: str) -> Page:
    """The page of an HTML document that was found at ``url``. Its text is empty when the document shows none.

    The main text is that of the document without its frame (``chrome``), by trafilatura's fast rules. Where these give
    less than ``ENOUGH``, or than ``SHORT_CHARS``, trafilatura with all its fallbacks is asked, too, and the longer text
    taken. Where both give nothing, it is all visible text outside the frame.
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
_LINE_END, _BLANK = "⁋", "␠"
"""Stand for what must survive in ``<pre>``, for trafilatura makes one line of a list item. Pages hardly use them."""


def _prepared(html: str) -> str:
    """Without permalink marks, and without the line ends that mean nothing in HTML but would look like paragraphs."""
    for unwanted in ("\x00", _LINE_END, _BLANK):
        html = html.replace(unwanted, "")
    return "".join(
        _marked(part) if re.match(r"<\w", part) and at else _in_a_row(part)
        for at, part in enumerate(_KEEPS_LINES.split(_PERMALINK.sub("", html)))
    )


def _marked(pre: str) -> str:
    """The beginning of a ``<pre>``, up to its closing tag, with marks for its line ends, indentation and columns."""
    tag, _, code = pre.partition(">")
    code = _BLANKS.sub(lambda match: match[1] or _BLANK * len(match[2]), code.strip("\r\n").expandtabs())
    code = _LINE_ENDS.sub(lambda match: match[1] or _LINE_END, code)
    return f"{tag}>{_LINE_END}{code}{_LINE_END}"


def _in_a_row(part: str) -> str:
    """With one blank for any white space, at its ends, too."""
    return " " * part[:1].isspace() + " ".join(part.split()) + " " * part[-1:].isspace()


_BLANKS = re.compile(r"(<[^>]*>)|(^ +| {2,})", re.MULTILINE)
_LINE_ENDS = re.compile(r"(<[^>]*>)|\r?\n")
"""Outside tags."""


def _unmarked(text: str) -> str:
    return text.replace(_LINE_END, "\n").replace(_BLANK, " ")


def _main_text(html: str, blocks: "list[Block]") -> str:
    inner = without_chrome(html)
    text = _trafilatura(inner, fast=True)
    if len(_squeeze(text)) < ENOUGH * sum(map(_prose, blocks)) or len(text) < SHORT_CHARS:
        text = max(text, _trafilatura(inner, fast=False), key=len) or _visible_text(inner)
    return without_frame_lines(text)


def _prose(block: "Block") -> int:
    """The letters of a block outside links."""
    linked = sum(len(_squeeze(anchor.label)) for anchor in block.anchors)
    return 0 if block.chrome else max(0, len(block.squeezed) - linked)


def _visible_text(html: str) -> str:
    return "\n".join(block.text for block in _blocks(LexborHTMLParser(html)) if not block.chrome and block.text)


def _trafilatura(html: str, *, fast: bool) -> str:
    """In favour of recall: what would be too much of a document with its frame is right without it."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # that a document is odd is no news to the user
    text = trafilatura.extract(
        html, fast=fast, favor_recall=True, include_comments=False, include_tables=True, include_links=False
    )
    lines = (_in_one_line(line) if line.startswith("|") else line for line in (text or "").splitlines())
    text = _unmarked("\n".join(map(_tidy, lines)))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip() and not _RULER.fullmatch(line))


def _in_one_line(row: str) -> str:
    """A row of a table, whatever its cells hold."""
    return re.sub(f"[{_LINE_END}{_BLANK}]+", " ", row)


def _tidy(line: str) -> str:
    """A line without white space that says nothing; the indentation of a nested list stays."""
    line = re.sub(r"(?<=\S)[ \t]+", " ", line.replace("\u00a0", " ")).rstrip()
    return line if line.startswith("  ") else line.lstrip()


_RULER = re.compile(r"\|(?:\s*-+\s*\|)+")


class Anchor(NamedTuple):
    node: LexborNode
    at: int
    """Where the anchor begins in the squeezed text of its block."""
    label: str


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


def _blocks(tree: LexborHTMLParser) -> Iterator[Block]:
    """The visible text of a document, cut where block elements begin and end."""
    owner, texts, squeezed, anchors, chrome, frame = -1, [""], 0, list[Anchor](), False, Chrome()
    for node in tree.root.traverse(include_text=True) if tree.root else ():
        is_text = node.tag == "-text"
        if not is_text and node.tag != "a":
            continue
        block = _block_of(node)
        if block is None:
            continue
        if block.mem_id != owner:
            yield _block(texts, chrome, anchors)
            owner, texts, squeezed, anchors, chrome = block.mem_id, [], 0, [], frame.holds(block)
        if is_text:
            texts.append(node.text_content or "")
            squeezed += len(_squeeze(texts[-1]))
        else:
            anchors.append(Anchor(node, squeezed, " ".join((node.text() or _alt(node)).split())))
    yield _block(texts, chrome, anchors)


def _block(texts: list[str], chrome: bool, anchors: list[Anchor]) -> Block:
    text = " ".join(_unmarked("".join(texts)).split())
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
    targets = Targets(tree, url)
    place = MainText(text, blocks)
    found: dict[tuple[str, str], Link] = {}
    for block in blocks:
        for anchor in block.anchors:
            if target := targets.of(anchor.node):
                sentence = "" if block.chrome else place.sentence(block, anchor.at, anchor.label)
                found.setdefault((target, sentence), Link(url=target, text=anchor.label, sentence=sentence))
    quoted = {target for target, sentence in found if sentence}
    return [link for (target, sentence), link in found.items() if sentence or target not in quoted]


class Targets:
    """Where the anchors of a document lead. Many lead to the same page, so what was found is kept."""

    def __init__(self, tree: LexborHTMLParser, url: str):
        base_node = tree.css_first("base[href]")
        self._base = urls.canonical((base_node.attributes.get("href") or "") if base_node else "", url) or url
        self._url = url
        self._found: dict[str, str | None] = {}

    def of(self, anchor: LexborNode) -> str | None:
        """The canonical URL; None for the page itself, and for what is no web address."""
        href = (anchor.attributes.get("href") or "").partition("#")[0]
        if href not in self._found:
            target = urls.canonical(href, self._base)
            self._found[href] = None if target == self._url else target
        return self._found[href]


def _alt(node: LexborNode) -> str:
    image = node.css_first("img[alt]")
    return (image.attributes.get("alt") or "") if image else ""


KEY_CHARS = 30
"""What is not a whole line of the main text is looked for by so many characters around its anchor."""
KEY_LEAD = 12
"""How many of them stand before the anchor."""
MOST_TRIES = 20
"""Places that are looked at for one anchor; a text that repeats itself has more."""
LONGEST_SENTENCE = 2000
"""What is longer is a list or a table in one line, and no sentence to quote. Else many links would share much text."""


class MainText:
    """The main text, ready to find where the blocks of the document ended up in it; in time linear in its length.

    White space differs between the two, so places are looked up in the squeezed text. ``_cursor`` moves forward with
    the document, so that of several equal passages the right one is found.
    """

    def __init__(self, text: str, blocks: Sequence[Block]):
        self._text = text
        self._squeezed = _squeeze(text)
        self._runs = [match.start() for match in re.finditer(r"\S+", text)]
        self._squeezed_runs = list(accumulate(map(len, text.split()), initial=0))
        self._spans = list(sentence_spans(text))
        self._starts = [start for start, _ in self._spans]
        self._sentences: dict[int, tuple[str, str]] = {}
        self._lines = self._line_starts()
        self._keys = self._key_places(blocks)
        self._cursor = 0
        self._block: Block | None = None
        self._block_at: int | None = None

    def _key_places(self, blocks: Sequence[Block]) -> dict[str, list[int]]:
        """Where in the squeezed text the keys of the anchors stand that cannot be found by their lines."""
        places: dict[str, list[int]] = {
            block.squeezed[start : start + KEY_CHARS]: []
            for block in blocks
            if not block.chrome and len(block.squeezed) >= KEY_CHARS and block.squeezed not in self._lines
            for start in (_key_start(block, anchor.at) for anchor in block.anchors)
        }
        for at in range(len(self._squeezed) - KEY_CHARS + 1 if places else 0):
            found = places.get(self._squeezed[at : at + KEY_CHARS])
            if found is not None:
                found.append(at)
        return places

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
        place = self._locate(block, anchor_at, len(_squeeze(label)))
        if place is None or not label:
            return ""
        sentence, squeezed = self._sentence_at(self._position(place))
        return sentence if _squeeze(label) in squeezed else ""

    def _sentence_at(self, position: int) -> tuple[str, str]:
        """The sentence at a place in the text, without the marks of lists and tables; and squeezed."""
        at = max(0, bisect_right(self._starts, position) - 1)
        if at not in self._sentences:
            start, end = self._spans[at]
            fits = end - start <= LONGEST_SENTENCE
            sentence = re.sub(r"^(?:[-|] )+|\s*\|$", "", self._text[start:end]) if fits else ""
            self._sentences[at] = sentence, _squeeze(sentence)
        return self._sentences[at]

    def _position(self, place: int) -> int:
        """The place in the text of a place in the squeezed text."""
        place = min(place, len(self._squeezed) - 1)
        run = bisect_right(self._squeezed_runs, place) - 1
        return self._runs[run] + place - self._squeezed_runs[run]

    def _locate(self, block: Block, anchor_at: int, length: int) -> int | None:
        """Where the anchor begins in the squeezed text: by its block as a line, its block, or the text around it."""
        if block.squeezed in self._lines:
            return self._lines[block.squeezed] + anchor_at
        if len(block.squeezed) < max(KEY_CHARS, length + 10):
            return None
        if block is not self._block:
            self._block, self._block_at = block, self._find(block, anchor_at, 0, len(block.squeezed))
        if self._block_at is not None:
            return self._block_at + anchor_at
        for reach in (60, 25):
            start, end = max(0, anchor_at - reach), anchor_at + length + reach
            if min(end, len(block.squeezed)) - start < max(KEY_CHARS, length + 10):
                return None
            found = self._find(block, anchor_at, start, end)
            if found is not None:
                return found + anchor_at - start
        return None

    def _find(self, block: Block, anchor_at: int, start: int, end: int) -> int | None:
        """Where this piece of a block, around an anchor, begins in the squeezed text; after the cursor if it can be."""
        key_start = _key_start(block, anchor_at)
        places = self._keys.get(block.squeezed[key_start : key_start + KEY_CHARS], [])
        ahead = bisect_left(places, self._cursor)
        piece = block.squeezed[start:end]
        for place in (*places[ahead : ahead + MOST_TRIES], *places[: min(ahead, MOST_TRIES)]):
            at = place - (key_start - start)
            if at >= 0 and self._squeezed.startswith(piece, at):
                self._cursor = at
                return at
        return None


def _key_start(block: Block, anchor_at: int) -> int:
    return max(0, min(anchor_at - KEY_LEAD, len(block.squeezed) - KEY_CHARS))


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

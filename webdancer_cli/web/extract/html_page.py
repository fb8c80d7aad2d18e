"""From HTML to a page: main text by trafilatura; title, links and date by selectolax.

A link carries the sentence of the *main text* that holds its anchor, so that the sentence can be quoted; a link of the
navigation, a header or a footer has none, and is there for the crawler only.
"""

import logging
import re

import trafilatura
from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.data.records import Link, Page, text_sha256
from webdancer_cli.web import urls
from webdancer_cli.web.extract.blocks import BLANK, LINE_END, Block, blocks_of, unmarked, unspaced
from webdancer_cli.web.extract.boilerplate import strip_boilerplate, strip_frame_lines
from webdancer_cli.web.extract.fact_boxes import restore_fact_boxes
from webdancer_cli.web.extract.json_ld import structured_text
from webdancer_cli.web.extract.main_text import MainText
from webdancer_cli.web.extract.titles import page_title

SHORT_CHARS = 250
"""A main text shorter than this is looked for again by slower methods."""

ENOUGH = 0.6
"""The share of a document's words outside links and the frame that a main text should hold."""


def extract_page(html: str, url: str) -> Page:
    """The page of an HTML document that was found at ``url``. Its text is empty when the document shows none.

    The main text is that of the document without its frame (``chrome``), by trafilatura's fast rules. Where these give
    less than ``ENOUGH``, or than ``SHORT_CHARS``, trafilatura with all its fallbacks is asked, too, and the longer text
    taken. Where both give nothing, it is all visible text outside the frame. What these rules leave out since it stands
    in no paragraph is put in (``left_out``). An article that only data for machines hold is read there
    (``structured_data``).
    """
    html = _prepare(html)
    tree = LexborHTMLParser(html)
    blocks = list(blocks_of(tree))
    text, blocks = restore_fact_boxes(_main_text(html, blocks), blocks)
    if len(text) < SHORT_CHARS:
        text = _add_structured(text, structured_text(tree))
    page = Page(url=url, title=page_title(tree, url), text=text, links=_links(tree, url, blocks, text))
    page.sha256 = text_sha256(text)
    if date := _date(tree):
        page.extra = {"date": date}
    return page


_KEEPS_LINES = re.compile(r"(?=</?(?:pre|textarea)\b)", re.IGNORECASE)
_NOTE = re.compile(
    r"(<sup\b[^<>]*>\s*<a\b[^<>#]*#[^<>]*>)\s*(\d{1,3}|[a-z*†‡])\s*(?=</a>\s*</sup>)",
    re.IGNORECASE,
)
"""The mark of a note, which is no part of the number before it."""
_PERMALINK = re.compile(r"<a\b[^<>]*>\s*(?:¶|#|§|🔗|&para;|&#182;)\s*</a>", re.IGNORECASE)


def _prepare(html: str) -> str:
    """With brackets around the marks of notes, without permalink marks and line ends that mean nothing in HTML.

    These would look like paragraphs.
    """
    for unwanted in ("\x00", LINE_END, BLANK):
        html = html.replace(unwanted, "")
    return "".join(
        _mark_layout(part) if re.match(r"<\w", part) and at else _in_a_row(part)
        for at, part in enumerate(_KEEPS_LINES.split(_NOTE.sub(r"\1[\2]", _PERMALINK.sub("", html))))
    )


def _mark_layout(pre: str) -> str:
    """The beginning of a ``<pre>``, up to its closing tag, with marks for its line ends, indentation and columns."""
    tag, _, code = pre.partition(">")
    code = _BLANKS.sub(lambda match: match[1] or BLANK * len(match[2]), code.strip("\r\n").expandtabs())
    code = _LINE_ENDS.sub(lambda match: match[1] or LINE_END, code)
    return f"{tag}>{LINE_END}{code}{LINE_END}"


def _in_a_row(part: str) -> str:
    """With one blank for any white space, at its ends, too."""
    return " " * part[:1].isspace() + " ".join(part.split()) + " " * part[-1:].isspace()


_BLANKS = re.compile(r"(<[^>]*>)|(^ +| {2,})", re.MULTILINE)
_LINE_ENDS = re.compile(r"(<[^>]*>)|\r?\n")
"""Outside tags."""


def _main_text(html: str, blocks: "list[Block]") -> str:
    inner = strip_boilerplate(html)
    text = _trafilatura(inner, fast=True)
    if len(unspaced(text)) < ENOUGH * sum(map(_prose, blocks)) or len(text) < SHORT_CHARS:
        text = max(text, _trafilatura(inner, fast=False), key=len) or _visible_text(inner)
    return strip_frame_lines(text)


def _add_structured(text: str, structured: str) -> str:
    """A short text, and the longer one that the document gives to machines."""
    if len(structured) <= len(text):
        return text
    shown = (line for line in text.splitlines() if line not in structured)
    return "\n".join([*shown, structured])


def _prose(block: "Block") -> int:
    """The letters of a block outside links."""
    linked = sum(len(unspaced(anchor.label)) for anchor in block.anchors)
    return 0 if block.boilerplate else max(0, len(block.squeezed) - linked)


def _visible_text(html: str) -> str:
    return "\n".join(block.text for block in blocks_of(LexborHTMLParser(html)) if not block.boilerplate and block.text)


def _trafilatura(html: str, *, fast: bool) -> str:
    """In favour of recall: what would be too much of a document with its frame is right without it."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # that a document is odd is no news to the user
    text = trafilatura.extract(
        html, fast=fast, favor_recall=True, include_comments=False, include_tables=True, include_links=False
    )
    lines = (_in_one_line(line) if line.startswith("|") else line for line in (text or "").splitlines())
    text = unmarked("\n".join(map(_tidy, lines)))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip() and not _RULER.fullmatch(line))


def _in_one_line(row: str) -> str:
    """A row of a table, whatever its cells hold."""
    return re.sub(f"[{LINE_END}{BLANK}]+", " ", row)


def _tidy(line: str) -> str:
    """A line without white space that has no meaning; the indentation of a nested list stays."""
    line = re.sub(r"(?<=\S)[ \t]+", " ", line.replace("\u00a0", " ")).rstrip()
    return line if line.startswith("  ") else line.lstrip()


_RULER = re.compile(r"\|(?:\s*-+\s*\|)+")


def _links(tree: LexborHTMLParser, url: str, blocks: list[Block], text: str) -> list[Link]:
    """The links of a document in its order, each target once without a sentence or once per sentence."""
    targets = LinkTargets(tree, url)
    place = MainText(text, blocks)
    found: dict[tuple[str, str], Link] = {}
    for block in blocks:
        for anchor in block.anchors:
            if target := targets.of(anchor.node):
                sentence = "" if block.boilerplate else place.sentence(block, anchor.at, anchor.label)
                found.setdefault((target, sentence), Link(url=target, text=anchor.label, sentence=sentence))
    quoted = {target for target, sentence in found if sentence}
    return [link for (target, sentence), link in found.items() if sentence or target not in quoted]


class LinkTargets:
    """Where the anchors of a document lead. Many lead to the same page, so what was found is kept."""

    def __init__(self, tree: LexborHTMLParser, url: str):
        base_node = tree.css_first("base[href]")
        self._base = urls.canonical_url((base_node.attributes.get("href") or "") if base_node else "", url) or url
        self._url = url
        self._found: dict[str, str | None] = {}

    def of(self, anchor: LexborNode) -> str | None:
        """The canonical URL; None for the page itself, and for what is no web address."""
        href = (anchor.attributes.get("href") or "").partition("#")[0]
        if href not in self._found:
            target = urls.canonical_url(href, self._base)
            self._found[href] = None if target == self._url else target
        return self._found[href]


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

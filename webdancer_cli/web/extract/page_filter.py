"""The gate of the corpus: which documents that a server gave are pages, and why the others are not.

A question written from "Just a moment…" is worse than none. Whatever is refused here has a reason code that a crawl
counts: the walls' own (``walls``), ``frameset``, ``noindex``, ``cookie_wall``, ``mojibake``, ``empty_text``,
``too_little_text`` and ``wrong_language``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.data.records import Link, Page, text_sha256
from webdancer_cli.text.language import language_of
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.text.words import sentences
from webdancer_cli.web.extract.html_page import extract_page
from webdancer_cli.web.fetch import block_pages, markup_redirects

LITTLE_CHARS = 300
"""With less text than this, what the markup says counts more: a password field, a challenge, a plea for JavaScript."""
MOST_TITLE_CHARS = 200


@dataclass(frozen=True)
class PageCriteria:
    """What the user asks of a page. No languages: all are welcome."""

    min_chars: int = 0
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageRefusal:
    """Why a document is no page. ``follow``: its links lead somewhere all the same; ``parts``: they are its parts."""

    reason: str
    detail: str
    follow: bool = False
    parts: bool = False


@dataclass(frozen=True)
class FilteredPage:
    """A document as a page, and why it is not to be kept, if it is not."""

    page: Page
    refusal: PageRefusal | None = None


@dataclass(frozen=True)
class HtmlDocument:
    """What a server sent. Header names are in lower case."""

    html: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConvertedText:
    """What somebody else made of a document: its text, which begins with its title."""

    url: str
    text: str
    fetched_at: str


def filter_converted(document: ConvertedText, terms: PageCriteria) -> FilteredPage:
    """A text as a page without links, judged by what can be told of a text alone."""
    text = mend_surrogates(document.text).strip()
    title = squeeze(text.partition("\n")[0])[:MOST_TITLE_CHARS]
    page = Page(url=document.url, title=title, text=text, sha256=text_sha256(text))
    return FilteredPage(page, text_refusal(title, text) or _too_little(page, terms) or _wrong_language(page, terms))


def read_and_filter(document: HtmlDocument, terms: PageCriteria) -> FilteredPage:
    """Read a document and judge it. Its links are left out where its author asks for that (``nofollow``)."""
    page = extract_page(document.html, document.url)
    tree = LexborHTMLParser(document.html)
    if frames := markup_redirects.frame_addresses(tree, document.url):
        page.links = [Link(url=frame, text="") for frame in frames]
        return FilteredPage(page, PageRefusal("frameset", f"{page.url}: is a set of frames", follow=True, parts=True))
    robots = _robots(tree, document.headers)
    if robots & {"nofollow", "none"}:
        page.links = []
    return FilteredPage(page, _refusal(document, page, tree, robots, terms))


def text_refusal(title: str, text: str, *, warns: bool = False) -> PageRefusal | None:
    """What ``read_and_filter`` has against a page of which only the text is at hand; ``warns``: it saw a challenge."""
    if found := block_pages.find_block_page(title, text) or _cookie_wall(text):
        return PageRefusal(*found)
    if len(text) < LITTLE_CHARS and (warns or block_pages.CAPTCHA_MARKS.search(text)):
        return PageRefusal("captcha", "next to nothing but a challenge")
    if mark := _mojibake(text):
        return PageRefusal("mojibake", f"broken characters such as {mark!r}")
    return None


def _refusal(
    document: HtmlDocument, page: Page, tree: LexborHTMLParser, robots: set[str], terms: PageCriteria
) -> PageRefusal | None:
    if robots & {"noindex", "none"}:
        return PageRefusal("noindex", f"{page.url}: asks not to be kept (robots: noindex)", follow=True)
    if found := _wall(document, page, tree):
        return PageRefusal(found[0], f"{page.url}: {found[1]}")
    if mark := _mojibake(page.text):
        return PageRefusal("mojibake", f"{page.url}: broken characters such as {mark!r}")
    return _too_little(page, terms) or _wrong_language(page, terms)


def _too_little(page: Page, terms: PageCriteria) -> PageRefusal | None:
    if not page.text:
        return PageRefusal("empty_text", f"{page.url}: no text to read", follow=True)
    if len(page.text) < terms.min_chars:
        detail = f"{page.url}: {len(page.text)} characters of text, fewer than {terms.min_chars}"
        return PageRefusal("too_little_text", detail, follow=True)
    return None


def _wrong_language(page: Page, terms: PageCriteria) -> PageRefusal | None:
    language = language_of(page.text) if terms.languages else ""
    if language and language not in terms.languages:
        detail = f"{page.url}: reads like {language}, not {' or '.join(terms.languages)}"
        return PageRefusal("wrong_language", detail, follow=True)
    return None


def _robots(tree: LexborHTMLParser, headers: Mapping[str, str]) -> set[str]:
    """The directives for all robots, of ``<meta name="robots">`` and of the header X-Robots-Tag."""
    contents = [node.attributes.get("content") or "" for node in tree.css("meta[name=robots i]")]
    return {word.strip() for text in [*contents, headers.get("x-robots-tag", "")] for word in text.lower().split(",")}


def _wall(document: HtmlDocument, page: Page, tree: LexborHTMLParser) -> tuple[str, str] | None:
    """Reason and sign of a wall."""
    if sign := block_pages.blocking_header(document.headers):
        return "bot_wall", sign
    title = _title(tree) or page.title
    if found := block_pages.find_block_page(title, page.text):
        return found
    if len(page.text) < LITTLE_CHARS:
        if mark := block_pages.CAPTCHA_MARKS.search(document.html):
            return "captcha", mark.group()
        if _asks_for_password(tree):
            return "login_wall", "next to nothing but a password field"
        plea = " ".join(node.text() for node in tree.css("noscript"))
        if (found := block_pages.find_block_page("", plea)) and found[0] == "javascript_required":
            return found
    return _cookie_wall(page.text)


def _title(tree: LexborHTMLParser) -> str:
    """The title as it stands: a wall's name may stand where others have the site's."""
    node = tree.css_first("title")
    return " ".join(node.text().split()) if node else ""


def _asks_for_password(tree: LexborHTMLParser) -> bool:
    """Whether a password is asked for in the page itself; a login box in its head is there on any page."""
    return any(not _in_frame(node) for node in tree.css("input[type=password i]"))


def _in_frame(node: LexborNode) -> bool:
    above = node.parent
    while above is not None:
        if above.tag in ("header", "nav", "footer", "aside"):
            return True
        above = above.parent
    return False


_CONSENT = re.compile(
    r"\bcookies?\b|\bconsent\b|\b(?:our|\d+) (?:\w+ )?partners\b|"
    r"privacy (?:policy|settings|choices|notice|preferences)|"
    r"personal(?:ised|ized|ly)? (?:data|ads|advertising|content|information)|legitimate interest|"
    r"^(?:accept|reject|manage|allow|deny|decline|agree|continue|settings|preferences)\b.{0,30}$",
    re.IGNORECASE,
)
_ASKS_CONSENT = re.compile(
    r"\b(?:we|uses?|using) (?:\w+ )?cookies\b|(?:accept|allow|reject|manage) (?:\w+ )?cookies|"
    r"cookie (?:consent|settings|preferences|policy|notice)|your consent",
    re.IGNORECASE,
)
COOKIE_REST_CHARS = 120
"""A cookie wall has no more than this to say of anything else."""


def _cookie_wall(text: str) -> tuple[str, str] | None:
    if len(text) > 2 * block_pages.SHORT_CHARS or not _ASKS_CONSENT.search(text):
        return None
    every = sentences(text)
    consent = [sentence for sentence in every if _CONSENT.search(sentence)]
    rest = sum(len(sentence) for sentence in every) - sum(len(sentence) for sentence in consent)
    asks = sum(len(sentence) for sentence in consent) > rest
    return ("cookie_wall", consent[0][:100]) if asks and rest <= COOKIE_REST_CHARS else None


_BROKEN = re.compile(
    r"\ufffd|Ã[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œ]|â€[™œ\u009d“”˜¦]|Ð[\u0080-\u00bf]|[\x00-\x08\x0e-\x1f]"
)
MOST_BROKEN = 0.005
"""Broken characters that a page may have, as a share of its text."""


def _mojibake(text: str) -> str:
    """The first broken character, if there are at least three and more than ``MOST_BROKEN`` allows; else ""."""
    found = _BROKEN.findall(text)
    return found[0] if len(found) >= 3 and len(found) > MOST_BROKEN * len(text) else ""

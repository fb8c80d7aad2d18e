"""What a person would call a page."""

import re
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.text.words import stems

_SEPARATOR = re.compile(r"\s+(?:[-–—|·•»:]|::|\\)\s+|\s*\|\s*")
_PART_SEPARATOR = re.compile(r"\s+[—–|·•»-]\s+|\s*::\s*")
_SITE = re.compile(
    r"\b(documentation|docs?|wiki\w*|wiktionary|encyclop\w+|home ?page|official|manual|website|blog|reference)\b", re.I
)


def page_title(tree: LexborHTMLParser, url: str) -> str:
    """The page's own name: the first heading that ``<title>`` confirms, else ``<title>`` without the site's name.

    Without a ``<title>`` it is the first heading, and without any the last part of the URL.
    """
    heading = own_heading(tree)
    if heading is not None:
        return _clean_node(heading)
    if title := _title(tree):
        return _without_site(title, _meta(tree, "og:site_name"), url)
    said = [text for node in tree.css("h1")[:5] if (text := _clean_node(node))]
    return said[0] if said else _from_url(url)


def title_parts(title: str) -> list[str]:
    """What a title has left of a site's name, a chapter or a gloss, part by part: "json — JSON encoder" has two."""
    return [part for part in map(str.strip, _PART_SEPARATOR.split(title)) if part]


def own_heading(tree: LexborHTMLParser, tags: str = "h1") -> LexborNode | None:
    """The first of the headings that ``<title>`` confirms; without a ``<title>`` the first that says anything.

    A banner with the site's name gives way to another one that is confirmed, too.
    """
    title = _title(tree)
    wanted, site = " ".join(stems(title)), " ".join(stems(_SEPARATOR.split(title)[-1]))
    said = [(node, " ".join(stems(_clean_node(node)))) for node in tree.css(tags)[:5]]
    confirmed = [(node, text) for node, text in said if text and (not title or f" {text} " in f" {wanted} ")]
    own = [node for node, text in confirmed if text != site]
    return next(iter([*own, *(node for node, _ in confirmed)]), None)


def _title(tree: LexborHTMLParser) -> str:
    return _meta(tree, "og:title") or _clean_node(tree.css_first("title"))


def _meta(tree: LexborHTMLParser, name: str) -> str:
    node = tree.css_first(f'meta[property="{name}"]')
    return _clean((node.attributes.get("content") or "") if node else "")


def _clean_node(node: LexborNode | None) -> str:
    """The text of a heading, without section numbers that the markup names as such."""
    if node is None:
        return ""
    numbers = {number.text() for number in node.css(".section-number, .secno")}
    text = node.text()
    for number in numbers:
        text = text.replace(number, "", 1)
    return _clean(text)


def _clean(text: str) -> str:
    return " ".join(re.sub(r"[¶🔗\ue000-\uf8ff]", " ", text).split())


def _without_site(title: str, site_name: str, url: str) -> str:
    """``zlib — Python 3.11 documentation`` to ``zlib``: a last part goes that names the site."""
    parts = list(_SEPARATOR.finditer(title))
    if not parts:
        return title
    last = title[parts[-1].end() :]
    host = (urlsplit(url).hostname or "").lower()
    names_site = last.lower() == site_name.lower() or _SITE.search(last) or _squeeze(last) in _squeeze(host)
    return title[: parts[-1].start()] if names_site else title


def _squeeze(text: str) -> str:
    return re.sub(r"\W", "", text).casefold()


def _from_url(url: str) -> str:
    parts = urlsplit(url)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    return re.sub(r"\.\w{1,5}$", "", last).replace("_", " ").strip() or (parts.hostname or url)

"""Documents that send on by their markup: refreshes, framesets, and shells around one other document."""

import re
from collections.abc import Iterable, Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.web import urls

AT_ONCE_SECONDS = 1.0
"""A refresh within this time leaves no time to read the page."""

LONGEST_DELAY_SECONDS = 30.0
"""A refresh that comes later reloads what is being read; one in between sends on from a page that says little."""

SAYS_LITTLE_CHARS = 1000

SHELL_CHARS = 8192
"""A document that is nothing but a shell around another is not longer than this."""

MOST_ELEMENTS = 50
"""So many metas, or frames, of a document are looked at."""

_REFRESH = re.compile(rb"http-equiv\s*=\s*[\"']?\s*refresh")
_CONTENT = re.compile(r"\s*(\d+|(?=\.))[\d.]*(?:\s*$|(?:\s*[;,]|\s)\s*(?:url\s*=)?\s*(.*))", re.IGNORECASE | re.DOTALL)
_UNSEEN = ("noscript", "noframes", "template")


def may_redirect(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether it is worth while to look for a destination: of most documents, no markup has to be read for that."""
    if "refresh" in headers or b"\x00" in body[:4]:  # the latter is how UTF-16 begins
        return True
    lower = body.lower()
    if len(body) <= SHELL_CHARS and (b"<iframe" in lower or b"canonical" in lower):
        return True
    return b"<frameset" in lower or (b"refresh" in lower and _REFRESH.search(lower) is not None)


def redirect_target(html: str, url: str, headers: Mapping[str, str]) -> str | None:
    """Where a document sends every reader at once; None if it is there to be read, itself if it asks to be reloaded.

    That is a refresh (of a ``<meta>``, or of the header), the one frame of a frameset, or what a document without a
    word of its own embeds, or names as its canonical address.
    """
    if found := _refresh(headers.get("refresh", "")):
        delay, target = found
        if delay <= AT_ONCE_SECONDS and (there := urls.canonical_url(target, url)):
            return there
    tree = LexborHTMLParser(html)
    base = _base(tree, url)
    if there := _refresh_target(tree, base, url):
        return there
    framed = _sources(tree, "frameset frame", base, url)
    if framed or _has_frames(tree):
        return framed[0] if len(framed) == 1 else None
    return _shell(tree, base, url) if len(html) <= SHELL_CHARS else None


def frame_addresses(tree: LexborHTMLParser, url: str) -> list[str]:
    """The addresses of a frameset's frames, each once; none of a document that is no frameset."""
    return _sources(tree, "frameset frame", _base(tree, url), url) if _has_frames(tree) else []


def _has_frames(tree: LexborHTMLParser) -> bool:
    return tree.css_first("html > frameset") is not None


def _refresh_target(tree: LexborHTMLParser, base: str, url: str) -> str | None:
    for node in tree.css("meta[http-equiv]")[:MOST_ELEMENTS]:
        if (node.attributes.get("http-equiv") or "").strip().lower() != "refresh" or _is_unseen(node):
            continue
        if found := _refresh(node.attributes.get("content") or ""):
            delay, target = found
            soon = delay <= AT_ONCE_SECONDS or (
                delay <= LONGEST_DELAY_SECONDS and len(_words(tree)) <= SAYS_LITTLE_CHARS
            )
            if soon and (there := urls.canonical_url(target, base) if target else url):
                return there
    return None


def _refresh(content: str) -> tuple[float, str] | None:
    """Seconds and address ("": the document's own) of a refresh; None if it is none.

    As in WHATWG's HTML, "shared declarative refresh steps".
    """
    found = _CONTENT.match(content)
    if not found:
        return None
    target = (found.group(2) or "").strip()
    if target[:1] in ('"', "'"):
        target = target[1:].partition(target[0])[0]
    return float(found.group(1) or 0), target


def _shell(tree: LexborHTMLParser, base: str, url: str) -> str | None:
    """What a document that says nothing, and runs nothing that might say something, stands around."""
    if _words(tree) or tree.css_first("script, form, img, object, embed, video, audio, svg, canvas"):
        return None
    embedded = _sources(tree, "iframe", base, url)
    if embedded:
        return embedded[0] if len(embedded) == 1 else None
    named = tree.css_first("link[rel~=canonical i][href]")
    return _other(named.attributes.get("href") or "", base, url) if named else None


def _sources(tree: LexborHTMLParser, selector: str, base: str, url: str) -> list[str]:
    found = (node.attributes.get("src") or "" for node in tree.css(selector)[:MOST_ELEMENTS] if not _is_unseen(node))
    return list(dict.fromkeys(_addresses(found, base, url)))


def _addresses(found: Iterable[str], base: str, url: str) -> Iterable[str]:
    return (there for src in found if src.strip() and (there := _other(src, base, url)))


def _other(target: str, base: str, url: str) -> str | None:
    there = urls.canonical_url(target, base)
    return there if there != url else None


def _base(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    return (urls.canonical_url(node.attributes.get("href") or "", url) if node else None) or url


def _is_unseen(node: LexborNode) -> bool:
    above = node.parent
    while above is not None:
        if above.tag in _UNSEEN:
            return True
        above = above.parent
    return False


def _words(tree: LexborHTMLParser) -> str:
    """What a document shows, without what only a browser without scripts or frames would."""
    if tree.body is None:
        return ""
    shown = LexborHTMLParser(tree.body.html or "")
    for node in shown.css(f"script, style, {', '.join(_UNSEEN)}"):
        node.decompose()
    return " ".join(shown.text().split())

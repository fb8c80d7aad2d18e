"""The addresses that a site lists in its sitemaps (sitemaps.org): XML, text or a feed, as they are found.

Many are not well-formed, cut off, or in another charset than they say. What is legible of them is read; what is not is
told with its reason.
"""

import asyncio
import gzip
import io
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from lxml import etree

from webdancer_cli.errors import Reject
from webdancer_cli.text import encoding
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import media_types
from webdancer_cli.web.fetch.fetcher import FetchedDocument, Fetcher

MOST_SITEMAPS = 100
"""Files read for one site; sitemaps.org allows 50,000 addresses in each."""
MAX_BYTES = 50 * 1024 * 1024
"""sitemaps.org allows so much, when it is decompressed."""

Told = Callable[[str, Reject], None]
"""Is told of a sitemap, and why it is not read, or not to its end."""


class Sitemap(NamedTuple):
    """What a sitemap names: pages, or with ``is_index`` other sitemaps. ``fault`` says what it lacks."""

    addresses: list[str]
    is_index: bool = False
    fault: str = ""


async def sitemap_addresses(root: str, fetcher: Fetcher, told: Told) -> AsyncIterator[str]:
    """The addresses in the sitemaps of a root's site: those that its robots.txt names, else ``/sitemap.xml``.

    Raises Reject ``no_sitemap`` when there is none to read, with the reason of each; a failure if there are some.
    """
    named = [urls.canonical_url(url, root) for url in await fetcher.sitemaps(root)]
    waiting = [url for url in named if url] or [urls.canonical_url("/sitemap.xml", root) or root]
    met, faults = set(waiting), dict[str, Reject]()
    read = 0
    while waiting:
        at = waiting.pop(0)
        try:
            fetched = await fetcher.get(at, (), max_bytes=MAX_BYTES)
            found = await asyncio.to_thread(parse_sitemap, fetched)
        except Reject as reject:
            faults[at] = reject
            continue
        read += 1
        if found.fault:
            told(at, Reject("bad_sitemap", f"{at}: {found.fault}"))
        if not found.is_index:
            for url in found.addresses:
                yield url
            continue
        new = [url for url in dict.fromkeys(found.addresses) if url not in met]
        room = MOST_SITEMAPS - len(met)
        if len(new) > room:
            left = f"{at}: names {len(new):,} sitemaps; the first {max(0, room)} are read"
            told(at, Reject("many_sitemaps", left, failed=False))
        waiting += new[: max(0, room)]
        met.update(new)
    if not read:
        why = "; ".join(map(str, faults.values()))
        detail = f"{root}: the site has no sitemap that can be read ({why}); leave --sitemap out"
        raise Reject("no_sitemap", detail, failed=any(fault.reason not in _NONE_THERE for fault in faults.values()))
    for at, fault in faults.items():
        told(at, fault)


_NONE_THERE = frozenset(["http_404", "http_410"])


_ROOT = re.compile(r"<(?:\w+:)?(urlset|sitemapindex|rss|rdf|feed)\b", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_BARE = re.compile(r"<!\[CDATA\[.{0,4000}?\]\]>|&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)", re.DOTALL)
"""An ampersand that begins no reference; sections where none has to are passed over."""


def parse_sitemap(fetched: FetchedDocument) -> Sitemap:
    """What a sitemap holds, its addresses as ``urls.canonical_url`` gives them. Raises Reject ``bad_sitemap``."""
    body, fault = _unpack(fetched.body)
    text = encoding.decode_text(body, fetched.headers.get("content-type", ""), markup=True)
    root = _ROOT.search(text)
    if root is None:
        return _of_text(fetched.url, text, body, fault)
    closed = re.search(rf"</(?:\w+:)?{root.group(1)}\s*>(?>\s*(?:<!--.*?-->\s*)*)$", text, re.IGNORECASE | re.DOTALL)
    xml = text[root.start() :] if closed else text[root.start() : max(root.end(), text.rfind("</"))]
    found = [url for url in (urls.canonical_url(said, fetched.url) for said in _locations(_mend(xml))) if url]
    if not closed and not re.match(r"<[^<>]*/>\s*$", text[root.start() :]):
        fault = fault or f"is cut off, or not closed; {len(found):,} addresses are read"
    if fault and not found:
        raise Reject("bad_sitemap", f"{fetched.url}: {fault}")
    return Sitemap(found, root.group(1).lower() == "sitemapindex", fault)


def _unpack(body: bytes) -> tuple[bytes, str]:
    """A body without gzip, member by member, as much as can be had, and what is wrong with it."""
    if not body.startswith(b"\x1f\x8b"):
        return body, ""
    out = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            while len(out) <= MAX_BYTES and (part := stream.read(65536)):
                out += part
    except EOFError:
        return bytes(out), "is cut off"
    except (zlib.error, gzip.BadGzipFile) as error:
        return bytes(out), f"is damaged ({error})"
    return bytes(out[:MAX_BYTES]), f"is larger than {MAX_BYTES:,} bytes" if len(out) > MAX_BYTES else ""


def _mend(xml: str) -> bytes:
    """XML without what most often keeps it from being well-formed."""
    clean = _BARE.sub(lambda match: match.group() if len(match.group()) > 1 else "&amp;", _CONTROLS.sub("", xml))
    return clean.encode("utf-8", "replace")


def _locations(xml: bytes) -> list[str]:
    """The addresses of pages or sitemaps, in their order; not those of pictures, or of the feed itself.

    The parser reads no entities and fetches nothing; what comes before the root, where they would be declared, is not
    even there.
    """
    found: list[str] = []
    nodes = etree.iterparse(
        io.BytesIO(xml),
        events=("end",),
        recover=True,
        resolve_entities=False,
        no_network=True,
        huge_tree=True,
    )
    for _, node in nodes:
        name, above = _name(node), _name(node.getparent())
        if name == "loc" and above in ("url", "sitemap", "urlset", "sitemapindex"):
            found.append((node.text or "").strip())
        elif name == "link" and above in ("item", "entry"):
            if node.get("rel", "alternate") == "alternate":
                found.append((node.get("href") or node.text or "").strip())
        elif name in ("url", "sitemap", "item", "entry"):
            node.clear()
    return [url for url in found if url]


def _name(node: "etree._Element | None") -> str:
    return node.tag.rpartition("}")[2].lower() if node is not None and isinstance(node.tag, str) else ""


def _of_text(url: str, text: str, body: bytes, fault: str) -> Sitemap:
    """A sitemap that is one address a line. Raises Reject ``bad_sitemap``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [
        there
        for line in lines
        if re.match(r"https?://\S+$", line, re.IGNORECASE) and (there := urls.canonical_url(line))
    ]
    if not lines:
        raise Reject("bad_sitemap", f"{url}: {fault or 'is empty'}")
    if 2 * len(found) < len(lines):
        raise Reject(
            "bad_sitemap", f"{url}: is {media_types.detect_media_type('', body)} without addresses, no sitemap"
        )
    return Sitemap(found, fault=fault)

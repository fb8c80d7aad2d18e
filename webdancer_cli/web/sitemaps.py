"""The addresses that a site lists in its sitemaps (sitemaps.org), an index of sitemaps followed one level down."""

import zlib
from collections.abc import AsyncIterator

from lxml import etree

from webdancer_cli.errors import Reject
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import MAX_BYTES, Fetcher

MOST_SITEMAPS = 100
"""Files read for one site; sitemaps.org allows 50,000 addresses in each."""


async def addresses(root: str, fetcher: Fetcher) -> AsyncIterator[str]:
    """The addresses in the sitemaps of a root's site: those that its robots.txt names, else ``/sitemap.xml``.

    Raises Reject ``no_sitemap`` when there is none to read. A broken one among several is passed over.
    """
    waiting = await fetcher.sitemaps(root) or [urls.canonical("/sitemap.xml", root) or root]
    read, met = 0, set(waiting)
    while waiting and len(met) <= MOST_SITEMAPS:
        try:
            kind, found = entries((await fetcher.get(waiting.pop(0), ())).body)
        except Reject:
            continue
        read += 1
        if kind == "sitemapindex":
            new = [url for url in map(urls.canonical, found) if url and url not in met]
            waiting += new[: MOST_SITEMAPS - len(met)]
            met.update(new)
        else:
            for url in found:
                yield url
    if not read:
        raise Reject("no_sitemap", f"{root}: the site has no sitemap that can be read; leave --sitemap out")


def entries(body: bytes) -> tuple[str, list[str]]:
    """The kind of a sitemap ("urlset", "sitemapindex") and its addresses. Raises Reject ``bad_sitemap``.

    The parser reads no entities and fetches nothing, and a compressed body is inflated to ``MAX_BYTES`` at most.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(_inflated(body), parser)
    except (etree.XMLSyntaxError, zlib.error) as error:
        raise Reject("bad_sitemap", str(error)) from None
    found = [(node.text or "").strip() for node in root.iterfind("{*}*/{*}loc")]
    return etree.QName(root).localname, [url for url in found if url]


def _inflated(body: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_BYTES) if body[:2] == b"\x1f\x8b" else body

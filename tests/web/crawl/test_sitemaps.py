"""Sitemaps as they are found."""

import gzip

import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.web.crawl.sitemaps import MAX_BYTES, Sitemap, parse_sitemap, sitemap_addresses
from webdancer_cli.web.fetch.fetcher import FetchedDocument, Fetcher

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
A, B, AND = "http://e.org/a", "http://e.org/b", "http://e.org/list?town=1&page=2"


def urlset(*urls: str, attributes: str = NAMESPACE) -> str:
    return f"<urlset {attributes}>" + "".join(f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>"


def read(body: str | bytes, content_type: str = "application/xml") -> Sitemap:
    body = body.encode() if isinstance(body, str) else body
    return parse_sitemap(
        FetchedDocument(
            url="http://e.org/maps/map.xml",
            requested_url="http://e.org/maps/map.xml",
            content_type="",
            body=body,
            fetched_at="",
            headers={"content-type": content_type},
        )
    )


DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
FEED = f"<item><title>x</title><link>{A}</link></item><item><guid>7</guid><link><![CDATA[{AND}]]></link></item>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (DECLARATION + urlset(A, B), [A, B]),
        ("\n" + DECLARATION + urlset(A), [A]),
        ("\ufeff \r\n" + DECLARATION + urlset(A), [A]),
        ("<br />\n<b>Warning</b>: deprecated in map.php\n" + DECLARATION + urlset(A), [A]),
        (urlset(AND), [AND]),
        (urlset("http://e.org/?a=1&amp;b=2"), ["http://e.org/?a=1&b=2"]),
        (urlset("http://e.org/?a=1&copy=2&reg;=3"), ["http://e.org/?a=1&copy=2&reg;=3"]),
        (urlset(f"<![CDATA[{AND}]]>"), [AND]),
        (urlset(f"\n  {A}\n "), [A]),
        (urlset(A, attributes=""), [A]),
        (urlset(A, attributes='xmlns="https://www.google.com/schemas/sitemap/0.84"'), [A]),
        (urlset(A).replace("<loc>", "<LOC>").replace("</loc>", "</LOC>"), [A]),
        (urlset(A + "\x0b\x00", B), [A, B]),
        (urlset("/c", "d?x"), ["http://e.org/c", "http://e.org/maps/d?x"]),
        (urlset(A, "mailto:x", ""), [A]),
        (
            urlset(A).replace("</url>", "<image:image><image:loc>http://e.org/i.png</image:loc></image:image></url>"),
            [A],
        ),
        (urlset(A).replace("<url>", f"<!-- <url><loc>{B}</loc></url> --><url>"), [A]),
        (urlset(A).replace("<url>", "<url><lastmod>2024 </lastmod><priority>&nbsp;</priority>"), [A]),
        (f"<sm:urlset xmlns:sm='x'><sm:url><sm:loc>{A}</sm:loc></sm:url></sm:urlset>", [A]),
        (f"<urlset><loc>{A}</loc></urlset><!-- made in 0.1 s -->\n", [A]),
        (urlset("http://e.org/é"), ["http://e.org/%C3%A9"]),
        ("<urlset></urlset>", []),
        ("<urlset/>", []),
        (f"{A}\r\n\r\n{B}\r\n", [A, B]),
        (f"\ufeff{A}\n# the others\n{B}\n", [A, B]),
        (f"<rss version='2.0'><channel><link>http://e.org/</link>{FEED}</channel></rss>", [A, AND]),
        (
            "<feed xmlns='http://www.w3.org/2005/Atom'><link href='/'/><entry><link rel='self' href='/self'/>"
            f"<link href='{A}'/></entry><entry><link rel='alternate' href='/b'/></entry></feed>",
            [A, B],
        ),
        (f"<rdf:RDF xmlns:rdf='r' xmlns='rss'><item><link>{A}</link></item></rdf:RDF>", [A]),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + urlset(A), [A]),
    ],
)
def test_addresses_are_read_as_they_stand(body: str, expected: list[str]) -> None:
    for sent in (body.encode(), gzip.compress(body.encode())):
        assert read(sent) == Sitemap(expected)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-8-sig", "cp1251"])
def test_another_charset_is_read(codec: str) -> None:
    text = f'<?xml version="1.0" encoding="{codec}"?>' + urlset("http://e.org/завод")
    assert read(text.encode(codec)).addresses == ["http://e.org/%D0%B7%D0%B0%D0%B2%D0%BE%D0%B4"]


@pytest.mark.parametrize(
    "end", ["<url><loc>http://e.org/ha", "<url><lo", "<url><loc>http://e.org/half</lo", "", "</urls"]
)
def test_what_stands_before_a_cut_is_read_and_the_cut_is_told(end: str) -> None:
    found = read(urlset(A, B).removesuffix("</urlset>") + end)
    assert found.addresses[:2] == [A, B] and found.addresses[2:] in ([], ["http://e.org/half"])
    assert "cut off" in found.fault


def test_what_can_be_had_of_damaged_gzip_is_read() -> None:
    many = [f"http://e.org/{n * n}" for n in range(20_000)]
    packed = gzip.compress(urlset(*many).encode())
    half = len(packed) // 2
    for damaged in (packed[:half], packed[:half] + bytes(50) + packed[half:]):
        found = read(damaged)
        assert found.addresses[:9_000] == many[:9_000] and found.fault
    assert read(packed) == Sitemap(many)


def test_members_of_gzip_are_joined() -> None:
    text = urlset(A, B).encode()
    assert read(gzip.compress(text[:50]) + gzip.compress(text[50:])).addresses == [A, B]


def test_a_sitemap_may_be_as_large_as_the_protocol_allows() -> None:
    many = [f"http://e.org/{'a' * 900}/{n}" for n in range(50_000)]
    body = urlset(*many).encode()
    assert 0.85 * MAX_BYTES < len(body) < MAX_BYTES
    assert read(gzip.compress(body, 1)).addresses == many


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("<!doctype html><title>Not found</title>", "is text/html without addresses"),
        ("The sitemap is being made.", "is text/plain without addresses"),
        ('{"urls": []}', "is application/json without addresses"),
        (b"PK\x03\x04\x00\x00", "is application/zip without addresses"),
        ("<urlset><url>", "is cut off"),
        (gzip.compress(b"x", mtime=0)[:5] + b"junk", "is (damaged|cut off)"),
    ],
)
def test_what_cannot_be_read_says_why(body: str | bytes, why: str) -> None:
    with pytest.raises(Reject, match=f"^bad_sitemap: http://e.org/maps/map.xml: {why}"):
        read(body)


def test_an_index_names_sitemaps() -> None:
    index = f"<sitemapindex {NAMESPACE}><sitemap><loc>{A}</loc></sitemap></sitemapindex>"
    assert read(index) == Sitemap([A], is_index=True)


async def test_sitemaps_beyond_the_first_are_told(serve, answer) -> None:
    site = await serve({"/robots.txt": "Sitemap: /index.xml\nSitemap: /gone.xml"})
    names = "".join(f"<sitemap><loc>{site.url}/{n}.txt</loc></sitemap>" for n in range(200))
    site.answers["/index.xml"] = answer(f"<sitemapindex>{names}</sitemapindex>")
    site.answers |= {
        f"/{n}.txt": answer(f"{site.url}/page{n}", headers={"Content-Type": "text/plain"}) for n in range(200)
    }
    told: list[str] = []
    async with Fetcher(allow_private=True, per_host=16) as fetcher:
        found = [
            url async for url in sitemap_addresses(f"{site.url}/", fetcher, lambda _, reject: told.append(str(reject)))
        ]
    assert found == [f"{site.url}/page{n}" for n in range(98)]
    assert [reason.partition(":")[0] for reason in told] == ["many_sitemaps", "http_404"]

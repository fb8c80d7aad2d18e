import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.web import urls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Example.COM:80/a/../b/./c", "http://example.com/b/c"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("http://example.com/a#part", "http://example.com/a"),
        ("http://user:secret@example.com/", "http://example.com/"),
        ("http://example.com/%7euser/%e4%b8%ad x", "http://example.com/%7euser/%e4%b8%ad%20x"),
        ("http://example.com/中", "http://example.com/%E4%B8%AD"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://example.com//a///b/", "http://example.com//a///b/"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/?b=2&a=1&utm_source=x&&c", "http://example.com/?b=2&a=1&utm_source=x&&c"),
        ("http://example.com/p;jsessionid=ABC?PHPSESSID=1", "http://example.com/p;jsessionid=ABC?PHPSESSID=1"),
        ("http://example.com./", "http://example.com/"),
        ("http://example.com/100%", "http://example.com/100%"),
        ("http://faß.example/", "http://xn--fa-hia.example/"),
        ("http:\\\\example.com\\a\nb\t/", "http://example.com/ab/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://example.com/%2e%2E/a/.//b", "http://example.com/a//b"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
    ],
)
def test_one_spelling(url: str, expected: str) -> None:
    assert urls.canonical_url(url) == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "mailto:a@b.c", "javascript:x", "/a", "", "http://", "http://a b/"],
)
def test_what_is_not_a_web_address(url: str) -> None:
    assert urls.canonical_url(url) is None


def test_relative_links_are_joined() -> None:
    assert urls.canonical_url("../c.html?x=1#y", "http://e.org/a/b/") == "http://e.org/a/c.html?x=1"
    assert urls.canonical_url("c//d;v=1?", "http://e.org/10.1000/x//2") == "http://e.org/10.1000/x//c//d;v=1?"


@given(st.text(max_size=60))
def test_canonical_never_raises_and_is_stable(path: str) -> None:
    once = urls.canonical_url("http://example.com/" + path)
    assert once is None or urls.canonical_url(once) == once


TOKEN = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("?b=2&a=1", "?a=1&b=2"),
        ("%7ea/%e4", "~a/%E4"),
        ("?a=1&utm_source=x&gclid=7", "?a=1"),
        ("?fbclid=x", ""),
        (f"p;jsessionid={TOKEN.upper()}.node1", "p"),
        (f"?sid={TOKEN}&a=1", "?a=1"),
        (f"?PHPSESSID={TOKEN}", "?"),
        ("?session_id=123e4567-e89b-12d3-a456-426614174000", ""),
        ("(S(lit3py55t21z5v55vlm25s55))/a.aspx", "a.aspx"),
    ],
)
def test_fingerprint_is_the_same_for_addresses_of_one_page(one: str, other: str) -> None:
    first, second = (urls.canonical_url(f"http://e.org/{end}") or "" for end in (one, other))
    assert urls.fingerprint(first) == urls.fingerprint(second)


DIFFERENT = [
    "",
    "?a=1",
    "?a=2",
    "?sid=2",
    "?sid=3",
    "?sid=02/10/22/1234567",
    "?sid=20240101123456789",
    "?sid=springconference2019",
    "?sid=springconference2020",
    "?sid=annual-report-2019-part-2-of-3",
    "?session=monday-9-30-hall-2",
    "?sessionid=17",
    "?PHPSESSID=1",
    ";sid=2",
    ";jsessionid=ABC",
    ";v=1",
    "a//b",
    "a/b",
    "a/b/",
    "a%2Fb",
    "(S(a))/b",
    "?utm=1",
]


def test_fingerprint_tells_apart_what_may_be_two_pages() -> None:
    addresses = [urls.canonical_url(f"http://e.org/{end}") or "" for end in DIFFERENT]
    assert addresses == [f"http://e.org/{end}" for end in DIFFERENT]
    assert len({urls.fingerprint(address) for address in addresses}) == len(DIFFERENT)


@pytest.mark.parametrize(
    "other",
    [
        "http://e.org/a/",
        "https://e.org/a#x",
        "http://E.org:80/a",
        "e.org/a",
        "http://e.org/a/index.html",
        "http://e.org/%61",
        "http://e.org/a?utm_source=x",
        f"http://e.org/a;jsessionid={TOKEN}?sid={TOKEN}",
    ],
)
def test_key_is_the_same_for_what_readers_take_for_one_page(other: str) -> None:
    assert urls.page_key(other) == urls.page_key("http://e.org/a")


def test_key_tells_pages_and_ports_apart() -> None:
    assert len({urls.page_key(f"http://e.org{end}") for end in ("/a", "/b", ":8000/a", "/a?x=1", "/A")}) == 5


def test_site_is_host_and_port_without_www() -> None:
    assert urls.site_of("https://www.e.org/a") == urls.site_of("http://e.org/") == "e.org"
    assert urls.site_of("http://e.org:8000/") != urls.site_of("http://e.org:8001/")


def test_url_words_are_what_a_person_reads() -> None:
    assert urls.url_words("http://e.org/wiki/Ada_Lovelace.html") == "e.org /wiki/Ada Lovelace "

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
        ("http://example.com/%7euser/%e4%b8%ad x", "http://example.com/~user/%E4%B8%AD%20x"),
        ("http://example.com/中", "http://example.com/%E4%B8%AD"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://example.com//a///b/", "http://example.com/a/b/"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/?b=2&a=1&utm_source=x&gclid=7", "http://example.com/?b=2&a=1"),
        ("http://example.com/p;jsessionid=ABC?PHPSESSID=1", "http://example.com/p"),
        ("http://example.com./", "http://example.com/"),
        ("http://example.com/100%", "http://example.com/100%25"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
    ],
)
def test_one_spelling(url: str, expected: str) -> None:
    assert urls.canonical(url) == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "mailto:a@b.c", "javascript:x", "/a", "", "http://", "http://a b/"],
)
def test_what_is_not_a_web_address(url: str) -> None:
    assert urls.canonical(url) is None


def test_relative_links_are_joined() -> None:
    assert urls.canonical("../c.html?x=1#y", "http://e.org/a/b/") == "http://e.org/a/c.html?x=1"


@given(st.text(max_size=60))
def test_canonical_never_raises_and_is_stable(path: str) -> None:
    once = urls.canonical("http://example.com/" + path)
    assert once is None or urls.canonical(once) == once


def test_fingerprint_ignores_the_order_of_parameters() -> None:
    assert urls.fingerprint("http://e.org/?b=2&a=1") == urls.fingerprint("http://e.org/?a=1&b=2")
    assert urls.fingerprint("http://e.org/?a=1") != urls.fingerprint("http://e.org/?a=2")


@pytest.mark.parametrize(
    "other",
    [
        "http://e.org/a/",
        "https://e.org/a#x",
        "http://E.org:80/a",
        "e.org/a",
        "http://e.org/a/index.html",
        "http://e.org/%61",
    ],
)
def test_key_is_the_same_for_what_readers_take_for_one_page(other: str) -> None:
    assert urls.key(other) == urls.key("http://e.org/a")


def test_key_tells_pages_and_ports_apart() -> None:
    assert len({urls.key(f"http://e.org{end}") for end in ("/a", "/b", ":8000/a", "/a?x=1", "/A")}) == 5


def test_site_is_host_and_port_without_www() -> None:
    assert urls.site("https://www.e.org/a") == urls.site("http://e.org/") == "e.org"
    assert urls.site("http://e.org:8000/") != urls.site("http://e.org:8001/")


def test_url_words_are_what_a_person_reads() -> None:
    assert urls.url_words("http://e.org/wiki/Ada_Lovelace.html") == "e.org /wiki/Ada Lovelace "

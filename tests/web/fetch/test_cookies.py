"""Where cookies go, and where not."""

import httpx
import pytest

from webdancer_cli.web.fetch.cookies import CookieStore


def sent(first: str, cookies: list[str], then: str) -> str:
    jar = CookieStore()
    jar.take(first, httpx.Response(302, headers=[("Set-Cookie", cookie) for cookie in cookies]))
    return jar.header(then)


@pytest.mark.parametrize(
    ("first", "cookie", "then"),
    [
        ("http://e.org/", "a=1", "http://e.org/x"),
        ("http://e.org/x/y", "a=1; Path=/", "http://e.org/"),
        ("http://e.org/", "a=1; HttpOnly; SameSite=None; Partitioned", "http://e.org/"),
        ("http://e.org/", "a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "https://e.org/"),
        ("https://e.org/", "a=1; Secure", "https://e.org/"),
        ("http://log-in.e.org/", "a=1; Domain=e.org", "http://www.e.org/"),
        ("http://127.0.0.1:8000/", "a=1; Domain=127.0.0.1", "http://127.0.0.1:8000/"),
        ("http://localhost:8000/", "a=1; Domain=localhost", "http://localhost:8000/"),
        ("http://[::1]/", "a=1", "http://[::1]/"),
    ],
)
def test_a_cookie_comes_back_to_who_set_it(first: str, cookie: str, then: str) -> None:
    assert sent(first, [cookie], then) == "a=1"


@pytest.mark.parametrize(
    ("first", "cookie", "then"),
    [
        ("http://e.org/", "a=1", "http://other.org/"),
        ("http://e.org/", "a=1", "http://www.e.org/"),
        ("http://e.org/", "a=1", "http://e.org:8080/"),
        ("http://e.org/", "a=1; Domain=other.org", "http://other.org/"),
        ("http://e.org/", "a=1; Domain=www.e.org", "http://www.e.org/"),
        ("http://e.org/", "a=1; Domain=org", "http://other.org/"),
        ("http://a.co.uk/", "a=1; Domain=co.uk", "http://b.co.uk/"),
        ("http://a.github.io/", "a=1; Domain=github.io", "http://b.github.io/"),
        ("https://e.org/", "a=1; Secure", "http://e.org/"),
        ("http://e.org/", "a=1; Max-Age=0", "http://e.org/"),
        ("http://e.org/", "a=1; Path=/x", "http://e.org/y"),
    ],
)
def test_a_cookie_goes_nowhere_else(first: str, cookie: str, then: str) -> None:
    assert sent(first, [cookie], then) == ""


def test_several_cookies_go_together() -> None:
    assert sent("http://e.org/", ["a=1", "b=2; Path=/", "a=3"], "http://e.org/") == "a=3; b=2"

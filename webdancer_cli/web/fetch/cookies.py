"""Cookies on the way to a document (RFC 6265), by the standard library.

A host's cookies go to no other host, unless it names a domain of its own that is no public suffix; and none go to
another port, which RFC 6265 would allow.
"""

from collections import defaultdict
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit
from urllib.request import Request

import httpx
from tld import is_tld


class _Policy(DefaultCookiePolicy):
    def set_ok_domain(self, cookie: Cookie, request: Request) -> bool:
        host, domain = urlsplit(request.full_url).hostname or "", cookie.domain.lstrip(".")
        if domain == host and "." not in host:
            cookie.domain = f"{host}.local"  # what the standard library calls a host without a dot
            return True
        return super().set_ok_domain(cookie, request) and (domain == host or not is_tld(domain, search_private=True))


class CookieStore:
    """The cookies of a crawl, or of one visit."""

    def __init__(self) -> None:
        self._ports: defaultdict[int | None, CookieJar] = defaultdict(
            lambda: CookieJar(_Policy(strict_ns_domain=_Policy.DomainStrictNonDomain))
        )

    def header(self, url: str) -> str:
        """The value of the Cookie header for a URL; "" if there is nothing to send."""
        port = urlsplit(url).port
        if port not in self._ports:
            return ""
        request = Request(url)
        self._ports[port].add_cookie_header(request)
        return request.get_header("Cookie", "")

    def take(self, url: str, response: httpx.Response) -> None:
        """Keep what an answer sets."""
        if "set-cookie" in response.headers:
            self._ports[urlsplit(url).port].extract_cookies(_Answer(response), Request(url))  # type: ignore[arg-type]


class _Answer:
    """Adapts an httpx response to what ``http.cookiejar`` reads."""

    def __init__(self, response: httpx.Response):
        self._headers = response.headers

    def info(self) -> "_Answer":
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return self._headers.get_list(name) or default


def no_cookies() -> CookieJar:
    """A jar that accepts no cookie."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))

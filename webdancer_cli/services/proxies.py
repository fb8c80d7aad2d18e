"""Proxies that the environment names, for all that goes out: pages, search, reading services and models.

The variables are curl's: ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in small letters or in
capitals. This machine itself is always reached without one.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from webdancer_cli.errors import UsageError

KNOWN = ("http", "https", "socks5", "socks5h")
DEFAULT_PORTS = {"https": 443}
DEFAULT_PORT = 1080
"""curl's, where a proxy's address names none."""


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    variable: str
    scheme: str
    host: str
    port: int
    auth: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def auth_bytes(self) -> tuple[bytes, bytes] | None:
        return (self.auth[0].encode(), self.auth[1].encode()) if self.auth else None

    @property
    def shown(self) -> str:
        return f"{self.url} (from {self.variable})"


class Proxies:
    """The proxies that an environment configures."""

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment
        self._direct = _words(_first(environment, "no_proxy")[1])

    @classmethod
    def of_environment(cls) -> "Proxies":
        return cls(os.environ)

    def of(self, url: str) -> Proxy | None:
        """The proxy for a URL, or None. Raises UsageError for one that is none, or of a kind that is not known."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if is_loopback(host) or any(_names(word, host, parts.port) for word in self._direct):
            return None
        for name in (f"{parts.scheme}_proxy", "all_proxy"):
            variable, value = _first(self._environment, name)
            if value:
                return parse_proxy(variable, value)
        return None


def parse_proxy(variable: str, value: str) -> Proxy:
    """The proxy that a variable holds; without a scheme it is an HTTP proxy. Raises UsageError."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if not host:
        raise UsageError(f"{variable}: holds no address of a proxy; write it like http://proxy.example:3128")
    if scheme not in KNOWN:
        raise UsageError(f"{variable}: {scheme} proxies are not known; use one of {', '.join(KNOWN)}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(
        variable,
        scheme,
        host,
        port or DEFAULT_PORTS.get(scheme, DEFAULT_PORT),
        (user, password) if user or password else None,
    )


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _first(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that is set, and its value; one that is empty is not."""
    for variable in (name, name.upper()):
        if value := environment.get(variable, "").strip():
            return variable, value
    return name, ""


def _words(text: str) -> list[str]:
    return text.replace(",", " ").lower().split()


def _names(word: str, host: str, port: int | None) -> bool:
    """Whether a word of ``no_proxy`` names a host: ``*``, a name with its subdomains, an address, or a network."""
    if word == "*":
        return True
    try:
        return ip_address(host) in ip_network(word.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, only_port = word.partition(":") if word.count(":") == 1 else (word, "", "")
    name = name.removeprefix("*").strip(".")
    same = host == name or host.endswith(f".{name}")
    return bool(name) and same and only_port in ("", str(port))


class ProxyTransport(httpx.AsyncBaseTransport):
    """Connections by the proxies of the environment; ``options`` are those of httpx's own transport."""

    def __init__(self, **options: Any):
        self._options = options
        self._proxies = Proxies.of_environment()
        self._ways: dict[Proxy | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._proxies.of(str(request.url))
        try:
            response = await self._way(proxy).handle_async_request(request)
        except httpx.TransportError as error:
            if proxy is None:
                raise
            raise type(error)(f"by the proxy {proxy.shown}: {error}", request=request) from None
        return response

    def _way(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._ways:
            by = httpx.Proxy(proxy.url, auth=proxy.auth) if proxy else None
            self._ways[proxy] = httpx.AsyncHTTPTransport(proxy=by, **self._options)
        return self._ways[proxy]

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()


def http_client(*, verify: Any = True, limits: httpx.Limits | None = None, **options: Any) -> httpx.AsyncClient:
    """A client of httpx, whose requests go by the proxies of the environment."""
    limits = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20)
    return httpx.AsyncClient(transport=ProxyTransport(verify=verify, limits=limits), **options)

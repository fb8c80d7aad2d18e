"""Connections to public addresses only: a name is resolved here, and the address that was checked is connected to.

The check stands at the socket, so it holds for every hop of a redirect, for every spelling of an address (0x7f000001,
2130706433, ::ffff:127.0.0.1), and for a name that resolves differently the second time (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from webdancer_cli.errors import Reject
from webdancer_cli.services.proxies import Proxies, Proxy
from webdancer_cli.web.urls import DEFAULT_PORTS

PROXY_AUTHENTICATION_REQUIRED = 407

_WRAPPED_IPV4 = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"), ip_network("::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address (mapped, NAT64, and the old compatible form)."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, in IPv4 as in IPv6 and in IPv4 wrapped in IPv6."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _ipv4_inside(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _ipv4_inside(ip: IPv6Address) -> IPv4Address | None:
    if ip.sixtofour:
        return ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    if any(ip in network for network in _WRAPPED_IPV4):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host, in the resolver's order, each once. Raises Reject ``dns_failure``."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise Reject("dns_failure", f"{host} does not resolve ({said}): check the host's name") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def allowed_addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """The addresses of a host that may be connected to. Raises Reject ``private_address`` or ``dns_failure``."""
    addresses = await resolve_host(host, port)
    if allow_private:
        return addresses
    public = [address for address in addresses if is_public(address)]
    if addresses and not public:
        shown = host if host == addresses[0] else f"{host} is {addresses[0]}, which"
        raise Reject("private_address", f"{shown} is not a public address; --allow-private opens it")
    return public


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, to public addresses only unless ``allow_private``."""

    def __init__(self, allow_private: bool = False):
        self._allow_private = allow_private
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Try the host's allowed addresses in turn. Raises Reject ``private_address`` when none is allowed."""
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in await allowed_addresses(host, port, self._allow_private):
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = failure or error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def allowed_proxy_address(proxy: Proxy, host: str, port: int) -> str:
    """A public address of a host that a proxy is to be asked for. Raises Reject, as ``allowed_addresses`` does."""
    try:
        found = await allowed_addresses(host, port, allow_private=False)
    except Reject as reject:
        if reject.reason != "dns_failure":
            raise
        detail = (
            f"{reject.detail}; the proxy {proxy.shown} may know it, but then nobody has checked that its address is"
            " public: --allow-private leaves that to the proxy"
        )
        raise Reject(reject.reason, detail) from None
    return next((address for address in found if ":" not in address), found[0])


class _ToProxy(httpcore.AnyIOBackend):
    """Opens connections to a proxy, wherever it stands: the user has named it."""

    def __init__(self, proxy: Proxy):
        super().__init__()
        self._proxy = proxy

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Raises Reject ``proxy_failure`` when the proxy does not answer."""
        try:
            return await super().connect_tcp(*args, **options)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise Reject("proxy_failure", f"cannot connect to the proxy {self._proxy.shown}: {error}") from None


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport over guarded connections; HTTP/2 where the server offers it. Raises httpcore's own errors.

    Where the environment names a proxy, it connects in our place, and the name's addresses are checked before. A SOCKS
    proxy is told the address that was checked; with TLS, and to an HTTP proxy, the name: certificates are for names,
    and many of these proxies decide by them.
    """

    def __init__(self, allow_private: bool = False, connections: int = 100):
        self._allow_private = allow_private
        self._connections = connections
        self._proxies = Proxies.of_environment()
        self._pools: dict[Proxy | None, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        host = url.raw_host
        proxy = self._proxies.of(str(url))
        if proxy and not self._allow_private:
            address = await allowed_proxy_address(proxy, url.host, url.port or DEFAULT_PORTS[url.scheme])
            if proxy.scheme.startswith("socks") and url.scheme == "http":
                host = address.encode("ascii")
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            response = await self._pool(proxy).handle_async_request(asked)
        except httpcore.ProxyError as error:
            raise Reject("proxy_failure", f"{url}: the proxy {_proxy_name(proxy)} says {error}") from None
        if proxy and response.status == PROXY_AUTHENTICATION_REQUIRED:
            await response.aclose()
            raise Reject("proxy_failure", f"{url}: the proxy {proxy.shown} asks for a name and a password")
        return httpx.Response(
            response.status, headers=response.headers, stream=_Stream(response), extensions=response.extensions
        )

    def _pool(self, proxy: Proxy | None) -> httpcore.AsyncConnectionPool:
        if proxy not in self._pools:
            self._pools[proxy] = self._open_pool(proxy)
        return self._pools[proxy]

    def _open_pool(self, proxy: Proxy | None) -> httpcore.AsyncConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": httpx.create_ssl_context(),
            "max_connections": self._connections,
            "max_keepalive_connections": self._connections,
            "keepalive_expiry": 10.0,
            "http2": True,
            "network_backend": _ToProxy(proxy) if proxy else GuardedBackend(self._allow_private),
        }
        if proxy is None:
            return httpcore.AsyncConnectionPool(**options)
        options |= {"proxy_url": proxy.url, "proxy_auth": proxy.auth_bytes}
        if proxy.scheme.startswith("socks"):
            return httpcore.AsyncSOCKSProxy(**options)
        return httpcore.AsyncHTTPProxy(**options)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _proxy_name(proxy: Proxy | None) -> str:
    return proxy.shown if proxy else ""


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response):
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()

"""Which proxy the environment names for what, and that everything that goes out goes by it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from webdancer_cli.data.records import Message
from webdancer_cli.errors import Outage, Reject, UsageError
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.services import proxies
from webdancer_cli.services.proxies import Proxies
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch.fetcher import Fetcher
from webdancer_cli.web.json_api import JsonApi
from webdancer_cli.web.live.http_reader import HttpReader

VARIABLES = [name for stem in ("http", "https", "all", "no") for name in (f"{stem}_proxy", f"{stem.upper()}_PROXY")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"http_proxy": "http://p:3128"}, "http://e.org/", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128/"}, "http://e.org/", "http://p:3128"),
        ({"http_proxy": "p:3128"}, "http://e.org/", "http://p:3128"),
        ({"http_proxy": "p"}, "http://e.org/", "http://p:1080"),
        ({"http_proxy": "http://p:3128"}, "https://e.org/", None),
        ({"HTTPS_PROXY": "https://p"}, "https://e.org/", "https://p:443"),
        ({"https_proxy": "a:1", "HTTPS_PROXY": "b:2"}, "https://e.org/", "http://a:1"),
        ({"http_proxy": "", "ALL_PROXY": "b:2"}, "http://e.org/", "http://b:2"),
        ({"all_proxy": "socks5://[::1]:1080"}, "https://e.org/", "socks5://[::1]:1080"),
        ({"ALL_PROXY": "SOCKS5H://p:9"}, "http://e.org/", "socks5h://p:9"),
        ({}, "http://e.org/", None),
        ({"all_proxy": "p:1"}, "http://localhost:8000/v1", None),
        ({"all_proxy": "p:1"}, "http://127.8.9.1/", None),
        ({"all_proxy": "p:1"}, "http://[::1]:8000/", None),
        ({"all_proxy": "p:1"}, "http://x.localhost./", None),
        ({"all_proxy": "p:1"}, "http://localhost.example/", "http://p:1"),
        ({"all_proxy": "p:1", "no_proxy": "*"}, "http://e.org/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "e.org"}, "http://www.e.org/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "a.example, .E.org"}, "http://e.org/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "*.e.org x"}, "http://www.e.org/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "e.org"}, "http://the.org/", "http://p:1"),
        ({"all_proxy": "p:1", "NO_PROXY": "e.org"}, "http://e.org.example/", "http://p:1"),
        ({"all_proxy": "p:1", "NO_PROXY": "e.org:8080"}, "http://e.org:8080/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "e.org:8080"}, "http://e.org/", "http://p:1"),
        ({"all_proxy": "p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3/", None),
        ({"all_proxy": "p:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/", "http://p:1"),
        ({"all_proxy": "p:1", "NO_PROXY": "[2001:db8::1]"}, "http://[2001:db8::1]:80/", None),
        ({"all_proxy": "p:1", "NO_PROXY": ""}, "http://e.org/", "http://p:1"),
    ],
)
def test_which_proxy_a_url_goes_by(environment, url: str, expected: str | None) -> None:
    found = Proxies(environment).of(url)
    assert (found.url if found else None) == expected


def test_a_name_and_a_password_are_read_and_never_shown() -> None:
    for value in ("http://us%40er:pa%3Ass@p:3128", "us%40er:pa%3Ass@p:3128", "socks5h://us%40er:pa%3Ass@p:3128"):
        proxy = proxies.parse_proxy("all_proxy", value)
        assert proxy.auth == ("us@er", "pa:ss") and (proxy.host, proxy.port) == ("p", 3128)
        assert "pa" not in proxy.shown and proxy.shown.endswith("(from all_proxy)")


@pytest.mark.parametrize(
    "value",
    ["http://", "http://p:port", "://", "http://secret:key@", "p:99999", "http://[::1", "ftp://p", "socks4://p"],
)
def test_what_is_no_proxy_is_told_by_the_variable_and_only_where_it_is_needed(value: str) -> None:
    named = Proxies({"ALL_PROXY": value})
    assert named.of("http://127.0.0.1:8000/") is None
    with pytest.raises(UsageError, match=r"^ALL_PROXY: ") as caught:
        named.of("http://e.org/")
    assert "secret" not in str(caught.value)


class Recorder:
    """A proxy on loopback that answers for every host, over HTTP and SOCKS 5, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readexactly(1)
            if first == b"\x05":
                await self._socks(reader, writer)
                first = b""
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            self.asked.append(head.split("\r\n")[0])
            length = next(
                (int(line[16:]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
            )
            await reader.readexactly(length)
            writer.write(self.answer(head))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, head: str) -> bytes:
        if head.startswith("CONNECT"):
            return b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        if head.startswith("POST"):
            body = b'{"choices": [{"message": {"content": "by the proxy"}}]}'
        else:
            body = b"" if "robots.txt" in head else b"<p>by the proxy</p>"
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(size)
        await reader.readexactly(2)
        self.asked.append("socks " + (host.decode() if kind == 3 else ".".join(map(str, host))))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    found = Recorder()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@asynccontextmanager
async def fetcher(**options: object) -> AsyncIterator[Fetcher]:
    async with Fetcher(
        **{"timeout_seconds": 60.0, "retry": RetryPolicy(attempts=1, attempt_seconds=60), **options}
    ) as made:
        yield made


@pytest.mark.parametrize("scheme", ["", "http://", "socks5://", "socks5h://", "http://user:secret@"])
async def test_pages_search_and_models_go_by_the_same_proxy(recorder: Recorder, environment, scheme: str) -> None:
    environment(all_proxy=f"{scheme}127.0.0.1:{recorder.port}")
    async with fetcher(allow_private=True) as fetch:
        assert (await fetch.get("http://town.invalid/a")).body == b"<p>by the proxy</p>"
    service = JsonApi("search")
    await service.ask("POST", "http://search.invalid/", dict, json={})
    await service.aclose()
    chat = ChatClient("http://model.invalid/v1", "m")
    assert (await chat.complete([Message("user", "?")])).text == "by the proxy"
    await chat.aclose()
    for host in ("town.invalid", "search.invalid", "model.invalid"):
        assert any(host in asked for asked in recorder.asked)
    said = [head for head in recorder.heads if "proxy-authorization: basic" in head.lower()]
    assert len(said) == (4 if "secret" in scheme else 0)


async def test_this_machine_is_reached_without_a_proxy(recorder: Recorder, environment) -> None:
    environment(all_proxy="http://127.0.0.1:9", http_proxy="socks5://127.0.0.1:9")
    here = f"http://127.0.0.1:{recorder.port}/here"
    async with fetcher(allow_private=True) as fetch, proxies.http_client() as client:
        assert (await fetch.get(here)).content_type == "text/html"
        assert (await client.get(here)).status_code == 200
    assert recorder.asked.count("GET /here HTTP/1.1") == 2


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_the_guard_stands_before_a_proxy(recorder: Recorder, environment, scheme: str) -> None:
    environment(all_proxy=f"{scheme}://127.0.0.1:{recorder.port}")
    async with fetcher() as fetch:
        for url, reason in [
            ("http://10.0.0.1/", "private_address"),
            ("http://169.254.169.254/", "private_address"),
            ("http://127.0.0.1/", "private_address"),
            ("http://nowhere.invalid/", f"the proxy {scheme}://127.0.0.1:{recorder.port}.*--allow-private"),
        ]:
            with pytest.raises(Reject, match=reason):
                await fetch.get(url)
        assert recorder.asked == []
        assert (await fetch.get("http://93.184.215.14/")).body == b"<p>by the proxy</p>"


async def test_a_proxy_that_fails_is_named_and_is_no_observation(recorder: Recorder, environment) -> None:
    environment(https_proxy=f"http://us:secret@127.0.0.1:{recorder.port}", http_proxy="127.0.0.1:9")
    async with fetcher(allow_private=True) as fetch:
        for url, said in [("https://town.invalid/", "407"), ("http://town.invalid/", "cannot connect to the proxy")]:
            with pytest.raises(Reject, match=f"^proxy_failure: .*{said}") as caught:
                await fetch.get(url)
            assert "(from http" in str(caught.value) and "secret" not in str(caught.value)
    async with proxies.http_client() as client:
        with pytest.raises(httpx.ConnectError, match=r"by the proxy http://127.0.0.1:9 \(from http_proxy\)"):
            await client.get("http://town.invalid/")
    reader = HttpReader(allow_private=True, timeout_seconds=60.0)
    with pytest.raises(Outage, match="proxy"):
        await reader.read("http://town.invalid/")
    await reader.aclose()

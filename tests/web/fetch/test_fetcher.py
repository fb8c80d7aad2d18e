import asyncio
import gzip
import time
import zlib
from itertools import pairwise

import pytest

from webdancer_cli import __version__
from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch import host_queue, ssrf_guard
from webdancer_cli.web.fetch.decompression import Decompressor
from webdancer_cli.web.fetch.fetcher import FetchedDocument, Fetcher

pytestmark = pytest.mark.virtual_clock

THREE_TIMES = RetryPolicy(attempts=3, attempt_seconds=5, first_pause_seconds=0.01, growth=1)


def client(**options: object) -> Fetcher:
    return Fetcher(**{"allow_private": True, "timeout_seconds": 5.0, "retry": THREE_TIMES, **options})


async def reason(url: str, **options: object) -> str:
    async with client(**options) as fetcher:
        with pytest.raises(Reject) as caught:
            await fetcher.get(url)
    assert "\n" not in str(caught.value)
    return caught.value.reason


async def got(url: str, **options: object) -> FetchedDocument:
    async with client(**options) as fetcher:
        return await fetcher.get(url)


async def test_a_page_is_fetched_with_an_honest_name(serve) -> None:
    site = await serve({"/": "<p>hällo</p>"})
    fetched = await got(f"{site.url}/#part", contact="https://e.org/bot")
    assert fetched.text() == "<p>hällo</p>" and fetched.url == f"{site.url}/" and fetched.content_type == "text/html"
    assert fetched.fetched_at.endswith("+00:00")
    assert site.paths == ["/robots.txt", "/"]
    assert site.requests[1].headers["user-agent"] == f"webdancer/{__version__} (+https://e.org/bot)"


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (410, 1), (204, 1), (500, 3), (503, 3), (429, 3)])
async def test_what_can_pass_by_itself_is_tried_again_and_the_rest_is_not(serve, answer, status, asked) -> None:
    site = await serve({"/": answer("sorry", status)})
    assert await reason(f"{site.url}/") == f"http_{status}"
    assert site.paths.count("/") == asked


async def test_retry_after_is_honoured(serve, answer) -> None:
    site = await serve({"/": answer("later", 429, {"Retry-After": "1"})})

    async def recover() -> None:
        while "/" not in site.paths:
            await asyncio.sleep(0.01)
        site.answers["/"] = answer("now")

    task = asyncio.create_task(recover())
    assert (await got(f"{site.url}/")).body == b"now"
    await task
    first, second = [request.at for request in site.requests if request.path == "/"]
    assert second - first >= 0.99


async def test_a_retry_after_beyond_reason_is_not_waited_for(serve, answer) -> None:
    site = await serve({"/": answer("later", 503, {"Retry-After": "86400"})})
    assert await reason(f"{site.url}/") == "http_503"
    assert site.paths.count("/") == 1


async def test_a_redirect_is_followed_and_both_urls_are_known(serve, answer) -> None:
    site = await serve({"/a": answer(status=302, headers={"Location": "b?x=1#y"}), "/b?x=1": "there"})
    fetched = await got(f"{site.url}/a")
    assert (fetched.url, fetched.requested_url) == (f"{site.url}/b?x=1", f"{site.url}/a")


ADDRESSES = [
    "/10.1000/(ABC)1//2",
    "/a//",
    "/x?",
    "/100%",
    "/{a}|b",
    "/%7e/%e4",
    "/p;v=1;jsessionid=2?sid=2&&utm_source=x",
]


async def test_what_a_link_says_is_what_is_asked_for_and_recorded(serve, answer) -> None:
    site = await serve({"/": "x"})
    async with client() as fetcher:
        for path in ADDRESSES:
            said = path.replace("{", "%7B").replace("}", "%7D")
            site.answers[said] = answer("there")
            site.answers["/to"] = answer(status=302, headers={"Location": path})
            for start in (path, "/to"):
                fetched = await fetcher.get(site.url + start)
                assert fetched.url == site.url + said and site.paths[-1] == said


async def test_redirects_that_do_not_end_are_given_up(serve, answer) -> None:
    circle = {
        "/a": answer(status=301, headers={"Location": "/b"}),
        "/b": answer(status=301, headers={"Location": "/a"}),
    }
    ladder = {f"/{n}": answer(status=307, headers={"Location": f"/{n + 1}"}) for n in range(50)}
    site = await serve(circle | ladder)
    assert await reason(f"{site.url}/a") == "redirect_loop"
    assert await reason(f"{site.url}/0") == "redirect_loop"
    assert len(site.requests) < 30


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x", "data:text/html,x", "nonsense"]
)
async def test_other_schemes_are_refused(url: str) -> None:
    assert await reason(url) == "bad_url"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:alert(1)"])
async def test_other_schemes_are_refused_after_a_redirect_too(serve, answer, target: str) -> None:
    site = await serve({"/": answer(status=302, headers={"Location": target})})
    assert await reason(f"{site.url}/") == "bad_url"


PRIVATE = """
    127.0.0.1 localhost [::1] 10.0.0.1 192.168.1.1 172.16.0.1 169.254.169.254 0x7f000001 0177.0.0.1 2130706433 127.1
    0.0.0.0 [::ffff:127.0.0.1] [fe80::1] [fd00::1] 100.64.0.1 [64:ff9b::7f00:1] [2002:7f00:1::]
    224.0.0.1 255.255.255.255
"""


@pytest.mark.parametrize("host", PRIVATE.split())
async def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    assert await reason(f"http://{host}/", allow_private=False) == "private_address"


async def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch) -> None:
    async def lookup(host: str, port: int, **_: object) -> list:
        return [(2, 1, 6, "", ("192.168.0.7", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    assert await reason("http://public.example/", allow_private=False) == "private_address"


async def test_a_redirect_from_public_to_private_is_refused(serve, answer, monkeypatch) -> None:
    inside = await serve({"/secret": "the keys"})
    outside = await serve({"/": answer(status=302, headers={"Location": f"{inside.url}/secret"})}, host="127.0.0.2")
    monkeypatch.setattr(ssrf_guard, "is_public", lambda address: address == "127.0.0.2")
    assert await reason(f"{outside.url}/", allow_private=False) == "private_address"
    assert outside.paths == ["/robots.txt", "/"] and inside.requests == []


async def test_a_name_is_connected_to_at_the_address_that_was_checked(serve, monkeypatch) -> None:
    site = await serve({"/": "public"}, host="127.0.0.2")
    looked_up = []

    async def rebinding(host: str, port: int, **_: object) -> list:
        looked_up.append(host)
        return [(2, 1, 6, "", (("127.0.0.1", "127.0.0.2")[len(looked_up) % 2], port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    monkeypatch.setattr(ssrf_guard, "is_public", lambda address: address == "127.0.0.2")
    port = site.url.rpartition(":")[2]
    async with client(allow_private=False) as fetcher:
        with pytest.raises(Reject, match="private_address"):  # robots.txt went to the first address, this to the second
            await fetcher.get(f"http://rebinding.example:{port}/")
    assert looked_up == ["rebinding.example"] * 2 and site.paths == ["/robots.txt"]


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert ssrf_guard.is_public(address)


async def test_a_name_without_an_address_and_a_closed_port(serve) -> None:
    assert await reason("http://nowhere.invalid/") == "dns_failure"
    assert await reason("http://127.0.0.1:1/") == "connection_failed"


async def test_a_slow_server_is_a_timeout(serve, answer) -> None:
    site = await serve({"/": answer("late", wait_seconds=5)})
    assert await reason(f"{site.url}/", timeout_seconds=0.2) == "timeout"


async def test_a_connection_that_breaks_is_tried_again_and_named(serve, answer) -> None:
    site = await serve({"/": answer("half of this never comes", cut=True)})
    assert await reason(f"{site.url}/") == "connection_broken"
    assert site.paths.count("/") == 3


async def test_other_media_types_are_refused_unread(serve, answer) -> None:
    site = await serve({"/": answer(b"%PDF", headers={"Content-Type": "application/pdf"})})
    assert await reason(f"{site.url}/") == "not_html"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
async def test_compression_is_undone(serve, answer, encoding: str) -> None:
    text = b"squeeze me " * 1000
    raw = zlib.compressobj(wbits=-15)
    packed = {"gzip": gzip.compress(text), "deflate": zlib.compress(text), "raw": raw.compress(text) + raw.flush()}
    header = "gzip" if encoding == "gzip" else "deflate"
    site = await serve({"/": answer(packed[encoding], headers={"Content-Encoding": header})})
    assert (await got(f"{site.url}/")).body == text


@pytest.mark.parametrize(
    ("body", "header"), [(b"not gzip", "gzip"), (b"no brotli", "br"), (b"not zstd", "zstd"), (b"x", "compress")]
)
async def test_compression_that_cannot_be_undone_is_named(serve, answer, body: bytes, header: str) -> None:
    site = await serve({"/": answer(body, headers={"Content-Encoding": header})})
    assert await reason(f"{site.url}/") == "bad_encoding"


async def test_a_gzip_bomb_costs_no_more_than_the_limit(serve, answer) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), compresslevel=1)
    assert len(bomb) < 1_500_000
    site = await serve({"/": answer(bomb, headers={"Content-Encoding": "gzip"})})
    inflater = Decompressor("", "gzip")
    assert len(inflater.feed(bomb, 1001)) == 1001
    assert await reason(f"{site.url}/", max_bytes=1_000_000) == "too_large"


async def test_a_page_of_exactly_the_limit_is_read(serve) -> None:
    site = await serve({"/": "x" * 1000, "/more": "x" * 1001})
    assert len((await got(f"{site.url}/", max_bytes=1000)).body) == 1000
    assert await reason(f"{site.url}/more", max_bytes=1000) == "too_large"


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("Zürich".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ('<meta charset="windows-1252">Zürich'.encode("cp1252"), "text/html"),
        ("Zürich".encode(), "text/html"),
        ("\ufeffZürich".encode("utf-16"), "text/html"),
        ("Die Stadt Zürich liegt schön am See, über den Brücken wehen Fähnchen.".encode("cp1252"), "text/html"),
    ],
)
async def test_the_charset_is_found(serve, answer, body: bytes, header: str) -> None:
    site = await serve({"/": answer(body, headers={"Content-Type": header})})
    assert "Zürich" in (await got(f"{site.url}/")).text()


async def test_one_host_is_asked_by_few_at_a_time_and_apart(serve, answer) -> None:
    site = await serve({f"/{n}": answer("x", wait_seconds=0.05, together=2) for n in range(8)})
    async with client(per_host=2) as fetcher:
        await asyncio.gather(*(fetcher.get(f"{site.url}/{n}") for n in range(8)))
    assert site.most == 2
    site.requests.clear()
    async with client(delay_seconds=0.1) as fetcher:
        await asyncio.gather(*(fetcher.get(f"{site.url}/{n}") for n in range(4)))
    starts = [request.at for request in site.requests]
    assert [after - before for before, after in pairwise(starts)] == [pytest.approx(0.1)] * 4


async def test_a_host_that_asks_for_rest_gets_it_from_those_already_in_line(serve, answer) -> None:
    site = await serve({"/0": answer("later", 429, {"Retry-After": "1"}, then=answer("now")), "/1": "b", "/2": "c"})
    site.answers["/robots.txt"] = answer("")
    async with client(delay_seconds=0.1) as fetcher:
        await asyncio.gather(*(fetcher.get(f"{site.url}/{n}") for n in range(3)))
    refused, *rest = [request.at for request in site.requests if request.path != "/robots.txt"]
    assert len(rest) == 3 and rest[0] - refused == pytest.approx(1.0)


async def test_requests_that_start_late_keep_their_distance(monkeypatch) -> None:
    """A busy loop wakes a request late; the next counts from when it really started."""
    host, starts = host_queue.HostQueue(4, 0.05), []
    genuine = asyncio.sleep

    async def late(seconds: float) -> None:
        await genuine(seconds + (0.04 if len(starts) == 1 and seconds > 0 else 0.0))

    monkeypatch.setattr(host_queue.asyncio, "sleep", late)

    async def ask() -> None:
        async with host.turn():
            starts.append(time.monotonic())

    await asyncio.gather(*(ask() for _ in range(4)))
    assert min(after - before for before, after in pairwise(starts)) >= 0.049

"""What a hostile or modern server may do: unpack without end, drip, speak HTTP/2."""

import asyncio
import ssl
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch.fetcher import MAX_BYTES, Fetcher

pytestmark = pytest.mark.virtual_clock

MEGABYTE = 1024 * 1024


THREE_TIMES = RetryPolicy(attempts=3, attempt_seconds=5, first_pause_seconds=0.01, growth=1)


def client(**options: object) -> Fetcher:
    return Fetcher(**{"allow_private": True, "timeout_seconds": 5.0, "retry": THREE_TIMES, **options})


def bomb(megabytes: int) -> bytes:
    """A gzip of so many megabytes of blanks: one of them compressed, flushed to a byte boundary, and repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(b" " * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return header + block * megabytes + b"\x03\x00" + bytes(8)


def test_the_bomb_is_one() -> None:
    packed = bomb(3)
    assert len(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed[:-8], 4 * MEGABYTE)) == 3 * MEGABYTE
    assert len(bomb(2048)) < 2.2 * MEGABYTE


async def test_two_gigabytes_out_of_two_megabytes_cost_no_more_than_the_limit(serve, answer) -> None:
    site = await serve({"/": answer(bomb(2048), headers={"Content-Encoding": "gzip"})})
    async with client() as fetcher:
        tracemalloc.start()
        start = time.process_time()
        with pytest.raises(Reject, match="too_large"):
            await fetcher.get(f"{site.url}/")
        seconds, (_, most) = time.process_time() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 3 * MAX_BYTES and seconds < 10  # the body so far, and what a buffer grows by


async def test_a_page_that_drips_ends_with_the_time_for_the_whole() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"404 Not Found" if b"robots.txt" in head else b"200 OK"
        length = b"0" if b"robots.txt" in head else b"100000"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\nContent-Length: " + length + b"\r\n\r\n")
        try:
            while length != b"0":
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)  # never so long that a limit for a single read would strike
        except ConnectionError:
            pass  # the client has gone, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    start = time.monotonic()
    async with client(timeout_seconds=0.3) as fetcher:
        with pytest.raises(Reject, match="timeout"):
            await fetcher.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert time.monotonic() - start == pytest.approx(0.3)


class Http2(asyncio.Protocol):
    """A server that speaks HTTP/2 alone, and remembers what it was asked for."""

    def __init__(self, paths: list[str]):
        self._paths = paths
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._h2.initiate_connection()
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._answer(event.stream_id, dict(event.headers)[b":path"].decode())
        self._transport.write(self._h2.data_to_send())

    def _answer(self, stream: int, path: str) -> None:
        self._paths.append(path)
        status = "404" if path == "/robots.txt" else "200"
        self._h2.send_headers(stream, [(":status", status), ("content-type", "text/html")])
        self._h2.send_data(stream, f"<p>{path}</p>".encode(), end_stream=True)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server on loopback that offers HTTP/2; trusted by clients made while it is in use."""
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2"])
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    return context


@pytest.fixture
async def http2(certificate: ssl.SSLContext) -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a server that speaks HTTP/2 alone, and the paths that it was asked for."""
    paths: list[str] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http2(paths), "127.0.0.1", 0, ssl=certificate)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", paths
    server.close()


async def test_http2_is_spoken_where_it_is_offered(http2: tuple[str, list[str]]) -> None:
    url, paths = http2
    async with client() as fetcher:
        fetched = await asyncio.gather(*(fetcher.get(f"{url}/{n}") for n in range(5)))
    assert [page.text() for page in fetched] == [f"<p>/{n}</p>" for n in range(5)]
    assert sorted(paths) == [*(f"/{n}" for n in range(5)), "/robots.txt"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(http2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with client() as fetcher:
        with pytest.raises(Reject, match=r"connection_failed: .*certificate"):
            await fetcher.get(f"{http2[0]}/")

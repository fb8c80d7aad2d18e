"""A web server on loopback that answers what a test tells it to, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest


@dataclass
class Answer:
    """One HTTP answer; ``cut`` closes the connection half way through the body.

    Before it ``wait_seconds`` pass, ``until`` is set, and so many requests are under way at once, or have been
    (``together``). ``then`` answers the next request for the same path.
    """

    body: str | bytes = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    until: asyncio.Event | None = None
    together: int = 0
    cut: bool = False
    then: "Answer | None" = None

    def head(self, body: bytes) -> bytes:
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **self.headers}
        known = self.status in list(HTTPStatus)
        phrase = HTTPStatus(self.status).phrase if known else "Odd"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    at: float
    method: str = "GET"
    body: bytes = b""


@dataclass
class Site:
    """The answers by path, and the requests in the order of their coming. What has no answer is a 404."""

    url: str
    answers: dict[str, Answer]
    requests: list[Request] = field(default_factory=list)
    now: int = 0
    most: int = 0
    change: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        method, path, _ = head[0].split()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(path, headers, asyncio.get_running_loop().time(), method, body)
        self.requests.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        async with self.change:
            self.change.notify_all()
        try:
            await self._answer(request, writer)
        except ConnectionError:
            pass  # the client has gone, as some tests mean it to
        finally:
            self.now -= 1
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.get(request.path) or Answer("not here", 404)
        if answer.then:
            self.answers[request.path] = answer.then
        if answer.until:
            await answer.until.wait()
        async with self.change:
            await self.change.wait_for(lambda: self.most >= answer.together)
        await asyncio.sleep(answer.wait_seconds)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        writer.write(answer.head(body) + (body[: len(body) // 2] if answer.cut else body))
        await writer.drain()


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``site = await serve({"/": Answer(…), "/a": "text"}, host="127.0.0.1")``"""
    servers: list[asyncio.Server] = []

    async def start(answers: dict[str, Answer | str], host: str = "127.0.0.1") -> Site:
        given = {path: Answer(answer) if isinstance(answer, str) else answer for path, answer in answers.items()}
        site = Site("", given)
        server = await asyncio.start_server(site.serve, host, 0)
        servers.append(server)
        site.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        return site

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer

"""Servers on loopback for as long as a block runs: the doubles of chat endpoints and search services."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[Any, Message], tuple[int, object]]
"""The status and the JSON value that answer a request: its JSON body, and its headers."""


class Handler(BaseHTTPRequestHandler):
    """Answers by ``answer``, and tells nobody."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def posted(self) -> Any:
        """The JSON value that was posted."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The root of a server, such as ``http://127.0.0.1:12345``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def answering(reply: Reply, path: str = "/v1") -> Iterator[str]:
    """The URL of a server that answers JSON with JSON."""

    class Answering(Handler):
        def do_POST(self) -> None:
            status, value = reply(self.posted(), self.headers)
            self.answer(status, json.dumps(value).encode())

    with listening(Answering) as root:
        yield root + path


NO_NETWORK = """
import socket

def refuse(*_):
    raise RuntimeError("the network was used")

def on_this_machine(usual):
    def connect(self, address):
        return usual(self, address) if self.family == socket.AF_UNIX else refuse()
    return connect

socket.socket.connect = on_this_machine(socket.socket.connect)
socket.socket.connect_ex = on_this_machine(socket.socket.connect_ex)
socket.getaddrinfo = refuse
"""
"""Code that forbids a process the network; its own helpers, over the sockets of one machine, it may have."""

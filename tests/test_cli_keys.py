"""No key leaves for anybody but its service, and none comes back: not in a record, a message, a traceback or a tape.

The servers here quote every header they were sent, in good answers and in bad ones, as real ones do.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Done = subprocess.CompletedProcess[str]
Webdancer = Callable[..., Done]

pytestmark = pytest.mark.slow

NAMES = ("OPENAI_API_KEY", "SERPER_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY", "JINA_API_KEY")
KEYS = {name: f"canary-{name.lower()}-4f1b" for name in NAMES}
QUOTE = "The founding year of Velmora is 1234."
HTML = f"<title>Velmora</title><p>Velmora is a town. {QUOTE} " + "It rains a lot there, and nobody minds. " * 9


class Quoting(ThreadingHTTPServer):
    """Answers every request of every service with one status, and quotes its headers."""

    def __init__(self, status: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.sent: list[str] = []
        self.page = f"{self.url}/velmora"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def body(self, headers: str, asked: str) -> dict[str, Any]:
        """What each service would say: all of it at once, since each client reads its own fields."""
        hit = {"title": headers, "link": self.page, "snippet": headers, "content": headers}
        hit |= {"url": hit["link"], "description": headers}
        text = f"<think>\n{headers}\n</think>\n<answer>\n1234\n</answer>"
        if "rational" in asked or '"questions"' in asked or '"entity"' in asked:
            text = json.dumps({"rational": headers, "evidence": headers, "summary": headers, "questions": []})
        if self.status != 200:
            return {"error": {"message": f"this query: {headers}"}}
        return {
            "id": headers,
            "organic": [hit],
            "results": [hit],
            "web": {"results": [hit]},
            "data": {"title": headers, "url": hit["url"], "content": f"{QUOTE} {headers}"},
            "choices": [{"message": {"content": text, "reasoning_content": headers}}],
        }


class Handler(BaseHTTPRequestHandler):
    server: Quoting

    def do_GET(self) -> None:
        if self.path in ("/velmora", "/robots.txt"):
            assert not any(key in str(self.headers) for key in KEYS.values()), "a page was sent a key"
            return self.answer(200 if self.path == "/velmora" else 404, HTML, "text/html")
        return self.do_POST()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = " ".join(f"{name} {value}" for name, value in self.headers.items())
        self.server.sent.append(headers)
        self.answer(self.server.status, json.dumps(self.server.body(headers, asked)), "application/json")

    def answer(self, status: int, body: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def quoting(status: int) -> Iterator[Quoting]:
    server = Quoting(status)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def inputs(tmp_path: Path) -> Callable[[str], None]:
    """Writes pages, a question, and a trajectory about a page at a URL."""

    def write(url: str) -> None:
        evidence = [{"url": f"{url}/velmora", "title": "Velmora", "quote": QUOTE}]
        qa = {"question": "When was Velmora founded?", "answer": "1234", "level": 1, "evidence": evidence}
        call = '<tool_call>\n{"name": "search", "arguments": {"query": ["Velmora"]}}\n</tool_call>'
        said = ["Question?", f"<think>\nLook.\n</think>\n{call}", f"<tool_response>\n{QUOTE}\n</tool_response>"]
        said += ["<think>\nThere.\n</think>\n<answer>\nIn 1234, I think.\n</answer>"]
        messages = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]
        trajectory = {"qa": qa, "messages": messages, "ending": "answered", "answer": "In 1234, I think.", "id": "t1"}
        page = {"url": f"{url}/velmora", "title": "Velmora", "text": f"Velmora is a town. {QUOTE} " + "It rains. " * 30}
        for name, value in {"qa": qa, "t": trajectory, "pages": page}.items():
            (tmp_path / f"{name}.jsonl").write_text(json.dumps(value) + "\n")

    return write


def assert_no_key(folder: Path, *runs: Done) -> None:
    for run in runs:
        assert not [key for key in KEYS.values() if key in run.stdout + run.stderr]
    for path in folder.rglob("*"):
        assert not path.is_file() or not [key for key in KEYS.values() if key.encode() in path.read_bytes()], path


@pytest.mark.parametrize("status", [200, 400, 401, 429])
@pytest.mark.parametrize("service", ["serper", "brave", "tavily", "jina"])
def test_no_key_of_a_web_service_is_left_anywhere(
    webdancer: Webdancer, inputs: Callable[[str], None], tmp_path: Path, service: str, status: int
) -> None:
    with quoting(status) as server, quoting(200) as well:
        inputs(well.url)
        server.page = well.page = f"{well.url}/velmora"
        search = f"{service}={server.url}/" if service != "jina" else f"serper={well.url}/"
        reader = "http" if service != "jina" else f"jina={server.url}"
        run = ["sample", "--data", "qa.jsonl", "--out", "o", "--rejects", "r", "--web", "live"]
        run += ["--search", search, "--reader", reader, "--allow-private", "--model", "builtin"]
        run += ["--tool-seconds", "1" if status == 429 else "30"]  # what is tried again is so until then
        done = webdancer(*run, WEBDANCER_DEBUG="1", **KEYS)
        taped = webdancer(*run, "--out", "o2", "--tape", "tape", **KEYS)
        shown = webdancer(*run, "--show-config", **KEYS)
        assert any(KEYS[f"{service.upper()}_API_KEY"] in sent for sent in server.sent)
        others = [key for name, key in KEYS.items() if service.upper() not in name]
        assert not [key for key in others for sent in server.sent if key in sent]
    assert done.returncode == taped.returncode == (0 if status in (200, 400) else 1), done.stderr
    assert_no_key(tmp_path, done, taped, shown, webdancer("tape", "tape", **KEYS))


COMMANDS = {
    "crawlqa": ["pages.jsonl", "--pages", "unused"],
    "e2hqa": ["--data", "qa.jsonl"],
    "sample": ["--data", "qa.jsonl", "--summariser-model", "m", "--turn-seconds", "30"],
    "filter": ["--data", "t.jsonl"],
    "eval": ["--data", "qa.jsonl", "--judge-model", "m", "--no-judge-check", "--turn-seconds", "30"],
}


@pytest.mark.parametrize("status", [200, 401, 400])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_key_of_a_model_is_left_anywhere(
    webdancer: Webdancer, inputs: Callable[[str], None], tmp_path: Path, command: str, status: int
) -> None:
    with quoting(status) as server:
        inputs(server.url)
        model = ["--model", "m", "--base-url", f"{server.url}/v1"]
        if command == "filter":
            stages = "validity,correctness,quality,model"
            model = ["--judge-model", "m", "--judge-base-url", f"{server.url}/v1", "--stages", stages]
        run = [command, *COMMANDS[command], *model, "--out", "o", "--rejects", "r"]
        done = webdancer(*run, WEBDANCER_DEBUG="1", **KEYS)
        taped = webdancer(*run, "--out", "o2", "--tape", "tape", **KEYS)
        shown = webdancer(*run, "--show-config", **KEYS)
        assert server.sent and all(KEYS["OPENAI_API_KEY"] in sent for sent in server.sent)
    assert done.returncode in (0, 1) and "this is a bug" not in done.stderr, done.stderr
    assert_no_key(tmp_path, done, taped, shown, webdancer("tape", "tape", **KEYS))

"""The adapter of OpenSearch and Elasticsearch, against a double of their documented protocol: index, _bulk, _search."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli import cli
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Link, Page
from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError, WebdancerError
from webdancer_cli.options import config
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.stages import index as stage
from webdancer_cli.web.live.live_web import open_live
from webdancer_cli.web.live.opensearch_reader import OpenSearchReader
from webdancer_cli.web.search import opensearch_loader
from webdancer_cli.web.search.opensearch import OpenSearch
from webdancer_cli.web.search.opensearch_loader import OpenSearchLoader
from webdancer_cli.web.urls import page_hash

FAST = RetryPolicy(attempts=3, attempt_seconds=5, total_seconds=20, first_pause_seconds=0.01)
ADA = Page(
    url="http://e.org/Ada",
    title="Ada Vane",
    text="Ada Vane is a painter.",
    links=[Link(url="http://e.org/Oll", text="Oll")],
)
OLL = Page(url="http://e.org/Oll", title="Oll", text="Oll is a town where Ada Vane was born.")
MOVED = Page(
    url="http://e.org/new", title="Moved", text="Here.", extra={"requested_url": "http://e.org/old", "date": "2024"}
)
PAGES = [ADA, OLL, MOVED]


def failure(kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "reason": "no"}}


class Engine:
    """One index in memory; ``busy`` batches are put off first, and of URLs with ``refused`` never taken."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.mappings: dict[str, Any] | None = None
        self.busy = 0
        self.refused = "?"
        self.bulks = 0

    def put(self, body: bytes) -> tuple[int, Any]:
        if self.mappings is not None:
            return 400, {
                "error": {"type": "resource_already_exists_exception", "reason": "index exists"},
                "status": 400,
            }
        self.mappings = json.loads(body)["mappings"]
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": "pages"}

    def bulk(self, body: bytes) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        self.bulks += 1
        items = [self.create(lines[at]["create"]["_id"], lines[at + 1]) for at in range(0, len(lines), 2)]
        return 200, {"took": 3, "errors": any(item["create"]["status"] > 201 for item in items), "items": items}

    def create(self, id: str, source: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"_index": "pages", "_id": id, "status": 201, "result": "created"}
        if self.busy > 0:
            self.busy -= 1
            told |= {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}}
        elif id in self.documents:
            told |= {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
        elif self.refused in source["url"]:
            told |= {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "failed to parse"}}
        else:
            self.documents[id] = source
        return {"create": told}

    def search(self, body: bytes) -> tuple[int, Any]:
        if self.mappings is None:
            return 404, {
                "error": {"type": "index_not_found_exception", "reason": "no such index [pages]"},
                "status": 404,
            }
        asked = json.loads(body)
        if "terms" in asked["query"]:
            [(field, wanted)] = asked["query"]["terms"].items()
            found = [(1.0, source) for source in self.documents.values() if set(wanted) & set(source[field])]
        else:
            words = asked["query"]["multi_match"]["query"].lower().split()
            scores = [(self.score(source, words), source) for source in self.documents.values()]
            found = sorted((pair for pair in scores if pair[0]), key=lambda pair: -pair[0])
        hits = [self.hit(score, source, asked) for score, source in found[: asked["size"]]]
        return 200, {"took": 1, "timed_out": False, "hits": {"total": {"value": len(found)}, "hits": hits}}

    @staticmethod
    def score(source: dict[str, Any], words: list[str]) -> float:
        return sum(3 * (word in source["title"].lower()) + (word in source["text"].lower()) for word in words)

    @staticmethod
    def hit(score: float, source: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        fields = asked.get("_source")
        shown = {name: source[name] for name in fields if name in source} if fields else source
        highlight = {"highlight": {"text": [source["text"][:160]]}} if "highlight" in asked else {}
        return {"_index": "pages", "_id": "x", "_score": score, "_source": shown, **highlight}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(*engine.put(self.body()))

        def do_POST(self) -> None:
            self.answer(*(engine.bulk if self.path == "/pages/_bulk" else engine.search)(self.body()))

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def answer(self, status: int, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/pages"
    server.shutdown()
    server.server_close()


def write(tmp_path: Path) -> str:
    jsonl.write_records(str(tmp_path / "pages.jsonl"), PAGES)
    return str(tmp_path / "pages.jsonl")


def load(path: str, url: str, **options: object) -> str:
    return stage.run(config.IndexOptions(pages=[path], to=url, **options)).summary()  # type: ignore[arg-type]


async def test_pages_that_were_loaded_are_searched_and_read_as_they_were(
    tmp_path: Path, engine: Engine, url: str
) -> None:
    said = await asyncio.to_thread(load, write(tmp_path), url)
    assert said == "0 already done, 3 pages" and not (tmp_path / "web.index").exists()
    assert engine.mappings and engine.mappings["properties"]["page_keys"] == {"type": "keyword"}
    options = config.SampleOptions(web="live", search=f"opensearch={url}", reader=f"opensearch={url}")
    web = open_live(options)
    try:
        first, second = await web.search("Ada Vane", 5)
        assert (first.title, first.url, first.snippet) == ("Ada Vane", ADA.url, ADA.text)
        assert second.title == "Oll"
        assert await web.read("https://e.org/Ada/") == ADA
        assert await web.read("http://e.org/old") == await web.read("http://e.org/new") == MOVED
        assert await web.search("xylophone", 5) == []
        with pytest.raises(ToolError, match="no such page"):
            await web.read("http://e.org/none")
    finally:
        await web.aclose()


def test_loading_again_goes_on_where_it_was(tmp_path: Path, engine: Engine, url: str) -> None:
    path = write(tmp_path)
    load(path, url)
    del engine.documents[next(iter(engine.documents))]
    assert load(path, url) == "2 already done, 1 pages" and len(engine.documents) == 3


def test_a_server_that_is_busy_is_asked_again_for_what_it_put_off(
    tmp_path: Path, engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenSearchLoader.__init__, "__defaults__", (FAST,))
    engine.busy = 2
    assert load(write(tmp_path), url) == "0 already done, 3 pages" and engine.bulks == 2
    engine.documents.clear()
    engine.busy = 1000
    with pytest.raises(WebdancerError, match=r"3 of 3 documents were put off: it is busy .*run it again"):
        load(write(tmp_path), url)


def test_pages_that_the_server_does_not_take_are_rejected(tmp_path: Path, engine: Engine, url: str) -> None:
    engine.refused = "Oll"
    path, rejects = write(tmp_path), tmp_path / "rejects"
    assert cli.run_command(["index", "--pages", path, "--to", url, "--rejects", str(rejects)]) == 1
    assert [(line["reason"], "failed to parse" in line["detail"]) for line in map(json.loads, rejects.open())] == [
        ("not_loaded", True)
    ]


def test_pages_go_in_batches_of_bounded_size(
    tmp_path: Path, engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opensearch_loader, "BATCH_BYTES", 100)
    assert load(write(tmp_path), url) == "0 already done, 3 pages" and engine.bulks == 3


async def test_what_cannot_work_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="names no index; give it as"):
        OpenSearch("http://127.0.0.1:9200/")
    searching, reading = OpenSearch(url, FAST), OpenSearchReader(url, FAST)
    with pytest.raises(ServiceRefused, match=r"there is no such index: load pages with `webdancer index"):
        await searching.search("x", 1)
    with pytest.raises(ServiceRefused, match="there is no such index"):
        await reading.read("http://e.org/")
    await searching.aclose()
    await reading.aclose()


async def test_another_kind_of_document_is_no_page(engine: Engine, url: str) -> None:
    engine.mappings = {}
    engine.documents["x"] = {"page_keys": [f"{page_hash('http://e.org/'):016x}"], "title": "t", "text": "x", "url": 3}
    reading = OpenSearchReader(url, FAST)
    with pytest.raises(Outage, match="were other documents loaded"):
        await reading.read("http://e.org/")
    await reading.aclose()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_ends_the_loading_and_tells_no_secret(serve, answer, status: int, monkeypatch) -> None:
    monkeypatch.setenv("OPENSEARCH_API_KEY", "canary-77aa-key")
    site = await serve({"/pages": answer('{"error":"canary-77aa-key is bad"}', status)})
    loader = OpenSearchLoader(site.url.replace("http://", "http://me:hidden-word@") + "/pages", FAST)
    with pytest.raises(ServiceRefused, match=f"HTTP {status}") as caught:
        await loader.make_index()
    assert "canary" not in str(caught.value) and "hidden-word" not in str(caught.value)
    await loader.aclose()

"""The SearXNG back end against a real server: Debian's package ``searx``, with one engine that asks a local page.

It is older than the switch search.formats, and always has JSON.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from webdancer_cli.errors import Outage
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.protocols import Hit
from webdancer_cli.web.search.searxng import Searxng

RUN = shutil.which("searx-run")
SHARED = Path("/usr/share/python3-searx")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(RUN is None, reason="the package searx is not installed (apt-get install searx)"),
]


def settings(port: int, engine: str) -> str:
    """JSON is YAML, too."""
    local = {
        "name": "local",
        "engine": "json_engine",
        "shortcut": "lo",
        "categories": "general",
        "search_url": engine + "/find?q={query}",
        "results_query": "results",
        "url_query": "url",
        "title_query": "title",
        "content_query": "content",
        "timeout": 5.0,
        "enable_http": True,
    }
    server = {"port": port, "bind_address": "127.0.0.1", "secret_key": "no secret", "base_url": False}
    defaults = {"default_locale": "", "default_theme": "oscar", "theme_args": {"oscar_style": "logicodev"}}
    paths = {"static_path": f"{SHARED}/static", "templates_path": f"{SHARED}/templates"}
    return json.dumps(
        {
            "general": {"debug": False, "instance_name": "test", "contact_url": False, "enable_stats": False},
            "brand": dict.fromkeys(["git_url", "issue_url", "docs_url", "public_instances", "wiki_url"], ""),
            "search": {"safe_search": 0, "autocomplete": "", "default_lang": ""},
            "server": {**server, "image_proxy": False, "http_protocol_version": "1.0", "method": "GET"},
            "ui": {"autofocus": True, **defaults, **paths},
            "outgoing": {"request_timeout": 5.0, "useragent_suffix": ""},
            "engines": [local],
            "locales": {"en": "English"},
            "doi_resolvers": {"none": ""},
            "default_doi_resolver": "none",
        }
    )


@pytest.fixture
def searx(tmp_path: Path) -> Callable[..., object]:
    """``with searx(engine_url) as url``: a server of its own."""

    @contextmanager
    def running(engine: str) -> Iterator[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        path = tmp_path / "settings.yml"
        path.write_text(settings(port, engine))
        environment = {"PATH": os.environ["PATH"], "SEARX_SETTINGS_PATH": str(path), "SEARX_DEBUG": "0"}
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen([str(RUN)], env=environment, stdout=log, stderr=log)
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.kill()
                server.wait()

    return running


async def up(url: str, log: Path) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            try:
                await client.get(url)
                return
            except httpx.TransportError:
                await asyncio.sleep(0.2)
    pytest.fail(f"searx did not start: {log.read_text()[-2000:]}")


async def search(url: str, query: str) -> list[Hit]:
    searxng = Searxng(url, RetryPolicy(attempts=2, attempt_seconds=15, first_pause_seconds=0.1))
    try:
        return await searxng.search(query, 10)
    finally:
        await searxng.aclose()


async def test_a_real_server_is_searched(serve, answer, searx, tmp_path: Path) -> None:
    found = {"results": [{"url": "https://e.org/velmora", "title": "Velmora", "content": "A town by the river."}]}
    json_type = {"Content-Type": "application/json"}
    engine = await serve({"/find?q=velmora": answer(json.dumps(found), 200, json_type)})
    with searx(engine.url) as url:
        await up(url, tmp_path / "log")
        assert await search(url, "velmora") == [Hit("Velmora", "https://e.org/velmora", "A town by the river.")]
        with pytest.raises(Outage, match="its engines failed: local"):
            await search(url, "what the engine answers with 404")

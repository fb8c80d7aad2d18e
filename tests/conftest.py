"""The command line as a user has it: a real process with real pipes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, settings
from loopback import NO_NETWORK
from virtual_clock import VirtualClockLoop
from warm_starter import LONGEST_SECONDS, WarmStarter

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent
Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The clock that a test goes by."""
    return {"clock": VirtualClockLoop if item.get_closest_marker("virtual_clock") else asyncio.new_event_loop}


def childs_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEBDANCER_")}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a child: this source tree, and none of the user's settings."""
    return childs_environment()


@pytest.fixture(scope="session")
def warm_starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmStarter]:
    starter = WarmStarter(tmp_path_factory.mktemp("starter"), childs_environment())
    yield starter
    starter.close()


@pytest.fixture
def webdancer(tmp_path: Path, environment: dict[str, str], warm_starter: WarmStarter) -> Webdancer:
    """Run ``webdancer ARGUMENTS`` in an empty folder; ``stdin`` is text, or nothing at all."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        if warm_starter.suits(environment | variables):
            return warm_starter.run(arguments, stdin, tmp_path, environment | variables)
        return subprocess.run(
            [sys.executable, "-m", "webdancer_cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            cwd=tmp_path,
            env=environment | variables,
        )

    return run


@pytest.fixture
def offline(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The variables of a process in which every connection raises."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    return {"PYTHONPATH": f"{folder}:{environment['PYTHONPATH']}"}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Callable[[Path], "AbstractContextManager[str]"]:
    """Serve a folder on loopback while a block runs; its root URL."""

    @contextmanager
    def serve(folder: Path) -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()

    return serve

"""The live web through a tape."""

from pathlib import Path

import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Outage, ToolError
from webdancer_cli.tape import Tape
from webdancer_cli.web.live.live_web import LiveWeb
from webdancer_cli.web.live.recorded_web import RecordedWeb
from webdancer_cli.web.protocols import Hit

HIT = Hit("A", "http://a.test/", "an a")
PAGE = Page(url="http://a.test/", title="A", text="An a.", fetched_at="2026-01-01T00:00:00+00:00", extra={"by": "x"})


class Service:
    """A search back end and a reader; what it does not know is a failure."""

    name = "scripted"

    def __init__(self) -> None:
        self.calls = 0

    async def search(self, query: str, results: int) -> list[Hit]:
        self.calls += 1
        if not query:
            raise ToolError("no query", lasts=True)
        return [HIT]

    async def read(self, url: str) -> Page:
        self.calls += 1
        if url != PAGE.url:
            raise ToolError(f"{url}: gone", lasts=True) if "gone" in url else ToolError(f"{url}: busy")
        return PAGE

    async def aclose(self) -> None:
        pass


async def test_what_was_found_and_read_is_found_and_read_again(tmp_path: Path) -> None:
    service = Service()
    for mode in ("auto", "replay"):
        with Tape(str(tmp_path / "tape"), mode) as tape:
            web = RecordedWeb(LiveWeb(service, service), tape)
            assert web.name == "live:scripted+scripted"
            assert await web.search("a", 3) == [HIT]
            assert await web.read("http://a.test/") == PAGE
    assert service.calls == 2


async def test_a_failure_that_may_pass_is_not_recorded_and_a_miss_is_no_observation(tmp_path: Path) -> None:
    service = Service()
    with Tape(str(tmp_path / "tape")) as tape:
        with pytest.raises(ToolError, match="busy"):
            await RecordedWeb(LiveWeb(service, service), tape).read("http://b.test/")
    with Tape(str(tmp_path / "tape"), "replay") as tape:
        with pytest.raises(Outage, match=r"http://b\.test/ is not on the tape"):
            await RecordedWeb(LiveWeb(service, service), tape).read("http://b.test/")
        with pytest.raises(Outage, match="not on the tape"):
            await RecordedWeb(LiveWeb(service, service), tape).search("b", 1)
        assert tape.summary() == "0 replayed, 0 recorded, 2 missed"


async def test_a_no_that_lasts_is_said_again_in_the_same_words(tmp_path: Path) -> None:
    service = Service()
    for mode in ("auto", "replay"):
        with Tape(str(tmp_path / "tape"), mode) as tape:
            web = RecordedWeb(LiveWeb(service, service), tape)
            for ask in (web.read("http://gone.test/"), web.search("", 1)):
                with pytest.raises(ToolError, match=r"^(http://gone\.test/: gone|no query)$") as caught:
                    await ask
                assert caught.value.lasts
    assert service.calls == 2


async def test_what_was_refused_as_private_is_asked_anew_when_it_is_allowed(tmp_path: Path) -> None:
    service = Service()
    with Tape(str(tmp_path / "tape")) as tape:
        for allowed in (False, True):
            with pytest.raises(ToolError, match="gone"):
                await RecordedWeb(LiveWeb(service, service, allow_private=allowed), tape).read("http://gone.test/")
    assert service.calls == 2

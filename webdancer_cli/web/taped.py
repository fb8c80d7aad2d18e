"""The live web through a tape: what it found and read once, it finds and reads again in a replay."""

from webdancer_cli.errors import ModelError
from webdancer_cli.records import Page
from webdancer_cli.tape import Tape, TapeMiss
from webdancer_cli.web.live import LiveWeb
from webdancer_cli.web.source import Hit


class TapedWeb:
    """Implements ``Web``. What the tape lacks in a replay ends the episode: an observation of it would be a lie."""

    def __init__(self, web: LiveWeb, tape: Tape):
        self.name = web.name
        self._web = web
        self._tape = tape

    async def search(self, query: str, results: int) -> list[Hit]:
        asked = ["search", self.name, query, results]
        try:
            return await self._tape.through("web", asked, query, list[Hit], lambda: self._web.search(query, results))
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None

    async def read(self, url: str) -> Page:
        asked = ["read", self.name, url]
        try:
            return await self._tape.through("web", asked, url, Page, lambda: self._web.read(url))
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None

    async def aclose(self) -> None:
        await self._web.aclose()

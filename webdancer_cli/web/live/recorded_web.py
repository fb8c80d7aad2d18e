"""The live web through a tape: searches and visits are recorded, and answered from the record in a replay."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Outage, ToolError
from webdancer_cli.tape import Tape, TapedAnswer, TapeMiss
from webdancer_cli.web.live.live_web import LiveWeb
from webdancer_cli.web.protocols import Hit

Value = TypeVar("Value")


class RecordedWeb:
    """Implements ``Web``. A lasting failure (``ToolError.lasts``) is recorded like any answer, a transient one never.

    What is missing from the tape in a replay is an Outage: as an observation it would never have happened.
    """

    def __init__(self, web: LiveWeb, tape: Tape):
        self.name = web.name
        self._web = web
        self._tape = tape

    async def search(self, query: str, results: int) -> list[Hit]:
        asked = ["search", self.name, query, results]
        return await self._through(asked, query, TapedAnswer[list[Hit]], lambda: self._web.search(query, results))

    async def read(self, url: str) -> Page:
        asked = ["read", self.name, url, self._web.allow_private]
        return await self._through(asked, url, TapedAnswer[Page], lambda: self._web.read(url))

    async def _through(
        self, asked: list[Any], label: str, shape: type[TapedAnswer[Value]], live: Callable[[], Awaitable[Value]]
    ) -> Value:
        async def answered() -> TapedAnswer[Value]:
            try:
                return TapedAnswer(await live())
            except ToolError as error:
                if not error.lasts:
                    raise
                return TapedAnswer(no=str(error))

        try:
            answer = await self._tape.record_or_replay("web", asked, label, shape, answered)
        except TapeMiss as miss:
            raise Outage(str(miss)) from None
        if answer.value is None:
            raise ToolError(answer.no, lasts=True)
        return answer.value

    async def aclose(self) -> None:
        await self._web.aclose()

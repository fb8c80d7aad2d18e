"""The user's own search: a function of a query and a number of results, plain or ``async``.

It returns results, best first: objects or mappings with ``title`` and ``url``, and maybe ``snippet`` and ``date``.
"""

import asyncio
import inspect
from typing import Any

import msgspec

from webdancer_cli.errors import Refused, ToolError, UsageError, WebdancerError
from webdancer_cli.functions import find, in_thread, one_line
from webdancer_cli.web.source import Hit


class OwnSearch:
    """Raises UsageError when there is no such function. What it raises becomes a ToolError."""

    def __init__(self, named: str):
        self.name = f"own={named}"
        _, self._function = find("--search", named)

    async def search(self, query: str, results: int) -> list[Hit]:
        found = await self._call(query, results)
        if isinstance(found, Refused | UsageError | asyncio.CancelledError | KeyboardInterrupt | SystemExit):
            raise found
        if isinstance(found, BaseException):
            said = str(found) if isinstance(found, WebdancerError) else one_line(found)
            raise ToolError(f"{self.name} failed: {said}") from None
        try:
            return msgspec.convert(found, list[Hit], from_attributes=True)
        except msgspec.ValidationError as error:
            raise UsageError(f"--search {self.name}: returned no list of results: {error}") from None

    async def _call(self, query: str, results: int) -> Any:
        if inspect.iscoroutinefunction(self._function):
            outcomes = await asyncio.gather(self._function(query, results), return_exceptions=True)
            return outcomes[0]
        return await in_thread(self._function, query, results)

    async def aclose(self) -> None:
        """Holds nothing."""

"""The user's own search: a function of a query and a number of results, plain or ``async``.

It returns results, best first: objects or mappings with ``title`` and ``url``, and maybe ``snippet`` and ``date``.
"""

import msgspec

from webdancer_cli.errors import Outage, Refused, ToolError
from webdancer_cli.functions import Own, find, one_line
from webdancer_cli.lenient_json import encodable
from webdancer_cli.web.source import Hit

OWN_WORDS = (ToolError, Refused, KeyboardInterrupt, SystemExit)
"""What the function may raise with the meaning that it has here."""


class OwnSearch:
    """Raises UsageError when there is no such function.

    What else it raises becomes an Outage, and so does what it returns if that is no list of results: a search that
    fails says nothing about the query.
    """

    def __init__(self, named: str):
        self.name = f"own={named}"
        _, function = find("--search", named)
        self._function = Own(function)

    async def search(self, query: str, results: int) -> list[Hit]:
        found = await self._function(query, results)
        if isinstance(found, OWN_WORDS):
            raise found
        if isinstance(found, BaseException):
            raise Outage(f"{self.name} failed: {one_line(found)}") from None
        try:
            return [_encodable(hit) for hit in msgspec.convert(found, list[Hit], from_attributes=True)]
        except msgspec.ValidationError as error:
            raise Outage(f"{self.name} returned no list of results: {error}") from None

    async def aclose(self) -> None:
        """Holds nothing."""


def _encodable(hit: Hit) -> Hit:
    return Hit(**{name: encodable(text) for name, text in msgspec.structs.asdict(hit).items()})

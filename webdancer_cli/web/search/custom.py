"""The user's own search: a function of a query and a number of results, plain or ``async``.

It returns results, best first: objects or mappings with ``title`` and ``url``, and maybe ``snippet`` and ``date``.
"""

import msgspec

from webdancer_cli.errors import Outage, ServiceRefused, ToolError
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.user_functions import UserFunction, describe_error, load_function
from webdancer_cli.web.protocols import Hit

OWN_WORDS = (ToolError, ServiceRefused, KeyboardInterrupt, SystemExit)
"""What the function may raise with the meaning that it has here."""


class CustomSearch:
    """Raises UsageError when there is no such function.

    What else it raises becomes an Outage, and so does what it returns if that is no list of results: a search that
    fails says nothing about the query.
    """

    def __init__(self, named: str):
        self.name = f"own={named}"
        _, function = load_function("--search", named)
        self._function = UserFunction(function)

    async def search(self, query: str, results: int) -> list[Hit]:
        found = await self._function(query, results)
        if isinstance(found, OWN_WORDS):
            raise found
        if isinstance(found, BaseException):
            raise Outage(f"{self.name} failed: {describe_error(found)}") from None
        try:
            return [_encodable(hit) for hit in msgspec.convert(found, list[Hit], from_attributes=True)]
        except msgspec.ValidationError as error:
            raise Outage(f"{self.name} returned no list of results: {error}") from None

    async def aclose(self) -> None:
        """Holds nothing."""


def _encodable(hit: Hit) -> Hit:
    return Hit(**{name: mend_surrogates(text) for name, text in msgspec.structs.asdict(hit).items()})

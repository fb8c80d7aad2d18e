"""Questions about more pages than fit into memory: an author that wants to see all of them is given them by blocks."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import count

from webdancer_cli.data.records import Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.protocols import QuestionGroup, QuestionWriter
from webdancer_cli.synthesis.resume import Earlier

BLOCK_PAGES = 5_000
"""A site of so many pages is asked about as a whole; of a larger one, pages that stand together in the order of the
crawl."""


class InBlocks:
    """Has each block of pages asked about by an author of its own, and tells when a block is done."""

    def __init__(self, author: Callable[[], QuestionWriter], pages: int = BLOCK_PAGES):
        self._author = author
        self._pages = pages
        self.name = author().name

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        for number in count(1):
            block = _Block(pages, self._pages)
            async with aclosing(self._author().write(block, earlier)) as groups:
                async for group in groups:
                    yield group
            if block.is_last:
                return
            yield QuestionGroup((), pages_done=number * self._pages)


class _Block:
    """The next pages of a stream, so many at most; ``is_last`` when the stream has ended within them."""

    def __init__(self, pages: AsyncIterator[Page], most: int):
        self._pages = pages
        self._left = most
        self.is_last = False

    def __aiter__(self) -> "_Block":
        return self

    async def __anext__(self) -> Page:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        try:
            return await anext(self._pages)
        except StopAsyncIteration:
            self.is_last = True
            raise


class NoQuestions:
    """Asks nothing: the pages are what is wanted."""

    name = config.BUILTIN

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        done = 0
        async for _ in pages:
            done += 1
            yield QuestionGroup((), pages_done=done)

"""What of a page an observation shows, picked within the bounds that hold for all work on documents."""

from collections.abc import Callable
from typing import TypeVar

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject
from webdancer_cli.text.page_parts import Find, find_words
from webdancer_cli.text.passages import passages
from webdancer_cli.web.workers import Workers, visit_failure

INLINE_CHARS = 50_000
"""What is done with a shorter text takes less time than handing it to another process would."""

Picked = TypeVar("Picked")


async def passages_of_page(page: Page, goal: str, max_chars: int, workers: Workers) -> str:
    """The ``passages`` of a page, within bounds. Raises ToolError, or Outage if this machine is to blame."""
    return await _picked(passages, page, goal, max_chars, workers)


async def find_in_page(page: Page, words: str, max_chars: int, workers: Workers) -> tuple[int, list[Find]]:
    """``find_words`` in a page, within bounds. Raises as ``passages_of_page`` does."""
    return await _picked(find_words, page, words, max_chars, workers)


async def _picked(
    pick: Callable[[str, str, int], Picked], page: Page, asked: str, max_chars: int, workers: Workers
) -> Picked:
    if len(page.text) <= INLINE_CHARS:
        return pick(page.text, asked, max_chars)
    try:
        return await workers.run(pick, page.text, asked, max_chars, about=page.url)
    except Reject as reject:
        raise visit_failure(reject) from None

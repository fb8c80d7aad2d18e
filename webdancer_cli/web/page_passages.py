"""The passages of a page, picked within the bounds that hold for all work on documents."""

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject
from webdancer_cli.text.passages import passages
from webdancer_cli.web.workers import Workers, visit_failure

INLINE_CHARS = 50_000
"""The passages of a shorter text take less time than handing it to another process would."""


async def passages_of_page(page: Page, goal: str, max_chars: int, workers: Workers) -> str:
    """The ``passages`` of a page, within bounds. Raises ToolError, or Outage if this machine is to blame."""
    if len(page.text) <= INLINE_CHARS:
        return passages(page.text, goal, max_chars)
    try:
        return await workers.run(passages, page.text, goal, max_chars, about=page.url)
    except Reject as reject:
        raise visit_failure(reject) from None

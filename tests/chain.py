"""A chain of pages, each of which names the next, and who follows it by what is shown to him alone."""

import re

from webdancer_cli.data.records import QA, Page
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_turn
from webdancer_cli.web.protocols import Hit

SITE = "http://127.0.0.1:8765"
QUESTION = QA(question="Which word stands at the end?", answer="lamp")
FILLER = "This page says no more about that. "


class Chain:
    """A web of so many pages with so many characters each; the last one has the word."""

    name = "chain"

    def __init__(self, pages: int, chars: int = 280):
        self._pages, self._chars = pages, chars

    async def search(self, query: str, results: int) -> list[Hit]:
        return []

    async def read(self, url: str) -> Page:
        number = int(url.rpartition("/")[2])
        told = "The word is lamp." if number == self._pages else f"Next is {SITE}/{number + 1}."
        text = f"{told} {FILLER * (self._chars // len(FILLER) + 1)}"[: self._chars]
        return Page(url=url, title=f"Page {number}", text=text)


def follow(shown: str, *, sums_up: bool) -> str:
    """The turn of whoever sees this text: where the last page leads, the word, or a summary."""
    seen = re.findall(r"Next is (\S+)\.", shown)
    if sums_up:
        return f"I was told {seen[-1] if seen else 'nothing'} and go there."
    if "The word is lamp" in shown:
        return render_turn(Turn(thought="There it is.", answer="lamp"))
    url = seen[-1] if seen else f"{SITE}/1"
    return render_turn(Turn(thought="On.", call=ToolCall("visit", {"url": [url], "goal": "word"})))

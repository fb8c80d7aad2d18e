"""What of a page an index holds: its passages, as the stems that are searched and as the text that is embedded, each
under the page's title."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from webdancer_cli.text import words
from webdancer_cli.text.words import raw_words, word_starts
from webdancer_cli.web import urls
from webdancer_cli.web.fixed_pages import TITLE_WEIGHT, PageLine

PASSAGE_WORDS = 250
"""A passage is whole lines up to so many words, or so many words of a longer line."""
LEAST_PASSAGE_WORDS = 60
"""The rest of a page that is shorter goes with the passage before it."""

stem = lru_cache(maxsize=1 << 18)(words.stem)


class _Part(NamedTuple):
    """Some of the words of a line."""

    line: str
    words: list[str]
    start: int
    end: int

    @property
    def text(self) -> str:
        if self.end - self.start == len(self.words):
            return self.line
        starts = [*word_starts(self.line), len(self.line)]
        return self.line[starts[self.start] : starts[self.end]].rstrip()


def passage_words(entry: PageLine) -> Iterator[str]:
    """The stems of each passage, between spaces. A page without words in its text is one passage."""
    title = [*raw_words(entry.title) * TITLE_WEIGHT, *raw_words(urls.url_words(entry.url))]
    head = " ".join(map(stem, title))
    for passage in _passages(entry.text):
        stems = (stem(word) for part in passage for word in part.words[part.start : part.end])
        yield f"{head} {' '.join(stems)}"


def passage_texts(entry: PageLine) -> Iterator[str]:
    """The text of each of these passages, below the title."""
    for passage in _passages(entry.text):
        text = "".join((" " if part.start else "\n") + part.text for part in passage)
        yield f"{entry.title}\n{text.strip()}".strip()


def _passages(text: str) -> Iterator[list[_Part]]:
    """The last one is held back until it is known whether the rest goes with it."""
    held: list[_Part] | None = None
    passage: list[_Part] = []
    count = 0
    for line in text.split("\n"):
        words_of_line = raw_words(line)
        at = 0
        while count + len(words_of_line) - at >= PASSAGE_WORDS:
            if held is not None:
                yield held
            end = at + PASSAGE_WORDS - count
            held, passage, count, at = [*passage, _Part(line, words_of_line, at, end)], [], 0, end
        if at < len(words_of_line) or not words_of_line:
            passage.append(_Part(line, words_of_line, at, len(words_of_line)))
            count += len(words_of_line) - at
    if held is None:
        yield passage
    elif count < LEAST_PASSAGE_WORDS:
        yield held + passage
    else:
        yield held
        yield passage

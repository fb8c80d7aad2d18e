"""What of a page an index holds: the stems of its passages, each under the page's title."""

from collections.abc import Iterator
from functools import lru_cache

from webdancer_cli.text import words
from webdancer_cli.text.words import raw_words
from webdancer_cli.web import urls
from webdancer_cli.web.fixed_pages import TITLE_WEIGHT, PageLine

PASSAGE_WORDS = 250
"""A passage is whole lines up to so many words, or so many words of a longer line."""
LEAST_PASSAGE_WORDS = 60
"""The rest of a page that is shorter goes with the passage before it."""

stem = lru_cache(maxsize=1 << 18)(words.stem)


def passage_words(entry: PageLine) -> Iterator[str]:
    """The stems of each passage, between spaces. A page without words in its text is one passage."""
    title = [*raw_words(entry.title) * TITLE_WEIGHT, *raw_words(urls.url_words(entry.url))]
    head = " ".join(map(stem, title))
    for passage in _passages(entry.text):
        yield f"{head} {' '.join(map(stem, passage))}"


def _passages(text: str) -> Iterator[list[str]]:
    """The last one is held back until it is known whether the rest goes with it."""
    held: list[str] | None = None
    passage: list[str] = []
    for line in text.split("\n"):
        words_of_line = raw_words(line)
        at = 0
        while len(passage) + len(words_of_line) - at >= PASSAGE_WORDS:
            if held is not None:
                yield held
            end = at + PASSAGE_WORDS - len(passage)
            held, passage, at = passage + words_of_line[at:end], [], end
        passage += words_of_line[at:]
    if held is None:
        yield passage
    elif len(passage) < LEAST_PASSAGE_WORDS:
        yield held + passage
    else:
        yield held
        yield passage

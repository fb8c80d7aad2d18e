"""A page as it stands: where words stand in it, and a part of it from some place on."""

from typing import NamedTuple

from webdancer_cli.text.words import padded_words, sentence_spans


class Find(NamedTuple):
    """A sentence that holds what was looked for, and the character where it begins."""

    start: int
    sentence: str


class TextPart(NamedTuple):
    """A text from one character to before another."""

    text: str
    start: int
    end: int


def find_words(text: str, words: str, max_chars: int) -> tuple[int, list[Find]]:
    """How many sentences hold these words in a row, in any case and with any accents; and the first of them, as many
    as fit whole into ``max_chars``, one at least."""
    wanted = padded_words(words)
    if not wanted.strip():
        return 0, []
    spans = [(start, end) for start, end in sentence_spans(text) if wanted in padded_words(text[start:end])]
    shown: list[Find] = []
    for start, end in spans:
        max_chars -= end - start
        if shown and max_chars < 0:
            break
        shown.append(Find(start, text[start:end]))
    return len(spans), shown


def part_of(text: str, start: int, max_chars: int) -> TextPart:
    """The whole sentences from ``start`` on that fit into ``max_chars``; a longer one is cut. From within the text."""
    window = text[start : start + max_chars]
    end = start + len(window)
    if end < len(text):
        ends = [stop for _, stop in sentence_spans(window)][:-1]
        end = start + ends[-1] if ends else end
    return TextPart(text[start:end], start, end)

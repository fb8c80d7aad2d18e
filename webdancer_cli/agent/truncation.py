"""How much fits: tokens where no tokenizer is known, and observations cut to a size."""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from webdancer_cli.text.words import sentence_spans

BYTES_PER_TOKEN = 3.5
"""A cautious guess for UTF-8 text with URLs in it; plain English has about 4.3 in the usual vocabularies."""

# Before a search result other than the first ("\n2. [Title](url)"), or before the "=======" between the results of two
# queries: an observation is cut there, so that no result is half shown.
_RESULT = re.compile(r"\n+(?========$|(?!1\. )\d+\. \[)", re.MULTILINE)
_WORD = re.compile(r"(?<=\S)(?=\s)")


def estimate_tokens(text: str, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """Tokens of a text by its length in UTF-8, rounded up: 8 bytes are 3 tokens."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token)


def truncate(text: str, fits: Callable[[str], bool], mark: str) -> str:
    """The text if it ``fits``, else its longest beginning that fits with ``mark`` after it.

    It ends at a search result or, where there are none, at a sentence; failing that at a word, failing that anywhere.
    Only the mark is left when nothing fits with it.
    """
    if fits(text):
        return text
    for ends in _places_to_cut(text):
        # A longer beginning takes more tokens, so whether it fits changes once, and the place is found by bisection.
        first_too_long = bisect_left(ends, True, key=lambda end: not fits(text[:end].rstrip() + mark))
        if first_too_long:
            return text[: ends[first_too_long - 1]].rstrip() + mark
    return mark.lstrip()


def _places_to_cut(text: str) -> Iterator[Sequence[int]]:
    """Where the text can be cut, in rising order; the best kind of place first."""
    yield [match.start() for match in _RESULT.finditer(text)]
    yield [end for _, end in sentence_spans(text)]
    yield [match.start() for match in _WORD.finditer(text)]
    yield range(1, len(text))

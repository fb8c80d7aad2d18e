"""Severe repetition: how often one n-gram of the policy's own words occurs.

In the authors' released trajectories no 10-gram of the assistant's words occurs more than four times.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from webdancer_cli.data.records import Message
from webdancer_cli.text.scripts import HAN_AND_KANA, SOUTHEAST_ASIAN

_WITHOUT_SPACES = SOUTHEAST_ASIAN + HAN_AND_KANA
_CHARACTER = re.compile(rf"[{_WITHOUT_SPACES}]")
_WORD = re.compile(rf"[{_WITHOUT_SPACES}]|[^\s{_WITHOUT_SPACES}]+")


def policy_words(messages: Iterable[Message]) -> list[str]:
    """The words of the assistant turns, in order; observations are not the policy's own."""
    return [word for message in messages if message.role == "assistant" for word in split_words(message.content)]


def split_words(text: str) -> list[str]:
    """Words between spaces; where a script has none (Chinese, Japanese, Thai), every character is a word."""
    return _WORD.findall(text) if not text.isascii() and _CHARACTER.search(text) else text.split()


def max_repeats(words: Sequence[str], n: int = 10, least: int = 1) -> int:
    """How often the most frequent n-gram occurs, overlaps counted; 0 if none occurs ``least`` times.

    All words of an n-gram occur at least as often as it does: with ``least`` of 5, few words of a text can be in one.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for stretch in _frequent_stretches(words, n, least):
        counts.update(zip(*(stretch[start:] for start in range(n)), strict=False))
    most = max(counts.values(), default=0)
    return most if most >= least else 0


def _frequent_stretches(words: Sequence[str], n: int, least: int) -> Iterator[Sequence[str]]:
    """The stretches of ``n`` words or more in which every word occurs ``least`` times in the whole text."""
    frequent = {word for word, count in Counter(words).items() if count >= least}
    for are_frequent, stretch in groupby(words, frequent.__contains__):
        if are_frequent and len(together := list(stretch)) >= n:
            yield together

"""The sentences of a page that matter for a goal, and the one that a search result shows."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from webdancer_cli.text.words import content_stems, may_hold, sentence_spans, stems

GAP = "…"
"""Stands where text was left out."""


Span = tuple[int, int]


def passages(text: str, goal: str, max_chars: int) -> str:
    """The whole text if it fits, else its best sentences for ``goal``, in page order, each whole, with "…" at the gaps.

    What room the matching sentences leave goes to the beginning of the page. Only when not even one sentence fits is a
    sentence cut, at a word. The result is never longer than ``max_chars``.
    """
    text = text.strip()
    if len(text) <= max_chars:
        return text
    spans = list(sentence_spans(text))
    wanted = content_stems(goal)
    scores = _scores(text, spans, wanted)
    ranked = sorted(range(len(spans)), key=lambda at: (-scores[at], at))
    chosen = _select_within(spans, ranked, max_chars)
    if not chosen:
        return _cut(text[slice(*spans[ranked[0]])], wanted, max_chars)
    return _join_with_gaps(text, spans, sorted(chosen))


def snippet(text: str, query: str, max_chars: int) -> str:
    """The best sentence of a text for a query, at most ``max_chars`` long (0: none)."""
    if max_chars <= 0:
        return ""
    wanted = content_stems(query)
    lines = text.split("\n")
    text = "\n".join([line for line in lines if may_hold(line, wanted)] or lines[:1])
    spans = list(sentence_spans(text))
    if not spans:
        return ""
    scores = _scores(text, spans, wanted)
    best = max(range(len(spans)), key=lambda at: (scores[at], -at))
    return _cut(re.sub(r"^(?:[-|] )+", "", text[slice(*spans[best])]), wanted, max_chars)


def _scores(text: str, spans: Sequence[Span], wanted: set[str]) -> list[float]:
    """For each sentence the summed rarity (BM25's idf, over these sentences) of the wanted words that it has.

    A sentence's length counts a little, so that of two with the same words the denser one wins.
    """
    shown = (text[start:end] for start, end in spans)
    bags = [stems(sentence) if may_hold(sentence, wanted) else [] for sentence in shown]
    found = [wanted.intersection(bag) for bag in bags]
    frequency = Counter(word for hit in found for word in hit)
    rarity = {word: math.log(1 + (len(spans) - n + 0.5) / (n + 0.5)) for word, n in frequency.items()}
    return [sum(rarity[word] for word in hit) / (1 + 0.005 * len(bag)) for hit, bag in zip(found, bags, strict=True)]


def _select_within(spans: Sequence[Span], ranked: Sequence[int], max_chars: int) -> set[int]:
    """The first sentences of the ranking that fit together; each is charged for the marks that a gap may need."""
    chosen: set[int] = set()
    room = max_chars - len(f"{GAP} ")
    for at in ranked:
        # Every sentence pays for a gap after it, needed or not: so the joined text is never longer than ``max_chars``.
        cost = spans[at][1] - spans[at][0] + len(f" {GAP} ")
        if cost <= room:
            chosen.add(at)
            room -= cost
    return chosen


def _join_with_gaps(text: str, spans: Sequence[Span], chosen: Sequence[int]) -> str:
    parts = [f"{GAP} "] if chosen[0] > 0 else []
    for before, at in zip([None, *chosen], chosen, strict=False):
        if before is not None:
            between = text[spans[before][1] : spans[at][0]]
            parts.append(("\n" if "\n" in between else between[:1]) if at == before + 1 else f" {GAP} ")
        parts.append(text[slice(*spans[at])])
    if chosen[-1] < len(spans) - 1:
        parts.append(f" {GAP}")
    return "".join(parts)


def _cut(sentence: str, wanted: set[str], max_chars: int) -> str:
    """The sentence if it fits, else its part around the first wanted word, cut at spaces where there are any."""
    if len(sentence) <= max_chars:
        return sentence
    start = _start_of_match(sentence, wanted, max_chars)
    head = f"{GAP} " if start else ""
    room = max_chars - len(head) - len(f" {GAP}")
    if room <= 0:
        return sentence[:max_chars]
    rest = sentence[start:]
    if len(rest) <= room + len(f" {GAP}"):
        return head + rest
    return head + re.sub(r"\s+\S*$", "", rest[: room + 1])[:room].rstrip() + f" {GAP}"


def _start_of_match(sentence: str, wanted: set[str], max_chars: int) -> int:
    """Where to begin so that the first wanted word is seen: 0 if it is seen anyway."""
    starts = [0, *(match.end() for match in re.finditer(r"\s+", sentence))]
    for nth, start in enumerate(starts):
        end = starts[nth + 1] if nth + 1 < len(starts) else len(sentence)
        if wanted.intersection(stems(sentence[start:end])):
            return 0 if end <= max_chars * 2 // 3 else starts[max(0, nth - 4)]
    return 0

"""Whether an answer is the gold answer, by rule: the same text, the same once normalised, or the same as an alias.

No containment and no fuzzy distance: "not Paris" contains "Paris", and a reward must not be won by listing candidates.
What a rule cannot see (a paraphrase, an answer given as a sentence) is for a judge that reads.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from webdancer_cli.grading import numbers
from webdancer_cli.records import QA, Verdict

METHOD = "match"
NO_MATCH = "no match"
"""The detail of a verdict that a judge who reads may see otherwise."""


class Judge(Protocol):
    """Grades an answer to a question. A judge that fails or cannot be read says ``unjudged``; it never guesses."""

    name: str

    async def judge(self, qa: QA, answer: str | None) -> Verdict: ...


class MatchJudge:
    """The judge by rule: instant, free, and blind to paraphrase."""

    name = METHOD

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        return judge(answer, qa.answer, qa.aliases)


def judge(answer: str | None, gold: str | None, aliases: Sequence[str] = ()) -> Verdict:
    """The verdict by normalised match. Without a gold answer there is nothing to compare with: ``unjudged``."""
    if gold is None or not gold.strip():
        return Verdict(outcome="unjudged", method=METHOD, detail="no gold answer")
    if answer is None or not answer.strip():
        return Verdict(outcome="wrong", method=METHOD, detail="no answer")
    if answer.strip() == gold.strip():
        return Verdict(outcome="correct", method=METHOD, detail="exact")
    given = normalise(answer)
    if given == normalise(gold):
        return Verdict(outcome="correct", method=METHOD, detail="normalised")
    if any(given == normalise(alias) for alias in aliases if alias.strip()):
        return Verdict(outcome="correct", method=METHOD, detail="alias")
    return Verdict(outcome="wrong", method=METHOD, detail=NO_MATCH)


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """The text as it is compared: NFKC, case folded, without punctuation and articles, numbers as digits.

    Never empty for text that is not blank: where nothing but punctuation or articles is left, they count.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = numbers.spell_out(_plain(numbers.ungroup(folded)).split())
    return numbers.whole(" ".join(_without_articles(words))) or " ".join(folded.split())


_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}(?!\w)|\b(?:[^\W\d_]\.)+[^\W\d_]\b")
_APOSTROPHE = re.compile(r"(?<=\w)['’ʼ](?=\w)")
_BARE_DECIMAL = re.compile(r"(?<![\w.])\.(?=\d)")
_MEANT = re.compile(r"(?<=\d)\.(?=\d)|\+|(?<=\w)#|(?<![\w)\].])[-−–](?=\d)")


def _plain(text: str) -> str:
    """Punctuation to spaces, except where it carries meaning: 3.5, -5, C++, C#, 50 %; initials close up (U.S. = US)."""
    text = _INITIALS.sub(lambda match: match[0].replace(".", ""), _APOSTROPHE.sub("", text))
    text = _BARE_DECIMAL.sub("0.", text).replace("&", " and ").replace("%", " percent ")
    meant = {match.start() for match in _MEANT.finditer(text)}
    shown = (char if at in meant or not _is_punctuation(char) else " " for at, char in enumerate(text))
    return "".join(shown).translate(_MINUS)


_MINUS = str.maketrans("−–", "--")


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or char in "`^´¨−"


def _without_articles(words: list[str]) -> list[str]:
    """Without "the", and without a leading "a" or "an"; a letter elsewhere ("vitamin A") is not an article."""
    kept = [word for word in words if word != "the"]
    return (kept[1:] if len(kept) > 1 and kept[0] in ("a", "an") else kept) or words

"""Whether an answer is the gold answer, by rule: the same text, the same once normalised, or the same as an alias.

No containment and no fuzzy distance: "not Paris" contains "Paris", and a reward must not be won by listing candidates.
What a rule cannot see (a paraphrase, an answer given as a sentence) is for a judge that reads.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from webdancer_cli.data.records import QA, Verdict
from webdancer_cli.text import numbers, quantities
from webdancer_cli.text.plain_spellings import common_spelling
from webdancer_cli.text.spelling import differ_only_in_accents, plain_text

METHOD = "match"
LONG_CHARS = 400
"""A longer answer is a text, in which a quotation mark after a number is no sign for inches."""
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
        return match_answer(answer, qa.answer, qa.aliases)


def match_answer(answer: str | None, gold: str | None, aliases: Sequence[str] = ()) -> Verdict:
    """The verdict by normalised match. Without a gold answer there is nothing to compare with: ``unjudged``."""
    gold = gold or ""
    others = [alias for alias in aliases if not is_placeholder(alias)]
    if is_placeholder(gold) and not others:
        return Verdict(outcome="unjudged", method=METHOD, detail="no gold answer")
    if answer is None or not answer.strip():
        return Verdict(outcome="wrong", method=METHOD, detail="no answer")
    if not is_placeholder(gold):
        if answer.strip() == gold.strip():
            return Verdict(outcome="correct", method=METHOD, detail="exact")
        if differ_only_in_accents(normalise_answer(answer), normalise_answer(gold)):
            return Verdict(outcome="correct", method=METHOD, detail="normalised")
    given = normalise_answer(answer) if others else ""
    if any(differ_only_in_accents(given, normalise_answer(alias)) for alias in others):
        return Verdict(outcome="correct", method=METHOD, detail="alias")
    return Verdict(outcome="wrong", method=METHOD, detail=NO_MATCH)


_PLACEHOLDER = re.compile(
    r"[?\-–—_*.…\s]*|#?[Nn]/[Aa]|nan|NaN|null|NULL|TBD|TBA|[\[<(](?i:hidden|redacted|withheld|masked|unknown|answer)[\]>)]"
)


def is_placeholder(gold: str) -> bool:
    """Whether a gold answer only holds the place of one, as where a set keeps its answers to itself: "?", "N/A"."""
    return _PLACEHOLDER.fullmatch(gold.strip()) is not None


@lru_cache(maxsize=65536)
def normalise_answer(text: str) -> str:
    """The text as it is compared: without markup, case, punctuation and articles, numbers as digits.

    Never empty for text that is not blank: where nothing but punctuation, articles or invisible characters is left,
    they count.
    """
    given, text = text, common_spelling(plain_text(text).strip())
    if _DIGIT.search(text):
        text = numbers.evaluate_fractions(numbers.remove_group_separators(_attach_signs(text)))
    text = quantities.canonical_quantities(text)
    folded = unicodedata.normalize("NFKC", text.casefold())
    words = _spell_minus_as_sign(numbers.words_to_digits(_words(folded)))
    return numbers.drop_zero_decimals(" ".join(_without_articles(words))) or " ".join((folded or given).split())


_DIGIT = re.compile(r"\d")
# "U.S.", "J.R.R": initials without spaces between them lose their stops, so that "U.S." is "US".
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}(?!\w)|\b(?:[^\W\d_]\.)+[^\W\d_]\b")
# Apostrophes between letters ("it's"), between a digit and a letter ("1990's"), and at the start of a word ('90s); not
# between digits, where it parts thousands (1'234) or follows feet (6'2).
_APOSTROPHE = re.compile(r"(?<=[^\W\d])'(?=\w)|(?<=\d)'(?=[^\W\d])|(?<!\w)'(?=\w)")
# ".5", which becomes "0.5".
_BARE_DECIMAL = re.compile(r"(?<![\w.])\.(?=\d)")
# "the-" and "a/" before a word: the article is parted from it, to be dropped as one.
_ARTICLE_JOINED = re.compile(r"(?<!\w)(a|an|the)[-/](?=\w)")
# "2 : 1", "x = 3": signs that close up with the numbers around them.
_SPACED = re.compile(r" (?:(?<=\d )([-+/:]) (?=\d)|(?<=\w )(=) (?=\w))")
# "< 5", "~ 3": the sign joins its number.
_SIGN_APART = re.compile(r"([<>≤≥≈~±]) +(?=[\d.])")
# "- 5" at the beginning of an answer is a minus; further on it is a dash.
_FIRST_APART = re.compile(r"(\W*-) +(?=[\d.$€£¥])")
# 6'2 and 6' are feet, 2'' and 2" inches.
_FEET = re.compile(r"(?<=\d)'(?=\d|(?!\w))")
_INCHES = re.compile(r"(?<=\d)(?:''|[\"”])(?!\w)")
_PUNCTUATION = re.compile(r"[^\w\s]|_")
# "[0, 1)" and "(0, 1]": there the kind of bracket is part of the answer.
_HALF_OPEN = re.compile(r"\[[^][()]*,[^][()]*\)|\([^][()]*,[^][()]*\]")
_PARTING = ",;:/|\n"


def _attach_signs(text: str) -> str:
    """Signs beside the numbers that they belong to, and feet and inches as such, where they are no quotation marks."""
    if apart := _FIRST_APART.match(text):
        text = apart[1] + text[apart.end() :]
    text = _SIGN_APART.sub(r"\1", _SPACED.sub(r"\1\2", text))
    if len(text) < LONG_CHARS and ("'" in text or '"' in text or "”" in text):
        if not re.search(r"[\"“].*\d[\"”]", text):
            text = _INCHES.sub("′′", text)
        if not re.search(r"(?<!\w)['‘].*\d'(?!\w)", text):
            text = _FEET.sub("′", numbers.remove_group_separators(text))
    return text


def _words(text: str) -> list[str]:
    """The words without punctuation that carries no meaning; initials close up (U.S. = US), marks part lists."""
    if "'" in text:
        text = _APOSTROPHE.sub("", text)
    text = _INITIALS.sub(lambda match: match[0].replace(".", ""), text)
    text = _ARTICLE_JOINED.sub(r"\1 , ", _BARE_DECIMAL.sub("0.", text).replace("&", " and "))
    return _PUNCTUATION.sub(_keep_meaningful_mark, text.replace("\n", " , ")).split()


def _keep_meaningful_mark(found: re.Match[str]) -> str:
    """A mark that carries meaning where it stands: 3.5, -5, A-, 2:1, 10^6, C#, 5!; else a space, or the word ","."""
    mark, text, at = found[0], found.string, found.start()
    if mark != "^" and not _is_punctuation(mark):
        return mark
    before, after = text[at - 1 : at] or " ", text[at + 1 : at + 2] or " "
    if before.isdigit() and after.isdigit() and mark in "-:.·*^_":
        return mark
    if mark == "/" and (before.isdigit() or after.isdigit()):
        return mark
    if mark in "[(])" and at in (0, len(text) - 1) and _HALF_OPEN.fullmatch(text):
        return mark
    if mark == "-":
        return _dash(text, at, before, after)
    if mark == "^" and (before.isalnum() or before in ")]") and (after.isalnum() or after in "-("):
        return mark
    if mark in "′#" or (mark == "!" and before.isdigit()):
        return mark if before.isalnum() or before == "′" else " "
    if mark == "*":
        return mark if _ENDS_SHORT.search(text[max(0, at - 3) : at]) and not after.isalnum() else " "
    return " , " if mark in _PARTING else " "


# The end of a word of one or two characters: "A*" and "C*" are names, "important*" has a footnote.
_ENDS_SHORT = re.compile(r"(?:^|\W)\w{1,2}$")
# What a minus may stand before: "-5", "-.5", "-$5", "-∞", and a single letter ("-x").
_SIGNED = re.compile(r"\.?\d|[$€£¥∞√]|[^\W_](?!\w)")


def _dash(text: str, at: int, before: str, after: str) -> str:
    """A dash as the minus or the sign that it is (-5, -$5, 10^-6, A-, Cl-); a hyphen is a space."""
    if before == "^" and after.isdigit():
        return "-"
    if _SIGNED.match(text, at + 1) and not (before.isalnum() or before in ")]"):
        return "-"
    ends = after.isspace() or after in ".,;:!?)]}\"'”"
    return "-" if ends and before.isalnum() else " "


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or char in "`^´¨"


def _spell_minus_as_sign(words: list[str]) -> list[str]:
    """An answer that begins with "minus 5", with -5 instead."""
    if len(words) > 1 and words[0] in ("minus", "negative") and words[1][0].isdigit():
        return [f"-{words[1]}", *words[2:]]
    return words


_KEYS_AND_GRADES = {"minor", "major", "flat", "sharp", "positive", "negative", "plus", "minus", "level"}
_NO_ARTICLE_BEFORE = _KEYS_AND_GRADES | {"levels", "and", "or", "the"}


def _without_articles(words: list[str]) -> list[str]:
    """Without "the", and without a leading "a" or "an"; a letter ("vitamin A", "A, B", "A minor") is no article."""
    kept = [word for at, word in enumerate(words) if not (word == "the" and _is_article(words, at))]
    if kept and kept[0] in ("a", "an") and _is_article(kept, 0) and len(kept[1]) > 1 and not kept[1][0].isdigit():
        kept = kept[1:]
    return [word for word in kept if word != numbers.COMMA]


def _is_article(words: list[str], at: int) -> bool:
    following = words[at + 1] if at + 1 < len(words) else numbers.COMMA
    return following != numbers.COMMA and following not in _NO_ARTICLE_BEFORE

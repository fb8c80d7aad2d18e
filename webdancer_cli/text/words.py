"""Words and sentences of a text: what search, passages and extraction count and quote.

Words are for matching (folded, stemmed); sentences are verbatim slices of the text, so that they can be quoted.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from webdancer_cli.text.scripts import HAN_AND_KANA

_COMMON = """
    a about after all also am an and any are as at be been being but by can could did do does for from had has
    have he her hers him his how i if in into is it its me my no nor not of on or our she should so some such than
    that the their them then there these they this those to was we were what when where which while who whom whose
    why will with would you your
"""
STOPWORDS = frozenset(_COMMON.split())
"""Words that say nothing about what a question is after."""

_WORD = re.compile(rf"[{HAN_AND_KANA}]|[^\W_{HAN_AND_KANA}]+(?:['’][^\W_{HAN_AND_KANA}]+)*")


def unaccented(text: str) -> str:
    """The text without case and accents."""
    text = text.casefold()
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def raw_words(text: str) -> list[str]:
    """The folded words of a text, in order; a Chinese or Japanese character is a word."""
    return _WORD.findall(unaccented(text))


def word_starts(text: str) -> list[int]:
    """Where in the text each of its raw words begins."""
    folded = [unaccented(char) for char in text]
    places = [place for place, chars in enumerate(folded) for _ in chars]
    return [places[word.start()] for word in _WORD.finditer("".join(folded))]


def padded_words(text: str) -> str:
    """The raw words of a text with a space on either side of each, so that "in" finds whole words in a row."""
    return f" {' '.join(raw_words(text))} "


def stem(word: str) -> str:
    """A raw word without possessive, apostrophes and plural ending (the S-stemmer of Harman, 1991)."""
    if not word.isalnum():
        word = re.sub("['’]s$", "", word)
        word = re.sub("['’]", "", word)
    if len(word) <= 3 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith(("us", "ss", "aes", "ees", "oes")):
        return word
    return word[:-1]


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order."""
    return [stem(word) for word in raw_words(text)]


def content_stems(text: str) -> set[str]:
    """The stems that carry meaning; all stems if every word is a stop word."""
    every = raw_words(text)
    return {stem(word) for word in every if word not in STOPWORDS} or {stem(word) for word in every}


def may_hold(text: str, stems: Iterable[str]) -> bool:
    """A quick look whether a text can have a word with one of these stems: False is certain, True is not."""
    folded = unaccented(text).replace("'", "").replace("’", "")
    return any((stem[:-1] if stem.endswith("y") else stem) in folded for stem in stems)


_SPACED = ".!?…‽؟۔।॥։።፧။។"
"""End a sentence where white space follows."""
_TIGHT = "。！？｡"
"""End a sentence wherever they stand."""
_CLOSING = "\"'”’“‘»›)\\]」』）】》〉］"
_BRACKETS = r"""
    \[ (?>(?:[^\[\]\n] | \[[^\[\]\n]{1,40}\]){1,40}) \] (?:\([^()\s]{1,300}\))?  # [1], [note 2], [[3]](https://...)
    | ［[^［\n］]{1,40}］ | [【〔(（][\d注註]{1,4}[】〕)）]
"""
# "word.¹", "word.¹²,³", "word.†"
_SUPERSCRIPT = r"[¹²³⁰⁴-⁹⁻⁽⁾]++(?>(?:[,–][¹²³⁰⁴-⁹]++)*) | [†‡]"
# The page after a mark: "[2]: 14–16"
_PAGE = r":\ ?\d[\d–-]*"
# A space before another mark: "[1] [2]"
_ANOTHER = r"\ (?=\[\d[\d,–-]{0,9}\])"
_NO_BREAK = r"[\u00a0\u202f\u2009\u200b\u2060]"
_MARK = rf"(?:{_NO_BREAK}? (?:{_BRACKETS}) (?:{_PAGE})? | {_SUPERSCRIPT}) (?:{_ANOTHER})?"
_END = re.compile(
    rf"""
    (?<![{_SPACED}{_TIGHT}]) (?P<stop>[{_SPACED}{_TIGHT}]++)
    (?P<close>(?>(?:[\u00a0\u202f]?[{_CLOSING}] | \ »(?=\s|\Z))*))
    (?P<marks>(?>(?:(?<=["”’“»])\d{{1,3}}(?>(?:[,–-]\d{{1,3}})*))?) (?>(?:{_MARK})*)) (?=\s|\Z)
    | [{_TIGHT}]++ [”’」』）】》〉］]*+ (?>(?:{_MARK})*)
    | \n+
    """,
    re.VERBOSE,
)
"""The end of a sentence, with what belongs to it: closing quotes, and the marks of citations, notes and edits.

A mark stands at the stop, or at the quote that closes after it, without white space. Every part is bounded or gives
nothing back, so that any text costs no more than its length.
"""
# A number in parentheses after the stop: a note "(3)", or a part of a reference, "Art. 5. (3)".
_IN_PARENTHESES = re.compile(r"(?:^|[\]\d])[(（]")
# What a note follows: a word of three letters or a year, and not "5" or "a".
_BEFORE_NOTE = re.compile(r"(?:[^\W\d_]{3}|\d{4})$")
# "Art", "para", "Fig": a number after these belongs to them.
_REFERENCE = re.compile(
    r"\b(?:art|cl|paras?|subs|sect?|subsect|regs?|rules?|figs?|eqs?|app|chap|vol|pts?)s?$", re.IGNORECASE
)
_CAPITAL_NEXT = re.compile(r"\s+[\"“‘«(]?(\w)")
# After these a full stop ends no sentence: an initial, "e.g", "Mr".
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[“\"'])(?:[A-Z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Gen|Col|Capt|Lt|Rev|Hon|No|Nos|Vol|"
    r"Fig|Inc|Ltd|Co|Corp|vs|cf|ca|(?<=\()c|approx|etc|eds?|pp?|al)$"
)
_LOWER_NEXT = re.compile(r"\s+[a-z0-9]")
_DIGIT_NEXT = re.compile(r"\s+\d")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every sentence. A line end is a sentence end (list items, table rows, headings)."""
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            yield from _trim_span(text, start, match.end())
            start = match.end()
    yield from _trim_span(text, start, len(text))


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    stop = match["stop"]
    if stop is None or stop[0] != ".":
        return True
    before = max(start - 1, match.start() - 12, 0)
    if stop == "." and not match["close"] and _ABBREVIATION.search(text, before, match.start()):
        return False
    if _IN_PARENTHESES.search(match["marks"]) and not _is_note(text, before, match):
        return False
    following = _LOWER_NEXT.match(text, match.end())
    return following is None or _DIGIT_NEXT.match(text, match.end()) is not None


def _is_note(text: str, before: int, match: re.Match[str]) -> bool:
    """Whether a number in parentheses is a note to the sentence before it, and not a part of a reference."""
    following = _CAPITAL_NEXT.match(text, match.end())
    begins = following is not None and not following[1].islower()
    word = text[before : match.start()]
    after_text = bool(match["close"]) or bool(_BEFORE_NOTE.search(word) and not _REFERENCE.search(word))
    return begins and after_text


def _trim_span(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def sentences(text: str) -> list[str]:
    """The sentences of a text, as they stand in it."""
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_pieces(text: str) -> Iterator[str]:
    """The sentences of a text with what stands between them: together they are the text."""
    ends = [end for _, end in sentence_spans(text)][:-1]
    return (text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True))

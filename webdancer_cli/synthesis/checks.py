"""What every question must hold, whoever wrote it: each failure has a reason code.

Quotes are searched in the page with whitespace folded and nothing else: a quote is verbatim or it is no proof.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.bad_question_patterns import (
    ASKS,
    ASKS_FOR_LETTER,
    ASKS_TO,
    ASKS_WHETHER,
    CHOICE,
    CHOICES,
    COMPARES,
    DATED_OR_BROKEN,
    EITHER_OR,
    ENDS_ASKING,
    FROM_ERROR_PAGE,
    NO_ANSWER,
    REFERS_TO_PAGE,
    YES_BUT,
    YES_NO,
)
from webdancer_cli.text import numbers
from webdancer_cli.text.names import has_unspaced, mentions
from webdancer_cli.text.spacing import fold, squeeze
from webdancer_cli.text.words import content_stems, raw_words, stems

ABOUT_THEIR_ANSWER = ("comparison", "intersection")
"""Types whose quotes may come from a page about the answer, which its title names."""
MAX_ANSWER_CHARS = 120
MAX_ANSWER_WORDS = 15
MAX_QUESTION_WORDS = 150
MIN_QUESTION_WORDS = 3

_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS = _NUMBERS.split()
_YEAR = re.compile(r"(?<![\w.,])[12]\d{3}(?![\w,]|\.\d)")


@dataclass(frozen=True)
class QuestionFault:
    """Why a question cannot be kept: a code to count and a detail to read."""

    reason: str
    detail: str = ""


def first_fault(qa: QA, texts: Mapping[str, str], *, allow_boolean: bool = False) -> QuestionFault | None:
    """The first thing wrong with a question whose evidence pages have these ``texts`` by URL; None if all is well."""
    return (
        next(_evidence_faults(qa, texts), None) or wording_fault(qa, allow_boolean=allow_boolean) or support_fault(qa)
    )


def wording_fault(qa: QA, *, allow_boolean: bool = False) -> QuestionFault | None:
    """The first thing wrong with question and answer as they read; a question of ours ends with its mark."""
    if not ENDS_ASKING.search(qa.question):
        return QuestionFault("not_a_question", qa.question)
    return next(wording_faults(qa, allow_boolean=allow_boolean), None)


def support_fault(qa: QA) -> QuestionFault | None:
    """Whether the quotes (or, for some types, the titles of their pages) fail to state the answer.

    A count may also be the number of the quotes that were counted, and a span of time the years between two quotes.
    """
    return None if _supported(qa) else QuestionFault("answer_unsupported", qa.answer)


def _evidence_faults(qa: QA, texts: Mapping[str, str]) -> Iterator[QuestionFault]:
    if not qa.evidence:
        yield QuestionFault("no_evidence", qa.question)
    for evidence in qa.evidence:
        if evidence.url not in texts:
            yield QuestionFault("unknown_page", evidence.url)
        elif not contains_quote(texts[evidence.url], evidence.quote):
            yield QuestionFault("quote_not_found", f"{evidence.url}: {evidence.quote}")


def wording_faults(qa: QA, *, allow_boolean: bool = False) -> Iterator[QuestionFault]:
    """Everything wrong with question and answer as they read."""
    yield from _question_faults(qa.question)
    yield from _answer_faults(qa.answer)
    if answers_whether(qa) and not allow_boolean:
        yield QuestionFault("yes_no", qa.answer)
    if _offers_choices(qa):
        yield QuestionFault("multiple_choice", qa.answer)
    elif names_its_answer(qa):
        yield QuestionFault("answer_in_question", qa.answer)


def _question_faults(question: str) -> Iterator[QuestionFault]:
    length = len(raw_words(question))
    if length < MIN_QUESTION_WORDS or not (ASKS.search(question) or ASKS_TO.search(question)):
        yield QuestionFault("not_a_question", question)
    if length > MAX_QUESTION_WORDS:
        yield QuestionFault("long_question", f"{length} words")
    if found := FROM_ERROR_PAGE.search(question):
        yield QuestionFault("from_error_page", found.group())
    if found := REFERS_TO_PAGE.search(without_quotations(question)):
        yield QuestionFault("refers_to_page", found.group())


def _answer_faults(answer: str) -> Iterator[QuestionFault]:
    plain = fold(answer).rstrip(".")
    if not plain:
        yield QuestionFault("empty_answer", answer)
    if NO_ANSWER.fullmatch(plain):
        yield QuestionFault("no_answer", answer)
    if len(answer) > MAX_ANSWER_CHARS or len(answer.split()) > MAX_ANSWER_WORDS:
        yield QuestionFault("long_answer", answer)


def answers_whether(qa: QA) -> bool:
    """Whether an answer is yes or no, with or without a word more."""
    plain = fold(qa.answer)
    if plain.rstrip(".") in YES_NO:
        return True
    return bool(YES_BUT.match(plain) and ASKS_WHETHER.search(qa.question.strip()))


def _offers_choices(qa: QA) -> bool:
    if CHOICES.search(qa.question):
        return True
    return bool(CHOICE.fullmatch(qa.answer.strip())) and not ASKS_FOR_LETTER.search(qa.question)


def names_its_answer(qa: QA) -> bool:
    """Whether a question names its answer, or all words of it, without having to."""
    if qa.type == "comparison" or (EITHER_OR.search(qa.question.strip()) and COMPARES.search(qa.question)):
        return False
    answer = _bare(qa.answer)
    if not re.fullmatch(r"[^\W\d]", answer) and mentions(qa.question, answer):
        return True
    if has_unspaced(answer):
        return False  # its letters may stand anywhere: they are no words
    telling = content_stems(qa.answer)
    return len(telling) > 1 and telling <= set(stems(qa.question))


def _bare(answer: str) -> str:
    """An answer without full stop, and without an article that is no part of a name (the Danube, but The Who)."""
    return re.sub(r"^(?:the|an?)\s+(?=\S)", "", answer.strip().rstrip(".") or answer)


def _supported(qa: QA) -> bool:
    quotes = [evidence.quote for evidence in qa.evidence]
    titles = [evidence.title for evidence in qa.evidence] if qa.type in ABOUT_THEIR_ANSWER else []
    if qa.type == "several":
        return all(mentions(quote, part) for quote, part in zip(quotes, answer_parts(qa), strict=False))
    number = parse_count(qa.answer)
    if number is None:
        return any(mentions(text, qa.answer) for text in (*quotes, *titles))
    if qa.type == "temporal" and years_passed(number, quotes):
        return True
    if qa.type != "count":
        return any(mentions(text, qa.answer) for text in (*quotes, *titles)) or _stated(number, quotes)
    counted = len(quotes) - len(qa.chain)  # a rewrite adds one quote that describes
    return number == counted or _stated(number, [DATED_OR_BROKEN.sub("; ", quote) for quote in quotes])


def answer_parts(qa: QA) -> list[str]:
    """What each piece of evidence gives to the answer of a question for several facts; else the answer, whole."""
    parts = list_items(qa.answer)
    return parts if qa.type == "several" and len(parts) == len(qa.evidence) else [qa.answer]


def list_items(text: str) -> list[str]:
    """The items of a list in words: "Aro, Bel and Cam"."""
    return re.split(r", | and ", text) if text else []


def parse_count(answer: str) -> int | None:
    """The number that an answer in digits is, with or without commas between thousands."""
    digits = numbers.remove_group_separators(answer.strip())
    return int(digits) if digits.isdecimal() and len(digits) <= MAX_ANSWER_CHARS else None


def _stated(number: int, quotes: Iterable[str]) -> bool:
    """Whether a quote has a number, in digits or in English words."""
    return any(
        str(number) in numbers.words_to_digits(raw_words(numbers.remove_group_separators(quote))) for quote in quotes
    )


def years_passed(years: int, quotes: list[str]) -> bool:
    """Whether so many years lie between a year of one quote and a year of another."""
    return years_apart(years, quotes) is not None


def years_apart(years: int, quotes: list[str]) -> tuple[int, int] | None:
    """A year of one quote and a year of another, so many years apart; None if there are no such two."""
    stated = [{int(year) for year in _YEAR.findall(quote)} for quote in quotes]
    pairs = ((one, other) for a, b in combinations(stated, 2) for one in sorted(a) for other in sorted(b))
    return next((pair for pair in pairs if abs(pair[0] - pair[1]) == years), None)


def contains_quote(text: str, quote: str) -> bool:
    """Whether a quote stands in a text, up to whitespace."""
    return bool(quote.strip()) and squeeze(quote) in squeeze(text)


def without_quotations(text: str) -> str:
    """A question without its quotations: what a quoted sentence says is not the asker's wording."""
    return re.sub(r"“[^”]*”|\"[^\"]*\"", "“”", text)

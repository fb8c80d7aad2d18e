"""What every question must hold, whoever wrote it: each failure has a reason code.

Quotes are searched in the page with whitespace folded and nothing else: a quote is verbatim or it is no proof.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webdancer_cli.records import QA

MAX_ANSWER_CHARS = 120
MAX_ANSWER_WORDS = 15
MAX_QUESTION_WORDS = 150
MIN_QUESTION_WORDS = 3

_PAGE_WORDS = r"page|article|passage|text|document|paragraph|excerpt|snippet|website|webpage|blog post|table|list"
REFERS_TO_PAGE = re.compile(
    rf"\b(?:this|these|the (?:given|provided|above|following)) (?:{_PAGE_WORDS})s?\b"
    r"|\b(?:in|on|from|to|by|of) the (?:page|article|passage|text|excerpt|snippet|webpage)\b"
    r"(?! (?:on\b|of\b|about\b|titled\b|for\b|“))"
    r"|\bthe (?:author|section|page|text|article) (?:above|below)\b|\bmentioned (?:above|below|here)\b",
    re.IGNORECASE,
)
CHOICES = re.compile(r"(?:^|\s)\(?A[).:]\s.+\s\(?B[).:]\s", re.DOTALL)
YES_NO = frozenset({"yes", "no", "true", "false"})
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS = _NUMBERS.split()


@dataclass(frozen=True)
class Fault:
    """Why a question cannot be kept: a code to count and a detail to read."""

    reason: str
    detail: str = ""


def first_fault(qa: QA, texts: Mapping[str, str], *, allow_boolean: bool = False) -> Fault | None:
    """The first thing wrong with a question whose evidence pages have these ``texts`` by URL; None if all is well."""
    return (
        next(_evidence_faults(qa, texts), None) or wording_fault(qa, allow_boolean=allow_boolean) or support_fault(qa)
    )


def wording_fault(qa: QA, *, allow_boolean: bool = False) -> Fault | None:
    """The first thing wrong with question and answer as they read."""
    return next(_wording_faults(qa, allow_boolean), None)


def support_fault(qa: QA) -> Fault | None:
    """Whether the quotes fail to state the answer; a count may also be the number of the quotes that were counted."""
    return None if _supported(qa) else Fault("answer_unsupported", qa.answer)


def _evidence_faults(qa: QA, texts: Mapping[str, str]) -> Iterator[Fault]:
    if not qa.evidence:
        yield Fault("no_evidence", qa.question)
    for evidence in qa.evidence:
        if evidence.url not in texts:
            yield Fault("unknown_page", evidence.url)
        elif not holds(texts[evidence.url], evidence.quote):
            yield Fault("quote_not_found", f"{evidence.url}: {evidence.quote}")


def _wording_faults(qa: QA, allow_boolean: bool) -> Iterator[Fault]:
    words = len(qa.question.split())
    if not qa.answer.strip():
        yield Fault("empty_answer", qa.question)
    if words < MIN_QUESTION_WORDS or not qa.question.rstrip().endswith("?"):
        yield Fault("not_a_question", qa.question)
    if words > MAX_QUESTION_WORDS:
        yield Fault("long_question", f"{words} words")
    if len(qa.answer) > MAX_ANSWER_CHARS or len(qa.answer.split()) > MAX_ANSWER_WORDS:
        yield Fault("long_answer", qa.answer)
    if fold(qa.answer).rstrip(".") in YES_NO and not allow_boolean:
        yield Fault("yes_no", qa.answer)
    if CHOICES.search(qa.question) or re.fullmatch(r"\(?[A-E][).]?", qa.answer.strip()):
        yield Fault("multiple_choice", qa.answer)
    if mentions(qa.question, qa.answer):
        yield Fault("answer_in_question", qa.answer)
    if found := REFERS_TO_PAGE.search(unquoted(qa.question)):
        yield Fault("refers_to_page", found.group())


def _supported(qa: QA) -> bool:
    quotes = [evidence.quote for evidence in qa.evidence]
    if any(mentions(quote, qa.answer) for quote in quotes):
        return True
    if not qa.answer.isdigit():
        return False
    number = int(qa.answer)
    spelled = number < len(NUMBER_WORDS) and any(mentions(quote, NUMBER_WORDS[number]) for quote in quotes)
    counted = len(quotes) - len(qa.chain)  # a rewrite adds one quote that describes
    return spelled or (qa.type == "count" and number == counted)


def fold(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())


def squeeze(text: str) -> str:
    """Single spaces, as quotes are compared."""
    return " ".join(text.split())


def holds(text: str, quote: str) -> bool:
    """Whether a quote stands in a text, up to whitespace."""
    return bool(quote.strip()) and squeeze(quote) in squeeze(text)


def mentions(text: str, name: str) -> bool:
    """Whether a name stands in a text as whole words, in any case."""
    name = fold(name)
    return bool(name) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", fold(text)) is not None


def unquoted(text: str) -> str:
    """A question without its quotations: what a quoted sentence says is not the asker's wording."""
    return re.sub(r"“[^”]*”|\"[^\"]*\"", "“”", text)

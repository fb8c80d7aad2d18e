"""What a question of each type must hold beside what all must hold (``checks``): the type is checked, not believed."""

import re
from collections.abc import Callable, Iterator
from itertools import permutations

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.bad_question_patterns import ASKS
from webdancer_cli.synthesis.checks import QuestionFault, parse_count
from webdancer_cli.text.months import ANY_MONTH
from webdancer_cli.text.names import mentions, whole_words
from webdancer_cli.text.spacing import fold
from webdancer_cli.text.words import STOPWORDS

MIN_QUOTE_WORDS = 3
"""A shorter quote proves nothing."""
MAX_QUOTE_CHARS = 600
"""A longer quote is half the page: it proves anything."""

_CAPITALISED = re.compile(r"(?<![\w’'])[^\W\d_][\w’'-]*")
_JOINT = (
    r"(?:,|;|:|/|\b(?:or|and|nor|between|than|oder|und|zwischen|ou|et|entre|o|y|e|или|и|между)\b|"
    r"还是|還是|或|和|与|與|跟|、|，|それとも|と|か|や|또는|아니면|와|과)"
)
_YES_NO_OPENING = re.compile(r"\W*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b", re.I)
_TIME = re.compile(
    rf"\b(?:{ANY_MONTH})\b|(?<![\w.,])[12]\d{{3}}s?(?![\w,]|\.\d)|\b\d{{1,4}} ?(?:AD|BC|CE|BCE)\b|\bAD \d|"
    r"\d{1,2}[./-]\d{1,2}[./-]\d|\b\d{1,2}:\d\d\b|[年月日时時]|世[纪紀]|"
    r"\b(?i:spring|summer|autumn|winter|century|centuries|decades?|years?|months?|weeks?|days?|hours?|minutes?|jahr\w*|"
    r"before|after|since|until|during|first|last|earlier|later|earliest|latest|oldest|newest)\b"
)
"""What tells of a time; "may" is a verb, and a number of three digits a quantity."""


def type_faults(qa: QA) -> Iterator[QuestionFault]:
    """Everything that keeps a question from being of its type. Its evidence is in the order of reading."""
    quotes = [fold(proof.quote) for proof in qa.evidence]
    if repeated := next((one for one, other in permutations(quotes, 2) if one in other), ""):
        yield QuestionFault("repeated_quote", repeated)
    for quote in quotes:
        if _words(quote) < MIN_QUOTE_WORDS:
            yield QuestionFault("short_quote", quote)
        if len(quote) > MAX_QUOTE_CHARS:
            yield QuestionFault("long_quote", f"{len(quote)} characters: {quote[:80]}…")
    if qa.type in _RULES:
        yield from _RULES[qa.type](qa)


def _words(quote: str) -> int:
    """Words; characters count where a script has no spaces."""
    return max(len(re.findall(r"\w+", quote)), sum(not char.isascii() for char in quote) // 2)


def _single_hop(qa: QA) -> Iterator[QuestionFault]:
    if qa.level != 1:
        yield QuestionFault("wrong_level", f"single_hop from {qa.level} pages")


def _multi_hop(qa: QA) -> Iterator[QuestionFault]:
    if qa.level < 2:
        yield QuestionFault("wrong_level", f"multi_hop from {qa.level} page")
        return
    *earlier, last = qa.evidence
    if mentions(earlier[0].quote, qa.answer) or not mentions(last.quote, qa.answer):
        yield QuestionFault("wrong_order", f"{qa.answer} must stand in the last quote and not in the first")
    elif not any(_bridge(proof, last, qa.question) for proof in earlier):
        yield QuestionFault("no_bridge", "no page names what the question describes and a later one is about")


def _bridge(earlier: Evidence, last: Evidence, question: str) -> bool:
    """Whether a quote leads to the last page by a name that the question does not give away.

    Told by capitals; a script without capitals is believed.
    """
    if not re.search(r"[^\W\d_]", earlier.quote) or earlier.quote == earlier.quote.swapcase():
        return True
    told, about = capitalised(earlier.quote), capitalised(last.quote) | capitalised(last.title)
    return bool(told & about - capitalised(question))


def _count(qa: QA) -> Iterator[QuestionFault]:
    if (parse_count(qa.answer) or 0) < 2:
        yield QuestionFault("not_a_count", qa.answer)


def _intersection(qa: QA) -> Iterator[QuestionFault]:
    telling = [proof for proof in qa.evidence if mentions(proof.quote, qa.answer) or mentions(proof.title, qa.answer)]
    if len(telling) < 2:
        yield QuestionFault("no_intersection", f"{len(telling)} of {len(qa.evidence)} quotes speak of {qa.answer}")


def _comparison(qa: QA) -> Iterator[QuestionFault]:
    answer = whole_words(fold(qa.answer))
    joined = rf"{_JOINT}\s*(?:the |a |an )?{answer}|{answer}\s*(?:{_JOINT}|{ASKS.pattern})"
    if not re.search(joined, fold(qa.question)) or _YES_NO_OPENING.match(qa.question):
        yield QuestionFault("not_a_comparison", f"{qa.answer} is not one of several that the question names")
        return
    others = capitalised(qa.question) - capitalised(qa.answer)
    about = [capitalised(proof.quote) | capitalised(proof.title) for proof in qa.evidence]
    if len(qa.evidence) < 2 or (others and not any(others & names for names in about)):
        yield QuestionFault("not_a_comparison", "there is no quote on what the answer is compared with")


def _temporal(qa: QA) -> Iterator[QuestionFault]:
    if not any(_TIME.search(proof.quote) for proof in qa.evidence):
        yield QuestionFault("no_time", "no quote names a time")


def capitalised(text: str) -> set[str]:
    """The words of a text that may be names, folded."""
    found = (word for word in _CAPITALISED.findall(text) if word[0].isupper())
    return {fold(word) for word in found} - STOPWORDS


_RULES: dict[str, Callable[[QA], Iterator[QuestionFault]]] = {
    "single_hop": _single_hop,
    "multi_hop": _multi_hop,
    "count": _count,
    "intersection": _intersection,
    "comparison": _comparison,
    "temporal": _temporal,
}

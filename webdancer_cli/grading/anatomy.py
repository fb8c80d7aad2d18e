"""Why a wrong episode is wrong: how far it came on the way from the search to the answer.

A question that names its evidence has gold pages, each with the passage that proves a part of the answer. They are
followed in the order of reading: was the page listed, was it opened, was the passage shown? The first that was not is
where the episode failed. If all were shown, the policy's own words tell whether it used them. Without evidence it is
told from where the gold answer was seen, which tells less: ``basis`` says which of the two it was.

What is read are the messages alone, so that episodes of other harnesses can be dissected, too. Any call with a query is
a search, and any that names an address opens it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from webdancer_cli.data.records import Anatomy, Ending, Evidence, Failure, Message, SearchCall
from webdancer_cli.grading.exact_match import is_placeholder
from webdancer_cli.text.words import padded_words, sentences
from webdancer_cli.transcript.grammar import ToolCall, parse_turn, response_text
from webdancer_cli.web.urls import page_key

BY_ENDING: dict[Ending, Failure] = {
    "no_answer": "no_answer",
    "format_error": "no_answer",
    "call_limit": "cut_off",
    "token_limit": "cut_off",
    "time_limit": "cut_off",
}
"""What tells enough of an episode that ended without an answer."""
QUOTED_WORDS = 6
"""So many words in a row that the question has not are taken from the passage, not by chance the same."""
NO_TELLING = frozenset(["yes", "no", "true", "false", "none"])
"""Answers that stand in any text."""

_LISTED = re.compile(r"^\s*(\d+)\. \[.*\]\((\S+)\)\s*$", re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^\s<>\"'\]|]+", re.IGNORECASE)
_QUERIES = ("query", "queries", "q")


@dataclass
class Step:
    """A turn of the policy, and what it was shown after it. ``said`` is all that it wrote; texts are as
    ``padded_words`` has them, but for the ``raw`` observation."""

    said: str
    call: ToolCall | None
    answer: str = ""
    shown: str = ""
    raw: str = ""
    opened: frozenset[str] = frozenset()

    @property
    def is_search(self) -> bool:
        return self.call is not None and ("search" in self.call.name or any(q in self.call.arguments for q in _QUERIES))


@dataclass
class Passage:
    """A gold page, and when it was listed, opened and shown: the number of the step, or None."""

    page: str
    parts: list[str]
    is_whole: bool
    listed: int | None = None
    opened: int | None = None
    shown: int | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def failure(self) -> Failure | None:
        if self.shown is not None:
            return None
        if self.opened is None:
            return "never_surfaced" if self.listed is None else "not_opened"
        return "not_shown"


def dissect(
    messages: Sequence[Message],
    ending: Ending,
    question: str,
    golds: Sequence[str],
    evidence: Sequence[Evidence] = (),
    *,
    is_wrong: bool = True,
    retrieved: bool = False,
) -> Anatomy:
    """The anatomy of an episode; ``golds`` are the gold answer and its aliases. Only a wrong episode has a failure.

    ``retrieved``: what one search lists was put into the first message; that counts as its search and its visits.
    """
    steps = [*(_retrieval(messages[:1]) if retrieved else ()), *_steps(messages)]
    answers = [words for gold in golds if (words := _telling(gold))]
    passages = [_passage(part, answers) for part in evidence]
    for at, step in enumerate(steps):
        _follow(passages, at, step, answers)
    failure = BY_ENDING.get(ending) or _failure(steps, passages, answers, padded_words(question)) if is_wrong else None
    return Anatomy(
        basis="evidence" if passages else "answer",
        failure=failure,
        gold=len(passages),
        surfaced=sum(passage.listed is not None or passage.opened is not None for passage in passages),
        opened=sum(passage.opened is not None for passage in passages),
        shown=sum(passage.shown is not None for passage in passages),
        pages=len(frozenset().union(*(step.opened for step in steps))),
        searches=[_search(step, {passage.page for passage in passages}) for step in steps if step.is_search],
    )


# ---- what happened -------------------------------------------------------------------------------------------------


def _steps(messages: Sequence[Message]) -> Iterator[Step]:
    step: Step | None = None
    for message in messages:
        if message.role == "assistant":
            if step:
                yield step
            turn = parse_turn(message.content)
            opened = frozenset(_addresses(turn.call.arguments)) if turn.call else frozenset()
            step = Step(padded_words(message.content), turn.call, padded_words(turn.answer or ""), opened=opened)
        elif message.role == "user" and step and step.call:
            text = response_text(message.content)
            step.raw = message.content if text is None else text
            step.shown = padded_words(step.raw)
    if step:
        yield step


def _retrieval(first: Sequence[Message]) -> Iterator[Step]:
    for message in first:
        listed = frozenset(page for _, page in _listing(message.content))
        yield Step("", ToolCall("search", {}), "", padded_words(message.content), message.content, listed)


def _addresses(value: Any) -> Iterator[str]:
    """The keys of all addresses in the arguments of a call."""
    if isinstance(value, str):
        yield from map(page_key, _ADDRESS.findall(value))
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _addresses(part)


def _listing(text: str) -> list[tuple[int, str]]:
    """The results in an observation: rank, and key of the address. Without numbers, their order is their rank."""
    if numbered := _LISTED.findall(text):
        return [(int(rank), page_key(url)) for rank, url in numbered]
    urls = dict.fromkeys(page_key(url.rstrip(").,;")) for url in _ADDRESS.findall(text))
    return list(enumerate(urls, 1))


def _search(step: Step, pages: set[str]) -> SearchCall:
    ranks: dict[str, int] = {}
    for rank, page in _listing(step.raw):
        if page in pages:
            ranks[page] = min(rank, ranks.get(page, rank))
    return SearchCall(found=len(ranks), rank=min(ranks.values(), default=0))


def _passage(evidence: Evidence, answers: Sequence[str]) -> Passage:
    """A quote is shown as a whole, or in its sentences: those with the answer, or if none has it all of them."""
    parts = [padded_words(sentence) for sentence in sentences(evidence.quote)] or [""]
    telling = [part for part in parts if any(answer in part for answer in answers)]
    return Passage(page_key(evidence.url), telling or parts, is_whole=not telling)


def _follow(passages: Sequence[Passage], at: int, step: Step, answers: Sequence[str]) -> None:
    """Note what a step did for each gold page."""
    if step.call is None:
        return
    listed = {page for _, page in _listing(step.raw)}
    for passage in passages:
        is_open = passage.page in step.opened
        if passage.listed is None and passage.page in listed:
            passage.listed = at
        if passage.opened is None and is_open:
            passage.opened = at
        passage.seen.update(part for part in passage.parts if part.strip() and part in step.shown)
        if passage.shown is None and _is_shown(passage, step, answers, is_open=is_open):
            passage.shown = at


def _is_shown(passage: Passage, step: Step, answers: Sequence[str], *, is_open: bool) -> bool:
    if not any(part.strip() for part in passage.parts):
        return is_open  # the evidence names the page alone
    if not passage.is_whole and is_open and any(answer in step.shown for answer in answers):
        return True  # in other words, as a summariser writes them
    return len(passage.seen) == len(set(passage.parts)) if passage.is_whole else bool(passage.seen)


# ---- where it failed -----------------------------------------------------------------------------------------------


def _failure(
    steps: Sequence[Step], passages: Sequence[Passage], answers: Sequence[str], question: str
) -> Failure | None:
    """Where an episode failed that ended with an answer; None if that cannot be told."""
    if passages:
        first = next((failure for passage in passages if (failure := passage.failure)), None)
        if first:
            return first
        since = max(passage.shown or 0 for passage in passages)
        quotes = [part for passage in passages for part in passage.parts]
        return "answered_wrong" if _is_used(steps[since + 1 :], answers, quotes, question) else "not_used"
    if not answers:
        return None
    shown = next((at for at, step in enumerate(steps) if any(answer in step.shown for answer in answers)), None)
    if shown is None:
        return "never_surfaced"
    return "answered_wrong" if _is_used(steps[shown + 1 :], answers, [], question) else "not_used"


def _is_used(steps: Sequence[Step], answers: Sequence[str], quotes: Sequence[str], question: str) -> bool:
    """Whether the policy's words name the gold answer, quote the passage, or give an answer that stands in it.

    What the question says itself tells nothing.
    """
    names = [answer for answer in answers if answer not in question]
    runs = {run for quote in quotes for run in _runs(quote) if run not in question}
    if any(part in step.said for step in steps for part in (*names, *runs)):
        return True
    given = steps[-1].answer if steps else ""
    return bool(given.strip()) and given not in question and any(given in quote for quote in quotes)


def _runs(quote: str) -> Iterator[str]:
    """All runs of ``QUOTED_WORDS`` words; a shorter quote as a whole."""
    words = quote.split()
    for at in range(max(1, len(words) - QUOTED_WORDS + 1)):
        yield f" {' '.join(words[at : at + QUOTED_WORDS])} "


def _telling(gold: str) -> str:
    """A gold answer as words to look for; "" for one that stands in any text."""
    words = padded_words(gold)
    bare = words.strip()
    return "" if is_placeholder(gold) or bare in NO_TELLING or not bare or (bare.isdigit() and len(bare) < 2) else words

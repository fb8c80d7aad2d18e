"""The plan behind a question: what is looked up on which page, what each page gives, and what is left.

All of it is read off the question and its gold chain, and said only as far as a person could know it by then: a step
is named in words of the question, what it gave by what the page said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.checks import answer_parts
from webdancer_cli.text.months import MONTH
from webdancer_cli.text.names import mentions, whole_words
from webdancer_cli.text.words import STOPWORDS, content_stems, stem
from webdancer_cli.transcript.grammar import escape_tags
from webdancer_cli.web.extract.titles import title_parts

DERIVED = ("count", "intersection", "comparison", "temporal")
"""Question types whose answer follows from all quotes together; elsewhere the last one holds it."""

_ASKING = STOPWORDS | {"according", "called", "many", "much", "name", "number", "page"}
"""Words by which a question asks, not what it asks for."""


_COMPARING = {"between", "earlier", "earliest", "first", "last", "later", "latest", "passed", "years"}
_RANKING = re.compile(
    r"\b(earli|lat|old|young|great|high|low|larg|small|big|long|short|few|heavi|tall)(?:er|est)\b|\b(first|last|most|least|more|less|ahead)\b",
    re.IGNORECASE,
)
_BEFORE_NOUN = "(?:the|its|his|her|their|whose|an?)"


@dataclass(frozen=True)
class PlanStep:
    """What one page is read for. ``gives`` is what it tells, "" where that is more than a name, a date or a number.

    A page in ``passing`` only says where the next one is found, which nobody knows before it was read.
    """

    label: str
    gives: str
    passing: bool = False


def steps_of(qa: QA) -> list[PlanStep]:
    """A step for each page of the evidence, in the order of reading."""
    pages = qa.evidence
    following = targets_of(qa)
    named = [escape_tags(label) for label in qa.plan] if len(qa.plan) == len(pages) else []
    if named and named[-1]:
        return [_named_step(qa, named, at, after) for at, after in enumerate(following[: len(named)])]
    steps = []
    for at, (page, after) in enumerate(zip(pages, following, strict=False)):
        found = _described(qa, page)
        label = found or _label(qa, page)
        gives = subject_of_title(page) if found else after
        told = mentions(page.quote, gives) and (qa.type not in DERIVED or at < len(qa.chain))
        steps.append(PlanStep(label, gives if told and not _same(gives, page, found) else ""))
    return steps


def targets_of(qa: QA) -> list[str]:
    """What is read off each piece of evidence: the next page's subject, at last the answer, or a part of it."""
    parts = [escape_tags(part) for part in answer_parts(qa)]
    return parts if len(parts) > 1 else [*(subject_of_title(page) for page in qa.evidence[1:]), *parts]


def _named_step(qa: QA, named: Sequence[str], at: int, after: str) -> PlanStep:
    """A step of ``QA.plan``: an empty label means a page in passing, and "ship whose …" gives the ship itself."""
    label = next(label for label in named[at:] if label)
    page = qa.evidence[at]
    found = subject_of_title(page) if " whose " in label else ""
    told = found or next((value for name, value in page.facts.items() if f"{label} of ".startswith(f"{name} of ")), "")
    told = told or (after if qa.type not in DERIVED and mentions(page.quote, after) else "")
    return PlanStep(label, told, passing=not named[at])


def left_after(steps: Sequence[PlanStep], done: int) -> list[str]:
    """The labels of the steps that are still to do, in order.

    Of a group, whose pages are all read for the same, what is left is said once: how many they are is not known yet.
    """
    left = [step for step in steps[done:] if not step.passing]
    return [step.label for at, step in enumerate(left) if at == 0 or step.gives or step != left[at - 1]]


def chain_after(qa: QA, steps: Sequence[PlanStep], done: int) -> tuple[str, list[str]]:
    """What is left of a chain: the name that is known by now, and what is asked of it, and of that in turn.

    After the first step of "the teacher of the mayor of Velmora" that is ("Dolvek", ["teacher"]). Where the question
    only describes what the chain begins with, no name is known at first, "". No labels where the steps are no chain.
    """
    told = [step for step in steps[:done] if not step.passing]
    if qa.type in (*DERIVED, "several") or not all(step.gives for step in told):
        return "", []
    labels = [step.label for step in steps[done:] if not step.passing]
    if any(label.startswith("“") for label in labels):
        return "", []
    start = subject_of_title(qa.evidence[0]) if qa.evidence else ""
    known = told[-1].gives if told else start if mentions(escape_tags(qa.question), start) else ""
    return known, labels


def ranking_word(question: str) -> str:
    """By what a question compares, in its own words: "earlier", "highest", "first"; "" if it has none of these."""
    found = _RANKING.search(question)
    return found[0].lower() if found else ""


def answer_kind(question: str, answer: str) -> str:
    """Which kind of answer a question is after: "yes or no", "year", "date", "number", "list", "person" or "name"."""
    if answer.strip(" .").casefold() in ("yes", "no"):
        return "yes or no"
    if re.search(MONTH, answer) and re.search(r"\d", answer):
        return "date"
    if re.fullmatch(r"[\d.,]+( \w+)?", answer.strip()):
        return (
            "year" if re.search(r"\b(when|year)\b", question, re.I) and "how many" not in question.lower() else "number"
        )
    if re.search(r", | and ", answer):
        return "list"
    return "person" if re.match(r"\W*who\b", question, re.I) else "name"


def subject_of_title(evidence: Evidence) -> str:
    """A title's subject: what stands before the dash or bar in "json — JSON encoder" or "Velmora | Gazetteer"."""
    return escape_tags(next(iter(title_parts(evidence.title)), ""))


def search_words(text: str) -> list[str]:
    """A text without its small words, as one types it into a search box."""
    bare = (part.strip(".,;:?!\"'()[]“”‘’«»") for part in text.split())
    return [word for word in bare if word and word.casefold() not in _ASKING]


def shared_words(question: str, quote: str, name: str) -> list[str]:
    """The question's words that the quote has and the name has not, in the question's order."""
    wanted = content_stems(quote) - content_stems(name)
    return list(dict.fromkeys(word for word in search_words(question) if content_stems(word) & wanted))


def substitute_fact(words: Sequence[str], fact: str) -> list[str]:
    """Words of a question, in which what a fact tells takes the place of the words by which it was asked for.

    "birthplace twin town Linvelo" and "The twin town of Linvelo is Falkeli." give "birthplace Falkeli".
    """
    known = content_stems(" ".join(words))
    news = [word for word in search_words(fact) if not content_stems(word) <= known]
    covered = [at for at, word in enumerate(words) if content_stems(word) <= content_stems(fact)]
    if not news or not covered:
        return list(words)
    rest = [word if at not in covered else "" for at, word in enumerate(words)]
    rest[covered[0]] = " ".join(news)
    return [word for part in rest for word in part.split()]


def _same(gives: str, page: Evidence, found: str) -> bool:
    """Whether a page would give nothing but its own name."""
    return not found and gives.casefold() == subject_of_title(page).casefold()


def _described(qa: QA, page: Evidence) -> str:
    """How the question describes the entity of a page in place of its name, so that it has to be found: else ""."""
    own = (rewrite for rewrite in qa.chain if rewrite.url == page.url and rewrite.sentence == page.quote)
    name = subject_of_title(page)
    return next((escape_tags(rewrite.description) for rewrite in own if rewrite.entity == name), "")


def _label(qa: QA, page: Evidence) -> str:
    """What a page is read for, in the question's words: "main company"; with the page's name where it is compared."""
    question, name = escape_tags(qa.question), subject_of_title(page)
    if qa.type not in DERIVED:
        return _noun(question, page.quote, name) or _key_words(question, page.quote, name)
    quotes = " | ".join(other.quote for other in qa.evidence if other.url == page.url)
    names = " ".join(subject_of_title(other) for other in qa.evidence)
    noun = _noun(question, quotes, names)
    if not mentions(question, name):
        return noun or _key_words(question, quotes, names)
    return f"{noun} of {name}" if noun else f"facts on {name}"


def _noun(question: str, quote: str, name: str) -> str:
    """The noun by which the question asks for what a quote says, as the question has it; "" if it asks otherwise."""
    words = [word for word in shared_words(question, quote, name) if word.casefold() not in _COMPARING]
    asked = re.search(r"\b(?:which|what) (\w+)", question, re.IGNORECASE)
    for label in (_run(words, quote), asked[1] if asked and asked[1] in words else ""):
        found = re.search(rf"(?:\b{_BEFORE_NOUN}|['’]s) (?:\w+ )?({whole_words(label)})", question, re.IGNORECASE)
        if label and found:
            return found[1]
    return asked[1] if asked and asked[1] in words else ""


def _key_words(question: str, quote: str, name: str) -> str:
    """The words that question and quote share, in quotation marks: they are no noun, but will be recognised."""
    words = shared_words(question, quote, name) or search_words(question)[:4]
    telling = [word for word in words if word.casefold() not in _COMPARING]
    return f"“{' '.join(telling or words)}”"


def _run(words: Sequence[str], quote: str) -> str:
    """The longest run of these words in a quote."""
    wanted = {stem(word.casefold()) for word in words}
    runs: list[list[str]] = [[]]
    for part in re.findall(r"[\w'’-]+|\|", quote):
        if stem(part.casefold()) in wanted and part.casefold() not in map(str.casefold, runs[-1]):
            runs[-1].append(part)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return " ".join(longest)

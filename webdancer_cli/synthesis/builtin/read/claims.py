"""What single sentences of a page claim, as questions: read once, asked when the whole site is known.

Where pages are tied by many relations, these are asked for and chained, and no single sentence is.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.builtin.read.abbreviations import read_abbreviations
from webdancer_cli.synthesis.builtin.read.clause_questions import ClauseQuestion, ask_about_clause, office, sizes
from webdancer_cli.synthesis.builtin.read.clauses import PRESENT, Clause, is_participle, read_clauses, read_tail
from webdancer_cli.synthesis.builtin.read.described import read_described
from webdancer_cli.synthesis.builtin.read.facts import SUBJECT
from webdancer_cli.synthesis.builtin.read.kinds import kind_of
from webdancer_cli.synthesis.builtin.read.means import read_means
from webdancer_cli.synthesis.builtin.read.names import PageNames
from webdancer_cli.synthesis.builtin.read.sentence_subjects import AttributedSentence, prose, read_subjects
from webdancer_cli.synthesis.builtin.read.statements import KINDS, THIRD_PERSONS, statement_about
from webdancer_cli.synthesis.builtin.read.term_definitions import read_term_statements
from webdancer_cli.synthesis.page_topic import Topic, lead_of, lead_sentences
from webdancer_cli.synthesis.standalone import is_ephemeral, shares_telling_word, word_set
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import squeeze

MAX_ALIKE = 2
"""Abbreviations and rows of tables beside other claims of a page."""
MAX_CLAIMS = 30
"""Claims of one page at most: no more are drawn from."""
_TAIL = re.compile(
    r"^(?P<aux>is|was) (?:an?|the) (?P<kind>(?:(?!\b(?:that|which|who)\b)[^,;:])*?) "
    r"(?P<tail>(?P<verb>[a-z]+) (?:in|on|by|at|under|after|near) .+)$"
)
_FOUNDED = re.compile(
    r"^(?:is|was) (?:an?|the) [^,;:()]+, (?P<tail>(?P<verb>[a-z]+) (?:in|on|by|at|between|under|after|near) .+)$"
)
"""What a definition goes on with: "is a university in Tarn, founded in 1693 by Aldous Finch"."""
LABELLED_CHARS = 3000
"""Where a page about one thing has its box of facts."""
_ROW = re.compile(
    r"^(?:\| ?(?P<row>[A-Z][a-z]+(?: [a-z]+){0,3}) ?:? ?\| ?(?P<cell>[^|]+?) ?\|"
    r"|(?P<line>[A-Z][a-z]+(?: [a-z]+){0,2}): (?P<rest>\S.*))$"
)
_NO_LABELS = word_set(
    "note example default type version status value syntax module column updated modified accessed created revised"
    " changed last latest update date"
)
_OF_MANUALS = re.compile(KINDS)
"""What a page of a manual is about: there a line with a label is mostly a command's output."""
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do"}
_MANY = re.compile(rf"\b(?P<aux>{'|'.join(_PLURAL)}) {SUBJECT}")
"""Of the Orbis Players, whom later sentences may call a company."""
_ASKED_FOR = re.compile(r"\b(?:Licen[cs]e|River)\b")
"""What a question may say of its answer: "under which licence", "on which river"."""
_MEANDERS = re.compile(
    r"[;:—–“\"]|, (?:and|but|so|then|while)\b|\bI\b|\b(?:thus|therefore|hence)\b"
    r"|^(?:does|is|was|has|can) ?not\b|^(?:is|has) no\b"
    r"| and (?:the|an?|it|[A-Z]\S*) (?:\S+ ){0,4}(?:is|are|has|uses|contains|[a-z]+es|[a-z]+s (?:the|an?))\b"
)
_BRACKETS = re.compile(r"(?<=The )(\S+) \([^()]*\)")
_POINTS = re.compile(r"\b(?:[Tt]able|[Ff]igure|[Ss]ection|[Cc]hapter|[Aa]ppendix) [A-Z]?\d|\bdescribed in\b")
_CODED = re.compile(r"[_./()\d]|[a-z][A-Z]|^[A-Z]{5,}$|^[a-z]+(?:-[a-z]+)+$")
_VERB = re.compile(rf"(?:is|was|has|can|{'|'.join(sorted({*THIRD_PERSONS, *PRESENT}))}) ")
_OF_CONTEXT = re.compile(
    r"\b(?:our|my|we|us)\b|\bthat particular\b"
    r"|\bthe (?:function|method|class|module|arguments?|parameters?|option|attribute|field|variable|setting|call)"
    r"\b(?! (?:of|for|in which|named|called|that|which)\b)"
)
"""What only the sentences around explain."""
_DAY = r"(?:\d{1,2} [A-Z][a-z]+ |[A-Z][a-z]+ \d{1,2}, )?"
_LIFE = re.compile(rf"^ \((?P<born>{_DAY}1\d{{3}}) ?[–-] ?(?P<died>{_DAY}(?:1\d|20)\d\d)\)")
_WORK = re.compile(
    r"^(?:is|was) an? (?:[a-z-]+ )*?(?P<kind>[a-z]+) by (?P<name>[A-Z][\w’'-]*(?: (?:[A-Z]\.|[A-Z][\w’'-]*)){0,3})\.?$"
)
_MADE_BY = {
    **dict.fromkeys(word_set("novel book play poem essay story memoir treatise"), "wrote"),
    **dict.fromkeys(word_set("painting portrait fresco mural"), "painted"),
    **dict.fromkeys(word_set("opera symphony song sonata"), "composed"),
    **dict.fromkeys(word_set("film documentary"), "directed"),
}
_SITED = re.compile(
    r"^(?:is|was) an? (?:[a-z-]+ )*?(?P<kind>[a-z]+)(?: of [a-z]+)? (?:in|on|near|off) (?P<where>(?:the )?[^,;]*?)[.,]"
)
_SITES = word_set(
    "lake river mountain hill island valley glacier peninsula bay waterfall bridge tower castle church cathedral museum"
    " town city village hamlet park garden station lighthouse fort palace theatre monastery abbey canal dam harbour"
    " university college school hospital reservoir cave forest volcano desert pass"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """``question`` has the mark ``facts.SUBJECT`` for the page's subject, if it is ``own``, and begins in lower case.

    ``quotes`` prove the answer; before a sentence that says "it" stands one that names the subject.
    """

    question: str
    answer: str
    quotes: tuple[str, ...]
    own: bool
    by_time: bool = False
    is_name: bool = False
    """Whether what the sentence is about answers."""
    aliases: tuple[str, ...] = ()
    by_the_dozen: bool = False
    """Whether a page has many of the kind, all alike: abbreviations, rows of a table."""


def read_claims(page: Page, topic: Topic) -> list[Claim]:
    """The claims of a page about ``thing``, in page order, each answer to a verb once."""
    text = squeeze(page.text)
    found: dict[tuple[str, ...], Claim] = {}
    for claim, about in _all_claims(page, topic):
        if all(quote and quote in text for quote in claim.quotes) and is_fair(claim, topic):
            found.setdefault((claim.answer, about), claim)
    said = {(claim.answer, claim.quotes[-1]): about for about, claim in reversed(found.items())}
    found = {about: claim for about, claim in found.items() if said[claim.answer, claim.quotes[-1]] == about}
    answers = Counter(claim.question for claim in found.values())
    unique = [claim for claim in found.values() if answers[claim.question] == 1]
    facts = [claim for claim in unique if not claim.by_the_dozen][:MAX_CLAIMS]
    alike = [claim for claim in unique if claim.by_the_dozen]
    random.Random(page.url).shuffle(alike)
    return [*facts, *alike[: MAX_ALIKE if facts else MAX_CLAIMS]]


def _all_claims(page: Page, topic: Topic) -> Iterator[tuple[Claim, str]]:
    """Every claim, with what it is about: of two that give the same answer to the same verb, one is enough."""
    opening = lead_sentences(page.text)
    lead = lead_of(opening, topic.name) if topic.name else ""
    many = lead_of(opening, f"{topic.name} are ") != ""
    names = PageNames(page)
    for spoken in read_subjects(page, topic, names):
        quotes = (spoken.quote,) if spoken.named else (lead_of(opening, spoken.called), spoken.quote)
        for asked in _asked(spoken, topic):
            question = _MANY.sub(_in_plural, asked.question) if many else asked.question
            claim = Claim(question, asked.answer, quotes, spoken.own, asked.by_time, asked.is_name)
            yield claim, "name" if asked.is_name else f"{asked.verb} {asked.by_time}"
    for means in read_means(prose(page.text), names):
        yield Claim(means.question, means.answer, (means.quote,), own=False), means.quote
    yield from ((claim, claim.question) for claim in _from_rows(page, topic, lead))
    yield from ((claim, claim.question) for claim in _from_entries(page.text))


def _in_plural(found: re.Match[str]) -> str:
    return f"{_PLURAL[found['aux']]} {SUBJECT}"


def _from_rows(page: Page, topic: Topic, lead: str) -> Iterator[Claim]:
    """Rows and lines with a label, as in a box of facts: "Surface area | 42 km²", "Release date: 2023-08-10"."""
    for line in map(squeeze, page.text[:LABELLED_CHARS].splitlines()):
        row = _ROW.match(line)
        value = kind_of(row["cell"] or row["rest"]) if row else None
        label = (row["row"] or row["line"]).casefold() if row else ""
        if value is None or not _NO_LABELS.isdisjoint(label.split()):
            continue
        dated = value.kind in ("year", "time")
        sized = value.kind == "size" or (value.kind == "number" and not value.counted and topic.kind in _SITES)
        if not dated and not (sized and topic.kind and not _OF_MANUALS.fullmatch(topic.kind)):
            continue
        question = f"what is the {label} of {SUBJECT}"
        if dated and is_participle(label):
            question = f"{'in which year' if value.kind == 'year' else 'when'} was {SUBJECT} {label}"
        quote = line.strip("| ")
        quotes = (quote,) if topic.name in quote else tuple(filter(None, (lead, quote)))
        yield Claim(question, value.text, quotes, own=True, by_time=dated)


def _from_entries(text: str) -> Iterator[Claim]:
    for said in read_term_statements(text):
        alike = said.by_the_dozen
        yield Claim(said.question, said.answer, said.quotes, own=False, aliases=said.aliases, by_the_dozen=alike)
    for described in read_described(text):
        yield Claim(described.question, described.answer, (described.quote,), own=False, by_the_dozen=True)
    for found in read_abbreviations(text):
        question = f"what does the abbreviation {found.short} stand for"
        yield Claim(question, found.full, (found.quote,), own=False, by_the_dozen=True)


def is_fair(claim: Claim, topic: Topic) -> bool:
    """Whether the question neither names its answer, nor a telling word of it, nor asks what its subject is called."""
    question = claim.question.replace(SUBJECT, topic.name)
    if _POINTS.search(question) or _POINTS.search(claim.answer):
        return False
    told = shares_telling_word(question, _ASKED_FOR.sub("", claim.answer)) or mentions(question, claim.answer)
    asks_back = not claim.is_name and mentions(claim.answer, topic.name)
    return not told and not asks_back and SUBJECT not in claim.answer


def _asked(spoken: AttributedSentence, topic: Topic) -> Iterator[ClauseQuestion]:
    for clause in _clauses(spoken):
        person = spoken.own and topic.person and not spoken.noun
        yield from ask_about_clause(clause, spoken.subject, noun=spoken.noun, own=spoken.own, person=person)
        if spoken.own and not spoken.noun:
            yield from sizes(clause, spoken.predicate, spoken.subject)
        if spoken.own and not spoken.noun:
            yield from (
                ClauseQuestion(question, topic.name, is_name=True) for question in office(clause, person=person)
            )
    if spoken.own and not spoken.noun and not topic.person:
        yield from _defined(spoken.predicate)
    if spoken.name and (question := _for_name(spoken)):
        yield ClauseQuestion(question, spoken.name, verb=question, is_name=True)
    if spoken.own and not spoken.noun and topic.person:
        yield from _lived(spoken, topic)


def _for_name(spoken: AttributedSentence) -> str:
    """The question that the sentence's own subject answers: "which command lists …"; "" if that asks too little.

    Without a noun for what the name is, only a definition or a name that cannot be a word of plain English will do.
    """
    said = statement_about(_BRACKETS.sub(r"\1", spoken.quote), spoken.name, "")
    if said is None or said.form != "about" or _MEANDERS.search(spoken.predicate):
        return ""
    if is_ephemeral(spoken.predicate) or _OF_CONTEXT.search(spoken.predicate):
        return ""
    asks_for_kind = said.question.startswith(("which ", "what is the name of the "))
    if len(spoken.name.split()[-1]) < 3 and not said.question.startswith("which "):
        return ""
    is_spelled = _CODED.search(spoken.name)
    return said.question if asks_for_kind or (is_spelled and _VERB.match(spoken.predicate)) else ""


def _clauses(spoken: AttributedSentence) -> Iterator[Clause]:
    founded = _FOUNDED.match(spoken.predicate) if spoken.own else None
    if founded and (tail := read_tail("was", founded["tail"])):
        yield tail
    if found := _TAIL.match(spoken.predicate.rstrip(".")):
        tail = read_tail(found["aux"], found["tail"])
        if tail:
            yield tail
            return
    yield from read_clauses(spoken.predicate, spoken.setting)


def _lived(spoken: AttributedSentence, topic: Topic) -> Iterator[ClauseQuestion]:
    """The years in parentheses behind a person's name."""
    _, named, rest = spoken.quote.partition(topic.name)
    if named and (found := _LIFE.match(rest)):
        for when, said, verb in (
            (found["born"], f"was {SUBJECT} born", "born"),
            (found["died"], f"did {SUBJECT} die", "died"),
        ):
            yield ClauseQuestion(f"{'in which year' if when.isdigit() else 'when'} {said}", when, True, verb)


def _defined(predicate: str) -> Iterator[ClauseQuestion]:
    """Who made it, or where it is, as the sentence says that tells what it is."""
    if (found := _WORK.match(predicate)) and found["kind"] in _MADE_BY:
        yield ClauseQuestion(f"who {_MADE_BY[found['kind']]} {SUBJECT}", found["name"], verb="made")
    if (found := _SITED.match(predicate)) and found["kind"] in _SITES:
        where = kind_of(found["where"])
        if where and where.kind == "name":
            yield ClauseQuestion(f"where is {SUBJECT}", where.core, verb="sited")

"""What a page states of its subject in numbers: the year of an event, or a size.

Only sentences that name the subject and rows of tables are read ("Velmora was founded in 1320", "Population | 58,275"),
and only for events and sizes that have a wording here. What a page states in two ways that differ, it does not state.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.page_topic import Topic, lead_of, lead_sentences
from webdancer_cli.text.months import MONTH
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans


@dataclass(frozen=True, order=True, slots=True)
class Attribute:
    """What is stated, and how to speak of it: who ``more``, or who ``less``. ``unit`` keeps metres from miles.

    An event also has ``verb`` ("was founded") and ``noun`` ("founding"); its value is a year.
    """

    more: str
    less: str
    unit: str = ""
    verb: str = ""
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """``value`` is what the attribute of the page's subject is; ``quotes`` state it, the first one by its name."""

    attribute: Attribute
    value: int
    quotes: tuple[str, ...]


_EVENTS = {
    ("was founded", "founding"): "founding year|year of foundation|founded|established|foundation",
    ("was born", "birth"): "birth year|year of birth|born",
    ("died", "death"): "death year|year of death|died",
    ("was published", "publication"): "publication year|year of publication|published|publication",
    ("was released", "release"): "release year|year of release|released|release date|initial release",
    ("opened", "opening"): "opening year|year of opening|opened|opening",
    ("was completed", "completion"): "completion year|completed|year of completion",
}
_SIZES = {
    "population": ("has more inhabitants", "has fewer inhabitants"),
    "length": ("is longer", "is shorter"),
    "height": ("is taller", "is shorter"),
    "width": ("is wider", "is narrower"),
    "depth": ("is deeper", "is shallower"),
    "area": ("has the larger area", "has the smaller area"),
    "elevation": ("has the higher elevation", "has the lower elevation"),
}
_COUNTED = "bridges employees inhabitants members pages poems scenes seats speakers students visitors"
_YEAR = rf"(?:(?:\d{{1,2}} )?(?:{MONTH}) (?:\d{{1,2}}, )?)?(?P<year>[12]\d{{3}})"
_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+|\d+)(?: (?P<unit>[a-z]+(?: [a-z]+)?))?"
_VALUE = re.compile(rf"{_YEAR}|{_NUMBER}")
_ROW = re.compile(r"^\|? ?(?P<label>[A-Z][a-z]+(?: [a-z]+){0,5}) ?[|:] ?(?P<value>[^|]+?) ?\|?$")
_LABELLED = re.compile(
    r"^(?:The (?P<noun>[a-z][a-z ]+) of SUBJECT|SUBJECT's (?P<own>[a-z][a-z ]+)) (?:is|was) (?P<value>.+)$"
)
_HAPPENED = re.compile(
    rf"^SUBJECT(?: \([^)]*\))? (?P<verb>(?:was |has been )?(?:first )?[a-z]+ed|was born) (?:in|on) {_YEAR}"
    r"(?=$|[.,;]| by )"
)
_SIZED = re.compile(rf"^SUBJECT has (?:a (?P<noun>population) of )?{_NUMBER}$")
_EXTENDS = re.compile(rf"^SUBJECT is {_NUMBER} (?P<how>long|high|tall|wide|deep)$")
_HOW = {"long": "length", "high": "height", "tall": "height", "wide": "width", "deep": "depth"}


def read_measures(page: Page, topic: Topic) -> list[Measure]:
    """The measures of a page about ``thing``, in page order. A sentence is quoted rather than a row."""
    found: dict[Attribute, list[tuple[int, str]]] = {}
    for attribute, value, quote in (*_from_sentences(page.text, topic), *_from_rows(page.text)):
        found.setdefault(attribute, []).append((value, quote))
    lead = lead_of(lead_sentences(page.text), topic.name)
    return [
        Measure(attribute, stated[0][0], _named(stated[0][1], topic.name, lead))
        for attribute, stated in found.items()
        if len({value for value, _ in stated}) == 1 and (lead or topic.name in stated[0][1])
    ]


def _named(quote: str, name: str, lead: str) -> tuple[str, ...]:
    """The quote; a row, which names nobody, after the lead that says whose row it is."""
    return (quote,) if name in quote else (lead, quote)


def _from_rows(text: str) -> Iterator[tuple[Attribute, int, str]]:
    for line in map(squeeze, text.splitlines()):
        row = _ROW.match(line)
        if row and (stated := _stated(row["label"].lower(), row["value"])):
            yield *stated, line.strip("| ")


def _from_sentences(text: str, topic: Topic) -> Iterator[tuple[Attribute, int, str]]:
    for start, end in sentence_spans(text) if topic.name else ():
        quote = squeeze(text[start:end])
        if topic.name in quote and re.search(r"\d", quote) and (stated := _said(quote, topic.name)):
            yield *stated, quote


def _said(sentence: str, name: str) -> tuple[Attribute, int] | None:
    """What a sentence that opens with its subject says of it."""
    marked = re.sub(rf"(?:\b[Tt]he )?\b{re.escape(name)}(?!\w)", "SUBJECT", sentence.replace("’", "'")).rstrip(".")
    if found := _HAPPENED.match(marked):
        attribute = _event(found["verb"].removeprefix("was ").removeprefix("first "))
        return (attribute, int(found["year"])) if attribute else None
    if found := _LABELLED.match(marked):
        return _stated(found["noun"] or found["own"], found["value"])
    if found := _EXTENDS.match(marked):
        return _size(_HOW[found["how"]], found["unit"] or "", found["number"])
    if found := _SIZED.match(marked):
        return _size(found["noun"] or f"number of {found['unit']}", "", found["number"])
    return None


def _stated(label: str, value: str) -> tuple[Attribute, int] | None:
    """Attribute and value of a row, or of "the founding year of Velmora is 1320"."""
    found = _VALUE.fullmatch(value.strip())
    if not found:
        return None
    if attribute := _event(label):
        return (attribute, int(found["year"])) if found["year"] else None
    noun, _, unit = label.partition(" in ")
    return _size(noun, unit or found["unit"] or "", found["number"] or found["year"])


def _event(label: str) -> Attribute | None:
    for (verb, noun), labels in _EVENTS.items():
        if label in labels.split("|"):
            return Attribute(f"{verb} later", f"{verb} earlier", "", verb, noun)
    return None


def _size(noun: str, unit: str, number: str) -> tuple[Attribute, int] | None:
    value = int(number.replace(",", ""))
    counted = noun.removeprefix("number of ")
    if counted in _COUNTED.split():
        return Attribute(f"has more {counted}", f"has fewer {counted}"), value
    return (Attribute(*_SIZES[noun], unit), value) if noun in _SIZES else None

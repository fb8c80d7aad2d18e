"""Tables and lists of names and what they mean: "| Option | Description |" and a row for each option.

Cells may have run together in one, as in "| Column Type Description |". In a list: "- svn-tools: programs to …".
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.synthesis.builtin.read.term_definitions import IS_TYPE
from webdancer_cli.synthesis.standalone import count_telling_words, is_gloss, word_set
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans

_SORTS = word_set(
    "option command directive variable column field parameter argument function method flag attribute property signal"
    " key setting module macro keyword package file tool program operator opcode event token header privilege constant"
)
_EXPLAINS = word_set("description meaning purpose effect explanation")
_NAME = r"(?!\d+$)(?:--?\w[\w-]*|[\w$.:/+-]*\w(?:\(\))?)"
_ROW = re.compile(r"^\| (?P<cells>.+) \|$")
_TOGETHER = re.compile(rf"^(?P<name>{_NAME}) [a-z]\w*(?:\[\])?(?: \(references [^()]*\))? (?P<meaning>[A-Z].+)$")
"""A name, its type, what it refers to, and what it means."""
_CODE = r"[a-z][a-z\d]*(?:[-_.+][a-z\d.+]+)+|/[\w./-]+\w|[a-z]+[A-Z]\w*|\w+\(\d?\)"
_ENTRY = re.compile(rf"^- (?:(?P<name>{_CODE})(?:: | [—–-] |, (?=an? )| (?=an? ))(?P<meaning>\S.+))$")
_CHANGE = re.compile(r"#\d{2,}|\b(?:fix(?:es|ed)?|bug|issue|regression)\b", re.IGNORECASE)
"""Marks of a list of changes, which names what was changed and not what it is for."""
_NO_MEANING = re.compile(
    r"[;:?“”\"=]|#\d|\b(?:see|this|it|its|you|your|defaults?)\b"
    r"|^(?:[Ii]f|Some|Many|Most|All|Each|When|For|In|There|They|By)\b"
)
"""A sentence that goes on about something, and not what a name means."""
MIN_CHANGES = 12
_ELSEWHERE = re.compile(r"(?:\d[\d.]* )?(?:see also|related (?:commands|pages|topics)|references)[.:]?", re.IGNORECASE)
"""What stands under such a heading tells of other pages, which say it themselves."""
MIN_WORDS, MAX_WORDS, MIN_TELLING = 4, 16, 2


@dataclass(frozen=True, slots=True)
class Described:
    """``question`` begins in lower case and ends without its mark; ``quote`` is the row without its outer bars."""

    question: str
    answer: str
    quote: str


def read_described(text: str) -> Iterator[Described]:
    """The rows and entries whose meaning no other one of the text has."""
    rows = [*_rows(text), *_entries(text)]
    met = Counter(meaning for _, _, meaning, _ in rows)
    names = Counter(name for _, name, _, _ in rows)
    for sort, name, meaning, quote in rows:
        if met[meaning] == 1 and names[name] == 1 and _tells(meaning, name):
            asked = f"which {sort}" if sort else "what"
            yield Described(f"{asked} is described as “{meaning}”", name, quote)


def _rows(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Sort, name, meaning and quote of the rows under heads that say which cell is what."""
    sort, place, count = "", 0, 0
    for line in map(squeeze, text.splitlines()):
        row = _ROW.match(line)
        if not row:
            sort = ""
            continue
        cells = row["cells"].split(" | ")
        head = _head(cells)
        if head:
            (sort, place), count = head, len(cells)
        elif sort and len(cells) == count:
            yield from ((sort, *found, row["cells"]) for found in _named(cells, place))


def _entries(text: str) -> Iterator[tuple[str, str, str, str]]:
    """The entries of lists, of two at least, that explain a name each. What a list of changes says is no meaning."""
    if len(_CHANGE.findall(text)) >= MIN_CHANGES:
        return
    row: list[re.Match[str]] = []
    elsewhere = False
    for line in [*map(squeeze, text.splitlines()), ""]:
        entry = None if elsewhere else _ENTRY.match(line)
        if line and not line.startswith("- "):
            elsewhere = _ELSEWHERE.fullmatch(line) is not None
        if entry:
            row.append(entry)
        elif row:
            for found in row if len(row) > 1 else ():
                yield "", found["name"], _first_sentence(found["meaning"]), found.group()[2:]
            row = []


def _head(cells: list[str]) -> tuple[str, int] | None:
    """Sort and place of the meaning, -1 if all stands in one cell."""
    words = [cell.casefold().split() for cell in cells]
    sort = words[0][0].removesuffix("s") if words[0] else ""
    if sort not in _SORTS:
        return None
    if len(cells) == 1:
        return (sort, -1) if words[0][1:] == ["type", "description"] else None
    place = next((at for at, cell in enumerate(words) if at and cell and cell[-1] in _EXPLAINS), 0)
    return (sort, place) if place and len(words[0]) <= 2 else None


def _named(cells: list[str], place: int) -> Iterator[tuple[str, str]]:
    if place < 0:
        found = _TOGETHER.match(cells[0])
        name, meaning = (found["name"], found["meaning"]) if found else ("", "")
    else:
        name, meaning = cells[0], cells[place]
    if re.fullmatch(_NAME, name):
        yield name, _first_sentence(meaning)


def _first_sentence(text: str) -> str:
    start, end = next(sentence_spans(text), (0, 0))
    return text[start:end].rstrip(".;,")


def _tells(meaning: str, name: str) -> bool:
    long_enough = MIN_WORDS <= len(meaning.split()) <= MAX_WORDS and count_telling_words(meaning) >= MIN_TELLING
    return (
        long_enough
        and len(name) > 1
        and not _NO_MEANING.search(meaning)
        and not IS_TYPE.match(meaning)
        and is_gloss(meaning, name)
    )

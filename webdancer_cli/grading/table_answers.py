"""Answers that are tables (WideSearch): rows found by their keys, cells compared by the rule of their column.

As in the set's own evaluation, the columns have to be those that are asked for; a given row is a known one if all its
keys are; a row is right if all its cells are; and F1 over rows and over items (cells, keys among them) says how near a
table came. Names of columns, keys, and cells of columns that say so are a judge's matter where they are not the same by
rule. Unlike there, a row that a judge finds to be another one's double is right once, the judge reads cells as they are
written, and of two cells without a date, a number or a URL neither is the other's unless they say the same.
"""

import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit

from webdancer_cli.data.table_questions import ColumnRule, TableRules, column_name, gold_answer
from webdancer_cli.grading.exact_match import normalise_answer
from webdancer_cli.text.dates import read_date
from webdancer_cli.text.markdown_tables import MarkdownTable, read_markdown_tables

EMPTY = "nan"
"""What an empty cell, or one that says that it is, is compared as."""
_SAYS_EMPTY = frozenset(["", "n/a", "na", "#n/a", "<na>", "nan", "null", "none"])
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
_NUMBER_IN_TEXT = re.compile(r"[-+]?\d*\.\d+%?|[-+]?\d+\.?\d*%?")
_URL = re.compile(r"https?://[^\s<>\"'|)\]]+", re.IGNORECASE)
NEAR_DAYS = 31
JUDGED = "llm_judge"

Row = dict[str, str]


@dataclass(frozen=True)
class SameNames:
    """Which of the known names each given one means: the reply has its place for each, or -1."""

    known: list[str]
    given: list[str]


@dataclass(frozen=True)
class RightCells:
    """Which given cells say what the known ones do, by a criterion: the reply has 1 or 0 for each (known, given)."""

    criterion: str
    pairs: list[tuple[str, str]]


TableQuestion = SameNames | RightCells
Comparison = Generator[Sequence[TableQuestion], Sequence[list[int]], "TableGrade"]
"""Asks what no rule decides, several at once, and ends with the grade."""


class TableGrade(NamedTuple):
    """Of ``known`` rows with so many ``columns``, ``given`` ones had so many right ``rows`` and ``cells``."""

    rows: int
    cells: int
    known: int
    given: int
    columns: int
    fault: str = ""

    @property
    def row_f1(self) -> float:
        return _f1(self.rows, self.known, self.given)

    @property
    def item_f1(self) -> float:
        return _f1(self.cells, self.known * self.columns, self.given * self.columns)

    @property
    def is_right(self) -> bool:
        return not self.fault and self.rows == self.known == self.given

    def __str__(self) -> str:
        counts = f"{self.rows} of {self.known} rows and {self.cells} of {self.known * self.columns} cells right"
        return self.fault or f"{counts}, {self.given} rows given"


def _f1(right: int, known: int, given: int) -> float:
    """The harmonic mean of precision, right / given, and recall, right / known."""
    return 2 * right / (known + given) if known + given else 0.0


def grade_by_rule(rules: TableRules, gold: str, answer: str) -> TableGrade:
    """The grade where nobody reads: what a judge would be asked about is not the same."""
    comparison = compare_tables(rules, gold, answer)
    replies: Sequence[list[int]] | None = None
    while True:
        try:
            questions = comparison.send(replies) if replies is not None else next(comparison)
        except StopIteration as end:
            grade: TableGrade = end.value
            return grade
        replies = [_undecided(question) for question in questions]


def _undecided(question: TableQuestion) -> list[int]:
    return [-1] * len(question.given) if isinstance(question, SameNames) else [0] * len(question.pairs)


def compare_tables(rules: TableRules, gold: str, answer: str) -> Comparison:
    """Compares the table of an answer with a gold table, both in Markdown."""
    known = _rows(gold_answer(gold), rules.required)
    given = _given_table(answer, rules.required)
    if given is None:
        return TableGrade(0, 0, len(known), 0, len(rules.required), "no table")
    renamed = yield from _aligned(given.columns, rules.required)
    if fault := _other_columns(renamed, rules.required):
        return TableGrade(0, 0, len(known), len(given.rows), len(rules.required), fault)
    found = _rows(MarkdownTable(renamed, given.rows), rules.required)
    _as_numbers(known, found, rules.required)
    known, found = _first_of_each_key(known, rules.unique_columns), _first_of_each_key(found, rules.unique_columns)
    yield from _align_keys(rules, known, found)
    right = yield from _right_cells(rules, _pairs(rules, known, found))
    return TableGrade(
        rows=sum(map(all, right)),
        cells=sum(map(sum, right)),
        known=len(known),
        given=len(found),
        columns=len(rules.required),
    )


def unnamed_keys(rules: TableRules, gold: str, answer: str) -> list[str]:
    """The keys of the known rows that an answer does not name, by normalised match; all, if it names all."""
    known = [row[name] for row in _rows(gold_answer(gold), rules.required) for name in rules.unique_columns]
    given = {normalise_answer(cell) for table in read_markdown_tables(answer) for cells in table.rows for cell in cells}
    return list(dict.fromkeys(name for name in known if normalise_answer(name) not in given) or dict.fromkeys(known))


# ---- the table that is meant ---------------------------------------------------------------------------------------


def _given_table(answer: str, required: Sequence[str]) -> MarkdownTable | None:
    """The table of an answer with the most of the columns; its parts under one header are one table."""
    tables = [MarkdownTable(list(map(column_name, columns)), rows) for columns, rows in read_markdown_tables(answer)]
    if not tables:
        return None
    best = max(tables, key=lambda table: (len(set(table.columns) & set(required)), len(table.rows)))
    parts = [row for table in tables if table.columns == best.columns for row in table.rows]
    return MarkdownTable(best.columns, parts)


def _other_columns(given: Sequence[str], required: Sequence[str]) -> str:
    lacking = ", ".join(sorted(set(required) - set(given)))
    other = ", ".join(sorted(set(given) - set(required)))
    parts = [f"lacks the columns {lacking}" if lacking else "", f"has the columns {other} besides" if other else ""]
    return " and ".join(filter(None, parts))


def _rows(table: MarkdownTable, required: Sequence[str]) -> list[Row]:
    places = {column_name(name): place for place, name in reversed(list(enumerate(table.columns)))}
    return [{name: _filled(cells[places[name]]) for name in required} for cells in table.rows]


def _filled(cell: str) -> str:
    return EMPTY if cell.casefold() in _SAYS_EMPTY else cell


def _as_numbers(known: Sequence[Row], found: Sequence[Row], columns: Sequence[str]) -> None:
    """In a column of numbers alone, 1.50 is 1.5."""
    for column in columns:
        if all(row[column] == EMPTY or _NUMBER.fullmatch(row[column]) for row in known):
            for row in (*known, *found):
                if _NUMBER.fullmatch(row[column]):
                    row[column] = _plain_number(row[column])


def _plain_number(text: str) -> str:
    return f"{Decimal(text):f}" if text.lstrip("+-").isdigit() else f"{float(text):.15g}"


def _first_of_each_key(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    return list({tuple(row[name] for name in keys): row for row in reversed(rows)}.values())[::-1]


# ---- which row is which --------------------------------------------------------------------------------------------


def _align_keys(
    rules: TableRules, known: Sequence[Row], found: Sequence[Row]
) -> Generator[Sequence[TableQuestion], Sequence[list[int]], None]:
    """Give the keys of the found rows the words of the known ones that they mean."""
    for column in rules.unique_columns:
        rule = rules.eval_pipeline.get(column)
        if not rule or not {JUDGED, "exact_match"} & set(rule.metric):
            continue
        aligned = yield from _aligned([row[column] for row in found], [row[column] for row in known])
        for row, name in zip(found, aligned, strict=True):
            row[column] = name


def _aligned(
    given: Sequence[str], known: Sequence[str]
) -> Generator[Sequence[TableQuestion], Sequence[list[int]], list[str]]:
    """Each given name as the known one that it is, by normalised match; which of the rest mean one is asked."""
    by_form = {normalise_answer(name): name for name in reversed(known)} | {name: name for name in known}
    meant = {name: by_form.get(name) or by_form.get(normalise_answer(name), "") for name in given}
    left, free = [name for name, other in meant.items() if not other], sorted(set(known) - set(meant.values()))
    if left and free:
        (places,) = yield [SameNames(free, left)]
        meant |= {name: free[place] for name, place in zip(left, places, strict=True) if place >= 0}
    return [meant[name] or name for name in given]


def _pairs(rules: TableRules, known: Sequence[Row], found: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The known rows that were found, each with the row that was given for it."""
    by_key: dict[tuple[str, ...], deque[Row]] = {}
    for row in found:
        by_key.setdefault(_key(row, rules), deque()).append(row)
    return [(row, rows.popleft()) for row in known if (rows := by_key.get(_key(row, rules)))]


def _key(row: Row, rules: TableRules) -> tuple[str, ...]:
    return tuple(_preprocessed(row[name], rules.of(name)) for name in rules.unique_columns)


# ---- cells ---------------------------------------------------------------------------------------------------------


def _right_cells(
    rules: TableRules, pairs: Sequence[tuple[Row, Row]]
) -> Generator[Sequence[TableQuestion], Sequence[list[int]], list[list[bool]]]:
    """For each pair of rows, which of the required cells are right. Keys are."""
    columns = [column for column in rules.required if column not in rules.unique_columns]
    told = {column: [_by_rule(known[column], given[column], rules.of(column)) for known, given in pairs]
            for column in columns}  # fmt: skip
    open_places = {column: [at for at, ok in enumerate(told[column]) if ok is None] for column in columns}
    asked = [column for column in columns if open_places[column]]
    questions = [
        RightCells(
            str(rules.of(column).criterion or ""),
            [(pairs[at][0][column], pairs[at][1][column]) for at in open_places[column]],
        )
        for column in asked
    ]
    replies = (yield questions) if questions else []
    for column, reply in zip(asked, replies, strict=True):
        for at, ok in zip(open_places[column], reply, strict=True):
            told[column][at] = bool(ok)
    keys = [True] * len(rules.unique_columns)
    return [keys + [bool(told[column][at]) for column in columns] for at in range(len(pairs))]


def _by_rule(known: str, given: str, rule: ColumnRule) -> bool | None:
    """Whether all metrics of a cell hold; None where that is for a judge to say."""
    plain, other = _preprocessed(known, rule), _preprocessed(given, rule)
    metrics = rule.metric or ["exact_match"]
    if not all(_MATCHES[metric](plain, other, rule.tolerance) for metric in metrics if metric != JUDGED):
        return False
    if JUDGED not in metrics or normalise_answer(known) == normalise_answer(given):
        return True
    return None


def _is_same(known: str, given: str, tolerance: float) -> bool:
    return known.casefold() == given.casefold()


def _is_within(known: str, given: str, tolerance: float) -> bool:
    return given in known if given else not known


def _has_same_hosts(known: str, given: str, tolerance: float) -> bool:
    hosts, others = _hosts(known), _hosts(given)
    return hosts == others if hosts or others else _is_same(known, given, tolerance)


def _hosts(text: str) -> set[str]:
    return {host for url in _URL.findall(text) if (host := _host(url))}


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.casefold()
    except ValueError:  # a bracket that opens no IPv6 address
        return url.partition("://")[2].partition("/")[0].casefold()


def _is_near(known: str, given: str, tolerance: float) -> bool:
    number, other = _number(known), _number(given)
    if number is None or other is None:
        return number is None and other is None and known == given
    return abs(other - number) <= abs(number) * tolerance


def _number(text: str) -> float | None:
    """A number, or a percentage as a share."""
    bare = text.replace("%", "").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    return float(bare) / 100 if "%" in text else float(bare)


def _is_near_date(known: str, given: str, tolerance: float) -> bool:
    date, other = read_date(known), read_date(given)
    if date is None or other is None:
        return date is None and other is None and known.casefold() == given.casefold()
    return abs((date - other).days) <= NEAR_DAYS


_MATCHES: dict[str, Callable[[str, str, float], bool]] = {
    "exact_match": _is_same,
    "in_match": _is_within,
    "url_match": _has_same_hosts,
    "number_near": _is_near,
    "date_near": _is_near_date,
}


def _preprocessed(cell: str, rule: ColumnRule) -> str:
    for name in rule.preprocess:
        cell = _PREPROCESSING[name](cell)
    return cell


def _as_bare_text(cell: str) -> str:
    return "".join(cell.casefold().split()).replace("*", "")


def _as_number(cell: str) -> str:
    """The first number in a cell, "NULL" if there is none."""
    found = _NUMBER_IN_TEXT.search(cell.replace(",", ""))
    return found[0] if found else "NULL"


def _as_date(cell: str) -> str:
    found = read_date(cell)
    return found.isoformat() if found else cell


_PREPROCESSING: dict[str, Callable[[str], str]] = {
    "norm_str": _as_bare_text,
    "extract_number": _as_number,
    "norm_date": _as_date,
}

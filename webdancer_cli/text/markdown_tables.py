"""Tables in a text, as models write them in Markdown: with outer bars or without, in a fence or not, in parts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_BAR = re.compile(r"(?<!\\)\|")
_RULE_CELL = re.compile(r":?[-–—=]+:?")
_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)
_MARKED = re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1")


class MarkdownTable(NamedTuple):
    """A header, and rows with as many cells."""

    columns: list[str]
    rows: list[list[str]]


def read_markdown_tables(text: str) -> list[MarkdownTable]:
    """The tables of a text, in order.

    Lines with bars that follow one another are one, the first its header; dashes under that are not asked for, and
    empty lines between rows are none. A short row is filled up with empty cells, of a long one the rest is left out.
    """
    tables: list[MarkdownTable] = []
    for block in _blocks(text):
        header, *below = block
        rows = [cells for cells in below if not _is_rule(cells) and cells != header]
        if not below or _is_rule(header):
            continue
        width = len(header)
        tables.append(MarkdownTable(header, [(cells + [""] * width)[:width] for cells in rows]))
    return tables


def format_markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that ``read_markdown_tables`` reads as the same, but for line breaks and what is empty around a cell."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_written, cells))} |" for cells in lines)


def _written(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")


def _blocks(text: str) -> Iterator[list[list[str]]]:
    """Runs of lines with bars, as cells. Dashes under another line than the first begin a new table there."""
    run: list[list[str]] = []
    for line in text.splitlines():
        if _BAR.search(line):
            run.append(_cells(line))
        elif line.strip():
            yield from _apart(run)
            run = []
    yield from _apart(run)


def _apart(run: list[list[str]]) -> Iterator[list[list[str]]]:
    """The tables of a run. Dashes that part rows from one another, or close a table, begin none."""
    starts = [0, *(at - 1 for at in range(2, len(run) - 1) if _is_under_header(run, at)), len(run)]
    return (run[start:end] for start, end in pairwise(starts) if end > start)


def _is_under_header(run: list[list[str]], at: int) -> bool:
    return _is_rule(run[at]) and not _is_rule(run[at - 1]) and (at == 2 or not _is_rule(run[at - 2]))


def _cells(line: str) -> list[str]:
    cells = [_plain(cell) for cell in _BAR.split(line)]
    if not cells[0]:
        cells = cells[1:]
    return cells[:-1] if line.rstrip().endswith("|") else cells


def _plain(cell: str) -> str:
    """The words of a cell: without a mark around all of it, line breaks as spaces."""
    text = _BREAK.sub(" ", cell.replace("\\|", "|")).strip()
    while marked := _MARKED.fullmatch(text):
        text = marked[2]
    return text


def _is_rule(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_RULE_CELL.fullmatch(cell) for cell in cells)

"""Tables in a text, as models write them in Markdown: with outer bars or without, in a fence or not, in parts."""

import re
from collections.abc import Iterable, Sequence
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


def _blocks(text: str) -> list[list[list[str]]]:
    """Runs of lines with bars, as cells. Dashes under another line than the first begin a new table there."""
    blocks: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.strip():
            continue
        if not _BAR.search(line):
            blocks.append([])
            continue
        cells = _cells(line)
        if _is_rule(cells) and len(blocks[-1]) > 1:
            blocks.append([blocks[-1].pop()])
        blocks[-1].append(cells)
    return [block for block in blocks if block]


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

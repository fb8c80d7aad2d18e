"""Tables as people publish them: cells parted by commas, semicolons or tabs, streamed row by row.

A quotation mark encloses a cell as RFC 4180 has it: it opens the cell, stands doubled inside, and is followed by the
end of the cell. Every other mark is text, as in files that nobody quoted (``"The Office" actor``). A mark that opens a
cell and is never closed is text, too: the lines after it are rows of their own.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_CELL_BYTES = 1 << 20
"""How far the end of a quoted cell is looked for."""
MOST_ROWS_INSIDE = 3
"""A mark that would enclose so many whole rows was not meant to."""


class TableRow(NamedTuple):
    """The cells of a row, and the number of the line where it begins."""

    number: int
    cells: list[str]


class Dialect:
    """How the rows of a table are parted, by its delimiter."""

    def __init__(self, delimiter: str):
        apart = re.escape(delimiter)
        self._quoted = re.compile(rf'"([^"]*+(?>(?:""[^"]*+)*))"(?=[{apart}\r\n]|\Z)')
        self._open = re.compile(r'"[^"]*+(?>(?:""[^"]*+)*)\Z')
        self._bare = re.compile(rf"[^{apart}\r\n]*(?:\r(?!\n|\Z)[^{apart}\r\n]*)*")

    def cells(self, text: str, *, literal: bool = False) -> list[str] | None:
        """The cells of a row, without its line break; None if a quoted cell goes on after the text.

        ``literal``: a mark that is not closed is text.
        """
        cells: list[str] = []
        at = 0
        while True:
            if text[at : at + 1] == '"' and (quoted := self._quoted.match(text, at)):
                cells.append(quoted[1].replace('""', '"'))
                at = quoted.end()
            elif not literal and text[at : at + 1] == '"' and self._open.match(text, at):
                return None
            else:
                bare = self._bare.match(text, at)
                cells.append(bare[0] if bare else "")
                at += len(cells[-1])
            if at >= len(text) or text[at] in "\r\n":
                return cells
            at += 1


class _Lines:
    """Lines that can be looked at ahead of time, and their numbers."""

    def __init__(self, readline: Callable[[], str]):
        self.number = 0
        self._readline = readline
        self._ahead: deque[str] = deque()

    def next(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._readline()
        self.number += bool(line)
        return line

    def ahead(self, at: int) -> str:
        """The line after the next ``at`` lines; "" at the end."""
        while len(self._ahead) <= at:
            if not (line := self._readline()):
                return ""
            self._ahead.append(line)
        return self._ahead[at]


def rows(readline: Callable[[], str], delimiter: str) -> Iterator[TableRow]:
    """The rows of a table, its header first; empty lines are none. ``readline`` gives "" at the end."""
    dialect, lines, width = Dialect(delimiter), _Lines(readline), 0
    while line := lines.next():
        if not line.strip("\r\n"):
            continue
        number = lines.number
        cells = dialect.cells(line)
        if cells is None:
            cells = _over_lines(line, lines, dialect, width)
        width = width or len(cells)
        yield TableRow(number, cells)


def _over_lines(first: str, lines: _Lines, dialect: Dialect, width: int) -> list[str]:
    """The cells of a row whose quoted cell goes on after its first line; of that line alone if the mark is text."""
    literal = dialect.cells(first, literal=True) or []
    parts, chars, marks, whole_rows = [first], len(first), first.count('"'), 0
    while (line := lines.ahead(len(parts) - 1)) and chars < MOST_CELL_BYTES:
        parts.append(line)
        chars += len(line)
        marks += line.count('"')
        if '"' not in line:
            whole_rows += len(dialect.cells(line) or []) == width > 1
        if '"' not in line or marks % 2:  # with an odd number of marks, one is still open
            continue
        cells = dialect.cells("".join(parts))
        if cells is None:
            continue
        if width and (len(cells) != width or (len(literal) == width and whole_rows >= MOST_ROWS_INSIDE)):
            break
        for _ in parts[1:]:
            lines.next()
        return cells
    return literal

"""Records as a flat table, for a spreadsheet or a data frame: a row for each, a column for each number, word or name.

What is inside an object has a column of its own (``verdict.outcome``, ``usage.calls``); lists of words are one cell.
Messages, evidence and the like are no part of a table. It is CSV, or Parquet by the name of the file.
"""

import csv
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from webdancer_cli.data.records import to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.report.shapes import Shape, record_of, shape_of

CSV, PARQUET = ".csv", ".parquet"
FILE, KIND = "file", "kind"
"""The columns that say where a row comes from and what it is."""
BETWEEN = "; "

Cell = str | int | float | bool | None


class FlatTable:
    """Takes the decoded lines of files one by one. ``reveal``: what is sealed is written in the clear."""

    def __init__(self, title: str, names: list[str], *, reveal: bool = False):
        self._names = names
        self._reveal = reveal
        self._rows: list[dict[str, Cell]] = []

    def add(self, source: int, value: Any) -> Shape:
        """Take a decoded line of the file number ``source``; what it was. Raises WrongShape."""
        shape = shape_of(value)
        if shape != "other":
            if shape not in ("metrics", "rejected"):
                value = to_object(record_of(shape, value, reveal=self._reveal))
            self._rows.append({FILE: self._names[source], KIND: shape, **dict(_cells(value))})
        return shape

    def write(self, path: str) -> None:
        """Raises UsageError where the library for Parquet is missing."""
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        if Path(path).suffix == PARQUET:
            _write_parquet(path, columns, self._rows)
            return
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self._rows)


def _cells(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """The values of an object that fit into a cell."""
    for name, part in value.items():
        if isinstance(part, Mapping):
            if name != "record":  # a rejected one is the detail of another table
                yield from _cells(part, f"{prefix}{name}.")
        elif isinstance(part, list):
            if part and all(isinstance(item, str | int | float) for item in part):
                yield f"{prefix}{name}", BETWEEN.join(map(str, part))
        else:
            yield f"{prefix}{name}", part


def _write_parquet(path: str, columns: list[str], rows: list[dict[str, Cell]]) -> None:
    arrow, parquet = _library("pyarrow", path), _library("pyarrow.parquet", path)
    table = arrow.table({name: _of_one_kind([row.get(name) for row in rows]) for name in columns})
    parquet.write_table(table, path)


def _of_one_kind(column: list[Cell]) -> list[Cell]:
    """A column has one type: what mixes words and numbers is words."""
    kinds = {type(cell) for cell in column if cell is not None}
    if kinds <= {int, float}:
        return [cell if cell is None or int not in kinds or float not in kinds else float(cell) for cell in column]
    return column if len(kinds) == 1 else [None if cell is None else str(cell) for cell in column]


def _library(module: str, path: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"{path}: needs pyarrow: pip install 'webdancer[benchmarks]', or name a .csv file") from None

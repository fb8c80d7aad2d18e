"""Tables that are no text: Parquet and Excel files, read by libraries of the extra ``benchmarks``."""

import importlib
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from webdancer_cli.errors import UsageError

PARQUET, ZIP = b"PAR1", b"PK\x03\x04"


def is_binary_table(head: bytes) -> bool:
    return head.startswith((PARQUET, ZIP))


def binary_rows(content: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with its place. Raises UsageError for one that cannot be read."""
    return _parquet(content, name) if content.startswith(PARQUET) else _excel(content, name)


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise UsageError(
            f"{name}: needs {library}: pip install 'webdancer[benchmarks]', or save the file as CSV or as JSON lines"
        ) from None


def _parquet(content: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    arrow, parquet = _library("pyarrow", name), _library("pyarrow.parquet", name)
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        number = 0
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield f"{name}: row {number}", row
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{name}: not a whole Parquet file: {_first_line(error)}") from None


def _excel(content: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first sheet, whose first row names the columns; cells without text are not there."""
    openpyxl = _library("openpyxl", name)
    try:
        sheet = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
        columns: list[str] = []
        for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
            if not columns:
                columns = [str(cell or "") for cell in cells]
            elif any(cell is not None for cell in cells):
                named = zip(columns, cells, strict=False)
                yield f"{name}: row {number}", {column: cell for column, cell in named if cell is not None}
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise UsageError(f"{name}: not a whole Excel file: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)

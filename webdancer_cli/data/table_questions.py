"""Questions that ask for a table (WideSearch): their gold tables, and the rules by which each column is graded.

The set is published as lines with ``instance_id``, ``query``, ``evaluation`` and ``language``, and a folder of gold
tables beside them, one CSV file by ``instance_id``. A gold table becomes the question's answer, written in Markdown;
``evaluation`` stays among its columns, and says what ``table_rules`` reads.
"""

import csv
import io
from pathlib import Path

import msgspec

from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.records import QA, WrongShape
from webdancer_cli.errors import UsageError
from webdancer_cli.text.encoding import decode_file
from webdancer_cli.text.markdown_tables import MarkdownTable, format_markdown_table, read_markdown_tables

RULES = "evaluation"
INSTANCE = "instance_id"
GOLD_FOLDER = "widesearch_gold"
PREPROCESSING = frozenset(["norm_str", "extract_number", "norm_date"])
METRICS = frozenset(["exact_match", "in_match", "url_match", "number_near", "date_near", "llm_judge"])


class ColumnRule(msgspec.Struct, frozen=True):
    """How the cells of a column are compared: what is done to both first, and by which metrics, all of which must hold.

    ``criterion`` is the share by which a number may be off, or what the judge is told.
    """

    preprocess: list[str] = []
    metric: list[str] = []
    criterion: float | str | None = None

    @property
    def tolerance(self) -> float:
        return float(self.criterion) if isinstance(self.criterion, float | int) else 0.0


class TableRules(msgspec.Struct, frozen=True):
    """The columns of a table that is asked for, those of them that say which row is which, and the rule of each."""

    required: list[str]
    unique_columns: list[str]
    eval_pipeline: dict[str, ColumnRule] = {}

    def of(self, column: str) -> ColumnRule:
        return self.eval_pipeline.get(column) or ColumnRule(metric=["exact_match"])


def column_name(name: str) -> str:
    """A column's name as rules spell it: in small letters, without spaces."""
    return "".join(name.casefold().split())


def table_rules(qa: QA) -> TableRules | None:
    """The rules of a question that asks for a table; None for any other."""
    rules = qa.extra.get(RULES)
    if not isinstance(rules, dict) or "unique_columns" not in rules:
        return None
    try:
        return _read_rules(rules)
    except WrongShape:
        return None


def with_gold_table(row: object, source: str) -> object:
    """The row with its gold table as its answer, if it is of a set whose tables lie beside its file.

    Raises WrongShape for a row whose rules or table cannot be read, and UsageError where the tables are not there.
    """
    if not isinstance(row, dict) or not {INSTANCE, RULES} <= row.keys() or row.get("answer"):
        return row
    rules = _read_rules(row[RULES])
    folder = (Path() if source == STDIN else Path(source).parent) / GOLD_FOLDER
    if not folder.is_dir():
        raise UsageError(f"{source}: its gold tables are not beside it: expected the folder {folder} of the set")
    return row | {RULES: msgspec.to_builtins(rules), "answer": _gold_table(folder, str(row[INSTANCE]), rules)}


def _read_rules(value: object) -> TableRules:
    """Raises WrongShape."""
    try:
        value = msgspec.json.decode(value) if isinstance(value, str) else value
        read = msgspec.convert(value, TableRules)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise WrongShape(f"{RULES}: {error}") from None
    rules = TableRules(
        [column_name(name) for name in read.required],
        [column_name(name) for name in read.unique_columns],
        {column_name(name): rule for name, rule in read.eval_pipeline.items()},
    )
    if fault := _fault(rules):
        raise WrongShape(f"{RULES}: {fault}")
    return rules


def _fault(rules: TableRules) -> str:
    named = {name for rule in rules.eval_pipeline.values() for name in (*rule.preprocess, *rule.metric)}
    if unknown := sorted(named - PREPROCESSING - METRICS):
        return f"names {', '.join(unknown)}, which is none of {', '.join(sorted(PREPROCESSING | METRICS))}"
    if not rules.unique_columns or (lacking := sorted(set(rules.unique_columns) - set(rules.required))):
        return f"required lacks {', '.join(lacking)}" if rules.unique_columns else "unique_columns is empty"
    return ""


def _gold_table(folder: Path, instance: str, rules: TableRules) -> str:
    """A gold table in Markdown, with the required columns. Raises WrongShape."""
    path = folder / f"{instance}.csv"
    if path.parent != folder:
        raise WrongShape(f"{INSTANCE} {instance!r} names no file")
    try:
        text = decode_file(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise WrongShape(f"its gold table cannot be read: {error}") from None
    header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    places = {column_name(name): place for place, name in enumerate(header)}
    if lacking := sorted(set(rules.required) - places.keys()):
        raise WrongShape(f"its gold table {path} lacks the columns {', '.join(lacking)}")
    if torn := next((number for number, row in enumerate(rows, 2) if row and len(row) != len(header)), 0):
        raise WrongShape(f"its gold table {path} is damaged: row {torn} has not the {len(header)} cells of its header")
    kept = [places[name] for name in rules.required]
    return format_markdown_table(
        [header[place] for place in kept], ([row[place] for place in kept] for row in rows if row)
    )


def gold_answer(markdown: str) -> MarkdownTable:
    """A gold table that ``with_gold_table`` wrote."""
    return next(iter(read_markdown_tables(markdown)), MarkdownTable([], []))

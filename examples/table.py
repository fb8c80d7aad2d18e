"""One table from several evaluations: ``python table.py [--by COLUMN] base=a.jsonl sft=b.jsonl`` (by ``eval``)."""

import sys

from rich.console import Console
from rich.table import Table

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Attempt
from webdancer_cli.grading.scores import ScoreRow, Scores, from_attempts


def main(arguments: list[str]) -> None:
    column = arguments[1] if arguments[0] == "--by" else ""
    named = [argument.partition("=") for argument in (arguments[2:] if column else arguments)]
    scores = {name: from_attempts(jsonl.read_records(path, Attempt)) for name, _, path in named}
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(scores, {name: score.by_level for name, score in scores.items()}))
    if column:
        console.print(table(scores, {name: score.groups.get(column, []) for name, score in scores.items()}))
        console.print(table(scores, {name: score.by_type for name, score in scores.items()}))


def table(scores: dict[str, Scores], rows: dict[str, list[ScoreRow]]) -> Table:
    """A row per model: all questions, then each of its rows, then format and calls."""
    parts = sorted({row.name for own in rows.values() for row in own})
    made = Table("model", "correct, 95 % interval", *parts, "format", "calls")
    for name, score in scores.items():
        by_name = {row.name: row for row in rows[name]}
        made.add_row(name, counted(score.overall), *(share(by_name.get(part)) for part in parts), *manners(score))
    return made


def counted(row: ScoreRow) -> str:
    low, high = row.pass_1_interval
    return f"{row.correct}/{row.judged} = {percent(row.pass_1)} [{percent(low)}, {percent(high)}]"


def share(row: ScoreRow | None) -> str:
    return f"{row.correct}/{row.judged} = {percent(row.pass_1)}" if row else "-"


def manners(score: Scores) -> tuple[str, str]:
    return percent(score.format_share), f"{score.mean_calls or 0:.1f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


if __name__ == "__main__":
    main(sys.argv[1:])

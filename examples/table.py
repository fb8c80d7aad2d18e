"""One table from several evaluations: ``python table.py base=a.jsonl sft=b.jsonl`` (files by ``webdancer eval``)."""

import sys

from rich.console import Console
from rich.table import Table

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Attempt
from webdancer_cli.grading.scores import ScoreRow, Scores, from_attempts


def main(arguments: list[str]) -> None:
    named = [argument.partition("=") for argument in arguments]
    scores = {name: from_attempts(jsonl.read_records(path, Attempt)) for name, _, path in named}
    Console(width=None if sys.stdout.isatty() else 140).print(table(scores))


def table(scores: dict[str, Scores]) -> Table:
    """A row per model: all questions, then each level, then format and calls."""
    levels = sorted({row.name for score in scores.values() for row in score.by_level})
    made = Table("model", "correct, 95 % interval", *levels, "format", "calls")
    for name, score in scores.items():
        by_level = {row.name: row for row in score.by_level}
        made.add_row(name, counted(score.overall), *(share(by_level.get(level)) for level in levels), *manners(score))
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

"""``webdancer compare``: two evaluations in, the questions gained and lost out, and a paired test of the difference.

Of two run cards, what is not the same: what the scores were made with, and the numbers.
"""

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, ReportedStats, RunStats, Table
from webdancer_cli.data.records import Attempt
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.comparison import Side, changes, compare_sides
from webdancer_cli.options import config
from webdancer_cli.report import json_file
from webdancer_cli.report.card_differences import are_cards, compare_cards


def run(options: config.CompareOptions, *, progress: Progress | None = None) -> ReportedStats[Table]:
    """Writes a record per question whose result changed, or per field. Raises UsageError for other files."""
    if len(options.files) != 2:
        raise UsageError(f"compare takes two files that `webdancer eval` wrote, not {len(options.files)}")
    json_file.check_writable(options.report)
    stats = RunStats()
    if are_cards(*options.files):
        found = compare_cards(*options.files)
        jsonl.write_records(options.out, [*found.made_with, *found.scores])
        json_file.write_json(options.report, found.values())
        stats.counts["different fields"] = len(found.made_with) + len(found.scores)
        return ReportedStats.of(stats, found)
    before, after = (Side(path, jsonl.read_records(path, Attempt)) for path in options.files)
    comparison = compare_sides(before, after, options.seed)
    changed = list(changes(before, after))
    jsonl.write_records(options.out, changed)
    json_file.write_json(options.report, comparison.values())
    stats.counts["changed"] = len(changed)
    return ReportedStats.of(stats, comparison)

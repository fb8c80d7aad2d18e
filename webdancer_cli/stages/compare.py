"""``webdancer compare``: two evaluations in, the questions gained and lost out, and a paired test of the difference."""

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, ReportedStats, RunStats
from webdancer_cli.data.records import Attempt
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.comparison import Comparison, Side, changes, compare_sides
from webdancer_cli.options import config
from webdancer_cli.report import json_file


def run(options: config.CompareOptions, *, progress: Progress | None = None) -> ReportedStats[Comparison]:
    """Writes a record per question whose result changed. Raises UsageError for files that cannot be compared."""
    if len(options.files) != 2:
        raise UsageError(f"compare takes two files that `webdancer eval` wrote, not {len(options.files)}")
    json_file.check_writable(options.report)
    before, after = (Side(path, jsonl.read_records(path, Attempt)) for path in options.files)
    comparison = compare_sides(before, after, options.seed)
    changed = list(changes(before, after))
    jsonl.write_records(options.out, changed)
    json_file.write_json(options.report, comparison.values())
    stats = RunStats()
    stats.counts["changed"] = len(changed)
    return ReportedStats.of(stats, comparison)

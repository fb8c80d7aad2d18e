"""``webdancer compare``: two evaluations in, the questions gained and lost out, and a paired test of the difference."""

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Attempt
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.comparison import Comparison, Side, changes, compare
from webdancer_cli.options import config
from webdancer_cli.report import json_file


def run(options: config.Compare) -> Comparison:
    """Writes a record per question whose result changed. Raises UsageError for files that cannot be compared."""
    if len(options.files) != 2:
        raise UsageError(f"compare takes two files that `webdancer eval` wrote, not {len(options.files)}")
    if options.files.count(jsonl.STDIN) > 1:
        raise UsageError("compare: stdin can be one of the two files only")
    json_file.check_writable(options.report, options.out, *options.files)
    if options.out in options.files and options.out != jsonl.STDIN:
        raise UsageError(f"--out {options.out}: that is one of the files to compare; name another")
    before, after = (Side(path, jsonl.read_records(path, Attempt)) for path in options.files)
    comparison = compare(before, after, options.seed)
    jsonl.write_records(options.out, changes(before, after))
    json_file.write(options.report, comparison.values())
    return comparison

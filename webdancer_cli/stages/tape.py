"""``webdancer tape``: merge, prune, and list what is left."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.tape import Tape


def run(options: config.TapeOptions, *, progress: Progress | None = None) -> RunStats:
    """Writes a line per exchange, and counts them by kind; ``remark`` says what became of the tape.

    Raises UsageError for files that are no tapes. Takes seconds at most: ``progress`` is told nothing.
    """
    if not options.file:
        raise UsageError("which tape? Name the file that --tape wrote")
    _check_files(options)
    before = None
    if options.drop_older_days is not None:
        before = datetime.now(UTC) - timedelta(days=options.drop_older_days)
    with Tape(options.file) as tape:
        merged = sum(tape.merge(path) for path in options.merge)
        pruned = tape.prune(kinds=options.drop, labels=options.drop_label, before=before)
        kinds = _list(tape, options.out)
    held = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    return RunStats(kinds, remark=f"{held}; {merged} merged, {pruned} removed")


def _check_files(options: config.TapeOptions) -> None:
    """A mistyped name must not become an empty tape; one to merge into may be new. The list must not overwrite it."""
    if Path(options.out).resolve() in [Path(path).resolve() for path in (options.file, *options.merge)]:
        raise UsageError(f"--out {options.out}: that is a tape; name another file")
    if not options.merge and not Path(options.file).is_file():
        raise UsageError(f"{options.file}: no such tape: name the file that --tape wrote")


def _list(tape: Tape, out: str) -> Counter[str]:
    kinds: Counter[str] = Counter()
    with LineWriter(out) as writer:
        for exchange in tape.exchanges():
            kinds[exchange.kind] += 1
            writer.write(exchange)
    return kinds

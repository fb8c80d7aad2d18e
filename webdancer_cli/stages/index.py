"""``webdancer index``: files of pages in, an index on disk out."""

from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import Rejected
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.web.page_index.writer import PageIndexWriter


def run(options: config.IndexOptions, *, progress: Progress | None = None) -> RunStats:
    """Counts the ``pages`` that are new, those ``already done`` and the ``repeated`` ones, whose URL was there before.

    What was read stays in the index however the run ends, unless it is killed: then some of the last minute is lost.
    Raises UsageError for files that cannot be read, and for a folder that holds something else.
    """
    if not (options.pages or options.files):
        raise UsageError("which pages? Name files of them with --pages")
    stats = RunStats()
    rejects = LineWriter(options.rejects, append=True) if options.rejects else None

    def reject(rejected: Rejected) -> None:
        rejected.stage = "index"
        stats.counts["rejected"] += 1
        stats.reasons[rejected.reason] += 1
        stats.failed += 1
        stats.last_failure = f"{rejected.reason}: {rejected.detail}"
        if rejects:
            rejects.write(rejected)

    writer = PageIndexWriter(options.out)
    stats.counts["already done"] = len(writer)

    def tell() -> None:
        if progress:
            progress.step(writer.added, None, f"{len(writer)} pages in the index")

    try:
        for path in (*options.pages, *options.files):
            writer.add_file(path, reject, tell)
    finally:
        writer.commit()
        writer.close()
        if rejects:
            rejects.close()
    stats.counts.update({"pages": writer.added, "repeated": writer.repeated})
    return stats

"""``webdancer index``: files of pages in, an index of them out: on disk, or in a search engine."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from webdancer_cli.data.jsonl import BadLine, LineWriter
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import Rejected
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.web.page_index.writer import PageIndexWriter
from webdancer_cli.web.page_lines import read_pages
from webdancer_cli.web.search.opensearch_loader import OpenSearchLoader

Tell = Callable[[int, int], None]
"""Is told how many pages are new, and how many there are."""


def run(options: config.IndexOptions, *, progress: Progress | None = None) -> RunStats:
    """Counts the ``pages`` that are new, those ``already done`` and the ``repeated`` ones, whose URL was there before.

    What was read stays in the index however the run ends, unless it is killed: then the last seconds are lost.
    Raises UsageError for files that cannot be read, and for a folder that holds something else; ServiceRefused and
    WebdancerError if a search engine does not take the pages.
    """
    paths = [*options.pages, *options.files]
    if not paths:
        raise UsageError("which pages? Name files of them with --pages")
    stats = RunStats()
    with ExitStack() as stack:
        rejects = stack.enter_context(LineWriter(options.rejects, append=True)) if options.rejects else None

        def reject(rejected: Rejected) -> None:
            rejected.stage = "index"
            stats.counts["rejected"] += 1
            stats.reasons[rejected.reason] += 1
            stats.failed += 1
            stats.last_failure = f"{rejected.reason}: {rejected.detail}"
            if rejects:
                rejects.write(rejected)

        def tell(new: int, all: int) -> None:
            if progress:
                progress.step(new, None, f"{all} pages in the index")

        if options.to:
            stats.counts.update(asyncio.run(_load(options.to, paths, reject, tell)))
        else:
            stats.counts.update(_build(options.out, paths, reject, tell))
    return stats


def _build(folder: str, paths: list[str], reject: BadLine, tell: Tell) -> Counter[str]:
    writer = PageIndexWriter(folder)
    already = len(writer)
    try:
        for path in paths:
            writer.add_file(path, reject, lambda: tell(writer.added, len(writer)))
    finally:
        writer.commit()
        writer.close()
    return Counter({"already done": already, "pages": writer.added, "repeated": writer.repeated})


async def _load(url: str, paths: list[str], reject: BadLine, tell: Tell) -> Counter[str]:
    """What the server has already, from an earlier run or under the same URL, is ``already done``."""
    loader = OpenSearchLoader(url)
    counts = Counter({"already done": 0, "pages": 0})
    try:
        await loader.make_index()
        async for loaded in loader.load(page for path in paths for page in read_pages(path, reject)):
            counts.update({"pages": loaded.created, "already done": loaded.there})
            for id, reason in loaded.failures:
                reject(Rejected(reason="not_loaded", detail=reason, id=id))
            tell(counts["pages"], counts.total())
    finally:
        await loader.aclose()
    return counts

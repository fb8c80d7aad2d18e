"""``webdancer index``: files of pages in, an index out: on disk, by words and by vectors, or in a search engine."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from webdancer_cli.data.jsonl import BadLine, LineWriter
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import Rejected
from webdancer_cli.errors import RunStopped, ServiceRefused, UsageError
from webdancer_cli.llm.embeddings import EmbeddingClient
from webdancer_cli.options import config
from webdancer_cli.web.page_index.embedding import PassageEmbedder
from webdancer_cli.web.page_index.reader import PageIndex
from webdancer_cli.web.page_index.vectors import EmbeddingSpace, vectors_in
from webdancer_cli.web.page_index.writer import PageIndexWriter
from webdancer_cli.web.page_lines import read_pages
from webdancer_cli.web.search.opensearch_loader import OpenSearchLoader

Tell = Callable[[int, int], None]
"""Is told how many pages are new, and how many there are."""


def run(
    options: config.IndexOptions, *, progress: Progress | None = None, embedder: EmbeddingClient | None = None
) -> RunStats:
    """Counts the ``pages`` that are new, those ``already done`` and the ``repeated`` ones, whose URL was there before.

    ``embedder`` gives all passages a vector, those of earlier runs too: the ``vectors`` that are new, and how many
    passages were ``cut`` for it.

    What was read stays in the index however the run ends, unless it is killed: then the last seconds are lost.
    Raises UsageError for files that cannot be read, for a folder that holds something else, and for vectors that the
    index cannot take; ServiceRefused and WebdancerError if a service does not take the pages.
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
        elif embedder:
            asyncio.run(_build_and_embed(options, embedder, paths, stats, reject, progress, tell))
        else:
            _refuse_without_vectors(options.out)
            stats.counts.update(_build(options.out, paths, reject, tell))
    return stats


async def _build_and_embed(
    options: config.IndexOptions,
    client: EmbeddingClient,
    paths: list[str],
    stats: RunStats,
    reject: BadLine,
    progress: Progress | None,
    tell: Tell,
) -> None:
    """The model is asked for one vector before anything is read, and for all others when the pages are in."""

    def tell_vectors(done: int, all: int) -> None:
        if progress:
            progress.step(done, all, "pages with vectors")

    space = EmbeddingSpace(client.model, options.embed_query_prefix, options.embed_passage_prefix)
    embedder = PassageEmbedder(options.out, client, space, batch=options.embed_batch, jobs=options.jobs)
    try:
        await embedder.begin()
        stats.counts.update(_build(options.out, paths, reject, tell))
        await embedder.add(PageIndex.open(options.out), reject, tell_vectors)
    except RunStopped as stop:
        said = f"{str(stop).partition('; --resume')[0]}; the same command goes on from there"
        if isinstance(stop, ServiceRefused):
            raise ServiceRefused(said) from None
        stats.stopped = said
    finally:
        await client.aclose()
        stats.counts.update(embedder.counts)


def _refuse_without_vectors(folder: str) -> None:
    """Raises UsageError for an index whose new pages would have no vectors."""
    if about := vectors_in(Path(folder)):
        given = f"--embed URL --embed-model {about.space.model}"
        raise UsageError(f"{folder}: its passages have vectors: give the new ones theirs with {given}")


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

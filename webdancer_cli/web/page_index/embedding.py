"""``webdancer index --embed``: a vector for every passage that has none yet, in the order of the passages.

The pages are in the index already. What was asked for and is there stays: a run that was killed goes on from its last
commit, an index that has grown from its first page without vectors.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import numpy as np

from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.ordered_map import ordered_map
from webdancer_cli.data.records import Rejected
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.llm.embeddings import Embedded, EmbeddingClient, Vectors
from webdancer_cli.web.page_index.passages import passage_texts
from webdancer_cli.web.page_index.reader import PageIndex
from webdancer_cli.web.page_index.vectors import EmbeddingSpace, VectorCount, VectorFiles, vectors_in

PROBE = "The stone bridge of the town was finished in 1841, and is 92 metres long."
LEAST_COSINE = 0.99
"""Of the probe's vectors then and now. Batches and processors differ in the fourth digit, models in the first."""
MOST_CHARS = 8000
"""Of a passage that are embedded: 250 words have about 1,500, what has more is no text."""
COMMIT_SECONDS = 5.0
"""A killed run loses the vectors of so many seconds."""

Tell = Callable[[int, int], None]
"""Is told for how many pages vectors are there, and how many pages there are."""


class _Batch(msgspec.Struct):
    """Passages of whole pages: their texts, the rows of their pages, and the row after the last of these."""

    texts: list[str] = []
    rows: list[int] = []
    end: int = 0


class PassageEmbedder:
    """Gives the passages of an index their vectors. ``counts`` tells of how many, and how many passages were cut."""

    def __init__(self, folder: str, client: EmbeddingClient, space: EmbeddingSpace, *, batch: int, jobs: int):
        """Raises UsageError for an index with vectors of another model, or with other prefixes."""
        self._folder = Path(folder)
        self._client = client
        self._space = space
        self._batch = batch
        self._jobs = jobs
        self._about = vectors_in(self._folder)
        self.counts: Counter[str] = Counter()
        if self._about:
            _refuse_other(folder, self._about.space, space)

    async def begin(self) -> None:
        """Ask for one vector. Raises UsageError where the model is not the one that the index knows by this name."""
        probe = await probe_of(self._client, self._space)
        if self._about is None:
            self._about = VectorCount(self._space, probe.tolist())
        if fault := probe_fault(self._about, probe):
            raise UsageError(f"{self._folder}: {fault}: name another folder, or ask the model that made it")

    async def add(self, pages: PageIndex, on_bad: BadLine, tell: Tell) -> None:
        """Embed what has no vector. A passage that gets none is found by its words alone, and told.

        Raises ModelError and RunStopped; what came before stays.
        """
        assert self._about is not None  # ``begin`` comes first
        files = VectorFiles(self._folder, self._about)
        committed_at = time.monotonic()
        try:
            async with aclosing(ordered_map(self._batches(pages), self._embed, self._jobs)) as done:
                async for batch, task in done:
                    embedded = task.result()
                    self._tell_failures(batch, embedded, pages, on_bad)
                    files.add(batch.rows, self._matrix(embedded), batch.end)
                    tell(batch.end, len(pages))
                    if time.monotonic() - committed_at > COMMIT_SECONDS:
                        files.commit()
                        committed_at = time.monotonic()
        finally:
            files.commit()
            files.close()

    async def _batches(self, pages: PageIndex) -> AsyncIterator[_Batch]:
        assert self._about is not None
        batch = _Batch()
        for row in range(self._about.pages, len(pages)):
            texts = list(passage_texts(pages.entry(row)))
            if batch.rows and len(batch.rows) + len(texts) > self._batch:
                yield batch
                batch = _Batch()
            batch.texts += texts
            batch.rows += [row] * len(texts)
            batch.end = row + 1
        if batch.rows:
            yield batch

    async def _embed(self, batch: _Batch) -> Embedded:
        given = [self._space.passage_prefix + text for text in batch.texts]
        embedded = await self._client.embed_all([text[:MOST_CHARS] for text in given], self._batch)
        embedded.cut |= {place for place, text in enumerate(given) if len(text) > MOST_CHARS}
        return embedded

    def _matrix(self, embedded: Embedded) -> Vectors:
        """A row for each text, also where none of them got a vector."""
        assert self._about is not None
        numbers = self._about.dimension
        if not embedded.vectors.size:
            return np.zeros((len(embedded.texts), numbers), np.float32)
        if embedded.vectors.shape[1] != numbers:
            raise ModelError(f"{self._client.model}: vectors of {numbers} numbers, then {embedded.vectors.shape[1]}")
        return embedded.vectors

    def _tell_failures(self, batch: _Batch, embedded: Embedded, pages: PageIndex, on_bad: BadLine) -> None:
        self.counts["vectors"] += len(batch.rows) - len(embedded.failures)
        self.counts["cut"] += len(embedded.cut)
        for place, why in embedded.failures.items():
            on_bad(Rejected(reason="no_vector", detail=why, id=pages.entry(batch.rows[place]).url))


async def probe_of(client: EmbeddingClient, space: EmbeddingSpace) -> Vectors:
    """The vector by which a model is known again. Raises ModelError also where it has no direction."""
    probe = await client.embed_query(space.passage_prefix + PROBE)
    if not probe.any():
        raise ModelError(f"{client.model}: a vector of zeros for {PROBE!r}")
    return probe


def probe_fault(about: VectorCount, probe: Vectors) -> str:
    """What tells that vectors come from another model than before, "" if nothing does."""
    if len(probe) != about.dimension:
        return f"{about.space.model} gave vectors of {about.dimension} numbers, and gives {len(probe)} now"
    cosine = float(np.dot(probe, np.array(about.probe, np.float32)))
    if cosine < LEAST_COSINE:
        return f"what answers as {about.space.model} is another model than before (cosine {cosine:.2f} of one text)"
    return ""


def _refuse_other(folder: str, known: EmbeddingSpace, asked: EmbeddingSpace) -> None:
    for name in EmbeddingSpace.__struct_fields__:
        before, now = getattr(known, name), getattr(asked, name)
        if before != now:
            flag = f"--embed-{name.replace('_', '-')}"
            raise UsageError(f"{folder}: has vectors with {flag} {before!r}, not {now!r}: name another folder")

"""``--rank dense`` and ``--rank hybrid``: an index searched by its passages' vectors, alone or beside their words."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from webdancer_cli.data.records import Page
from webdancer_cli.errors import ModelError, Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.llm.embeddings import EmbeddingClient, Vectors
from webdancer_cli.llm.model_client import RequestRefused
from webdancer_cli.web.page_index.reader import PageIndex
from webdancer_cli.web.page_index.vectors import PassageVectors, VectorCount, vectors_in
from webdancer_cli.web.protocols import Hit

RANK_CONSTANT = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
DEPTH = 100
"""So many pages of each ranking are fused, or as many as are wanted."""
MOST_QUERIES = 10_000
"""Whose vectors are kept."""

Rank = Literal["auto", "bm25", "dense", "hybrid"]


class RankedIndex:
    """Implements ``Web``. Its ``name`` tells the pages, how they are ranked, and by which model.

    The vector of a query is asked for once. A model that does not give one is an Outage, never a result.
    """

    def __init__(self, pages: PageIndex, client: EmbeddingClient, rank: Literal["dense", "hybrid"] = "hybrid"):
        """Raises UsageError for an index without vectors, or with vectors of some passages only."""
        self._pages = pages
        self._vectors = PassageVectors(Path(pages.path), pages.passages)
        self._client = client
        self._rank = rank
        self._known: dict[str, Vectors] = {}
        self.name = f"{pages.name}+{rank}:{client.model}"

    def __len__(self) -> int:
        return len(self._pages)

    async def search(self, query: str, results: int) -> list[Hit]:
        """Raises ToolError for a query that the model does not take, as one that is too long; Outage; ServiceRefused
        also where the model is another than that of the index."""
        if results <= 0:
            return []
        vector = await self._vector(query)
        rows = await asyncio.to_thread(self._ranked, query, vector, results)  # numpy lets go of the interpreter
        return [self._pages.hit(row, query) for row in rows]

    async def read(self, url: str) -> Page:
        return await self._pages.read(url)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _ranked(self, query: str, vector: Vectors, results: int) -> list[int]:
        if self._rank == "dense":
            return self._vectors.best(vector, results)
        depth = max(DEPTH, results)
        return fuse([self._pages.best(query, depth), self._vectors.best(vector, depth)])[:results]

    async def _vector(self, query: str) -> Vectors:
        if query not in self._known:
            about = self._vectors.about
            try:
                vector = await self._client.embed_query(about.space.query_prefix + query)
            except RequestRefused as refusal:
                raise ToolError(f"{self.name}: {refusal}", lasts=True) from None
            except ModelError as error:
                raise Outage(f"{self.name}: {error}") from None
            if len(vector) != about.dimension:
                said = f"gives vectors of {len(vector)} numbers, the index has {about.dimension}"
                raise ServiceRefused(f"{self._client.model} {said}: name the endpoint of its model with --embed")
            if len(self._known) >= MOST_QUERIES:
                del self._known[next(iter(self._known))]
            self._known[query] = vector
        return self._known[query]


def fuse(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Rows by the sum of 1 / (60 + rank) over the rankings that have them, best first; equal ones by their number."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores, key=lambda row: (-scores[row], row))


def known_vectors(path: str) -> VectorCount:
    """Which vectors an index has. Raises UsageError where there are none."""
    if not Path(path).is_dir():
        raise UsageError(f"{path}: a file of pages has no vectors: make an index with `webdancer index --embed URL`")
    about = vectors_in(Path(path))
    if about is None:
        raise UsageError(f"{path}: has no vectors: add them with `webdancer index --embed URL --embed-model NAME`")
    return about


def open_ranked(path: str, client: EmbeddingClient, rank: Rank = "auto", *, snippet_chars: int = 160) -> RankedIndex:
    """An index with vectors, whose model ``client`` asks. Raises UsageError for any other."""
    known_vectors(path)
    return RankedIndex(
        PageIndex.open(path, snippet_chars=snippet_chars), client, "dense" if rank == "dense" else "hybrid"
    )


def refuse_without_model(path: str, rank: Rank) -> None:
    """Raises UsageError where pages are to be ranked by vectors, and nobody named who embeds the queries.

    An index does not name an endpoint: whoever made it is not to decide where keys and queries go.
    """
    if rank in ("dense", "hybrid"):
        known_vectors(path)
    about = vectors_in(Path(path)) if rank != "bm25" and Path(path).is_dir() else None
    if about:
        raise UsageError(
            f"{path}: has vectors of {about.space.model}: name its endpoint with --embed URL, or take --rank bm25"
        )

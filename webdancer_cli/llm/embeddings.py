"""Vectors of texts, from any OpenAI-compatible embeddings endpoint.

A call gives a vector for every text or raises. Vectors come as base64 or as numbers, in any order, and leave here with
length one, so that a product of two is their cosine.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from webdancer_cli.errors import ModelError
from webdancer_cli.llm.budget import Ledger
from webdancer_cli.llm.endpoints import EndpointPool
from webdancer_cli.llm.model_client import RETRY, ContextFull, ModelClient, RequestRefused
from webdancer_cli.llm.replies import Body, ErrorInBody, NoReply
from webdancer_cli.services.failures import find_error
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape, TapeMiss
from webdancer_cli.text.surrogates import mend_surrogates

Vectors = NDArray[np.float32]
"""A row for each text, of length one. Of zeros where the model gives none, not finite where it broke down."""

SHARE_KEPT = 0.75
"""Of a text that is longer than the model takes."""
FEWEST_CHARS = 40
"""A text that is refused as too long, and is this short, has something else about it."""
EVERY = 4
"""If so many texts are refused one by one and none is taken, the model is at fault, not the texts."""


@dataclass
class Embedded:
    """What came of texts: their vectors, which of them had to be ``cut``, and why some have none (rows of zeros)."""

    texts: list[str]
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    cut: set[int] = field(default_factory=set)
    failures: dict[int, str] = field(default_factory=dict)


class EmbeddingClient(ModelClient[Vectors]):
    """One embedding model; ``tape`` keeps the vectors of queries."""

    answers_in_tokens = False

    def __init__(
        self,
        endpoints: EndpointPool,
        model: str,
        *,
        retry: RetryPolicy = RETRY,
        ledger: Ledger | None = None,
        tape: Tape | None = None,
    ):
        super().__init__(endpoints, model, retry, ledger)
        self._tape = tape

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts, by one call. Raises ModelError; RequestRefused for texts that are not taken, which may
        be for their length (ContextFull); BudgetSpent and ServiceRefused as a chat does."""
        asked = {"model": self.model, "input": [mend_surrogates(text) for text in texts], "encoding_format": "base64"}
        return await self._persistently(asked)

    async def embed_query(self, query: str) -> Vectors:
        """The vector of one text, from the tape if there is one. Raises ModelError also for a vector that is not
        finite, and in a replay for what the tape lacks."""

        async def asked() -> bytes:
            (vector,) = await self.embed([query])
            if not np.isfinite(vector).all():
                raise ModelError(f"{self.model}: a vector that is not finite")
            return vector.astype("<f4").tobytes()

        if self._tape is None:
            return np.frombuffer(await asked(), "<f4")
        try:
            found = await self._tape.record_or_replay("llm", ["embedding", self.model, query], self.model, bytes, asked)
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None
        return np.frombuffer(found, "<f4")

    async def embed_all(self, texts: Sequence[str], batch: int) -> Embedded:
        """The vectors of texts, whatever it takes: fewer at a time where a call is too much, cut where one is too long,
        none for one that is refused alone. Raises ModelError where no text is taken."""
        found = Embedded(list(texts))
        for start in range(0, len(texts), batch):
            await self._embed_at(list(range(start, min(start + batch, len(texts)))), found)
        if len(found.failures) == len(texts) >= EVERY:
            raise ModelError(f"{self.model}: takes none of {len(texts)} texts: {found.failures[0]}")
        return found

    async def _embed_at(self, places: list[int], found: Embedded) -> None:
        """A vector that is none may come of the texts beside: its text is tried alone, once."""
        try:
            vectors = await self.embed([found.texts[place] for place in places])
        except RequestRefused as refusal:
            half = len(places) // 2
            if half:
                await self._embed_at(places[:half], found)
                await self._embed_at(places[half:], found)
            else:
                await self._embed_cut(places[0], found, refusal)
            return
        if not found.vectors.size:
            found.vectors = np.zeros((len(found.texts), vectors.shape[1]), np.float32)
        if vectors.shape[1] != found.vectors.shape[1]:
            raise ModelError(f"{self.model}: vectors of {found.vectors.shape[1]} numbers, and then {vectors.shape[1]}")
        for place, vector in zip(places, vectors, strict=True):
            if np.isfinite(vector).all() and vector.any():
                found.vectors[place] = vector
            elif len(places) > 1:
                await self._embed_at([place], found)
            else:
                found.failures[place] = "a vector of zeros" if not vector.any() else "a vector that is not finite"

    async def _embed_cut(self, place: int, found: Embedded, refusal: RequestRefused) -> None:
        text = found.texts[place]
        if not isinstance(refusal, ContextFull) or len(text) <= FEWEST_CHARS:
            found.failures[place] = str(refusal)
            return
        found.texts[place] = text[: int(SHARE_KEPT * len(text))]
        found.cut.add(place)
        await self._embed_at([place], found)

    def _body(self, content: bytes) -> Body:
        try:
            value = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoReply(f"no embeddings: {error}") from None
        if find_error(value) is not None:
            raise ErrorInBody
        if not isinstance(value, dict):
            raise NoReply("no embeddings: not an object")
        return value

    def _answer(self, body: Body, sent: Mapping[str, Any]) -> Vectors:
        return parse_vectors(body.get("data"), len(sent["input"]))


def parse_vectors(data: Any, count: int) -> Vectors:
    """The vectors of ``count`` texts, in their order, with length one. Raises NoReply for anything else."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise NoReply("no embeddings: no list of data")
    if len(data) != count:
        raise NoReply(f"{len(data)} vectors for {count} texts")
    order = [item.get("index") for item in data]
    if all(place is None for place in order):
        order = list(range(count))
    if sorted(place for place in order if isinstance(place, int)) != list(range(count)):
        raise NoReply("vectors that do not say which text each is of")
    rows = [_numbers(item.get("embedding")) for item in data]
    if len({len(row) for row in rows}) > 1:
        raise NoReply("vectors of several lengths")
    vectors = np.empty((count, len(rows[0])), np.float64)
    vectors[order] = rows
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=vectors, where=lengths > 0).astype(np.float32)


def _numbers(given: Any) -> NDArray[np.float64]:
    """Floats in base64, little-endian, or as a list; some servers put a list around a single one. Raises NoReply."""
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    try:
        if isinstance(given, str):
            numbers = np.frombuffer(base64.b64decode(given, validate=True), "<f4").astype(np.float64)
        else:
            numbers = np.array([float("nan") if number is None else number for number in given], np.float64)
    except (binascii.Error, TypeError, ValueError) as error:
        raise NoReply(f"a vector that is none: {error}") from None
    if numbers.ndim != 1 or not numbers.size:
        raise NoReply("a vector without numbers")
    return numbers

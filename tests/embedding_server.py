"""Embeddings endpoints on loopback: one with the weights of a real static model, one with words for vectors.

The static model is WordLlama's (``pip install wordllama``): 32,000 tokens of 256 numbers each, whose mean is the vector
of a text. Only the data of the package are used.

    python tests/embedding_server.py          # serves the static model, and prints its URL
"""

import base64
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from loopback import answering

from webdancer_cli.text.words import stems

Embed = Callable[[Sequence[str]], Any]
"""The vectors of texts."""


def static_model() -> Embed | None:
    """None where the package, or a library that reads its files, is absent."""
    names = ("wordllama", "tokenizers", "safetensors")
    found = {name: importlib.util.find_spec(name) for name in names}
    if None in found.values():
        return None
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(str(found["wordllama"].origin)).parent  # type: ignore[union-attr]
    weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))

    def embed(texts: Sequence[str]) -> Any:
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [weights[each.ids].mean(0) if each.ids else np.zeros(weights.shape[1]) for each in encoded]

    return embed


def word_vectors(numbers: int = 64) -> Embed:
    """A number for each stem, by its hash: texts with the same words have the same direction."""

    def embed(texts: Sequence[str]) -> Any:
        vectors = np.zeros((len(texts), numbers))
        for row, text in enumerate(texts):
            for stem in stems(text):
                vectors[row, crc32(stem.encode()) % numbers] += 1
        return vectors

    return embed


class EmbeddingServer:
    """What stands behind the endpoint; ``asked`` keeps the texts of each call. ``spoil`` may answer in its place."""

    def __init__(self, embed: Embed, spoil: Callable[[Any], tuple[int, Any] | None] = lambda request: None):
        self.embed = embed
        self.spoil = spoil
        self.asked: list[list[str]] = []
        self.url = ""

    def reply(self, request: Any, headers: object) -> tuple[int, Any]:
        self.asked.append(request["input"])
        return self.spoil(request) or (200, answer_of(self.embed(request["input"]), request))

    @property
    def texts(self) -> list[str]:
        return [text for texts in self.asked for text in texts]


def answer_of(vectors: Any, request: Any) -> dict[str, Any]:
    """As OpenAI documents it, but the last text first."""
    written = [vector_in(vector, request.get("encoding_format")) for vector in vectors]
    data = [{"object": "embedding", "index": at, "embedding": text} for at, text in enumerate(written)]
    tokens = sum(len(text.split()) for text in request["input"])
    return {"object": "list", "data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def vector_in(vector: Any, encoding: str | None) -> Any:
    numbers = np.asarray(vector, "<f4")
    return base64.b64encode(numbers.tobytes()).decode() if encoding == "base64" else numbers.tolist()


@contextmanager
def embedding(server: EmbeddingServer) -> Iterator[EmbeddingServer]:
    """The server, at its ``url``."""
    with answering(server.reply) as server.url:
        yield server


if __name__ == "__main__":
    model = static_model()
    if model is None:
        sys.exit("pip install wordllama tokenizers safetensors")
    with embedding(EmbeddingServer(model)) as served:
        print(served.url, flush=True)
        while True:
            time.sleep(3600)

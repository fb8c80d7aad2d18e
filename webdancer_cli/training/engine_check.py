"""Holds an engine against the model's own forward pass before anything is played with it.

Rows of different length side by side, read in chunks, two turns each: a model whose layers look across the rows that
the engine packs into one (linear attention, convolutions, biases by distance), or whose attention is its own, computes
other log-probs there than alone. Nothing in its configuration says so for every family, so it is tried.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from webdancer_cli.errors import UsageError
from webdancer_cli.training.attention import unknown_layers
from webdancer_cli.training.engine import Engine, SamplingParams
from webdancer_cli.training.models import MODEL_FAILURES, embedding_rows

LENGTHS = (24, 5, 11)
"""Tokens of the rows' first prompts."""

SAMPLED = 4
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""How far a log-prob may be off on average, in standard deviations of the logits that it comes from."""


@dataclass(frozen=True)
class Agreement:
    """What a check saw: how many sampled tokens it compared, and how far their log-probs were off at most."""

    tokens: int
    largest_gap: float

    def line(self) -> str:
        return f"the engine's log-probs are the model's own to {self.largest_gap:.1g} ({self.tokens} tokens tried)"


def check_engine(engine: Engine, model: Any, name: str) -> Agreement:
    """Play three short rows and compare with ``model``, which the engine runs.

    Raises UsageError, in one line, for a model that the engine does not play as it is. Costs a few forward passes over
    some hundred tokens.
    """
    kind = type(model).__name__
    remedy = f"{name}: the in-process engine does not play {kind}: serve it (vLLM, …) and name the server by --base-url"
    if strange := unknown_layers(model.config):
        raise UsageError(f"{remedy} (it has layers of {strange})")
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
            rows = thread.submit(lambda: asyncio.run(_play(engine, embedding_rows(model)))).result()
        gaps = [gap for ids, logprobs in rows for gap in _gaps(model, ids, logprobs)]
    except (*MODEL_FAILURES, UsageError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{remedy} ({type(error).__name__}: {reason})") from error
    tolerance = TOLERANCE.get(model.dtype, TOLERANCE[torch.bfloat16])
    relative = sum(gap / spread for gap, spread in gaps) / len(gaps)
    agreement = Agreement(len(gaps), max(gap for gap, _ in gaps))
    if not relative < tolerance:
        raise UsageError(
            f"{remedy} (its log-probs are off by {agreement.largest_gap:.2g} when rows are played together)"
        )
    return agreement


async def _play(engine: Engine, vocabulary: int) -> list[tuple[list[int], list[float | None]]]:
    """All rows at once: their ids, and the log-probs of those that were sampled."""
    longest = max(2, (engine.max_length - 3 * SAMPLED) // 2)
    rows = [_row(engine, vocabulary, at, min(length, longest)) for at, length in enumerate(LENGTHS)]
    return await asyncio.gather(*rows)


async def _row(engine: Engine, vocabulary: int, number: int, length: int) -> tuple[list[int], list[float | None]]:
    generator = torch.Generator().manual_seed(number)
    ids: list[int] = []
    logprobs: list[float | None] = []
    for turn, more in enumerate((length, 2 + number)):
        if len(ids) + more + SAMPLED > engine.max_length:
            break
        ids += torch.randint(vocabulary, (more,), generator=generator).tolist()
        logprobs += [None] * more
        sample = await engine.generate(ids, SamplingParams(max_tokens=SAMPLED, seed=turn), f"check {number}")
        ids, logprobs = ids + sample.ids, [*logprobs, *sample.logprobs]
    return ids, logprobs


@torch.no_grad()
def _gaps(model: Any, ids: list[int], logprobs: Sequence[float | None]) -> list[tuple[float, float]]:
    """For each sampled token how far its log-prob is from the model's own, and the spread of the logits there."""
    device = next(model.parameters()).device
    logits_TV = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].float()
    own_TV = torch.log_softmax(logits_TV, -1)
    sampled = [(at, logprob) for at, logprob in enumerate(logprobs) if logprob is not None]
    return [(abs(float(own_TV[at - 1, ids[at]]) - logprob), float(logits_TV[at - 1].std())) for at, logprob in sampled]

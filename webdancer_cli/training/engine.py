"""The seam between a policy and what runs its model: token ids in, token ids with log-probs out; new weights in.

An engine knows nothing of messages, tools or rewards. Ids are never decoded and encoded again: a later turn's prompt is
the earlier turn's prompt, plus what was sampled, plus the ids of the observation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

Finish = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next tokens are drawn. ``temperature`` 0 is greedy; ``top_p`` 1 is the whole distribution."""

    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    """Drawing one of these ends the turn; it is part of the sample."""
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    """Draws depend on this alone, not on what else is in the batch (up to floating-point noise in the model)."""


Sampling = SamplingParams
"""Its name up to 0.1; goes with 0.3."""


@dataclass(frozen=True)
class SampledTokens:
    """What was drawn: ``ids`` include the stop id, if there was one; ``logprobs`` has the same length.

    A log-prob is that of the distribution that was drawn from (after temperature and top_p), in natural logarithm and
    float32; for greedy decoding it is the model's own (temperature 1). ``cached`` counts the prompt tokens that were
    not computed again.
    """

    ids: list[int]
    logprobs: list[float]
    finish: Finish
    cached: int = 0


class Engine(Protocol):
    """Runs one policy. A turn also ends where one of ``grammar.STOP_STRINGS`` appears in its text.

    Which engine a run has is decided in ``engines.py`` alone; whoever plays or trains knows this protocol.
    """

    max_length: int
    """Longest sequence, prompt and sample together."""
    version: int
    """Of the weights that the next token is drawn with: 0 as they were opened, then what ``load_weights`` was told."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, row: str | None = None
    ) -> SampledTokens:
        """Draw up to ``sampling.max_tokens`` ids after ``prompt_ids``. Raises ModelError.

        ``row`` names an episode whose computed prefix may be used again: it is kept until ``release(row)``.
        """
        ...

    def release(self, row: str) -> None:
        """Forget an episode's prefix; unknown names are ignored."""
        ...

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Play with other weights from now on: all of the model's, or all of its adapters', by transformers' names.

        They come one at a time, whole, and every rank must take all of them, since each is gathered from the ranks'
        shards as it comes. Keys and values of older weights are dropped; no call may be under way. When it returns,
        the engine has this ``version``. Raises RuntimeError for weights that the model does not know or lacks.
        """
        ...

    async def pause(self) -> None:
        """Nothing is drawn until ``load_weights``, and nothing is under way: what shares the trainer's device may give
        back what it holds there. All ranks call it together."""
        ...

    async def score(self, ids: Sequence[int]) -> dict[str, list[float]]:
        """log p of each of ``ids`` but the first, given those before it: by every copy of the model that plays.

        Computed anew, at temperature 1: it tells whether all of them have the weights that they are thought to have.
        """
        ...

    async def aclose(self) -> None:
        """End what the engine has started, and give back what it holds."""
        ...

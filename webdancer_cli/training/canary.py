"""A text that both sides score after every change of weights: whether those who play have what was trained.

Frameworks have sampled from stale weights for months without a sign of it: the loss still falls. So each copy of the
model is asked, and a run that cannot be sure of one of them ends.

Two computations of one model in bfloat16 are 0.03 to 0.07 nats apart on this text (SmolLM2-135M, Qwen2.5-Coder-0.5B;
vLLM on the CPU beside the trainer: 0.05); in float32 they agree to 1e-6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from webdancer_cli.data.records import Message
from webdancer_cli.errors import WebdancerError
from webdancer_cli.training.renderer import Renderer, Tokens

LIMITS = {torch.float32: 0.01, torch.bfloat16: 0.2}
"""The largest mean gap that is let pass, by the arithmetic of both sides."""

MOVED = 0.005
"""When the trainer's log-probs have moved by so much on average, a copy whose own have not moved in a single digit was
left out of the sync. Smaller steps may be lost in the rounding of a copy in bfloat16."""

MESSAGES = (
    Message("system", "You answer questions by searching the web and reading its pages, step by step."),
    Message("user", "In which year was the lighthouse on the northern cape of the island of Tirsk first lit?"),
    Message(
        "assistant",
        "<think>\nI have to find the lighthouse first, then the year in which it was lit. I search it.\n"
        '</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["lighthouse Tirsk"]}}\n</tool_call>',
    ),
)


class StaleWeights(WebdancerError):
    """Somebody plays with other weights than those that were trained."""


@dataclass
class Canary:
    """The text, and what each side said of it the last time."""

    tokens: Tokens
    """All but the first are scored."""
    limit: float
    """The largest mean gap of log-probs between the trainer and a copy, in nats."""
    _own: Sequence[float] = ()
    _theirs: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, renderer: Renderer, max_length: int, compute: torch.dtype, limit: float | None = None) -> "Canary":
        # One token fewer than fit: a server that scores a prompt draws a token after it.
        ids = renderer.encode(list(MESSAGES)).ids[: max_length - 1]
        return cls(Tokens(ids, [at > 0 for at in range(len(ids))]), limit or LIMITS[compute])

    def check(self, own: Sequence[float], theirs: Mapping[str, list[float]]) -> float:
        """The largest mean gap between the trainer's log-probs and those of a copy. Raises StaleWeights."""
        moved = mean_gap(self._own, own) if self._own else 0.0
        gaps = {name: mean_gap(own, logprobs) for name, logprobs in theirs.items()}
        for name, gap in gaps.items():
            if not gap <= self.limit:
                raise StaleWeights(
                    f"{name}: plays with other weights than those that are trained: on a fixed text its log-probs are "
                    f"off by {gap:.3g} on average, and --canary-gap allows {self.limit:g}"
                )
            if moved > MOVED and theirs[name] == self._theirs.get(name):
                raise StaleWeights(
                    f"{name}: plays with the weights of the step before: on a fixed text the trainer's log-probs have "
                    f"moved by {moved:.3g} on average, and its own not at all"
                )
        self._own, self._theirs = list(own), dict(theirs)
        return max(gaps.values())


def mean_gap(one: Sequence[float], other: Sequence[float]) -> float:
    """The mean distance of two lists of log-probs."""
    return sum(abs(left - right) for left, right in zip(one, other, strict=True)) / len(one)

"""DAPO's maths as pure functions (paper, section 3.4; DAPO, arXiv 2503.14476, equations 8 to 13).

Shapes are suffixes: ``_G`` the rollouts of one question, ``_N`` trainable tokens (the policy's own; observations and
prompts are never among them), flattened over any number of rollouts. Nothing here knows of batches, ranks or models:
sums go out, and the caller divides by what the weights of all tokens of the *global* batch add up to. So the update is
the same for one rank, for two, and for every split into micro-batches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

MAX_WEIGHT = 2.0
"""Importance weights of stale tokens are truncated here."""

MAX_LOG_RATIO = 20.0
"""Log-ratios are cut here, far outside every clip band: ``exp`` stays finite, and so do its gradients."""


def group_advantages(rewards_G: Sequence[float]) -> list[float]:
    """(R - mean R) / std R within one group (DAPO, equation 9); all zero when every reward is the same.

    The deviation is the biased one (divided by G): the group is all that is compared, not a sample of something larger.
    The unbiased choice would shrink every advantage by the one factor sqrt((G - 1) / G).
    """
    if not rewards_G or min(rewards_G) == max(rewards_G):
        return [0.0] * len(rewards_G)
    mean = math.fsum(rewards_G) / len(rewards_G)
    std = math.sqrt(math.fsum((reward - mean) ** 2 for reward in rewards_G) / len(rewards_G))
    return [(reward - mean) / std for reward in rewards_G]


def is_learnable(correct_G: Sequence[float | None]) -> bool:
    """Dynamic sampling (DAPO, equation 11): keep a group only if 0 < #correct < judged.

    It looks at the *answers*: the total reward also differs by format, and would keep groups in which all answers are
    wrong. None is an unjudged rollout, which takes no part. For rewards that are no yes or no: two have to differ.
    """
    judged = [correct for correct in correct_G if correct is not None]
    return bool(judged) and min(judged) < max(judged)


def overlong_penalty(length: int, limit: int, zone: int) -> float:
    """Soft overlong punishment, in [-1, 0] (DAPO, equation 13), in tokens: ``limit`` is L_max and ``zone`` L_cache.

    Zero up to ``limit - zone``, then linear down to -1 at ``limit``; a ``zone`` of 0 switches it off.
    """
    if zone <= 0 or length <= limit - zone:
        return 0.0
    return max(-1.0, (limit - zone - length) / zone)


@dataclass
class LossSums:
    """What the tokens of a batch add up to; two parts of a batch are added with ``+``. Detached from the graph."""

    tokens: float = 0.0
    clipped_low: float = 0.0
    """Tokens whose gradient the clip took away, since they are much less likely than they were already, ..."""
    clipped_high: float = 0.0
    """... and since they are much more likely already."""
    ratio: float = 0.0
    kl: float = 0.0
    """Sum of r - 1 - log r: an unbiased, never negative estimate of KL(old || new) per token."""
    neg_logprob: float = 0.0
    """Sum of -log p of the sampled tokens under the sampling policy: an estimate of its entropy."""
    gap: float = 0.0
    """Sum of |log p - log p as sampled|: how far trainer and sampler disagree."""
    truncated: float = 0.0
    """Stale tokens whose importance weight is cut."""
    reference_kl: float = 0.0
    """Sum of what ``reference_penalty`` estimates."""
    ratio_max: float = 0.0

    @property
    def clipped(self) -> float:
        """Tokens whose gradient the clip took away, on either side."""
        return self.clipped_low + self.clipped_high

    def __add__(self, other: "LossSums") -> "LossSums":
        added = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "ratio_max"}
        return LossSums(**added, ratio_max=max(self.ratio_max, other.ratio_max))


def surrogate(
    new_N: Tensor,
    old_N: Tensor,
    advantages_N: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    sampled_N: Tensor | None = None,
) -> tuple[Tensor, LossSums]:
    """The clip-higher token-level loss, *summed*: -sum of w min(r A, clip(r, 1 - clip_low, 1 + clip_high) A).

    r = exp(new - old). ``new_N`` carries the gradient; ``old_N`` are the log-probs at which the tokens were sampled,
    and w is 1. For tokens that an older policy sampled, at ``sampled_N``, ``old_N`` are those of the policy that the
    step begins with, and w = min(exp(old - sampled), MAX_WEIGHT).
    Equation 8 without its normaliser: divide by the trainable tokens of the global batch. A loss: negative is good.
    """
    weights_N = torch.ones_like(old_N) if sampled_N is None else importance_weights(old_N, sampled_N)
    sampled_N = old_N if sampled_N is None else sampled_N
    log_ratio_N = (new_N.float() - old_N.float()).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio_N = log_ratio_N.exp()
    free_N = ratio_N * advantages_N
    bound_N = ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantages_N
    loss_sum = -(weights_N * torch.minimum(free_N, bound_N)).sum()
    with torch.no_grad():
        clipped_N = bound_N < free_N
        sums = _sums(ratio_N, log_ratio_N, sampled_N, clipped_N)
        sums.gap = float((new_N.float() - sampled_N).abs().sum())
        sums.truncated = float((weights_N == MAX_WEIGHT).sum())
    return loss_sum, sums


def reference_penalty(new_N: Tensor, reference_N: Tensor) -> Tensor:
    """r - 1 - log r of each token, with r = p_reference / p: never negative, an estimate of KL(policy || reference)
    ("k3"). Shape (N,)."""
    log_ratio_N = (reference_N.float() - new_N.float()).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(log_ratio_N) - log_ratio_N


def importance_weights(old_N: Tensor, sampled_N: Tensor) -> Tensor:
    """How much more likely a token is now than when it was sampled, at most MAX_WEIGHT; no gradient goes through."""
    log_ratio_N = (old_N.detach().float() - sampled_N.float()).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return log_ratio_N.exp().clamp(max=MAX_WEIGHT)


def _sums(ratio_N: Tensor, log_ratio_N: Tensor, sampled_N: Tensor, clipped_N: Tensor) -> LossSums:
    if ratio_N.numel() == 0:
        return LossSums()
    return LossSums(
        tokens=float(ratio_N.numel()),
        clipped_low=float((clipped_N & (ratio_N < 1)).sum()),
        clipped_high=float((clipped_N & (ratio_N > 1)).sum()),
        ratio=float(ratio_N.sum()),
        kl=float((torch.expm1(log_ratio_N) - log_ratio_N).sum()),
        neg_logprob=float(-sampled_N.sum()),
        ratio_max=float(ratio_N.max()),
    )

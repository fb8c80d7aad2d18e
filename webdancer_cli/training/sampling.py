"""Drawing tokens from logits, one uniform number per row, with the log-probs of the distribution drawn from."""

from collections.abc import Sequence

import torch
from torch import Tensor


def sample_tokens(
    logits_BV: Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Ids and log-probs (float32, natural) of one token per row.

    A temperature of 0 takes the most probable token and gives its log-prob at temperature 1, whatever ``top_p`` says.
    Otherwise a row's token is where its cumulative distribution passes its uniform number in [0, 1): the same number
    always draws the same token.
    """
    device = logits_BV.device
    top_ps = [top_p if heat else 1.0 for heat, top_p in zip(temperatures, top_ps, strict=True)]
    temperatures_B = torch.tensor([heat or 1.0 for heat in temperatures], device=device)
    logprobs_BV = torch.log_softmax(logits_BV.float() / temperatures_B[:, None], dim=-1)
    if min(top_ps) < 1:
        logprobs_BV = _nucleus(logprobs_BV, torch.tensor(top_ps, device=device))
    ids_B = torch.empty(len(temperatures_B), dtype=torch.long, device=device)
    greedy_B = torch.tensor([heat == 0 for heat in temperatures], device=device)
    if 0 in temperatures:
        ids_B = logprobs_BV.argmax(-1)
    if any(temperatures):
        drawn_B = _inverse(logprobs_BV, torch.tensor(uniforms, dtype=torch.float64, device=device))
        ids_B = torch.where(greedy_B, ids_B, drawn_B)
    chosen_B = logprobs_BV.gather(1, ids_B[:, None])[:, 0]
    return ids_B.tolist(), chosen_B.tolist()


def _inverse(logprobs_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """The first token whose cumulative mass exceeds the uniform share of the total; never one of probability zero."""
    mass_BV = logprobs_BV.double().exp_().cumsum_(-1)
    wanted_B1 = uniforms_B[:, None] * mass_BV[:, -1:]
    return torch.searchsorted(mass_BV, wanted_B1, right=True)[:, 0].clamp_(max=mass_BV.shape[1] - 1)


def _nucleus(logprobs_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Keep the smallest set of most probable tokens that holds ``top_p`` of the mass, and renormalise."""
    sorted_BV, order_BV = logprobs_BV.sort(-1, descending=True)
    before_BV = sorted_BV.exp().cumsum(-1) - sorted_BV.exp()
    cut_BV = (before_BV >= top_p_B[:, None]) & (top_p_B[:, None] < 1)
    cut_BV[:, 0] = False
    kept_BV = logprobs_BV.masked_fill(cut_BV.scatter(1, order_BV, cut_BV), float("-inf"))
    return torch.log_softmax(kept_BV, dim=-1)

"""The optimiser of ``sft`` and ``rl``: AdamW, its schedule, and the one step that touches weights."""

import math

import torch
from torch import Tensor, nn

from webdancer_cli.errors import WebdancerError
from webdancer_cli.training.distributed import full_tensor

COSINE_FLOOR = 0.1
"""A cosine ends at this share of the peak learning rate."""

BETAS = (0.9, 0.98)
"""Horizons of AdamW's moments. The second (50 steps) suits runs of a few hundred steps, in which 0.999 would never warm
up."""


class Diverged(WebdancerError):
    """The loss or its gradient is no number any more."""


def adamw(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over what is trainable; decay on matrices only.

    Fused: one pass over each weight with its gradient and moments, and no temporary copy of any of them.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=BETAS, fused=True)


def lr_factor(step: int, steps: int, warmup_steps: int, floor: float = 1.0) -> float:
    """The share of the peak learning rate at ``step`` (from 1): a linear rise, then a cosine from 1 down to ``floor``.

    With a ``floor`` of 1 the rate stays where it is after the rise.
    """
    if step <= warmup_steps:
        return step / warmup_steps
    fallen = (step - warmup_steps - 1) / max(1, steps - warmup_steps - 1)
    return floor + (1 - floor) * (1 + math.cos(math.pi * fallen)) / 2


def optimizer_step(
    module: nn.Module, optimizer: torch.optim.Optimizer, loss: float, lr: float, max_grad_norm: float
) -> float:
    """Step along the accumulated gradient, clipped, and clear it; its norm before clipping. ``loss`` is the global one.

    Raises Diverged, before the weights are touched, when the loss or its gradient is not finite.
    """
    norm = clip_grad_norm(module, max_grad_norm)
    if not math.isfinite(loss + norm):
        raise Diverged(f"the loss is {loss}, its gradient {norm}: lower --lr (now {lr:g})")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad()
    return norm


def clip_grad_norm(module: nn.Module, max_norm: float) -> float:
    """Clip the global gradient norm over all parameters and ranks; the norm before."""
    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm: Tensor = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return float(full_tensor(norm))

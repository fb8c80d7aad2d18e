"""Log-probs of given tokens from the last hidden states: output head, softmax and choice in one, a tile at a time.

Logits are the largest tensor of a training step by far. Here only those of one tile of positions exist at a time, and
nothing of them is kept but a number a position: the backward pass makes them again, and turns them in place into what
flows back. The product runs in the arithmetic dtype; everything that is added up over the vocabulary or over positions
is added up in float32.

Shapes: ``S`` positions, ``H`` hidden width, ``V`` vocabulary.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Shaping(NamedTuple):
    """What becomes of the head's product z: cap tanh(z scale / cap) / temperature."""

    scale: float = 1.0
    cap: float | None = None
    temperature: float = 1.0

    def apply(self, logits: Tensor) -> Tensor:
        """In place."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits if self.temperature == 1.0 else logits.div_(self.temperature)

    def slope(self, logits: Tensor) -> Tensor | float:
        """Of ``apply``, where it gave ``logits``."""
        plain = self.scale / self.temperature
        return plain * (1 - (logits * (self.temperature / self.cap)).square()) if self.cap else plain


class HeadLogprobs(torch.autograd.Function):
    """``HeadLogprobs.apply(hidden_SH, weight_VH, bias_V or None, targets_S, shaping, rows)``: float32 [S].

    ``rows`` positions make up a tile; hidden states in the arithmetic dtype, weights in theirs.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, shaping: Shaping, rows: int
    ) -> Tensor:
        ctx.shaping, ctx.rows = shaping, rows
        head = weight.to(hidden.dtype)
        sums = hidden.new_empty(len(targets), dtype=torch.float32)
        chosen = torch.empty_like(sums)
        for tile, logits in _tiles(hidden, head, bias, shaping, rows):
            torch.logsumexp(logits, 1, out=sums[tile])
            chosen[tile] = logits.gather(1, targets[tile, None])[:, 0]
        ctx.save_for_backward(hidden, weight, bias, targets, sums)
        return chosen - sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, sums = ctx.saved_tensors
        head, above = weight.to(hidden.dtype), grads[0].float()
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        for tile, logits in _tiles(hidden, head, bias, ctx.shaping, ctx.rows):
            # d log p(target) / d logit = [it is the target] - p.
            factor = above[tile, None] * ctx.shaping.slope(logits)  # [rows, 1], or under a cap [rows, V]
            flow = logits.sub_(sums[tile, None]).exp_().mul_(-factor)
            every = torch.arange(len(flow), device=flow.device)
            flow[every, targets[tile]] += factor.expand_as(flow)[every, targets[tile]]
            if grad_bias is not None:
                grad_bias += flow.sum(0)
            flow = flow.to(hidden.dtype)
            torch.mm(flow, head, out=grad_hidden[tile])
            if grad_weight is not None:
                _add_product(grad_weight, flow.mT, hidden[tile])
        weights = None if grad_weight is None else grad_weight.to(weight.dtype)
        biases = None if grad_bias is None else grad_bias.to(bias.dtype)
        return grad_hidden, weights, biases, None, None, None


def _tiles(
    hidden: Tensor, head: Tensor, bias: Tensor | None, shaping: Shaping, rows: int
) -> Iterator[tuple[slice, Tensor]]:
    """Tile by tile its positions and its logits, float32 [rows, V], in memory that the next tile uses again."""
    rows = max(1, min(rows, len(hidden)))
    product = hidden.new_empty(rows, len(head))
    wide = product if product.dtype == torch.float32 else product.new_empty(product.shape, dtype=torch.float32)
    for low in range(0, len(hidden), rows):
        tile = slice(low, min(low + rows, len(hidden)))
        count = tile.stop - low
        torch.mm(hidden[tile], head.mT, out=product[:count])
        logits = wide[:count]
        if wide is not product:
            logits.copy_(product[:count])
        if bias is not None:
            logits += bias
        yield tile, shaping.apply(logits)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left right, in float32."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

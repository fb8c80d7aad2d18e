"""Log-probs of the trainable tokens, with the output head computed only where there is loss.

Logits of a whole batch, [B, T, V], would be the largest tensor of a training step by far; here they never exist. The
decoder runs on the whole rows; of its hidden states only those are kept whose *next* token is trainable, and the head
(``output_head``) sees these, a tile at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from webdancer_cli.errors import UsageError
from webdancer_cli.training.attention import arithmetic_dtype, attending
from webdancer_cli.training.layout import Batch
from webdancer_cli.training.models import MODEL_FAILURES, decoder_of
from webdancer_cli.training.output_head import HeadLogprobs, Shaping
from webdancer_cli.training.precision import autocast

CHUNK_LOGITS, GPU_CHUNK_LOGITS = 2**24, 2**27
"""Logits (positions times vocabulary) that exist at once: 64 MiB in float32 on the CPU, 512 MiB on a GPU, where a
product over few positions takes as long as reading the head's weights does."""


class Scorer(nn.Module):
    """A model as a function from token ids to the log-probs of the trainable ones: what is trained and sharded.

    One module around decoder and head, so that FSDP gathers the weights of both when it is called.
    """

    def __init__(self, model: PreTrainedModel | PeftModel, compute: torch.dtype = torch.float32):
        super().__init__()
        self.model = model
        self.compute = compute
        bare = unwrap(model)
        if getattr(bare.config.get_text_config(), "attn_logit_softcapping", None):
            bare.set_attn_implementation("eager")  # transformers' usual one, SDPA, leaves the cap out

    def forward(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        with autocast(self.compute, batch.ids_BT.device):
            return token_logprobs(self.model, batch, temperature)


def token_logprobs(
    model: PreTrainedModel | PeftModel, batch: Batch, temperature: float = 1.0, chunk_logits: int | None = None
) -> Tensor:
    """log p(token | everything before it in its row) of every trainable token: float32 [M], row by row, in order.

    A row's first token has nothing before it and is never scored. ``temperature`` divides the logits, as in sampling.
    """
    bare = unwrap(model)
    hidden_SH = _decode(bare, batch).flatten(0, 1).index_select(0, batch.before_S)
    head: Any = bare.get_output_embeddings()
    hidden_SH = hidden_SH.to(arithmetic_dtype(head.weight))
    shaping = _shaping(bare, temperature)
    rows = (chunk_logits or logits_at_once(hidden_SH.device)) // len(head.weight)
    with torch.autocast(hidden_SH.device.type, enabled=False):
        logprobs_S = HeadLogprobs.apply(hidden_SH, head.weight, head.bias, batch.targets_S, shaping, rows)
    return logprobs_S if batch.order_M is None else logprobs_S.index_select(0, batch.order_M)


def logits_at_once(device: torch.device | str) -> int:
    """How many logits make up a tile."""
    return CHUNK_LOGITS if torch.device(device).type == "cpu" else GPU_CHUNK_LOGITS


def _decode(bare: PreTrainedModel, batch: Batch) -> Tensor:
    """The last hidden states, [B, T, H]."""
    decoder = decoder_of(bare)
    if batch.attention is None:
        states: Tensor = decoder(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
        return states
    with attending(decoder.config, batch.attention):
        packed = decoder(input_ids=batch.ids_BT, position_ids=batch.positions_BT, use_cache=False)
    states = packed.last_hidden_state
    return states


def unwrap(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The transformers model itself; adapters stay in place inside it."""
    bare: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return bare


def check_head(model: PreTrainedModel | PeftModel) -> None:
    """Compare with the model's own forward pass. Raises UsageError for a model whose logits are not what we compute."""
    bare = unwrap(model)
    device = next(bare.parameters()).device
    ids_BT = torch.arange(8, device=device)[None] % bare.config.get_text_config().vocab_size
    try:
        with torch.no_grad(), evaluating(model):
            own = bare(input_ids=ids_BT, use_cache=False).logits.float()
            ours = _logits(bare, decoder_of(bare)(input_ids=ids_BT, use_cache=False).last_hidden_state)
    except MODEL_FAILURES as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        how = " by --lora-rank" if isinstance(model, PeftModel) else ""
        raise UsageError(f"{type(bare).__name__} cannot be trained{how}: it fails ({reason})") from error
    if own.shape != ours.shape or not torch.allclose(own, ours, rtol=1e-2, atol=1e-2):
        raise UsageError(
            f"{type(bare).__name__} does more after its last layer than a linear head: it cannot be trained"
        )


def check_dropout(model: PreTrainedModel | PeftModel) -> None:
    """Raises UsageError for a model that still draws at random in training mode: its log-probs would be noise."""
    bare = unwrap(model)
    ids_BT = torch.arange(8, device=next(bare.parameters()).device)[None] % bare.config.get_text_config().vocab_size
    with torch.no_grad():
        trained = bare(input_ids=ids_BT, use_cache=False).logits
        with evaluating(model):
            played = bare(input_ids=ids_BT, use_cache=False).logits
    if not torch.allclose(trained, played, rtol=1e-2, atol=1e-2):
        raise UsageError(
            f"{type(bare).__name__} computes something else in training than in playing, dropout aside: "
            "it cannot be trained by rl"
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode for a while: without dropout."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def _shaping(bare: PreTrainedModel, temperature: float = 1.0) -> Shaping:
    """What families do to their logits: Granite and Cohere scale them, Gemma caps them."""
    config = bare.config.get_text_config()
    scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    return Shaping(scale, getattr(config, "final_logit_softcapping", None), temperature)


def _logits(bare: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Of all positions, as ``token_logprobs`` takes them to be."""
    logits: Tensor = bare.get_output_embeddings()(hidden).float()
    return _shaping(bare).apply(logits)

"""How much memory each rank will need, computed for the user's own model before anything is loaded.

Weights, gradients and moments are counted from the model's shapes. What a forward pass keeps for the backward pass is
found by running the model itself on the meta device, where tensors have shapes and no memory, and adding up what
autograd saves. Temporary tensors, the allocator's waste and what the libraries hold are not in it. On the CPU it was
0.93 to 1.09 of measured peaks (docs/performance.md).
"""

import copy
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, PreTrainedModel

from webdancer_cli.options.config import RlOptions, TrainingOptions
from webdancer_cli.training.logprobs import logits_at_once
from webdancer_cli.training.models import ModelDescription, decoder_of, head_width
from webdancer_cli.training.precision import arithmetic
from webdancer_cli.training.recompute import Checkpointing, checkpointing_of, is_wide_product

COUNTED_ATTENTION = "webdancer_memory"
"""Name under which ``_attend`` is known to transformers."""

FLOAT32_BYTES = 4
MOMENTS = 2
"""What AdamW keeps of each trained number, in float32."""
LOGIT_COPIES = 2
"""Float32 tensors as large as a tile of logits that live at once: the logits, and what their log-sum-exp adds up."""
GATHERED_LAYERS = 2
"""Layers whose weights a rank holds whole at once: the one that computes, and the next one, which is on its way."""

GB = 1e9
SHOWN_RANKS = (1, 2, 4, 8, 16, 64)
"""For how many ranks the need is told."""


@dataclass(frozen=True)
class Activations:
    """What the backward pass needs of one row of ``tokens``, in bytes."""

    layers: list[int]
    """Kept within each layer."""
    layer_input: int
    attention: int
    """What one layer's attention gives, with its log-sum-exp."""
    products: list[int]
    """What the matrix products of each layer give that "light" checkpointing keeps."""
    outside: int
    """Kept outside of all layers: embedding, last norm, the states whose next token bears loss."""

    def kept(self, checkpointing: str) -> int:
        """With all layers kept; or with their inputs, and one layer at a time that is computed again.

        What was kept of that layer besides is taken out of store, and is part of what is computed again.
        """
        if checkpointing == "none":
            return sum(self.layers) + self.outside
        attention = self.attention if checkpointing in ("light", "selective") else 0
        kept = [attention + (size if checkpointing == "light" else 0) for size in self.products]
        again = max((layer - stored for layer, stored in zip(self.layers, kept, strict=True)), default=0)
        return len(self.layers) * self.layer_input + sum(kept) + again + self.outside


@dataclass(frozen=True)
class Memory:
    """Bytes that one rank needs at the height of a step."""

    weights: int
    gathered: int
    """Weights in the dtype of the arithmetic, or of other ranks, for as long as they are used."""
    gradients: int
    optimizer: int
    activations: int
    logits: int
    reference: int = 0
    """The frozen weights that ``rl --kl`` holds the policy near; with LoRA they are those that are trained upon."""
    engine: int = 0
    """What plays the episodes of ``rl`` in the same process: weights of its own, keys and values."""

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def estimate(
    plain: ModelDescription, options: TrainingOptions, tokens: int, ranks: int, device: str, engine: int = 0
) -> Memory:
    """The memory of one of ``ranks`` for micro-batches of ``tokens``; ``engine`` is what it needs besides, in bytes."""
    compute = arithmetic(plain.parameters, options.dtype, device)
    checkpointing = _checkpointing(plain, options)
    shards = max(1, ranks // options.replicas)
    layer, outside = _largest_parts(plain.model)
    base = compute.itemsize if options.lora_rank else FLOAT32_BYTES
    adapters = adapter_parameters(plain.model, options.lora_rank)
    trained = adapters or plain.parameters
    gathers = compute.itemsize if device != "cpu" else base
    gathered = gathers * (GATHERED_LAYERS * layer + outside) if shards > 1 else 0
    if shards == 1 and compute.itemsize < base:  # autocast's copies of float32 weights
        gathered = compute.itemsize * plain.parameters
    offloaded = options.cpu_offload
    has_reference = isinstance(options, RlOptions) and options.kl and not options.lora_rank
    return Memory(
        weights=0 if offloaded else (base * plain.parameters + FLOAT32_BYTES * adapters) // shards,
        gathered=gathered,
        gradients=0 if offloaded else FLOAT32_BYTES * trained // shards,
        optimizer=0 if offloaded else MOMENTS * FLOAT32_BYTES * trained // shards,
        activations=activations(plain.model, tokens, compute).kept(checkpointing),
        logits=_logits_bytes(plain, tokens, compute, device),
        reference=base * plain.parameters // shards if has_reference and not offloaded else 0,
        engine=engine,
    )


def table(
    plain: ModelDescription, options: TrainingOptions, tokens: int, ranks: Sequence[int], device: str, engine: int = 0
) -> str:
    """For reading: a row for each number of ranks, in gigabytes."""
    memories = [estimate(plain, options, tokens, count, device, engine) for count in ranks]
    given = {"engine": engine, "reference": memories[0].reference}
    columns = [name for name in Memory.__dataclass_fields__ if given.get(name, True)]
    compute = str(arithmetic(plain.parameters, options.dtype, device)).removeprefix("torch.")
    how = f"checkpointing {_checkpointing(plain, options)}"
    what = f"LoRA of rank {options.lora_rank}" if options.lora_rank else "all weights"
    head = f"memory of each rank in GB, about: {plain.parameters:,} parameters, {what} in {compute}, {how}"
    lines = [f"{head}, {tokens:,} tokens at once", f"{'ranks':>6}" + "".join(f"{n:>13}" for n in (*columns, "total"))]
    for count, memory in zip(ranks, memories, strict=True):
        values = [getattr(memory, name) for name in columns] + [memory.total]
        lines.append(f"{count:>6}" + "".join(f"{value / GB:>13.2f}" for value in values))
    return "\n".join(lines)


def _checkpointing(plain: ModelDescription, options: TrainingOptions) -> Checkpointing:
    supported = plain.model.supports_gradient_checkpointing
    return checkpointing_of(options.checkpointing, plain.parameters, supported=supported)


def plans(plain: ModelDescription, options: TrainingOptions, tokens: int, ranks: int, engine: int = 0) -> str:
    """What ``--dry-run`` shows: for this machine, and where it has no GPU also for one that has."""
    counts = sorted({*SHOWN_RANKS, ranks})
    here = "cuda" if torch.cuda.is_available() else "cpu"
    shown = [f"here, on {here}: " + table(plain, options, tokens, counts, here, engine)]
    if here == "cpu" and options.dtype != "float32":
        shown.append("on GPUs: " + table(plain, options, tokens, counts, "cuda", engine))
    return "\n".join(shown)


def adapter_parameters(model: PreTrainedModel, rank: int) -> int:
    """Of LoRA adapters on all linear layers but the head: rank times inputs and outputs of each."""
    head = model.get_output_embeddings()
    layers = [part for part in model.modules() if isinstance(part, nn.Linear) and part is not head]
    return rank * sum(part.in_features + part.out_features for part in layers)


def activations(model: PreTrainedModel, tokens: int, compute: torch.dtype) -> Activations:
    """What one row of ``tokens`` leaves in each part of ``model``, which is on the meta device.

    The weights count as ``compute``, as FSDP's policy has them. Where autocast works instead, the states between the
    layers are float32, and somewhat more is kept.
    """
    AttentionInterface.register(COUNTED_ATTENTION, _attend)
    twin: Any = copy.deepcopy(model)
    twin.to(dtype=compute).train().requires_grad_(True)
    twin.config._attn_implementation = COUNTED_ATTENTION
    names = set(twin._no_split_modules or ())
    layers = [part for part in twin.modules() if type(part).__name__ in names]
    counter, products = _Saved([*twin.parameters(), *twin.buffers()]), _Products()
    for number, layer in enumerate(layers):
        for part in (counter, products):
            layer.register_forward_pre_hook(lambda *_, to=part, at=number: to.enter(at))
            layer.register_forward_hook(lambda *_, to=part: to.enter(None))
    ids = torch.zeros((1, tokens), dtype=torch.long, device="meta")
    with counter.counting(), products:
        hidden_BTH: Tensor = decoder_of(twin)(input_ids=ids, use_cache=False).last_hidden_state
    state = hidden_BTH.numel() * compute.itemsize
    config = twin.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 0))
    return Activations(
        layers=[counter.bytes.get(number, 0) for number in range(len(layers))],
        layer_input=state,
        attention=tokens * heads * (head_width(config) * compute.itemsize + FLOAT32_BYTES),
        products=[products.bytes.get(number, 0) for number in range(len(layers))],
        outside=counter.bytes.get(None, 0) + state,
    )


class _Products(TorchDispatchMode):
    """Adds up the bytes of what wide matrix products give, by the layer that is running."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[int | None, int] = {}
        self._layer: int | None = None

    def enter(self, layer: int | None) -> None:
        self._layer = layer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if is_wide_product(func, args):
            self.bytes[self._layer] = self.bytes.get(self._layer, 0) + out.numel() * out.element_size()
        return out


class _Saved:
    """Adds up the bytes of what autograd saves, by the layer that is running; each storage once, weights never."""

    def __init__(self, own: Iterable[Tensor]):
        self.bytes: dict[int | None, int] = {}
        self._alive = [tensor.untyped_storage() for tensor in own]  # or another storage could take its place
        self._known = {storage._cdata for storage in self._alive}
        self._layer: int | None = None

    def enter(self, layer: int | None) -> None:
        self._layer = layer

    def counting(self) -> AbstractContextManager[Any]:
        return saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self._alive.append(storage)
            self.bytes[self._layer] = self.bytes.get(self._layer, 0) + storage.nbytes()
        return tensor


class _Attention(torch.autograd.Function):
    """Keeps what a fused attention keeps: queries, keys, values, the result, and a log-sum-exp for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty((*query.shape[:3], value.shape[3]))
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:3], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError("it is asked what it saves, never for gradients")


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **_: Any) -> tuple[Tensor, None]:
    """Query ``[B, heads, T, head_dim]`` to ``[B, T, heads, head_dim]``, as transformers' attention functions do."""
    out: Tensor = _Attention.apply(query, key, value)
    return out.transpose(1, 2).contiguous(), None


def _largest_parts(model: PreTrainedModel) -> tuple[int, int]:
    """Parameters of the largest layer, and of all that is in none."""
    names = set(model._no_split_modules or ())
    sizes = [sum(p.numel() for p in part.parameters()) for part in model.modules() if type(part).__name__ in names]
    return max(sizes, default=0), model.num_parameters() - sum(sizes)


def _logits_bytes(plain: ModelDescription, tokens: int, compute: torch.dtype, device: str) -> int:
    """Of one tile: in float32, and before that as the head gives it in another dtype."""
    rows = min(tokens, max(1, logits_at_once(device) // plain.rows))
    product = 0 if compute == torch.float32 else compute.itemsize
    return rows * plain.rows * (product + LOGIT_COPIES * FLOAT32_BYTES)

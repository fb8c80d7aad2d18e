"""What is trained, opened and made ready: on one rank whole, on several each with its part of every weight."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from peft import PeftModel
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, register_fsdp_forward_method
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import TrainingOptions
from webdancer_cli.training.distributed import ProcessGroup, shard
from webdancer_cli.training.logprobs import Scorer, evaluating, unwrap
from webdancer_cli.training.models import (
    ADAPTER_MARK,
    ModelDescription,
    add_adapters,
    dtypes,
    grow_embedding,
    load_model,
    load_trainable,
    missing_rows,
)
from webdancer_cli.training.precision import arithmetic
from webdancer_cli.training.recompute import recompute_activations
from webdancer_cli.training.sharded_weights import fill_weights, hand_out, materialize, skeleton, stand_in, take_away

Result = TypeVar("Result")

_WITHIN = "within_forward"


@dataclass(frozen=True)
class Trainable:
    """A model to train, and ``scorer``, the module around it that is called, trained and sharded."""

    model: PreTrainedModel | PeftModel
    scorer: Scorer
    compute: torch.dtype
    """The dtype of its arithmetic."""
    grown: int
    """Rows of its embedding, if some were added for new tokens; else 0."""

    def within_forward(self, work: Callable[[], Result]) -> Result:
        """Do something with the model for which its weights have to be there, as in the scorer's own forward pass.

        All ranks do it together, without gradients.
        """
        if not isinstance(self.scorer, FSDPModule):
            return work()
        result: Result = getattr(self.scorer, _WITHIN)(work)
        self.scorer.reshard()  # the outermost weights would stay whole until the next backward pass
        return result

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """For a while the scorer may be called without gradients and without dropout; by all ranks, equally often."""
        with torch.no_grad(), evaluating(self.model):
            yield
        if isinstance(self.scorer, FSDPModule):
            self.scorer.reshard()


def open_trainable(
    plain: ModelDescription, tokenizer: PreTrainedTokenizerBase, options: TrainingOptions, world: ProcessGroup
) -> Trainable:
    """The model of ``plain``, with rows for all tokens. Raises UsageError.

    What is trained is kept in float32, so that small updates are not rounded away: all weights, or the adapters over a
    frozen base in the arithmetic dtype.
    """
    if options.cpu_offload and world.device.type == "cpu":
        raise UsageError("--cpu-offload: there is no GPU here whose memory it could spare")
    if options.cpu_offload and not dist.is_initialized():
        raise UsageError("--cpu-offload: start with torchrun, on one GPU with --nproc-per-node 1")
    if world.size > 1 or options.cpu_offload:
        return _open_sharded(plain, tokenizer, options, world)
    model, compute = load_trainable(plain, options.dtype, options.lora_rank, world.device, options.seed)
    recompute_activations(unwrap(model), options.checkpointing, plain.parameters)
    grown = grow_embedding(unwrap(model), plain, tokenizer, options.seed)
    return Trainable(model, Scorer(model, compute), compute, grown)


def _open_sharded(
    plain: ModelDescription, tokenizer: PreTrainedTokenizerBase, options: TrainingOptions, world: ProcessGroup
) -> Trainable:
    compute = arithmetic(plain.parameters, options.dtype, world.device)
    kept = compute if options.lora_rank else torch.float32
    missing = missing_rows(plain, tokenizer)
    bare = skeleton(plain, dtypes(plain, kept), plain.rows + missing)
    model: PreTrainedModel | PeftModel = bare.requires_grad_(True)
    if options.lora_rank:
        stand_in(bare)
        model = add_adapters(bare, plain, options.lora_rank, options.seed)
        take_away(bare)
    model.train()
    recompute_activations(bare, options.checkpointing, plain.parameters)
    adapters = {name: tensor.detach().clone() for name, tensor in bare.named_parameters() if ADAPTER_MARK in name}
    scorer = Scorer(model, compute)
    shard(
        scorer,
        set(bare._no_split_modules or ()),
        world,
        replicas=options.replicas,
        policy=mixed_precision(plain, compute, world.device),
        cpu_offload=options.cpu_offload,
    )
    setattr(scorer, _WITHIN, lambda work: work())
    register_fsdp_forward_method(scorer, _WITHIN)
    materialize(scorer, bare, torch.device("cpu") if options.cpu_offload else world.device)
    if adapters:
        hand_out(bare, adapters)

    def whole() -> PreTrainedModel:
        opened = load_model(plain, str(kept).removeprefix("torch."))
        grow_embedding(opened, plain, tokenizer, options.seed)
        return opened

    fill_weights(bare, plain, whole, world)
    return Trainable(model, scorer, compute, plain.rows + missing if missing else 0)


def mixed_precision(plain: ModelDescription, compute: torch.dtype, device: torch.device) -> MixedPrecisionPolicy:
    """On GPUs ranks gather weights and compute in bfloat16, and add gradients up in float32, if the arithmetic is
    bfloat16 and the family can bear it in all its weights.

    On the CPU it is left to autocast, as for a lone process, so that one rank and many compute the same.
    """
    if device.type == "cpu" or compute != torch.bfloat16 or torch.float32 in dtypes(plain, compute).values():
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)

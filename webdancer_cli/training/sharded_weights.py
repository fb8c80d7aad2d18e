"""A model that is sharded before it has weights, and filled in place: no rank ever holds all of them.

Where the files hold the tensors as they are named and shaped in memory, every rank reads its own part of each. Where
they do not (GGUF, an adapter to be merged, weights that transformers converts, rows for new tokens) rank 0 opens the
model and hands out one tensor at a time; the others have their parts alone in that case, too.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter
from transformers.utils import cached_file

from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.models import ADAPTER_MARK, ModelDescription, cast_weights
from webdancer_cli.training.state import without_remarks

READ_BYTES = 1 << 26
"""How much, over all ranks, is read from files before they are closed and opened again."""

INDEX = "model.safetensors.index.json"
WRAPPED = ".base_layer"
"""What peft adds to the name of a weight that has an adapter."""


def skeleton(plain: ModelDescription, kinds: Mapping[str, torch.dtype], rows: int) -> PreTrainedModel:
    """The model with its parameters on the meta device, in their dtypes, and ``rows`` in its embeddings.

    Its buffers are there: those that no file holds (frequencies of rotary embeddings, slopes) transformers computes,
    as it does whenever it opens a model.
    """
    model = copy.deepcopy(plain.model)
    if rows != plain.rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    cast_weights(model, kinds)
    for parameter in model.parameters():
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]
    for module in model.modules():
        module._is_hf_initialized = False  # type: ignore[assignment]
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros_like(buffer, device="cpu"))
    model.initialize_weights()
    return model


def stand_in(model: nn.Module) -> None:
    """Give each meta parameter a device for a while, at no cost in memory: one number, seen as all of them.

    peft puts adapters where the weight is that they adapt; on the meta device they would be drawn from nothing.
    """
    _replace_parameters(model, lambda old: torch.zeros((), dtype=old.dtype).expand(old.shape))


def take_away(model: nn.Module) -> None:
    """Undo ``stand_in``."""
    _replace_parameters(
        model, lambda old: torch.empty(old.shape, dtype=old.dtype, device="meta") if 0 in old.stride() else old
    )


def _replace_parameters(model: nn.Module, made_of: Any) -> None:
    """In place; what is shared between modules stays shared."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            if id(old) not in made:
                new = made_of(old.detach())
                made[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad)
            setattr(module, name, made[id(old)])


def materialize(module: nn.Module, bare: PreTrainedModel, device: torch.device) -> None:
    """Give the parameters of the sharded ``module`` memory, with nothing in it yet; tied ones stay tied, buffers stay.

    ``bare`` is the transformers model in it.
    """
    buffers = {name: buffer.clone() for name, buffer in bare.named_buffers()}
    holders: dict[int, list[tuple[nn.Module, str]]] = {}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            holders.setdefault(id(parameter), []).append((part, name))
    module.to_empty(device=device)
    for (first, first_name), *others in holders.values():  # ``to_empty`` makes a tied parameter anew for each holder
        for part, name in others:
            setattr(part, name, getattr(first, first_name))
    for name, buffer in bare.named_buffers():
        buffer.copy_(buffers[name])


def fill_weights(bare: PreTrainedModel, plain: ModelDescription, whole: Any, world: ProcessGroup) -> None:
    """Fill the sharded ``bare`` with the weights of ``plain``, adapters aside.

    ``whole`` opens the model on rank 0, where its files cannot be read in parts. Raises UsageError.
    """
    names = world.from_main(lambda: names_in_files(bare, plain))
    if names is not None:
        tensors = bare.state_dict(keep_vars=True)
        for part in parts_of_files({file_name: tensors[name].detach() for name, file_name in names.items()}):
            with without_remarks():
                dcp.load(part, storage_reader=HuggingFaceStorageReader(str(folder_of(plain))), no_dist=True)
        return
    opened: list[PreTrainedModel] = []
    world.from_main(lambda: opened.append(whole()))
    state = opened[0].state_dict() if opened else {}
    parts = {name: state[plain_name(name)] for name, _ in bare.named_parameters() if plain_name(name) in state}
    hand_out(bare, parts)
    buffers = world.from_main(lambda: dict(opened[0].named_buffers()))
    for name, buffer in bare.named_buffers():
        buffer.copy_(buffers[plain_name(name)])


def parts_of_files(wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """``wanted`` in parts of some ``READ_BYTES``. The pages of a file that were read count as memory until it is
    closed."""
    part: dict[str, Any] = {}
    size = 0
    for name, tensor in wanted.items():
        part[name] = tensor
        size += tensor.numel() * tensor.element_size()
        if size >= READ_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part


def hand_out(bare: PreTrainedModel, parts: dict[str, Tensor]) -> None:
    """Spread what rank 0 has over the shards, one tensor at a time; what the others bring counts for nothing."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    set_model_state_dict(bare, dict(parts), options=options)


def plain_name(name: str) -> str:
    """The name that a tensor has without adapters."""
    return name.replace(WRAPPED, "")


def names_in_files(bare: PreTrainedModel, plain: ModelDescription) -> dict[str, str] | None:
    """For each tensor of the model, adapters aside, its name in the files; None where some are not there as they are.

    Tied weights have one name, that of the file.
    """
    folder = folder_of(plain)
    if folder is None or any(isinstance(step, WeightConverter) for step in get_model_conversion_mapping(plain.model)):
        return None
    if {file.name for file in folder.glob("*.safetensors")} != _named_files(folder):
        return None
    held = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    shared: dict[int, list[str]] = {}
    for name, tensor in bare.state_dict(keep_vars=True).items():
        if ADAPTER_MARK not in name:
            shared.setdefault(id(tensor), []).append(name)
    state = bare.state_dict()
    found: dict[str, str] = {}
    for names in shared.values():
        same = [name for name in names if _size(held.get(plain_name(name))) == state[name].shape]
        if not same:
            return None
        found[same[0]] = plain_name(same[0])
    return found


def folder_of(plain: ModelDescription) -> Path | None:
    """Where the files of a plain checkpoint lie, also of one from the hub; None for GGUF and adapters."""
    source = plain.source
    if source.gguf or source.adapter:
        return None
    if Path(source.name).is_dir():
        return Path(source.name)
    config = cached_file(source.name, "config.json", revision=source.revision)
    return Path(config).parent if config else None


def _named_files(folder: Path) -> set[str]:
    if (folder / INDEX).is_file():
        return set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    return {"model.safetensors"}


def _size(held: Any) -> torch.Size | None:
    return getattr(held, "size", None)

"""Checkpoints: plain Hugging Face folders that transformers and vLLM load untouched, plus where they come from.

A folder is complete when ``webdancer.json`` is in it: everything is written beside first and moved in, that file last.
A killed run leaves no half checkpoint that looks whole.
"""

import json
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from webdancer_cli import __version__
from webdancer_cli.config import NANO, Training
from webdancer_cli.errors import UsageError
from webdancer_cli.records import content_id
from webdancer_cli.training.distributed import World, whole
from webdancer_cli.training.logprobs import unwrap

MARK = "webdancer.json"
METRICS = "metrics.jsonl"


def claim(out: str) -> Path:
    """The folder for a run's results, made and seen to be writable, before any work.

    Raises UsageError when it cannot be written, and when it holds a finished checkpoint already.
    """
    folder = Path(out)
    if (folder / MARK).exists():
        raise UsageError(f"{out}: holds a finished checkpoint already: name another --out, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".webdancer-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}: name a folder that can be written as --out") from None
    return folder


def provenance(command: str, options: Training, data_sha256: str) -> dict[str, Any]:
    """What made a checkpoint: command, options, data, parent and versions, and an id that hashes the first four."""
    parent = {"model": options.model, "id": _parent_id(options.model)}
    known = {"command": command, "options": asdict(options), "data_sha256": data_sha256, "parent": parent}
    versions = {
        "webdancer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    return {"id": content_id(json.dumps(known, sort_keys=True, default=str)), **known, "versions": versions}


def _parent_id(model: str) -> str | None:
    mark = Path(model) / MARK
    if model == NANO or not mark.is_file():
        return None
    parent: str | None = json.loads(mark.read_text(encoding="utf-8")).get("id")
    return parent


def save(
    folder: Path,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    about: dict[str, Any],
    dtype: torch.dtype,
    world: World,
) -> None:
    """Write a checkpoint with weights in ``dtype``; all ranks call it, rank 0 writes.

    LoRA adapters are merged into the weights, and also kept by themselves in ``adapter/``.
    """
    state = full_state(model, dtype, world)
    adapter = _adapter_state(model, world) if isinstance(model, PeftModel) else {}
    if not world.is_main:
        return
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    bare = unwrap(model)
    bare.save_pretrained(partial, state_dict=state)
    _note_dtype(partial / "config.json", dtype)
    tokenizer.save_pretrained(partial)
    if isinstance(model, PeftModel):
        model.save_pretrained(str(partial / "adapter"), state_dict=adapter, save_embedding_layers=False)
    (partial / MARK).write_text(json.dumps(about, indent=2, default=str) + "\n", encoding="utf-8")
    _move_in(partial, folder)


def full_state(
    model: PreTrainedModel | PeftModel, dtype: torch.dtype, world: World, *, everywhere: bool = False
) -> dict[str, Tensor]:
    """All weights under the names of the plain model, adapters merged in, on the CPU.

    Empty on all ranks but 0, unless they are wanted ``everywhere``; all ranks call it. The model itself is not changed.
    Tied weights share their storage, as they do in the model.
    """
    keep = everywhere or world.is_main
    bare = unwrap(model)
    deltas = {f"{name}.weight": part for name, part in bare.named_modules() if isinstance(part, LoraLayer)}
    state: dict[str, Tensor] = {}
    copies: dict[int, Tensor] = {}
    for name, tensor in bare.state_dict(keep_vars=True).items():
        if ".lora_" in name:
            continue
        name = name.replace(".base_layer.", ".")
        if id(tensor) not in copies:
            full = whole(tensor.detach())
            if name in deltas:
                full = full.float() + _delta(deltas[name])
            full = full.to("cpu", dtype if full.is_floating_point() else full.dtype)
            copies[id(tensor)] = full if keep else torch.empty(0)
        state[name] = copies[id(tensor)]
    return state if keep else {}


def _delta(layer: LoraLayer) -> Tensor:
    """What a LoRA layer adds to its weight: scaling times B A, float32."""
    name = layer.active_adapters[0]
    down: Any = layer.lora_A[name].weight
    up: Any = layer.lora_B[name].weight
    product = whole(up.detach()).float() @ whole(down.detach()).float()
    return layer.scaling[name] * (product.T if getattr(layer, "fan_in_fan_out", False) else product)


def _adapter_state(model: PeftModel, world: World) -> dict[str, Tensor]:
    parts = {name: part for name, part in model.named_parameters() if ".lora_" in name}
    full = {name: whole(part.detach()).cpu() for name, part in parts.items()}
    return full if world.is_main else {}


def _note_dtype(config: Path, dtype: torch.dtype) -> None:
    """The dtype of the file, not of the model in memory, which may train in another."""
    value = json.loads(config.read_text(encoding="utf-8"))
    value["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _move_in(partial: Path, folder: Path) -> None:
    """Move the files of ``partial`` into ``folder``, those that make it a checkpoint last."""
    order = {"config.json": 1, MARK: 2}
    for path in sorted(partial.rglob("*"), key=lambda path: order.get(path.name, 0) if path.parent == partial else 0):
        if path.is_file():
            target = folder / path.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    for path in sorted(partial.rglob("*"), reverse=True):
        path.rmdir()
    partial.rmdir()

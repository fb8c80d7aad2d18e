"""Opening models and tokenizers: ``nano``, a checkpoint folder, an adapter folder, a GGUF file, or a hub name."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from webdancer_cli.config import NANO
from webdancer_cli.errors import UsageError

NANO_FOLDER = Path(__file__).parent / "nano"
"""The small pretrained base that comes with the package."""

SMALL_PARAMETERS = 50_000_000
"""Below this, float32 on the CPU is as fast as bfloat16 and exact."""

RECOMPUTE_PARAMETERS = 500_000_000
"""From here on, activations are recomputed in the backward pass (gradient checkpointing) to save memory."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class Source:
    """Where a model's files are: a folder or hub name, the GGUF file in it, the folder of an adapter on top."""

    name: str
    gguf: str | None = None
    adapter: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"gguf_file": self.gguf} if self.gguf else {}


def locate(name: str) -> Source:
    """Find what a ``--model`` means. Raises UsageError for a missing checkpoint and for a folder that is none."""
    if name == NANO:
        return _in_folder(NANO_FOLDER)
    path = Path(name).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.suffix == ".gguf" and path.is_file():
        return Source(str(path.parent), gguf=path.name)
    if path.exists():
        raise UsageError(f"{name}: not a checkpoint folder: name the folder that holds config.json")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix == ".gguf":
        raise UsageError(f"{name}: no such checkpoint: name a folder that `webdancer sft` or `rl` wrote, or a hub name")
    return Source(name)


def _in_folder(folder: Path) -> Source:
    if (folder / "adapter_config.json").is_file():
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise UsageError(f"{folder}: an adapter that does not name its base model: merge it first")
        located = locate(base)
        return Source(located.name, gguf=located.gguf, adapter=str(folder))
    if (folder / "config.json").is_file():
        return Source(str(folder))
    gguf = sorted(file.name for file in folder.glob("*.gguf"))
    if len(gguf) == 1:
        return Source(str(folder), gguf=gguf[0])
    steps = sorted(step.name for step in folder.glob("step-*"))
    remedy = f"name one of its checkpoints, e.g. {folder / steps[-1]}" if steps else "name a Hugging Face folder"
    raise UsageError(f"{folder}: no config.json, so this is not a checkpoint: {remedy}")


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to a model. Raises UsageError when the checkpoint has none."""
    source = locate(name)
    folder = Path(source.name)
    if folder.is_dir() and not source.gguf and not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise UsageError(
            f"{folder}: a checkpoint without a tokenizer (no tokenizer.json): copy those of its base there"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.name, **source.arguments)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise UsageError(_cannot_open(name, "tokenizer", error)) from None
    return tokenizer


def load_model(name: str, dtype: str = "auto", device: torch.device | str = "cpu") -> PreTrainedModel:
    """A model for inference: weights in the arithmetic dtype, adapters merged in, in eval mode.

    ``dtype`` is "float32", "bfloat16" or "auto" (see ``arithmetic``). Raises UsageError in one line.
    """
    model = _open(name)
    weights = arithmetic(model, dtype, device)
    return _placed(model, device, weights).eval()


def load_trainable(
    name: str, dtype: str = "auto", lora_rank: int = 0, device: torch.device | str = "cpu", seed: int = 0
) -> tuple[PreTrainedModel | PeftModel, torch.dtype]:
    """A model to train, and the dtype of its arithmetic (to be used with ``autocast``).

    What is trained is kept in float32, so that small updates are not rounded away: all weights, or with ``lora_rank``
    the adapters on all linear layers, over a frozen base in the arithmetic dtype. The same seed, the same adapters.
    """
    model = _open(name)
    compute = arithmetic(model, dtype, device)
    model = _placed(model, device, compute if lora_rank else torch.float32)
    model.config.use_cache = False
    if model.num_parameters() >= RECOMPUTE_PARAMETERS:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not lora_rank:
        return model.train(), compute
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora_rank, lora_alpha=2 * lora_rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config).train(), compute


def arithmetic(model: PreTrainedModel, dtype: str, device: torch.device | str = "cpu") -> torch.dtype:
    """The dtype to compute in. "auto" is float32 for small models on the CPU, and bfloat16 otherwise."""
    check_dtype(dtype)
    if dtype == "auto":
        small = torch.device(device).type == "cpu" and model.num_parameters() < SMALL_PARAMETERS
        return torch.float32 if small else torch.bfloat16
    return _DTYPES[dtype]


def check_dtype(dtype: str) -> None:
    """Raises UsageError for a name that ``arithmetic`` does not know."""
    if dtype not in ("auto", *_DTYPES):
        raise UsageError(f"no dtype {dtype!r}: take auto, {' or '.join(_DTYPES)}")


def autocast(compute: torch.dtype, device: torch.device | str = "cpu") -> AbstractContextManager[Any]:
    """Arithmetic in ``compute`` over float32 weights; does nothing for float32."""
    if compute == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=compute)


def _open(name: str) -> PreTrainedModel:
    source = locate(name)
    disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(source.name, dtype="auto", **source.arguments)
        if source.adapter:
            model = PeftModel.from_pretrained(model, source.adapter).merge_and_unload()
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UsageError(_cannot_open(name, "model", error)) from None
    return _dequantized(model) if source.gguf else model


def _dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """transformers dequantises GGUF weights but leaves marks that forbid training and saving; they go."""
    for owner in (model, model.config):
        for mark in ("quantization_config", "quantization_method", "hf_quantizer", "is_quantized"):
            if mark in vars(owner):
                delattr(owner, mark)
    return model


def _placed(model: PreTrainedModel, device: torch.device | str, dtype: torch.dtype) -> PreTrainedModel:
    return nn.Module.to(model, device=torch.device(device), dtype=dtype)


def _cannot_open(name: str, what: str, error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if Path(name).exists() or name == NANO:
        return f"{name}: cannot open the {what}: {first}"
    return f"{name}: neither a folder here nor a {what} that could be fetched from the hub: {first}"

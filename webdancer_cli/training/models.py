"""Opening models and tokenizers: ``nano``, a checkpoint folder, an adapter folder, a GGUF file, or a hub name.

A model is first looked at without its weights (``describe``): transformers builds it on the meta device and tells which
weights the files lack, so a checkpoint that does not fit is refused in a second, before anything is read. What dtype
each tensor has is transformers' to say, too: some parameters and all buffers of a family stay in float32 when the model
is opened in bfloat16, which ``nn.Module.to`` would not know.
"""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, load_peft_weights
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import NANO

NANO_FOLDER = Path(__file__).parent / "nano"
"""The small pretrained base that comes with the package."""

SMALL_PARAMETERS = 50_000_000
"""Below this, float32 on the CPU is as fast as bfloat16 and exact."""

ADAPTER_MARK = ".lora_"
"""What the names of LoRA adapters hold, and those of no other tensor."""

NAMED_KEYS = 3
"""How many tensors a message names."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "avx_ne_convert_bf16", "bf16", "sve_bf16")
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_WRAPPERS = ("_orig_mod.", "module.", "base_model.model.")
"""What torch.compile, data parallel training and peft put before the names of the tensors."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: a folder or hub name, the GGUF file in it, the folder of an adapter on top."""

    name: str
    gguf: str | None = None
    adapter: str | None = None
    revision: str | None = None
    """The commit of a hub name that an adapter was trained on."""

    @property
    def arguments(self) -> dict[str, Any]:
        """For ``from_pretrained``. Code that lies beside a model is never run: it would ask on the terminal first."""
        given = {"gguf_file": self.gguf, "revision": self.revision}
        return {"trust_remote_code": False} | {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class ModelDescription:
    """A model without its weights, on the meta device, in the dtype of its file: names, shapes and configuration."""

    source: ModelSource
    model: PreTrainedModel

    @property
    def parameters(self) -> int:
        return self.model.num_parameters()

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of everything in its state dict."""
        return {name: tuple(tensor.shape) for name, tensor in self.model.state_dict().items()}

    @property
    def rows(self) -> int:
        """Tokens that its embedding has room for."""
        return embedding_rows(self.model)

    @property
    def max_length(self) -> int | None:
        return max_length(self.model.config)


def embedding_rows(model: PreTrainedModel | PeftModel) -> int:
    weight: Any = model.get_input_embeddings().weight
    return int(weight.shape[0])


def locate(name: str) -> ModelSource:
    """Find what a ``--model`` means. Raises UsageError for a missing checkpoint and for a folder that is none."""
    if name == NANO:
        return _in_folder(NANO_FOLDER)
    path = Path(name).expanduser()
    if path.is_dir():
        return _in_folder(path)
    if path.suffix == ".gguf" and path.is_file():
        return ModelSource(str(path.parent), gguf=path.name)
    if path.exists():
        raise UsageError(f"{name}: not a checkpoint folder: name the folder that holds config.json")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix == ".gguf":
        raise UsageError(f"{name}: no such checkpoint: name a folder that `webdancer sft` or `rl` wrote, or a hub name")
    return ModelSource(name)


def _in_folder(folder: Path) -> ModelSource:
    if (folder / "adapter_config.json").is_file():
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        base = config.get("base_model_name_or_path")
        if not base:
            raise UsageError(f"{folder}: an adapter that does not name its base model: merge it first")
        located = locate(base)
        if located.adapter:
            raise UsageError(f"{folder}: an adapter on {base}, which is an adapter itself: merge that one first")
        return ModelSource(located.name, located.gguf, adapter=str(folder), revision=config.get("revision"))
    if (folder / "config.json").is_file():
        return ModelSource(str(folder))
    gguf = sorted(file.name for file in folder.glob("*.gguf"))
    if len(gguf) == 1:
        return ModelSource(str(folder), gguf=gguf[0])
    steps = sorted(step.name for step in folder.glob("step-*"))
    remedy = f"name one of its checkpoints, e.g. {folder / steps[-1]}" if steps else "name a Hugging Face folder"
    raise UsageError(f"{folder}: no config.json, so this is not a checkpoint: {remedy}")


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to a model: the adapter's own, if it has one, else its base's.

    Raises UsageError when there is none, and when the library gives other ids to added tokens than their file does.
    """
    source = locate(name)
    if source.adapter and _has_tokenizer(Path(source.adapter)):
        source = ModelSource(source.adapter)
    folder = Path(source.name)
    if folder.is_dir() and not source.gguf and not _has_tokenizer(folder):
        raise UsageError(
            f"{folder}: a checkpoint without a tokenizer (no tokenizer.json): copy those of its base there"
        )
    try:
        with _quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.name, **source.arguments)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise UsageError(_cannot_open(name, "tokenizer", error)) from None
    _check_added_ids(folder, tokenizer)
    return tokenizer


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / file).is_file() for file in _TOKENIZER_FILES)


def _check_added_ids(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """A tokenizer numbers its added tokens by their order in the file; an id that is written there is no promise."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return
    written = json.loads(file.read_text(encoding="utf-8")).get("added_tokens", [])
    vocabulary = tokenizer.get_vocab()
    for token in written:
        found = vocabulary.get(token["content"])
        if found != token["id"]:
            raise UsageError(
                f"{file}: {token['content']} has id {token['id']} in the file and {found} when it is loaded: "
                "the ids of its added tokens have gaps; save it with the missing ones filled in"
            )


def describe(name: str) -> ModelDescription:
    """The model of ``name`` without its weights. Raises UsageError for missing, unexpected or mismatched tensors.

    Takes about a second for any size: of the weights only names and shapes are read (of a GGUF file not even those).
    """
    source = locate(name)
    if source.gguf:
        return outline(name)
    model = _from_files(source, name, "auto", device_map={"": "meta"})
    return ModelDescription(source, _fitted(model, source.adapter) if source.adapter else model)


def outline(name: str) -> ModelDescription:
    """The model of ``name`` by its configuration alone: nothing is known of its weights, nor are they fetched.

    An adapter counts as its base. Raises UsageError.
    """
    source = locate(name)
    try:
        with _quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(source.name, **source.arguments)
            return ModelDescription(source, AutoModelForCausalLM.from_config(config, trust_remote_code=False))
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UsageError(_cannot_open(name, "model", error)) from None


def load_model(
    model: str | ModelDescription, dtype: str = "auto", device: torch.device | str = "cpu"
) -> PreTrainedModel:
    """A model for inference, by its name or as it was described, in eval mode.

    Its weights are in the arithmetic dtype, its adapters merged in (in float32). ``dtype`` is "float32", "bfloat16" or
    "auto" (see ``arithmetic``). Raises UsageError in one line.
    """
    plain = model if isinstance(model, ModelDescription) else describe(model)
    return _on(_load(plain, arithmetic(plain.parameters, dtype, device)), device).eval()


def load_trainable(
    model: str | ModelDescription,
    dtype: str = "auto",
    lora_rank: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> tuple[PreTrainedModel | PeftModel, torch.dtype]:
    """A model to train, and the dtype of its arithmetic (to be used with ``autocast``).

    What is trained is kept in float32, so that small updates are not rounded away: all weights, or with ``lora_rank``
    the adapters on all linear layers, over a frozen base in the arithmetic dtype. The same seed, the same adapters.
    """
    plain = model if isinstance(model, ModelDescription) else describe(model)
    compute = arithmetic(plain.parameters, dtype, device)
    opened = _on(_load(plain, compute if lora_rank else torch.float32), device)
    opened.requires_grad_(True)
    if not lora_rank:
        return opened.train(), compute
    return add_adapters(opened, plain, lora_rank, seed).train(), compute


def add_adapters(opened: PreTrainedModel, plain: ModelDescription, rank: int, seed: int) -> PeftModel:
    """LoRA adapters on all linear layers, drawn by ``seed``; the model itself is frozen. Raises UsageError."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    try:
        adapted: Any = get_peft_model(opened, config)
        return adapted
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{plain.source.adapter or plain.source.name}: cannot be trained by --lora-rank: {reason}"
        ) from None


def load_policy_model(
    model: str | ModelDescription,
    dtype: str = "auto",
    lora_rank: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> PreTrainedModel:
    """The model that samples for one of ``load_trainable``.

    With ``lora_rank`` its adapters stay apart, in float32: merging them into bfloat16 weights at every step would round
    most of what was learned away.
    """
    if not lora_rank:
        return load_model(model, dtype, device)
    adapted: Any = load_trainable(model, dtype, lora_rank, device, seed)[0]
    bare: PreTrainedModel = adapted.get_base_model()
    return bare.eval()


def missing_rows(plain: ModelDescription, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many rows the embedding lacks for the tokens of ``tokenizer``; 0 when all have one."""
    return max(0, 1 + max(tokenizer.get_vocab().values()) - plain.rows)


def grow_embedding(
    model: PreTrainedModel, plain: ModelDescription, tokenizer: PreTrainedTokenizerBase, seed: int = 0
) -> int:
    """Add the rows that are missing, drawn by ``seed`` around the mean of the others (by transformers).

    Gives the number of rows that there are now, or 0 when none was missing.
    """
    missing = missing_rows(plain, tokenizer)
    if missing:
        torch.manual_seed(seed)
        with _quiet():
            model.resize_token_embeddings(plain.rows + missing)
    return plain.rows + missing if missing else 0


def without_dropout(model: nn.Module) -> None:
    """Switch all dropout off, in training mode, too: a policy's log-probs must be those of the policy that sampled.

    The configuration, which is saved, stays as it is.
    """
    for module in model.modules():
        if isinstance(module, _DROPOUT):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def has_dropout(model: nn.Module) -> bool:
    """Whether anything in it draws at random while it is trained."""
    rates = (value for module in model.modules() for name, value in vars(module).items() if "drop" in name)
    return any(isinstance(module, _DROPOUT) and module.p > 0 for module in model.modules()) or any(
        isinstance(rate, float) and rate > 0 for rate in rates
    )


def max_length(config: Any) -> int | None:
    """Positions for which every row of a batch is computed by itself; None where a family knows no limit.

    Beyond ``original_max_position_embeddings`` longrope and dynamic scaling choose the frequencies of a whole batch by
    its longest row.
    """
    text = config.get_text_config()
    positions: int | None = getattr(text, "max_position_embeddings", None)
    rope = getattr(text, "rope_parameters", None) or {}
    scalings = [rope, *(value for value in rope.values() if isinstance(value, Mapping))]
    for scaling in scalings:
        if scaling.get("rope_type") in ("longrope", "dynamic"):
            original = scaling.get("original_max_position_embeddings") or getattr(
                text, "original_max_position_embeddings", None
            )
            positions = min(filter(None, (original, positions)), default=None)
    return positions


def arithmetic(parameters: int, dtype: str, device: torch.device | str = "cpu") -> torch.dtype:
    """The dtype to compute in, for a model of so many parameters.

    "auto" is bfloat16 on a GPU; on the CPU it is bfloat16 for models that are not small if the processor has
    instructions for it, and float32 otherwise: without them a product in bfloat16 takes some thirty times as long.
    """
    check_dtype(dtype)
    if dtype != "auto":
        return _DTYPES[dtype]
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if parameters >= SMALL_PARAMETERS and cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this processor has instructions for products in bfloat16. False where torch cannot tell."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.10
    known = tell() if tell else {}
    return any(known.get(name) for name in _BFLOAT16_INSTRUCTIONS)


def slow_dtype(compute: torch.dtype, device: torch.device | str = "cpu") -> str:
    """A warning where the dtype that was asked for is slow on this machine; empty otherwise."""
    if compute != torch.bfloat16 or torch.device(device).type != "cpu" or cpu_has_bfloat16():
        return ""
    return f"this processor ({platform.machine()}) has no bfloat16 instructions: --dtype float32 is many times as fast"


def check_dtype(dtype: str) -> None:
    """Raises UsageError for a name that ``arithmetic`` does not know."""
    if dtype not in ("auto", *_DTYPES):
        raise UsageError(f"no dtype {dtype!r}: take auto, {' or '.join(_DTYPES)}")


def autocast(compute: torch.dtype, device: torch.device | str = "cpu") -> AbstractContextManager[Any]:
    """Arithmetic in ``compute`` over float32 weights; does nothing for float32."""
    if compute == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=compute)


def load_adapter(base: PreTrainedModel, folder: str) -> PeftModel:
    """The adapter of ``folder`` on ``base``. Raises UsageError where the two do not fit."""
    try:
        adapted = PeftModel.from_pretrained(base, folder)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UsageError(_cannot_open(folder, "adapter", error)) from None
    apart = set(load_peft_weights(folder, device="cpu")) ^ set(get_peft_model_state_dict(adapted))
    if apart:
        raise UsageError(f"{folder}: does not fit its base: {_listed(apart)}")
    return adapted


def _fitted(base: PreTrainedModel, adapter: str) -> PreTrainedModel:
    """``base`` with as many rows in its embedding as the adapter has trained, which may have added tokens."""
    name = next(name for name, weight in base.named_parameters() if weight is base.get_input_embeddings().weight)
    embedding = load_peft_weights(adapter, device="cpu").get(f"base_model.model.{name}")
    if embedding is not None and len(embedding) != embedding_rows(base):
        base.resize_token_embeddings(len(embedding), mean_resizing=False)
    return base


def _load(plain: ModelDescription, dtype: torch.dtype) -> PreTrainedModel:
    """The weights of a model in ``dtype``, less what its family keeps in float32, with its adapter merged in."""
    source = plain.source
    if not source.adapter:
        return _from_files(source, source.name, dtype)
    # Merged in float32: in bfloat16 most of a small update would be rounded away before it is added.
    base = _fitted(_from_files(source, source.name, torch.float32), source.adapter)
    merged: PreTrainedModel = load_adapter(base, source.adapter).merge_and_unload()
    return cast_weights(merged, dtypes(plain, dtype))


def _on(model: PreTrainedModel, device: torch.device | str) -> PreTrainedModel:
    return nn.Module.to(model, device=torch.device(device))


def dtypes(plain: ModelDescription, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The dtype of each tensor of a model opened in ``dtype``: that one, or float32 where its family needs it."""
    if plain.source.gguf:
        return dict.fromkeys(plain.shapes, dtype)
    opened = _from_files(plain.source, plain.source.name, dtype, device_map={"": "meta"})
    return {name: tensor.dtype for name, tensor in opened.state_dict().items()}


def cast_weights(model: PreTrainedModel, kinds: Mapping[str, torch.dtype]) -> PreTrainedModel:
    """``model`` with each parameter and buffer in its dtype, in place; what ``kinds`` does not name stays as it is."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        tensor.data = tensor.data.to(kinds.get(name, tensor.dtype))
    return model


def _from_files(source: ModelSource, name: str, dtype: torch.dtype | str, **place: Any) -> PreTrainedModel:
    """Open the base of ``source``; messages speak of ``name``."""
    try:
        with _quiet():
            opened: Any = AutoModelForCausalLM.from_pretrained(
                source.name,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told of below, by name
                **source.arguments,
                **place,
            )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UsageError(_cannot_open(name, "model", error)) from None
    model: PreTrainedModel = opened[0]
    _check_complete(name, opened[1])
    return _dequantized(model) if source.gguf else model


def _check_complete(name: str, found: Mapping[str, Any]) -> None:
    """transformers draws what it does not find at random, and goes on; nobody wants to train or play that."""
    mismatched = {key[0] if isinstance(key, tuple) else key for key in found["mismatched_keys"]}
    faults = {"missing": found["missing_keys"], "of another shape": mismatched, "unexpected": found["unexpected_keys"]}
    told = [f"{len(keys)} {kind} ({_listed(keys)})" for kind, keys in faults.items() if keys]
    if not told:
        return
    wrapper = next((w for w in _WRAPPERS if any(key.startswith(w) for key in found["unexpected_keys"])), None)
    remedy = f": take {wrapper!r} off the names of its tensors" if wrapper else ": not the weights of its config.json"
    raise UsageError(f"{name}: the model needs other tensors than its files hold: {', '.join(told)}{remedy}")


def _listed(keys: Any) -> str:
    names = sorted(map(str, keys))
    return ", ".join(names[:NAMED_KEYS]) + (", …" if len(names) > NAMED_KEYS else "")


def _dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """transformers dequantises GGUF weights but leaves marks that forbid training and saving; they go."""
    for owner in (model, model.config):
        for mark in ("quantization_config", "quantization_method", "hf_quantizer", "is_quantized"):
            if mark in vars(owner):
                delattr(owner, mark)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """What transformers reports in tables is told in a line here, or is not worth one."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _cannot_open(name: str, what: str, error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    if "trust_remote_code" in str(error):
        first = "it comes with code of its own (auto_map in its config), which is never run here"
    if Path(name).exists() or name == NANO:
        return f"{name}: cannot open the {what}: {first}"
    return f"{name}: neither a folder here nor a {what} that could be fetched from the hub: {first}"

"""Opening models and tokenizers: ``nano``, a checkpoint folder, an adapter folder, a GGUF file, or a hub name.

A model is first looked at without its weights (``describe``): transformers builds it on the meta device and tells which
weights the files lack, so a checkpoint that does not fit is refused in a second, before anything is read. What dtype
each tensor has is transformers' to say, too: some parameters and all buffers of a family stay in float32 when the model
is opened in bfloat16, which ``nn.Module.to`` would not know.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from webdancer_cli.training.fused_lora import fuse_adapters
from webdancer_cli.training.model_source import ModelSource, locate
from webdancer_cli.training.precision import arithmetic

ADAPTER_MARK = ".lora_"
"""What the names of LoRA adapters hold, and those of no other tensor."""

NAMED_KEYS = 3
"""How many tensors a message names."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_WRAPPERS = ("_orig_mod.", "module.", "base_model.model.")
"""What torch.compile, data parallel training and peft put before the names of the tensors."""


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


MODEL_FAILURES = (RuntimeError, TypeError, AttributeError, AssertionError, LookupError, ValueError)
"""What the code of a model may raise that was not written for what is done with it here."""


def decoder_of(model: PreTrainedModel) -> Any:
    """What is below the output head. Raises UsageError where transformers does not tell."""
    found: Any = model.get_decoder()
    if found is model:  # what it gives for families that it does not know, such as Llama 4
        found = getattr(model, "model", model)
    if found is model:
        raise UsageError(f"{type(model).__name__}: its layers are not to be told from its head: it cannot be trained")
    return found


def embedding_rows(model: PreTrainedModel | PeftModel) -> int:
    weight: Any = model.get_input_embeddings().weight
    return int(weight.shape[0])


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
    try:
        adapted: Any = get_peft_model(opened, lora_config(rank))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{plain.source.adapter or plain.source.name}: cannot be trained by --lora-rank: {reason}"
        ) from None
    fuse_adapters(adapted)
    result: PeftModel = adapted
    return result


def lora_config(rank: int) -> LoraConfig:
    """What all adapters of this package are."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


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


def head_width(config: Any) -> int:
    """Columns of an attention head, by a text configuration; of all, where a model has no heads."""
    heads = getattr(config, "num_attention_heads", None) or 1
    return int(getattr(config, "head_dim", None) or config.hidden_size // heads)


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

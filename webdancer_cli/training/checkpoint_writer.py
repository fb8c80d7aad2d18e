"""Writing the checkpoints of a run: tried before the first step, and held against the plain model when written.

The weights of full fine-tuning are written as they are. LoRA adapters are merged by peft into the parent, opened anew
in float32, so that names and shapes are the plain model's whatever adapters did to its modules.
"""

import copy
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel

from webdancer_cli.errors import UsageError, WebdancerError
from webdancer_cli.training.checkpoint import MANIFEST, PARTIAL, move_in
from webdancer_cli.training.distributed import ProcessGroup, full_tensor
from webdancer_cli.training.logprobs import unwrap
from webdancer_cli.training.model_card import model_card
from webdancer_cli.training.models import (
    ADAPTER_MARK,
    ModelDescription,
    cast_weights,
    describe,
    dtypes,
    embedding_rows,
    load_adapter,
    load_model,
)
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.setup import TrainingSetup

ADAPTER = "adapter"

ROUNDED_AWAY = "update_rounded_away"
"""The share of a LoRA update that the dtype of the file takes away, as a metric: |saved - merged| / |merged - base|."""

MERGE_TOLERANCE = 0.01
"""How far a logit may move when adapters are merged in float32, in standard deviations of the logits."""

MUCH_ROUNDED = 0.1
"""From this share on, the user is told."""

SAMPLING_ONLY = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Generation settings without a meaning where nothing is sampled; some releases of transformers refuse to save them."""


class BadCheckpoint(WebdancerError):
    """What was written is not the model that was trained."""


def full_state(
    model: PreTrainedModel | PeftModel,
    kinds: Mapping[str, torch.dtype],
    world: ProcessGroup,
    *,
    everywhere: bool = False,
) -> dict[str, Tensor]:
    """What training changes, whole and on the CPU: all weights, each in its dtype of ``kinds``, or the LoRA adapters
    alone, as they are. Names are those of the transformers model. What is in
    place and in its dtype already is not copied: the tensors may be the model's own.

    Empty on all ranks but 0, unless it is wanted ``everywhere``; all ranks call it. The model itself is not changed.
    Tied weights share their storage, as they do in the model.
    """
    keep = everywhere or world.is_main
    return {name: tensor for name, tensor in full_weights(model, kinds) if keep}


def full_weights(model: PreTrainedModel | PeftModel, kinds: Mapping[str, torch.dtype]) -> Iterator[tuple[str, Tensor]]:
    """The same one tensor at a time, so that no more than one is whole at once. All ranks go through it together."""
    only_adapters = isinstance(model, PeftModel)
    shared: dict[int, list[str]] = {}
    state = unwrap(model).state_dict(keep_vars=True)
    for name, tensor in state.items():
        if not only_adapters or ADAPTER_MARK in name:
            shared.setdefault(id(tensor), []).append(name)
    for names in shared.values():
        full = full_tensor(state[names[0]].detach())
        full = full.to("cpu", kinds.get(names[0], full.dtype))
        yield from ((name, full) for name in names)


@dataclass
class CheckpointWriter:
    """Writes the checkpoints of one run. All ranks have one and call it together; rank 0 writes."""

    setup: TrainingSetup
    about: dict[str, Any]
    """What goes into ``webdancer.json``, see ``provenance``."""
    compute: torch.dtype
    """The dtype of the weights in the file, less what the model's family keeps in float32."""

    def __post_init__(self) -> None:
        self.plain, self.tokenizer, self.renderer = self.setup.plain, self.setup.tokenizer, self.setup.renderer
        self.world, self.say = self.setup.world, self.setup.say
        self.kinds = dtypes(self.plain, self.compute)
        self.generation, changed = served_generation(self.plain.model.generation_config, self.renderer)
        if changed:
            self.say(f"the generation config does not sample: {', '.join(changed)} not saved with the checkpoint")

    def try_out(self, model: PreTrainedModel | PeftModel) -> None:
        """Go through all of saving but the weights, before the first step. Raises UsageError for what would fail."""
        if not isinstance(model, PeftModel):
            shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
            apart = set(shapes.items()) ^ set(self._shapes(model).items())
            if apart:
                raise UsageError(f"{self.plain.source.name}: would not be saved as it was opened: {sorted(apart)[:3]}")
        self.world.from_main(self._try_files)

    def _try_files(self) -> None:
        """Everything that is written beside the weights, written and read."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                self.plain.model.config.save_pretrained(folder)
                self.generation.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
                AutoConfig.from_pretrained(folder, trust_remote_code=False)
                GenerationConfig.from_pretrained(folder)
                again = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            except (OSError, ValueError, TypeError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise UsageError(f"{self.plain.source.name}: could not be saved after training: {reason}") from None
        if again.get_vocab() != self.tokenizer.get_vocab():
            raise UsageError(f"{self.plain.source.name}: its tokenizer has other ids once it is saved and opened again")

    def save(self, folder: Path, model: PreTrainedModel | PeftModel, step: int) -> dict[str, float]:
        """Write ``model`` into ``folder``, beside and then moved in; see ``write``."""
        partial = folder / PARTIAL
        if self.world.is_main:
            shutil.rmtree(partial, ignore_errors=True)
        metrics = self.write(partial, model, step)
        if self.world.is_main:
            move_in(partial, folder)
        return metrics

    def write(
        self, partial: Path, model: PreTrainedModel | PeftModel, step: int, measures: dict[str, Any] | None = None
    ) -> dict[str, float]:
        """Write ``model`` into the folder ``partial``; what is to be known of it, as metrics. Raises BadCheckpoint.

        LoRA adapters are merged into the weights, in float32. They are also kept by themselves in ``adapter/`` where
        they stand on the whole parent, and there is a name under which it will be found.
        """
        state = full_state(model, self.kinds, self.world)
        if not self.world.is_main:
            return {}
        metrics: dict[str, float] = {}
        if isinstance(model, PeftModel):
            merged, metrics = self._merge(model, state, partial)
            merged.generation_config = self.generation
            merged.save_pretrained(partial)
        else:
            model.generation_config = self.generation
            model.save_pretrained(partial, state_dict=state)
        self._note(partial / "config.json")
        self.tokenizer.save_pretrained(partial)
        self._check(partial, model)
        about = {**self.about, "step": step, **metrics}
        card = model_card(self.about, self.plain, step, {**(measures or {}), **metrics})
        (partial / "README.md").write_text(card, encoding="utf-8")
        (partial / MANIFEST).write_text(json.dumps(about, indent=2, default=str) + "\n", encoding="utf-8")
        return metrics

    def _merge(
        self, model: PeftModel, adapter: dict[str, Tensor], partial: Path
    ) -> tuple[PreTrainedModel, dict[str, float]]:
        """The parent, opened anew in float32, with the adapters merged in by peft, in the dtypes of the file."""
        named = {f"base_model.model.{name}": tensor for name, tensor in adapter.items()}
        with tempfile.TemporaryDirectory() as name:
            model.save_pretrained(name, state_dict=named, save_embedding_layers=False)
            adapted = load_adapter(load_model(self._parent, "float32"), name)
            base, absent = adapter_base(self.plain)
            if base:
                _name_base(Path(name) / "adapter_config.json", base, _revision(self.plain))
                shutil.copytree(name, partial / ADAPTER)
            else:
                self.say(f"no adapter/ beside the merged weights: {absent}")
        lost = merge(adapted, self.kinds)
        if lost > MUCH_ROUNDED:
            kept = f"; {ADAPTER}/ has all of it" if base else ""
            self.say(
                f"{lost:.0%} of the update is rounded away in the merged {str(self.compute).removeprefix('torch.')} "
                f"weights{kept}: train longer, at a higher --lr, or with --dtype float32"
            )
        return cast_weights(adapted.unload(), self.kinds), {ROUNDED_AWAY: round(lost, 4)}

    @property
    def _parent(self) -> str:
        source = self.plain.source
        gguf = str(Path(source.name) / source.gguf) if source.gguf else None
        return source.adapter or gguf or source.name

    def _shapes(self, model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
        """The plain model's, with as many rows in its embeddings as the model has now."""
        rows = embedding_rows(model)
        if rows == self.plain.rows:
            return self.plain.shapes
        grown = copy.deepcopy(self.plain.model)
        grown.resize_token_embeddings(rows, mean_resizing=False)
        return {name: tuple(tensor.shape) for name, tensor in grown.state_dict().items()}

    def _note(self, config: Path) -> None:
        """The dtype of the file, not of the model in memory, which may train in another; and the end of a turn."""
        value = json.loads(config.read_text(encoding="utf-8"))
        value["dtype"] = str(self.compute).removeprefix("torch.")
        value["eos_token_id"] = self.renderer.end_id
        config.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

    def _check(self, partial: Path, model: PreTrainedModel | PeftModel) -> None:
        """Hold the files against the plain model: the same names and shapes, as transformers reads them."""
        try:
            written = describe(str(partial)).shapes
        except UsageError as error:
            raise BadCheckpoint(f"the checkpoint cannot be opened again: {error}") from None
        wanted = self.plain.shapes if isinstance(model, PeftModel) else self._shapes(model)
        if written != wanted:
            raise BadCheckpoint(f"{partial}: other tensors than the model's: {sorted(set(written) ^ set(wanted))[:3]}")


def merge(adapted: PeftModel, kinds: Mapping[str, torch.dtype]) -> float:
    """Merge the adapters into their float32 base, by peft; the share of the update that ``kinds`` will round away.

    Raises BadCheckpoint when the merged model does not compute what the base and its adapters did.
    """
    ids = torch.arange(8)[None] % adapted.get_input_embeddings().weight.shape[0]
    lost = size = 0.0
    with torch.no_grad():
        before = adapted(input_ids=ids, use_cache=False).logits
        names = {id(parameter): name for name, parameter in unwrap(adapted).named_parameters()}
        for layer in [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]:
            weights = list(layer.get_base_layer().parameters(recurse=False))
            olds = [weight.detach().clone() for weight in weights]
            layer.merge()
            changed = [(old, weight) for old, weight in zip(olds, weights, strict=True) if not torch.equal(old, weight)]
            for old, weight in changed:
                kind = kinds.get(names[id(weight)].replace(".base_layer", ""), weight.dtype)
                lost += float((weight.to(kind).float() - weight).square().sum())
                size += float((weight - old).square().sum())
        after = adapted(input_ids=ids, use_cache=False).logits
    if (before - after).abs().max() > MERGE_TOLERANCE * before.std():
        raise BadCheckpoint("the merged weights do not compute what the base and its adapters do")
    return math.sqrt(lost / size) if size else 0.0


def adapter_base(plain: ModelDescription) -> tuple[str | None, str]:
    """The name under which the base of a run's adapters will be found from any folder, or None and the reason."""
    source = plain.source
    if source.adapter:
        return None, f"it would stand on {source.name} with the adapter of {source.adapter} merged in, which is no file"
    if source.gguf:
        return None, f"its base is {source.gguf}, which peft cannot open"
    folder = Path(source.name)
    return (str(folder.resolve()) if folder.is_dir() else source.name), ""


def _revision(plain: ModelDescription) -> str | None:
    """The commit of a hub name: the one that was asked for, else the one that was fetched."""
    fetched: str | None = getattr(plain.model.config, "_commit_hash", None)
    return plain.source.revision or fetched


def _name_base(config: Path, base: str, revision: str | None) -> None:
    value = json.loads(config.read_text(encoding="utf-8"))
    value |= {"base_model_name_or_path": base, "revision": revision}
    config.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def served_generation(generation: GenerationConfig, renderer: Renderer) -> tuple[GenerationConfig, list[str]]:
    """The generation config of a checkpoint, and what had to go from it to be valid.

    A turn ends with the template's end token, and still with whatever ended texts of the base.
    """
    served = copy.deepcopy(generation)
    known = served.eos_token_id if served.eos_token_id is not None else []
    own = known if isinstance(known, list) else [known]
    served.eos_token_id = list(dict.fromkeys([renderer.end_id, *own, *sorted(renderer.stop_ids)]))
    usual = GenerationConfig()
    changed = [
        name
        for name in SAMPLING_ONLY
        if not served.do_sample and getattr(served, name, None) not in (None, getattr(usual, name, None))
    ]
    for name in changed:
        setattr(served, name, getattr(usual, name, None))
    return served, changed

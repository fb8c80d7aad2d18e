"""Whether a checkpoint belongs to the run that would go on from it: same options, data and model, or a line that says
what is another."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import TrainingOptions
from webdancer_cli.training.checkpoint import MANIFEST
from webdancer_cli.training.model_source import ModelSource
from webdancer_cli.training.models import ModelDescription
from webdancer_cli.training.setup import TrainingSetup

_PLACES = (
    "data",
    "out",
    "model",
    "web",
    "tape",
    "tape_mode",
    "prices",
    "judge_base_url",
    "reader",
    "search",
    "rank",
    "embed",
    "curriculum",
)
_ENDS_AND_SAVES = ("save_every", "keep", "resume", "async_save", "minutes", "max_cost", "max_tokens")
_SHOWS = ("dry_run", "show_masks")
_BESIDE = ("track", "contact", "canary", "reveal", "eval_data", "eval_every")
_SERVERS = ("vllm_url", "vllm_gpus", "vllm_sleep", "weight_transfer", "sync_folder", "canary_gap")
_MEMORY_AND_SPEED = ("micro_tokens", "layout", "checkpointing", "cpu_offload", "replicas")
MAY_CHANGE = frozenset((*_PLACES, *_ENDS_AND_SAVES, *_SHOWS, *_SERVERS, *_MEMORY_AND_SPEED, *_BESIDE))
"""Options that a run may go on with in another value; all others make another run. Places may, since
hashes tell what lies there."""

HEAD_BYTES = 1 << 20
"""How much of each file of weights is read to know it again: beginning and end, beside its size."""

_MODEL_FILES = ("config.json", "adapter_config.json", "tokenizer.json", "*.safetensors", "*.bin", "*.gguf")
_MADE_OF = ("data_sha256", "prompts", "web", "judge", "curriculum", "eval_data_sha256")


def is_done(setup: TrainingSetup, run: dict[str, Any]) -> bool:
    """Whether the run that ``run`` identifies has ended already, and nothing is left to do.

    Raises UsageError when the checkpoint that it would go on from is another run's.
    """
    folder = setup.resumed
    if folder is None:
        return False
    saved = setup.world.from_main(lambda: json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    check_same_run(saved.get("run", {}), run, folder)
    done = folder == setup.out
    setup.say(f"{folder}: {'is done' if done else 'goes on'} at step {saved['step']}")
    return done


def identity(options: TrainingOptions, about: dict[str, Any], plain: ModelDescription) -> dict[str, Any]:
    """What makes a run this run, as JSON; ``about`` is its provenance."""
    kept = {name: value for name, value in asdict(options).items() if name not in MAY_CHANGE}
    told = {"options": json.loads(json.dumps(kept, default=str)), "model": model_sha256(plain.source)}
    return {"command": about.get("command"), **told, **{name: about[name] for name in _MADE_OF if name in about}}


def check_same_run(saved: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raises UsageError, in one line, when ``folder`` was written by another run than this one."""
    remedy = "--resume goes on with the same run alone: give it what it had, or name another --out"
    before, options = saved.get("options", {}), now["options"]
    for name in sorted({*before, *options}):
        if before.get(name) != options.get(name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{folder}: was made with {flag} {before.get(name)}, not {options.get(name)}: {remedy}")
    other = [name for name in now if name != "options" and saved.get(name) != now[name]]
    if other:
        named = {"data_sha256": "--data", "eval_data_sha256": "--eval-data"}.get(other[0], other[0])
        raise UsageError(f"{folder}: was made with another {named}: {remedy}")


def model_sha256(source: ModelSource) -> str:
    """A hash of a model's configuration, tokenizer and weights, without reading all of them; a hub name is its own."""
    digest = hashlib.sha256()
    for place in (source.name, source.adapter):
        folder = Path(place) if place else None
        if folder is None or not folder.is_dir():
            digest.update(f"{place}@{source.revision}".encode())
            continue
        for file in sorted({file for pattern in _MODEL_FILES for file in folder.glob(pattern)}):
            digest.update(f"{file.name}:{file.stat().st_size}:".encode())
            digest.update(_ends(file))
    return digest.hexdigest()


def _ends(file: Path) -> bytes:
    """The beginning of a file and its end, which may overlap."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(max(0, file.stat().st_size - HEAD_BYTES))
        return head + stream.read()

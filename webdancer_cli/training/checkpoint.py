"""Checkpoints: plain Hugging Face folders that transformers and vLLM load untouched, plus where they come from.

A folder is complete when ``webdancer.json`` is in it: everything is written beside first and moved in, that file last.
A killed run leaves no half checkpoint that looks whole. Those of a run on its way are ``step-N``, and what it needs to
go on lies in their ``state/``.
"""

import json
import platform
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from webdancer_cli import __version__
from webdancer_cli.data.records import content_id
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import NANO, TrainingOptions

MANIFEST = "webdancer.json"
PARTIAL = ".partial"
"""Where a checkpoint is written before it is moved in."""
STATE = "state"
"""What a run needs to go on from a checkpoint, beside the plain weights."""
BEST = "best"
"""The checkpoint with the lowest held-out loss of a run on its way."""
REPLACED_BEST = ".best-before"
"""What was the best until now, while the new one takes its place."""
RUN_FILE = "run.json"
"""The part of a state that is no tensor. A state without it is none."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.gguf", "adapter_config.json")


def prepare_output(out: str, model: str, *, resume: bool = False) -> Path:
    """The folder for a run's results, made and seen to be writable, before any work.

    Raises UsageError when it cannot be written, and as ``check_output`` does.
    """
    folder = Path(out)
    check_output(out, model, resume=resume)
    if is_finished(folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".webdancer-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}: name a folder that can be written as --out") from None
    return folder


def check_output(out: str, model: str, *, resume: bool = False) -> None:
    """Raises UsageError when the folder is that of ``model``, and when it holds other weights already: loaders might
    follow the index of the old ones. So it does for a finished checkpoint and for those of a run that was on its way,
    unless the run is to ``resume``. Writes nothing.
    """
    folder = Path(out)
    if Path(model).exists() and folder.exists() and folder.samefile(model):
        raise UsageError(f"{out}: is the model's own folder: name another --out")
    if is_finished(folder):
        if resume:
            return
        raise UsageError(f"{out}: holds a finished checkpoint already: name another --out, or remove it")
    if not resume and (earlier := newest_state(folder)):
        left = f"holds {earlier.name} of a run that did not end"
        raise UsageError(f"{out}: {left}: go on from there by --resume, or remove it, or name another --out")
    foreign = next((path.name for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))), None)
    if foreign and not (folder / PARTIAL).is_dir():
        raise UsageError(f"{out}: holds the weights of another model ({foreign}): name another --out, or remove them")


def provenance(command: str, options: TrainingOptions, data_sha256: str) -> dict[str, Any]:
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
    folder = Path(model)
    if model == NANO or not folder.is_dir():
        return None
    # The adapter of a checkpoint lies in a folder of its own below it.
    holders = (folder, folder.resolve().parent) if (folder / "adapter_config.json").is_file() else (folder,)
    marks = [json.loads((holder / MANIFEST).read_text("utf-8")) for holder in holders if (holder / MANIFEST).is_file()]
    parent: str | None = marks[0].get("id") if marks else None
    return parent


def move_in(partial: Path, folder: Path) -> None:
    """Move the files of ``partial`` into ``folder``, those that make it a checkpoint last."""
    order = {"config.json": 1, MANIFEST: 2}
    for path in sorted(partial.rglob("*"), key=lambda path: order.get(path.name, 0) if path.parent == partial else 0):
        if path.is_file():
            target = folder / path.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    for path in sorted(partial.rglob("*"), reverse=True):
        path.rmdir()
    partial.rmdir()


def is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def step_folder(out: Path, step: int) -> Path:
    return out / f"step-{step}"


def newest(out: Path) -> Path | None:
    """The furthest that a run has come: its result, else its last checkpoint with a state."""
    return out if is_finished(out) else newest_state(out)


def newest_state(out: Path) -> Path | None:
    """The checkpoint that a run can go on from: the last one that is whole and has a state."""
    states = _with_state(out)
    return states[-1] if states else None


def remove_states(out: Path, keep: int) -> None:
    """Let all checkpoints but the last ``keep`` go without their states; the weights stay."""
    for folder in _with_state(out)[:-keep]:
        (folder / STATE / RUN_FILE).unlink()  # first: what is half removed is no state any more
        shutil.rmtree(folder / STATE)


def _with_state(out: Path) -> list[Path]:
    """The whole checkpoints of a run on its way that have a state, by their steps."""
    found = [(int(name[1]), path) for path in out.glob("step-*") if (name := re.fullmatch(r"step-(\d+)", path.name))]
    return [path for _, path in sorted(found) if is_finished(path) and (path / STATE / RUN_FILE).is_file()]

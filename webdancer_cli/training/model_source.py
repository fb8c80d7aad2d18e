"""Where the files of a model are: ``nano``, a checkpoint folder, an adapter folder, a GGUF file, or a hub name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import NANO

NANO_FOLDER = Path(__file__).parent / "nano"
"""The small pretrained base that comes with the package."""


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

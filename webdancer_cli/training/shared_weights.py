"""A folder through which servers get new weights: it needs a file system that both sides see, and nothing else.

Every version has a path of its own, since servers know adapters, and what they have computed with them, by their path.
"""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor

from webdancer_cli.data.records import content_id
from webdancer_cli.errors import WebdancerError
from webdancer_cli.training.models import ModelDescription, lora_config

KEPT = 2
"""Versions that stay: a server reads the last one again when it has to."""


class SharedWeights:
    """What one run hands over, in a folder of its own below ``parent``, which goes with ``remove``.

    What an earlier start of the same run left there, which was killed, goes at once; ``out`` tells which run it is.
    """

    def __init__(self, parent: Path, plain: ModelDescription, lora_rank: int, out: Path):
        self._plain = plain
        self._lora_rank = lora_rank
        self._written: list[Path] = []
        parent.mkdir(parents=True, exist_ok=True)
        prefix = f".weights-{content_id(str(out.resolve()))}-"
        for left in parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()

    def write(self, weights: Iterable[tuple[str, Tensor]], version: int) -> Path:
        """Write all weights, or all adapters, as transformers or peft would. Raises WebdancerError."""
        folder = self._root / f"version-{version}"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            if self._lora_rank:
                _write_adapter(folder, dict(weights), lora_config(self._lora_rank))
            else:
                self._plain.model.save_pretrained(folder, state_dict=dict(weights))
        except OSError as error:
            reason = error.strerror or " ".join(str(error).split())
            raise WebdancerError(f"{folder}: new weights could not be written: {reason}: make room there") from None
        self._written = [*(path for path in self._written if path != folder), folder]
        for path in self._written[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        self._written = self._written[-KEPT:]
        return folder

    def remove(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def _write_adapter(folder: Path, weights: dict[str, Tensor], config: LoraConfig) -> None:
    """``weights`` by the names that they have in the model: …q_proj.lora_A.default.weight."""
    config.target_modules = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in weights})
    config.inference_mode = True
    config.save_pretrained(str(folder))
    named = {f"base_model.model.{name.replace('.default.', '.')}": tensor for name, tensor in weights.items()}
    save_file({name: tensor.contiguous() for name, tensor in named.items()}, folder / "adapter_model.safetensors")

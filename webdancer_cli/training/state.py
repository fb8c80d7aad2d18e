"""Everything that a training run is made of beside its options and data, as one object that is saved and restored.

Tensors (what is trained, and the optimiser's moments) go through ``torch.distributed.checkpoint``: every rank writes
its shards, and a run may go on with another number of ranks. All the rest is JSON.
"""

import base64
import json
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.stateful import Stateful

from webdancer_cli.data.records import content_id
from webdancer_cli.errors import UsageError
from webdancer_cli.training.checkpoint import RUN_FILE
from webdancer_cli.training.distributed import ProcessGroup

LONE_REMARK = "torch.distributed is disabled"
"""What torch remarks when a lone process saves or loads."""


@dataclass
class TrainingState:
    """One run at one step. What is not here follows from options, data and ``step`` alone."""

    scorer: nn.Module
    """Holds what is trained: its parameters with ``requires_grad``."""
    optimizer: torch.optim.Optimizer
    data: Stateful | None = None
    """Where the run is in its data, if ``step`` does not tell: for ``rl`` the questions that wait."""
    step: int = 0
    """Steps that are done."""
    seconds: float = 0.0
    """Time that they took."""
    best_loss: float | None = None
    """The lowest held-out loss so far, if a run keeps its best checkpoint."""

    def tensors(self) -> dict[str, Tensor]:
        """The run's own tensors by name, not copies: each rank has its shards of them."""
        parameters = {n: p for n, p in self.scorer.named_parameters() if p.requires_grad}
        found = {f"model.{name}": parameter.detach() for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            found |= {f"optimizer.{name}.{key}": value for key, value in self.optimizer.state[parameter].items()}
        return found

    def values(self, world: ProcessGroup) -> dict[str, Any]:
        """The rest, as JSON; all ranks call it together, and get the same."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "best_loss": self.best_loss,
            "data": self.data.state_dict() if self.data else None,
            "random": world.gather(random_state(world.device)),
        }

    def restore(self, folder: Path, world: ProcessGroup, seed: int) -> None:
        """Become what was saved in ``folder``, in place. Raises UsageError for a state that cannot be read."""
        create_moments(self.optimizer)
        remedy = f"remove {folder.parent} to go on from the checkpoint before it"
        try:
            saved = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
            with without_remarks():
                dcp.load(self.tensors(), checkpoint_id=folder, no_dist=True)
        except (OSError, ValueError, KeyError, CheckpointException) as error:
            raise UsageError(f"{folder}: cannot be read ({' '.join(str(error).split())[:200]}): {remedy}") from None
        self.step, self.seconds, self.best_loss = saved["step"], saved["seconds"], saved["best_loss"]
        if self.data:
            self.data.load_state_dict(saved["data"])
        if world.rank < len(saved["random"]):
            restore_random_state(saved["random"][world.rank], world.device)
        else:
            seed_everything(content_id(seed, self.step, world.rank))


@contextmanager
def without_remarks() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LONE_REMARK)
        yield


def create_moments(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimiser make the state of its parameters, by a step of length 0 along a gradient of 0."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def seed_everything(seed: int | str) -> None:
    """Seed the generators that libraries draw from; whatever this package draws has seeds of its own."""
    number = int(content_id(seed), 16) % 2**32
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def random_state(device: torch.device) -> dict[str, Any]:
    """Where the generators of this process are, as JSON."""
    numpy_state: Any = np.random.get_state(legacy=False)
    key = numpy_state["state"]["key"]
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key.tolist()}},
        "torch": _text(torch.get_rng_state()),
        "cuda": _text(torch.cuda.get_rng_state(device)) if device.type == "cuda" else None,
    }


def restore_random_state(saved: dict[str, Any], device: torch.device) -> None:
    version, numbers, gauss = saved["python"]
    random.setstate((version, tuple(numbers), gauss))
    key = np.array(saved["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**saved["numpy"], "state": {**saved["numpy"]["state"], "key": key}})
    torch.set_rng_state(_bytes(saved["torch"]))
    if device.type == "cuda" and saved["cuda"]:
        torch.cuda.set_rng_state(_bytes(saved["cuda"]), device)


def _text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)

"""One process, or several under torchrun: who does what, and how they agree.

Rank 0 alone reads stdin and data, and writes files; what it read reaches the others by broadcast. All ranks see the
same global batch and take their share of it. Weights, gradients and optimizer state are sharded over them (FSDP2).
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from webdancer_cli.errors import UsageError, WebdancerError

PATIENCE = timedelta(hours=24)
"""How long ranks wait for each other: rank 0 may read a pipe for hours. When a rank dies, torchrun ends the others."""

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among all: its rank, their number, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    group: Any = None
    """The connections that they use; None for those that all of torch uses."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def from_main(self, work: Callable[[], T]) -> T:
        """What rank 0 gets from ``work``, on every rank.

        When rank 0 raises a WebdancerError the other ranks leave quietly with its exit code: it is reported once.
        """
        if self.size == 1:
            return work()
        box: list[Any] = [None, None]
        if self.is_main:
            try:
                box[0] = work()
            except WebdancerError as error:
                self._broadcast([None, error.exit_code])
                raise
        self._broadcast(box)
        if box[1] is not None:
            raise SystemExit(box[1])
        result: T = box[0]
        return result

    def total(self, *values: float) -> list[float]:
        """The sums of ``values`` over all ranks."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums, group=self.group)
        return [float(value) for value in sums]

    def gather(self, value: T) -> list[T]:
        """Every rank's value, on every rank, in the order of the ranks. Values are pickled."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def beside(self) -> "ProcessGroup":
        """The same ranks with connections of their own, for what they agree on in another thread. All ask together."""
        return replace(self, group=dist.new_group(backend="gloo")) if self.size > 1 else self

    def _broadcast(self, box: list[Any]) -> None:
        dist.broadcast_object_list(box, src=0, group=self.group, device=torch.device("cpu"))

    def barrier(self) -> None:
        if self.size > 1:
            self.total(0.0)


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """The world that torchrun's environment describes (or a lone process), left in good order at the end.

    A UsageError meets all ranks alike; rank 0 reports it, the others leave quietly with its exit code.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    device = _device(int(os.environ.get("LOCAL_RANK", 0)))
    if size == 1 and not dist.is_torchelastic_launched():
        yield ProcessGroup(device=device)
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    world = ProcessGroup(rank, size, device)
    try:
        yield world
        # Rank 0 may still be saving: a rank that closes its connections before the others are done can end them.
        world.barrier()
    except UsageError as error:
        if rank == 0:
            raise
        raise SystemExit(error.exit_code) from None
    finally:
        # Sharded modules hold the group in reference cycles; it has to go now, not while the interpreter shuts down.
        gc.collect()
        dist.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def shard(
    module: nn.Module,
    layer_names: set[str],
    world: ProcessGroup,
    *,
    replicas: int = 1,
    policy: MixedPrecisionPolicy | None = None,
    cpu_offload: bool = False,
) -> nn.Module:
    """Shard the weights of ``module`` over all ranks, in place: each layer (by class name) a unit, the rest another.

    Every rank must come with the same weights, or with none yet, on the meta device. The module's own ``forward`` has
    to be called, not that of its parts. With several ``replicas`` (HSDP) that many groups of ranks hold all weights
    between them: they are gathered within a group, on one node say, and only gradients travel between the groups.
    With ``cpu_offload`` shards, gradients and the optimiser stay in the memory of the CPU.
    """
    if world.size == 1 and not cpu_offload:
        return module
    mesh = device_mesh(world, replicas)
    given: dict[str, Any] = {"mesh": mesh, "mp_policy": policy or MixedPrecisionPolicy()}
    if cpu_offload:
        given["offload_policy"] = CPUOffloadPolicy()
    for layer in [part for part in module.modules() if type(part).__name__ in layer_names]:
        fully_shard(layer, **given)
    fully_shard(module, **given)
    return module


def device_mesh(world: ProcessGroup, replicas: int) -> DeviceMesh:
    """All ranks in a row, or as ``replicas`` rows of neighbours. Raises UsageError where they do not come out even."""
    if world.size % replicas:
        raise UsageError(f"--replicas {replicas}: {world.size} ranks cannot be dealt out to so many groups")
    if replicas == 1:
        return init_device_mesh(world.device.type, (world.size,))
    shape, names = (replicas, world.size // replicas), ("replicate", "shard")
    return init_device_mesh(world.device.type, shape, mesh_dim_names=names)


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor without its shards, on this device. All ranks must ask for it together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

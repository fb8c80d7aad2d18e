"""The trainer's end of vLLM's transfer of weights over NCCL: what it shares with the servers' workers is a group.

Names and order are those of ``vllm.distributed.weight_transfer`` in vLLM 0.32, read in its source. Not tested on GPUs.
"""

import importlib.util
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from webdancer_cli.errors import UsageError

SendTensors = Callable[[Sequence[Tensor]], None]
"""Sends tensors to all other ranks, one after the other, and returns when they are sent."""
OpenGroup = Callable[[str, int, int], SendTensors]
"""Meets all others at an address and a port, so many in all, as rank 0."""


def check_nccl(device: torch.device) -> None:
    """Raises UsageError where the trainer cannot be in a group of NCCL with servers' workers."""
    if device.type != "cuda":
        raise UsageError("--weight-transfer nccl: goes from GPU to GPU, and this trains on the CPU: use files")
    if importlib.util.find_spec("vllm") is None:
        raise UsageError(
            "--weight-transfer nccl: vllm is not installed here: pip install 'webdancer[vllm]', or use files"
        )


def nccl_group(device: torch.device) -> OpenGroup:
    """How the trainer joins a group with servers' workers, by its GPU."""

    def open_group(address: str, port: int, size: int) -> SendTensors:
        common = importlib.import_module("vllm.distributed.weight_transfer.nccl_common")
        with torch.cuda.device(device):  # each thread has a current device of its own
            group = common.trainer_init({"master_address": address, "master_port": port, "world_size": size})

        stream = torch.cuda.Stream(device)  # a broadcast that nobody takes must not hold up the trainer's own work

        def send(tensors: Sequence[Tensor]) -> None:
            with torch.cuda.device(device), torch.cuda.stream(stream):
                held = [tensor.to(device).contiguous() for tensor in tensors]
                for tensor in held:
                    group.broadcast(tensor, src=0, stream=stream)
                stream.synchronize()

        return send

    return open_group

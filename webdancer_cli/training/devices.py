"""The accelerators of this machine, for whoever asks before a model is opened."""

from typing import NamedTuple

import torch


class Gpu(NamedTuple):
    name: str
    free_bytes: int


def gpus() -> list[Gpu]:
    """Those that torch can compute on, with what other processes leave free."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [Gpu(torch.cuda.get_device_name(index), torch.cuda.mem_get_info(index)[0]) for index in range(count)]

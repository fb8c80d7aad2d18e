"""How much memory the keys and values of an in-process engine take, and may take."""

from typing import Any

import torch

from webdancer_cli.errors import UsageError
from webdancer_cli.training.models import head_width

CACHE_BYTES = 4 << 30
"""Memory for keys and values, if every row grew as long as it may."""

GPU_SHARE = 0.25
"""On a GPU it is this share of its memory, where that is more."""


def most_cache_bytes(device: torch.device | str) -> int:
    """What keys and values may take on a device, by default."""
    if torch.device(device).type != "cuda":
        return CACHE_BYTES
    return max(CACHE_BYTES, int(GPU_SHARE * torch.cuda.get_device_properties(device).total_memory))


def bytes_per_position(model: Any, itemsize: int) -> int:
    """Keys and values of one position in all layers, in numbers of ``itemsize`` bytes."""
    config = model.config.get_text_config()
    if not getattr(config, "num_attention_heads", None):
        raise UsageError(f"the in-process engine does not play {type(model).__name__}, which has no attention heads")
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * head_width(config) * itemsize)

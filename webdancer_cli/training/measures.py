"""What a run measures beside its loss: memory, the share of a GPU's peak, and gradients that explode."""

import resource
import statistics
import sys
from collections import deque
from pathlib import Path

import torch

from webdancer_cli.training.models import ModelDescription, head_width

PEAK_FLOPS = {
    "B200": 2.25e15,
    "H200": 9.89e14,
    "H100": 9.89e14,
    "A100": 3.12e14,
    "L40S": 3.62e14,
    "A10G": 7.0e13,
    "RTX 4090": 1.65e14,
}
"""Dense bfloat16 operations a second of known GPUs (PCIe cards of a name are slower than these, the SXM ones)."""

EXPLODED = 10.0
"""A gradient's norm so many times the median of the last ``NORMS`` is told."""
NORMS = 20


def flops(plain: ModelDescription, lengths: list[int]) -> float:
    """Operations of a forward and a backward pass over rows of these lengths, nothing counted twice.

    6 for each weight and token (the embedding only looks up), and 12 for each layer, pair of tokens and width of
    attention, of which causal attention needs half (PaLM, arXiv 2204.02311, appendix B, less the masked half).
    """
    config = plain.model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 0
    width = heads * head_width(config)
    tied = plain.model.get_input_embeddings().weight is plain.model.get_output_embeddings().weight
    weights = plain.parameters - (0 if tied else plain.rows * config.hidden_size)
    pairs = sum(length * length for length in lengths) / 2
    return 6.0 * weights * sum(lengths) + 12.0 * config.num_hidden_layers * width * pairs


def mfu(operations: float, seconds: float, ranks: int, device: torch.device) -> float | None:
    """The share of the peak of all ranks' GPUs; None for a device whose peak is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((peak for known, peak in PEAK_FLOPS.items() if known in name), None)
    return operations / seconds / ranks / peak if peak else None


def peak_memory_gb(device: torch.device) -> float:
    """The most that was held so far: on the GPU by torch, on the CPU by this process.

    On Linux that is VmHWM (kB): ``ru_maxrss`` would begin with what the process held that started this one. It is in
    bytes on macOS, in kB elsewhere.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


class GradientWatch:
    """Tells of a gradient that is far larger than those before it."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=NORMS)

    def warning(self, norm: float) -> str:
        """A line about this step's norm, or nothing; remembers the norm."""
        usual = statistics.median(self._norms) if len(self._norms) == NORMS else None
        self._norms.append(norm)
        if usual is None or norm <= EXPLODED * usual:
            return ""
        return f"the gradient's norm is {norm:.3g}, and was {usual:.3g}: if the loss does not come back, lower --lr"

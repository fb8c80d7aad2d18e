"""The dtype to compute in, and what this machine makes of it."""

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from webdancer_cli.errors import UsageError

SMALL_PARAMETERS = 50_000_000
"""Below this, float32 on the CPU is as fast as bfloat16 and exact."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "avx_ne_convert_bf16", "bf16", "sve_bf16")


def arithmetic(parameters: int, dtype: str, device: torch.device | str = "cpu") -> torch.dtype:
    """The dtype to compute in, for a model of so many parameters.

    "auto" is bfloat16 on a GPU; on the CPU it is bfloat16 for models that are not small if the processor has
    instructions for it, and float32 otherwise: without them a product in bfloat16 takes some thirty times as long.
    """
    check_dtype(dtype)
    if dtype != "auto":
        return _DTYPES[dtype]
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if parameters >= SMALL_PARAMETERS and cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this processor has instructions for products in bfloat16. False where torch cannot tell."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.10
    known = tell() if tell else {}
    return any(known.get(name) for name in _BFLOAT16_INSTRUCTIONS)


def slow_dtype(compute: torch.dtype, device: torch.device | str = "cpu") -> str:
    """A warning where the dtype that was asked for is slow on this machine; empty otherwise."""
    if compute != torch.bfloat16 or torch.device(device).type != "cpu" or cpu_has_bfloat16():
        return ""
    return f"this processor ({platform.machine()}) has no bfloat16 instructions: --dtype float32 is many times as fast"


def check_dtype(dtype: str) -> None:
    """Raises UsageError for a name that ``arithmetic`` does not know."""
    if dtype not in ("auto", *_DTYPES):
        raise UsageError(f"no dtype {dtype!r}: take auto, {' or '.join(_DTYPES)}")


def autocast(compute: torch.dtype, device: torch.device | str = "cpu") -> AbstractContextManager[Any]:
    """Arithmetic in ``compute`` over float32 weights; does nothing for float32."""
    if compute == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=compute)

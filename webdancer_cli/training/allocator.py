"""The memory allocator of this process."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of parameters in glibc's malloc.h."""

LARGEST_KEPT = 2**25
"""Bytes of the largest block that is kept; glibc allows no more."""


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what comes next; whether this process has a glibc to be told.

    By itself it hands memory back to the kernel as soon as it can, which has to clear every page when it gives it out
    again: on the CPU that took up to a tenth of a training step, whose tensors come in the same sizes every time.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(tell and tell(_MMAP_THRESHOLD, LARGEST_KEPT) and tell(_TRIM_THRESHOLD, -1))

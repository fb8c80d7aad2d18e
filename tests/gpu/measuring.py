"""What every part does alike: its options, its device, and the clock and the memory of that device."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from results import Results, message

Taken = TypeVar("Taken")

PEAK_FLOPS = 989.4e12
"""Dense bfloat16 operations a second of an H100 SXM, and of an H200."""

REHEARSED_BYTES = 8_000_000_000


def arguments() -> tuple[argparse.Namespace, Results]:
    """What ``run.py`` tells a part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="0.6b")
    parser.add_argument("--cases", default="")
    parser.add_argument("--work", type=Path, required=True, help="where models are made")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="begin nothing new after this time")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    if options.rehearse:
        options.shape = "tiny"
    return options, Results(options.results, options.seconds)


def device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def capacity_bytes() -> int:
    return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else REHEARSED_BYTES


def now() -> float:
    """The clock, when the device has done all that it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def forget_peak() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb() -> float | None:
    """The most that torch held since ``forget_peak``; None on the CPU."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else None


def share_of_peak(operations: float, seconds: float) -> float | None:
    """Of a known GPU's peak; None on the CPU."""
    return round(operations / seconds / PEAK_FLOPS, 4) if torch.cuda.is_available() else None


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError)


def first_that_fits(figures: dict[str, Any], ways: Iterable[str], take: Callable[[str], Taken]) -> Taken | None:
    """What the first of ``ways`` gives that does not run out of memory, named as ``checkpointing``; None if all do."""
    figures["out_of_memory"] = met = {}
    for way in ways:
        forget_peak()
        try:
            taken = take(way)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            met[way] = message(error)
            del error
        else:
            figures["checkpointing"] = way
            return taken
        finally:
            forget_peak()
    figures["skipped"] = "out of memory"
    return None


def speed(tokens: int, operations: float, step_seconds: list[float]) -> dict[str, Any]:
    """Figures of timed steps, over their mean."""
    mean = sum(step_seconds) / len(step_seconds)
    return {
        "tokens_per_second": round(tokens / mean, 1),
        "step_seconds": [round(seconds, 4) for seconds in step_seconds],
        "mfu": share_of_peak(operations, mean),
    }


def webdancer(*arguments: object) -> None:
    """``webdancer ARGUMENTS`` in this process. Raises RuntimeError for an exit code."""
    from webdancer_cli import cli

    before = sys.argv
    sys.argv = ["webdancer", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"webdancer {arguments[0]} ended with {end.code}: see the log") from None
    finally:
        sys.argv = before

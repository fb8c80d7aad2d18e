"""What the machine has: processor, memory, room on its disks."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from webdancer_cli.doctor.findings import Finding, good, wrong

GB = 1e9
LEAST_FREE_BYTES = 200_000_000
"""Room that every run should find where it writes: records of some thousand episodes, or what sorting them takes."""
SHARED_MEMORY = "/dev/shm"
SHARED_BYTES_PER_RANK = 64_000_000
"""A container has 64 MB in all where nobody asks for more, and NCCL fails on that with several ranks."""
INSTRUCTIONS = {"AVX2": ("avx2",), "AVX-512": ("avx512f",), "bfloat16": ("avx512_bf16", "amx_bf16", "bf16")}
"""What models profit from, and the flags by which the kernel tells of it."""
FLAGS = ("flags", "features")
"""How the kernel calls them, by processor."""


def processor() -> Iterator[Finding]:
    flags = _cpu_flags()
    has = [name for name, marks in INSTRUCTIONS.items() if flags & set(marks)]
    lacks = [name for name in INSTRUCTIONS if name not in has]
    told = f"with {', '.join(has) or 'none'} of {', '.join(INSTRUCTIONS)}" if lacks else f"with {', '.join(has)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield good("processor", f"{platform.machine()}, {cores} cores, {told if flags else 'instructions unknown'}")
    yield good("memory", f"{available_bytes() / GB:.1f} GB can be had")


def shared_memory() -> Iterator[Finding]:
    """What the ranks of a run on one machine hand each other goes through it. Looked at where there are several."""
    ranks, place = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), Path(SHARED_MEMORY)
    if ranks < 2 or not place.is_dir():
        return
    free, needed = shutil.disk_usage(place).free, ranks * SHARED_BYTES_PER_RANK
    told = f"{place}: {free / GB:.2f} GB free, for {ranks} ranks"
    if free < needed:
        yield wrong("shared", f"{told} about {needed / GB:.2f} GB needed: start the container with a larger --shm-size")
    else:
        yield good("shared", told)


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return next((set(words.split()) for name, _, words in lines if name.strip().lower() in FLAGS), set())


def available_bytes() -> float:
    """Memory that a new process can have: what the kernel could free, within what its control group allows."""
    known = _colon_values("/proc/meminfo")
    free = known.get("MemAvailable", 0) * 1024 or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most, used = (_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if most is None or used is None:
        return free
    given_back = _number("/sys/fs/cgroup/memory.stat", "inactive_file") or 0
    return min(free, most - used + given_back)


def _colon_values(path: str) -> dict[str, int]:
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except OSError:
        return {}
    return {name: int(words.split()[0]) for name, _, words in (line.partition(":") for line in lines)}


def _number(path: str, name: str = "") -> int | None:
    """The number in a file, or behind ``name`` in one of its lines."""
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except OSError:
        return None
    words = next((line.removeprefix(name).strip() for line in lines if line.startswith(name)), "")
    return int(words) if words.isdigit() else None


def room(path: str, needed_bytes: float = LEAST_FREE_BYTES, *, is_folder: bool = False) -> Finding:
    """Whether something of that size can be written at ``path``, which need not be there yet."""
    place = Path(path).absolute()
    if place.exists() and not (place.is_file() or place.is_dir()):
        return good("disk", f"{path}: a device or a pipe")
    if place.exists() and place.is_dir() != is_folder:
        return wrong("disk", f"{path}: is a {'file' if is_folder else 'folder'}: name another one")
    folder = next(parent for parent in (place, *place.parents) if parent.is_dir())
    written = [folder, place] if place.exists() else [folder]
    if not all(os.access(each, os.W_OK) for each in written):
        return wrong("disk", f"{path}: cannot be written: name another place, or have its permissions changed")
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        told = f"{path}: {free / GB:.2f} GB free, about {needed_bytes / GB:.2f} GB needed"
        return wrong("disk", f"{told}: free some, or write elsewhere")
    return good("disk", f"{path}: {free / GB:.1f} GB free")


def scratch() -> Finding:
    """The folder for temporary files: what is sorted and told apart there grows with the data."""
    finding = room(tempfile.gettempdir(), is_folder=True)
    return finding._replace(said=f"{finding.said} (TMPDIR)")

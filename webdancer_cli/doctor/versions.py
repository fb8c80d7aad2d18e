"""Whether what is installed is what the toolkit was tried with: the ranges stand in the package's own metadata."""

import importlib.util
import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from webdancer_cli.doctor.findings import Finding, good, wrong
from webdancer_cli.options import config

PACKAGE = "webdancer"
EXTRAS = ("train", "track", "vllm", "report", "benchmarks")
"""What can be installed beside; what is for developing only is not looked at."""
SHOWN = ("torch", "transformers", "vllm")
"""Whose versions are told even where they are right."""


def versions(needed: frozenset[str]) -> Iterator[Finding]:
    """``needed`` names the extras that the run cannot do without; the others are looked at if all of them is there."""
    try:
        package = metadata.metadata(PACKAGE)
    except metadata.PackageNotFoundError:
        yield wrong("versions", f"{PACKAGE} is not installed, so its ranges are not known: pip install {PACKAGE}")
        return
    yield from _python(package["Requires-Python"] or "")
    wanted = [Requirement(text) for text in metadata.requires(PACKAGE) or []]
    present = frozenset(extra for extra in EXTRAS if all(_installed(each) for each in _of_extra(wanted, extra)))
    chosen = [each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    for extra in EXTRAS:
        chosen += _of_extra(wanted, extra) if extra in present | needed else []
    faults = list(dict.fromkeys(fault for each in chosen if (fault := _fault(each))))
    yield from (wrong("versions", fault) for fault in faults)
    if not faults:
        shown = [f"{name} {version}" for name in SHOWN if (version := _version(name))]
        yield good("versions", ", ".join([f"{PACKAGE} {package['Version']}", *shown, "all within their tested ranges"]))
    if left_out := [extra for extra in EXTRAS if extra not in present | needed]:
        yield good("extras", f"not installed, and not needed here: {', '.join(left_out)}")


def extras_of(options: object) -> frozenset[str]:
    """The extras that a run with these options cannot do without."""
    found = {"train"} if opens_model(options) else set()
    if getattr(options, "track", "none") == "tensorboard":
        found.add("track")
    if isinstance(options, config.ViewOptions) and options.out:
        found.add("report")
    if str(getattr(options, "data", "")).endswith((".parquet", ".xlsx")):
        found.add("benchmarks")
    return frozenset(found)


def opens_model(options: object) -> bool:
    """Whether a model is opened in this process."""
    if isinstance(options, config.EvalOptions) and options.grade_only:
        return False
    if isinstance(options, config.PlayerOptions):
        return not options.base_url and options.model != config.BUILTIN
    return isinstance(options, config.TrainingOptions)


def tracker(options: object) -> Iterator[Finding]:
    """A tracker that is in no extra."""
    name = getattr(options, "track", "none")
    if name in ("wandb", "trackio") and not importlib.util.find_spec(name):
        yield wrong("versions", f"--track {name}: is not installed: pip install {name}")


def _python(allowed: str) -> Iterator[Finding]:
    here = platform.python_version()
    if not SpecifierSet(allowed).contains(here, prereleases=True):
        yield wrong("versions", f"Python {here} is outside of the tested range {allowed}: use one within it")


def _of_extra(wanted: list[Requirement], extra: str) -> list[Requirement]:
    """What an extra brings beside what is needed anyway."""
    marked = [each for each in wanted if each.marker and not each.marker.evaluate({"extra": ""})]
    return [each for each in marked if each.marker and each.marker.evaluate({"extra": extra})]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _installed(wanted: Requirement) -> bool:
    return bool(_version(wanted.name))


def _fault(wanted: Requirement) -> str:
    """What is wrong with an installed distribution, "" if nothing is."""
    bare = f"{wanted.name}{wanted.specifier}"
    here = _version(wanted.name)
    if not here:
        return f"{wanted.name} is not installed: pip install '{bare}'"
    if not wanted.specifier.contains(here, prereleases=True):
        return f"{wanted.name} {here} is outside of the tested range {wanted.specifier}: pip install '{bare}'"
    return ""

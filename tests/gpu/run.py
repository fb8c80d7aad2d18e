"""What a GPU gives, in eight minutes: training, the engine and the tests on the device, in one JSON file.

    python3 tests/gpu/run.py --out FOLDER [--minutes 8] [--only PART[:CASE],…] [--wheels tests/gpu/wheels]
    python3 tests/gpu/run.py --out FOLDER --rehearse

Each part runs in a process of its own, ends at its own bound of seconds, and tells each figure as soon as it has it;
``FOLDER/gpu.json`` is written anew after every part, and ``FOLDER/gpu.log`` is what all of them said. The wheels that
``pack.py`` has packed are put beside what the machine has. ``--rehearse`` goes the same ways with tiny shapes, on the
CPU, in seconds.
"""

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED_MEMORY = Path("/dev/shm")
NEEDED_BYTES = 24 << 30
"""For models on disk."""

REASON_LINES = 12
SHOWN = (
    "device", "product_tflops", "tokens_per_second", "mfu", "peak_gb", "checkpointing", "out_of_memory", "skipped",
    "failed", "drawn_per_second", "step_ms", "tflops", "forward_ms", "backward_ms", "seconds", "losses",
)  # fmt: skip
"""What the summary on stdout tells of a figure."""
SHOWN_FAILURES, REASON_CHARS = 15, 150
LEAST_SECONDS = 10.0
"""With less time left, a part is not begun."""


@dataclass(frozen=True)
class Part:
    """A script beside this one, with its own options and its bound."""

    name: str
    script: str
    seconds: int
    shape: str = "0.6b"
    tests: str = ""
    """What pytest is told, instead of a script."""


PARTS = [
    Part("smoke", "smoke.py", 75),
    Part("sft-0.6b", "sft.py", 90),
    Part("trl-0.6b", "trl_sft.py", 90),
    Part("sft-4b", "sft.py", 130, "4b"),
    Part("device-tests", "", 60, tests="tests/gpu/test_device.py"),
    Part("rl", "rl.py", 110),
    Part("engine", "engine.py", 60),
    Part("trl-4b", "trl_sft.py", 110, "4b"),
    Part("attention", "attention.py", 40),
    Part("tests", "", 120, tests="tests/training -n 12 -m 'not vllm and not slow'"),
    Part("slow-tests", "", 300, tests="tests/training -n 12 -m slow"),
]
"""In order of worth."""

REHEARSED_TESTS = {"device-tests": "tests/training/test_batches.py"}
"""These few stand for all in a rehearsal."""
REHEARSED_SECONDS = 600
"""Bound of each part and of all in a rehearsal, on however slow a machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", default="", help="names of parts, or PART:CASE")
    parser.add_argument("--wheels", type=Path, default=HERE / "wheels")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    deadline = time.monotonic() + (REHEARSED_SECONDS if options.rehearse else 60 * options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_roomy_folder(), prefix="webdancer-gpu-") as work:
        Kit(options, Path(work), deadline).run()


def _roomy_folder() -> Path | None:
    """Models are written and read several times: in memory, where there is enough."""
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    return SHARED_MEMORY if free > NEEDED_BYTES else None


class Kit:
    """One run: its environment, and what it has found so far."""

    def __init__(self, options: argparse.Namespace, work: Path, deadline: float):
        self._options = options
        self._work = work
        self._deadline = deadline
        self._began = time.monotonic()
        self._python = sys.executable
        self._found: dict[str, Any] = {"command": sys.argv, "rehearsal": options.rehearse, "parts": {}}
        (options.out / "gpu.log").write_bytes(b"")
        self._environment = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "PYTORCH_ALLOC_CONF": "expandable_segments:True",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def run(self) -> None:
        self._found["installed"] = self._install()
        chosen = _chosen(self._options.only)
        for part in PARTS:
            if (chosen and part.name not in chosen) or (self._options.rehearse and not _is_rehearsed(part)):
                continue
            try:
                found = self._run_part(part, ",".join(chosen.get(part.name, [])))
            except Exception as error:  # the other parts are worth having
                found = {"failed": f"{type(error).__name__}: {error}"}
            self._found["parts"][part.name] = found
            self._write()
            print("\n".join(summary(part.name, found)), flush=True)

    def _write(self) -> None:
        self._found["seconds"] = round(time.monotonic() - self._began, 1)
        file = self._options.out / "gpu.json"
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps(self._found, indent=1), encoding="utf-8")
        beside.replace(file)

    def _install(self) -> str:
        """Wheels, if there are any, into an environment over that of this Python; how many, or what pip says.

        An environment and not only a path: what tests start finds it, too.
        """
        wheels = sorted(map(str, self._options.wheels.glob("*.whl")))
        if not wheels:
            return "no wheels: with what is here"
        folder = self._work / "env"
        venv.create(folder, with_pip=False, symlinks=True)
        self._python = str(folder / "bin" / "python")
        places = {"base": str(folder), "platbase": str(folder)}
        target = Path(sysconfig.get_path("purelib", "posix_prefix", places))
        below = [f"import site; site.addsitedir({place!r})" for place in site.getsitepackages()]
        (target / "machine.pth").write_text("\n".join(below) + "\n")
        offline = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--quiet"]
        install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), *wheels]
        done = subprocess.run(install, capture_output=True, text=True)
        return f"{len(wheels)} wheels" if done.returncode == 0 else _end_of(done.stderr)

    def _run_part(self, part: Part, cases: str) -> dict[str, Any]:
        bound = REHEARSED_SECONDS if self._options.rehearse else part.seconds
        seconds = min(float(bound), self._deadline - time.monotonic())
        if seconds < LEAST_SECONDS:
            return {"skipped": "no time left"}
        results = self._work / f"results-{part.name}.jsonl"
        command = self._pytest(part, results) if part.tests else self._script(part, cases, results, seconds)
        began = time.monotonic()
        code, said = self._bounded(command, seconds, part.name)
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1), "exit_code": code}
        found |= tally(lines) if part.tests else {"figures": {line["name"]: line for line in lines}}
        if code is None:
            found["failed"] = f"cut off after {seconds:.0f} s"
        elif not lines or (code and not part.tests):
            found["failed"] = _end_of(said)
        return found

    def _script(self, part: Part, cases: str, results: Path, seconds: float) -> list[str]:
        about = ["--shape", part.shape, "--cases", cases, "--work", self._work, "--results", results]
        rehearsal = ["--rehearse"] if self._options.rehearse else []
        return [self._python, str(HERE / part.script), *map(str, about), "--seconds", str(seconds), *rehearsal]

    def _pytest(self, part: Part, results: Path) -> list[str]:
        told = REHEARSED_TESTS[part.name] if self._options.rehearse else part.tests
        words = shlex.split(told)
        if "-n" in words and importlib.util.find_spec("xdist") is None:
            at = words.index("-n")
            del words[at : at + 2]
        plugin = ["-p", "outcomes", "--outcomes", str(results), "-p", "no:cacheprovider", "-q", "--timeout", "100"]
        return [self._python, "-m", "pytest", *words, *plugin]

    def _bounded(self, command: list[str], seconds: float, name: str) -> tuple[int | None, str]:
        """Its exit code (None: it was ended after ``seconds``, with all its children) and what it said."""
        log = self._options.out / "gpu.log"
        with log.open("a+", encoding="utf-8", errors="replace") as file:
            file.write(f"\n=== {name}: {' '.join(command)}\n")
            file.flush()
            start = file.tell()
            print(f"{name} …", file=sys.stderr, flush=True)
            running = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=file, stderr=file, start_new_session=True
            )
            code: int | None = None
            try:
                code = running.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            file.seek(start)
            return code, file.read()


def _is_rehearsed(part: Part) -> bool:
    """One shape stands for all, so a script has to run once."""
    return part.name in REHEARSED_TESTS if part.tests else part.shape == Part.shape


def _chosen(only: str) -> dict[str, list[str]]:
    """Names of parts, each with the cases that are wanted of it; none: all."""
    chosen: dict[str, list[str]] = {}
    for name in filter(None, only.split(",")):
        part, _, case = name.partition(":")
        chosen.setdefault(part, []).extend([case] if case else [])
    return chosen


def tally(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Of tests: how many ended how, why those failed that did, and why others were skipped."""
    ended = Counter(line["outcome"] for line in outcomes)
    failures = {line["test"]: line["reason"] for line in outcomes if line["outcome"] == "failed"}
    skips = Counter(line["reason"] for line in outcomes if line["outcome"] == "skipped")
    return {"tests": dict(ended), "failures": failures, "skipped_because": dict(skips)}


def summary(name: str, found: dict[str, Any]) -> Iterator[str]:
    """A part in a few lines, one for each figure."""
    told = [found[key] for key in ("skipped", "failed") if key in found]
    yield f"{name}: {found.get('seconds', 0)} s {found.get('tests', '')} {' '.join(told)}"
    for case, figures in found.get("figures", {}).items():
        words = [f"{key} {figures[key]}" for key in SHOWN if figures.get(key) not in (None, {}, [])]
        yield f"  {case}: {', '.join(words)}"
    for test, reason in list(found.get("failures", {}).items())[:SHOWN_FAILURES]:
        yield f"  {test}: {' '.join(reason.split())[:REASON_CHARS]}"


def _end_of(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-REASON_LINES:])


if __name__ == "__main__":
    main()

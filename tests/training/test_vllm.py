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

import msgspec
import pytest

from webdancer_cli.records import Attempt, Trajectory, from_object, to_object

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
    flags = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tuned", "--max-model-len", "2048"]
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


def test_a_judge_gives_a_verdict_or_none(run_cli: RunCli, endpoint: str, colours: Path, tmp_path: Path) -> None:
    """So small a model grades as it likes; but it answers in the schema's form, and every answer has an outcome."""
    judging = ["--judge-model", "tuned", "--judge-base-url", endpoint]
    played = tmp_path / "played.jsonl"
    run_cli("sample", *at(endpoint), *data(colours), *EPISODE, "--temperature", "0", "--out", played)
    (trajectory,) = [from_object(Trajectory, json.loads(line)) for line in played.read_text().splitlines()]
    trajectory.qa.answer = "dark crimson"  # no rule finds that this is what the model answers
    played.write_bytes(msgspec.json.encode(to_object(trajectory)) + b"\n")
    rejects = tmp_path / "rejects.jsonl"
    stages = "validity,correctness"
    done = run_cli("filter", "--data", played, *judging, "--stages", stages, "--rejects", rejects, codes=(0, 1))
    (line,) = [json.loads(line) for line in (done.stdout + rejects.read_text()).splitlines()]
    verdict = line.get("record", line)["verdict"]
    assert verdict["method"].startswith("model:tuned default:")
    assert (
        line.get("reason", "kept")
        == {"correct": "kept", "wrong": "wrong_answer", "unjudged": "unjudged"}[verdict["outcome"]]
    )


def test_an_author_writes_json_and_nothing_unproved(
    run_cli: RunCli, endpoint: str, colours: Path, tmp_path: Path
) -> None:
    """Structured output by a real server: what so small a model writes is read, and checked like anybody's."""
    pages, rejects = tmp_path / "pages.jsonl", tmp_path / "rejects.jsonl"
    fact = "The lighthouse of Halvern was built in 1871 by Edda Morvane, and it stands on the cape of Tirsk. "
    page = {"url": "http://127.0.0.1/h", "title": "Halvern", "text": fact + "Its lamp was lit by whale oil. " * 8}
    pages.write_text(json.dumps(page) + "\n")
    writing = ["--types", "single_hop", "--per-page", "1", "--temperature", "0", "--rejects", rejects]
    done = run_cli("crawlqa", pages, "--pages", tmp_path / "corpus.jsonl", *at(endpoint), *writing, codes=(0, 1))
    for line in map(json.loads, done.stdout.splitlines()):
        assert all(proof["quote"] in page["text"] for proof in line["evidence"])
    reasons = {json.loads(line)["reason"] for line in rejects.read_text().splitlines()}
    assert not reasons & {"model_error"}, rejects.read_text()


def test_an_error_of_the_server_is_no_turn(run_cli: RunCli, endpoint: str, colours: Path, tmp_path: Path) -> None:
    """A model that it does not serve: the record is refused, and the exit code says so."""
    rejects = tmp_path / "rejects.jsonl"
    arguments = ["sample", *at(endpoint, model="unknown"), *data(colours), *EPISODE, "--rejects", rejects]
    run_cli(*arguments, codes=(1,))
    (rejected,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert rejected["reason"] == "model_error" and "404" in rejected["detail"]


def at(endpoint: str, model: str = "tuned") -> list[str]:
    return ["--base-url", endpoint, "--model", model]


def data(folder: Path) -> list[object]:
    return ["--data", folder / "qa.jsonl", "--web", folder / "pages.jsonl"]

"""vLLM, on the CPU, serves what ``sft`` wrote as it stands; ``sample`` and ``eval`` play against it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from vllm_server import post, serving

from webdancer_cli.data.records import Attempt, Message, Trajectory, from_object, to_object
from webdancer_cli.training.models import load_tokenizer
from webdancer_cli.training.precision import cpu_has_bfloat16
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.transcript.grammar import render_response

pytestmark = pytest.mark.vllm

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
EPISODE = ["--prompts", "compact", "--max-calls", "3", "--max-turn-tokens", "48", "--max-context-tokens", "1024"]


@pytest.fixture(scope="session")
def endpoint(tuned_smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a vLLM that serves the output folder of ``sft``."""
    dtype = "bfloat16" if cpu_has_bfloat16() else "float32"
    with serving(tuned_smollm2, "tuned", tmp_path_factory.mktemp("vllm") / "log", dtype) as url:
        yield f"{url}/v1"


def test_the_chat_endpoint_makes_the_ids_that_were_trained(endpoint: str, tuned_smollm2: Path) -> None:
    renderer = Renderer(load_tokenizer(str(tuned_smollm2)))
    page = "Bost is red.\n\n- Größe: 12,50 €\n\tcode()\n\n\n日本 🙂."
    messages = [
        Message("system", "You browse. Think in <think> and </think>."),
        Message("user", "What colour is Bost?"),
        Message("assistant", '<think>\nx\n</think>\n<tool_call>\n{"name": "search"}\n</tool_call>'),
        Message("user", render_response(page)),
    ]
    chat = [{"role": message.role, "content": message.content} for message in messages]
    served = post(f"{endpoint.removesuffix('/v1')}/tokenize", {"model": "tuned", "messages": chat})["tokens"]
    assert served == renderer.prompt(messages)


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
    assert verdict["method"].startswith("model:tuned judge default:")
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

"""A model from elsewhere, SmolLM2, through ``sft``, ``rl`` and ``eval`` as a user would run them."""

import json
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.data.records import Attempt, from_object

pytestmark = pytest.mark.slow


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_sft_with_lora_learns_and_leaves_a_whole_checkpoint(tuned_smollm2: Path) -> None:
    losses = [line["loss"] for line in lines(tuned_smollm2 / "metrics.jsonl")]
    assert len(losses) == 10
    assert losses[-1] < 0.5 * losses[0]
    files = {file.name for file in tuned_smollm2.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files


def test_rl_then_eval(tuned_smollm2: Path, run_cli: Any, tmp_path: Path, colours: Path) -> None:
    episode = ["--data", colours / "qa.jsonl", "--web", colours / "pages.jsonl", "--prompts", "compact"]
    short = ["--max-calls", "3", "--max-turn-tokens", "64", "--max-context-tokens", "320"]
    trained = tmp_path / "rl"
    run_cli("rl", "--model", tuned_smollm2, "--out", trained, *episode, *short, "--lora-rank", "4", "--lr", "1e-4",
            "--steps", "1", "--questions", "1", "--group", "8", "--max-rounds", "1")  # fmt: skip
    (line,) = lines(trained / "metrics.jsonl")
    assert line["rollouts"] == 8
    assert line["updates"] == 1 and line["grad_norm"] > 0
    # bfloat16 arithmetic: the engine and the trainer agree to about 1 % of a probability, and no ratio is clipped far.
    assert line["ratio_mean"] == pytest.approx(1, abs=0.05)
    graded = run_cli("eval", "--model", trained, *episode, *short)
    attempts = [from_object(Attempt, json.loads(each)) for each in graded.stdout.splitlines()]
    assert [attempt.qa_id for attempt in attempts] == [each["id"] for each in lines(colours / "qa.jsonl")]
    assert {attempt.ending for attempt in attempts} == {"answered"}
    assert any(attempt.format_ok for attempt in attempts)
    assert all(attempt.usage.output_tokens > 0 for attempt in attempts)

"""A rewritten context from ``sample`` to ``filter``, ``view``, ``eval``, ``sft`` and ``rl``."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from stand_in_vllm import standing_in
from tiny_models import byte_level, save_tiny
from velmora import MAYOR, TEACHER

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Attempt, Page, Trajectory, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.report import terminal
from webdancer_cli.report.episodes import of_trajectory
from webdancer_cli.stages import eval as eval_stage
from webdancer_cli.stages import filter as filter_stage
from webdancer_cli.stages import rl, sample, sft
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.transcript.grammar import TAGS

TWO_HOPS = QA(
    question="Who is the teacher of the mayor of Velmora?", answer="Brunda", type="multi_hop", evidence=[MAYOR, TEACHER]
)
RULES = {"keep:1": "keep:1: 2 observations became lines", "fold:30": "fold:30: it went on from its summary in turn"}
TOKENIZER = byte_level(
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")],
    "<|im_end|>",
)


def played_in(folder: Path, **changes: Any) -> dict[str, Any]:
    """Pages and a question in ``folder``; the options of whoever plays there."""
    pages = [Page(url=proof.url, title=proof.title, text=proof.quote) for proof in (MAYOR, TEACHER)]
    jsonl.write_records(str(folder / "pages.jsonl"), pages)
    jsonl.write_records(str(folder / "qa.jsonl"), [TWO_HOPS])
    named = {"data": str(folder / "qa.jsonl"), "web": str(folder / "pages.jsonl"), "prompts": "compact"}
    return {**named, "max_context_tokens": 1200, **changes}


def sampled(folder: Path, **changes: Any) -> list[Trajectory]:
    out = folder / "trajectories.jsonl"
    options = config.SampleOptions(out=str(out), recovery=0, **played_in(folder, **changes))
    asyncio.run(sample.run(options, Demonstrator(options)))
    return trajectories(out)


def filtered(folder: Path, **options: Any) -> tuple[list[Trajectory], list[str]]:
    """What is kept, and the reasons why the rest is not."""
    out, rejects = folder / "out.jsonl", folder / "rejects.jsonl"
    asyncio.run(
        filter_stage.run(
            config.FilterOptions(data=str(folder / "trajectories.jsonl"), out=str(out), rejects=str(rejects), **options)
        )
    )
    return trajectories(out), [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]


def trajectories(path: Path) -> list[Trajectory]:
    return list(jsonl.read_records(str(path), Trajectory))


@pytest.mark.parametrize("rule", RULES)
def test_records_of_a_rewritten_context_go_through_the_data_stages(rule: str, tmp_path: Path) -> None:
    (played,) = sampled(tmp_path, context=rule)
    assert played.context and played.context.rule == rule
    (kept,), reasons = filtered(tmp_path)
    assert (kept.messages, kept.context, reasons) == (played.messages, played.context, [])
    assert filtered(tmp_path, format="webdancer") == ([], ["context"])
    _, thread = of_trajectory(played, 0, str)
    assert dict(thread.facts)["context"].startswith(RULES[rule])
    assert not [step.repairs for step in thread.steps if step.repairs]
    shown = "\n".join(line.plain for line in terminal.lines_of(to_object(played)))
    assert RULES[rule] in shown and shown.count("\nsummary\n") == len(played.context.folds)
    dataset = sft.read_dataset(
        config.SftOptions(data=str(tmp_path / "trajectories.jsonl")), Renderer(TOKENIZER), max_length=1200
    )
    assert dataset.stats.counts == {"in": 1, rule: 1, "trained on": 1, "contexts": len(dataset.examples[0])}
    assert len(dataset.examples[0]) > 1


def test_another_context_policy_is_another_episode_to_resume_and_append_is_what_it_was(tmp_path: Path) -> None:
    (plain,) = sampled(tmp_path)
    assert "context" not in to_object(plain)
    both = sampled(tmp_path, context="keep:1", resume=True)
    assert [each.context and each.context.rule for each in both] == [None, "keep:1"]
    assert both[0].id != both[1].id and both[0].prompts != both[1].prompts
    assert sampled(tmp_path, context="keep:1", resume=True) == both


def test_eval_plays_and_grades_under_a_context_policy_and_its_card_names_it(tmp_path: Path) -> None:
    out, card = tmp_path / "attempts.jsonl", tmp_path / "card.json"
    options = config.EvalOptions(out=str(out), card=str(card), **played_in(tmp_path, context="fold:30"))
    asyncio.run(eval_stage.run(options, Demonstrator(options)))
    (attempt,) = jsonl.read_records(str(out), Attempt)
    assert attempt.context and attempt.context.folds and attempt.format_ok
    assert attempt.anatomy and attempt.anatomy.shown == 2
    assert json.loads(card.read_text())["options"]["context"] == "fold:30"
    stats = asyncio.run(eval_stage.run(config.EvalOptions(**{**vars(options), "resume": True}), Demonstrator(options)))
    assert stats.counts["already done"] == 1


@pytest.mark.slow
def test_sample_sft_and_rl_with_the_last_observation_alone(tmp_path: Path) -> None:
    """A tiny model learns one episode by heart, and plays and trains on with it: every other rollout is rewarded."""
    save_tiny(tmp_path / "model", TOKENIZER, max_position_embeddings=2048, hidden_size=64, intermediate_size=128)
    sampled(tmp_path, context="keep:1")
    learning = {"steps": 150, "lr": 1e-2, "batch_size": 1}
    sft.run(
        config.SftOptions(
            data=str(tmp_path / "trajectories.jsonl"),
            model=str(tmp_path / "model"),
            out=str(tmp_path / "sft"),
            **learning,  # type: ignore[arg-type]
        )
    )
    (tmp_path / "own.py").write_text("def odd(trajectory, format_ok):\n    return float(trajectory.rollout % 2)\n")
    options = config.RlOptions(
        **played_in(tmp_path, context="keep:1", max_turn_tokens=160, max_calls=8),
        model=str(tmp_path / "sft"),
        out=str(tmp_path / "rl"),
        reward=f"{tmp_path}/own.py:odd",
        steps=1,
        questions=1,
        group=4,
        max_rounds=1,
    )
    rl.run(options)
    assert_trained_as_sampled(tmp_path / "rl")
    with standing_in(1, tmp_path / "sft", TOKENIZER, max_length=1200) as servers:
        served = {"engine": "vllm", "vllm_url": [server.url for server in servers], "out": str(tmp_path / "served")}
        rl.run(config.RlOptions(**{**vars(options), **served}))
    assert_trained_as_sampled(tmp_path / "served")
    with pytest.raises(UsageError, match=r"was made with --context keep:1, not append"):
        rl.run(config.RlOptions(**{**vars(options), "context": "append", "resume": True}))


def assert_trained_as_sampled(out: Path) -> None:
    """Every token that was sampled is trained, and engine and trainer agree about it in every context."""
    (line,) = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert line["updates"] == 1 and line["grad_norm"] > 0 and line["samples"] > 1
    assert line["tokens"] == 4 * line["sampled"]
    assert line["ratio_mean"] == pytest.approx(1, abs=1e-4) and line["ratio_max"] == pytest.approx(1, abs=1e-3)
    best, worst = trajectories(out / "rollouts.jsonl")
    assert all(shown.context and shown.context.rule == "keep:1" for shown in (best, worst))

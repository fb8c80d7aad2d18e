"""The demonstrator on a fictional world: how many of its questions end correct, by pages to read."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Trajectory
from webdancer_cli.grading.format import format_fault
from webdancer_cli.options import config
from webdancer_cli.stages import crawlqa, e2hqa, sample, world
from webdancer_cli.stages import filter as filter_stage
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.builtin.rewriter import BuiltinRewriter
from webdancer_cli.world.varied.axes import VALUES, Axis

PAGES = 120


def demonstrated(folder: Path, style: str, **options: object) -> list[Trajectory]:
    """The trajectories of all questions that the built-in roles write about a world, as written and made harder."""
    pages, questions, harder = (str(folder / f"{name}.jsonl") for name in ("pages", "qa", "harder"))
    world.run(config.WorldOptions(out=str(folder), pages=PAGES, seed=3, style=style))  # type: ignore[arg-type]
    asked = config.CrawlqaOptions(roots=[str(folder / "site")], pages=pages, out=questions, max_pages=2 * PAGES)
    rewriting = config.E2hqaOptions(data=questions, web=pages, out=harder, rounds=1, keep_chain=True)
    playing = config.SampleOptions(
        data=harder, web=pages, out=str(folder / "played.jsonl"), until_correct=True, **options
    )  # type: ignore[arg-type]
    asyncio.run(crawlqa.run(asked, BuiltinAuthor(asked)))
    asyncio.run(e2hqa.run(rewriting, BuiltinRewriter(rewriting)))
    asyncio.run(sample.run(playing, Demonstrator(playing)))
    return list(jsonl.read_records(playing.out, Trajectory))


def demonstrated_on_varied(folder: Path, *, context: str = "append", **changes: Any) -> list[Trajectory]:
    made = config.WorldOptions(
        **{"out": str(folder), "pages": 170, "seed": 5, "style": "varied", "questions": 60, **changes}
    )
    world.run(made)
    playing = config.SampleOptions(
        data=str(folder / "questions.jsonl"),
        web=str(folder / "pages.jsonl"),
        out=str(folder / "played.jsonl"),
        prompts="small",
        context=context,
    )
    asyncio.run(sample.run(playing, Demonstrator(playing)))
    return list(jsonl.read_records(playing.out, Trajectory))


def assert_all_answered_well(played: list[Trajectory], folder: Path) -> None:
    """Each with its gold answer, and each one that the funnel keeps."""
    assert [item.qa.question for item in played if item.answer != item.qa.answer] == []
    kept = filter_stage.run(config.FilterOptions(data=str(folder / "played.jsonl"), out=str(folder / "kept.jsonl")))
    asyncio.run(kept)
    assert len(list(jsonl.read_records(str(folder / "kept.jsonl"), Trajectory))) == len(played)


@pytest.mark.parametrize("context", ["append", "keep:1", "fold:600"])
def test_every_question_over_a_varied_world_is_answered_and_passes_the_funnel(context: str, tmp_path: Path) -> None:
    assert_all_answered_well(demonstrated_on_varied(tmp_path, context=context), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("axis", VALUES)
def test_so_it_is_whatever_value_an_axis_has(axis: Axis, tmp_path: Path) -> None:
    for value in VALUES[axis]:
        folder = tmp_path / value
        assert_all_answered_well(demonstrated_on_varied(folder, **{axis: [value]}), folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("style", "options"),
    [
        ("rich", {"prompts": "default"}),
        # Two results per query, as the compact set has it, cannot list the pages that a count is over.
        ("plain", {"prompts": "compact", "search_results": 10}),
    ],
)
def test_questions_end_correct_through_valid_episodes(style: str, options: dict[str, object], tmp_path: Path) -> None:
    played = demonstrated(tmp_path, style, **options)
    asked = Counter(item.qa.level for item in played)
    correct = Counter(item.qa.level for item in played if item.verdict and item.verdict.outcome == "correct")
    assert min(asked[1], asked[2], asked[3]) >= 100
    assert correct[1] >= 0.95 * asked[1]
    assert correct[3] >= 0.85 * asked[3]
    assert [fault for item in played if (fault := format_fault(item.messages))] == []
    assert all(item.tools.get("search") and item.tools.get("visit") for item in played)

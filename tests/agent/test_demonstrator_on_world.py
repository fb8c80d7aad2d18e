"""The demonstrator on a fictional world: how many of its questions end correct, by pages to read."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Trajectory
from webdancer_cli.grading.format import format_fault
from webdancer_cli.options import config
from webdancer_cli.stages import crawlqa, e2hqa, sample, world
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.builtin.rewriter import BuiltinRewriter

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

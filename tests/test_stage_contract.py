"""All stages are called alike: ``run(options, [who works], *, …) -> Tally``."""

import inspect
from importlib import import_module
from typing import get_type_hints

import pytest

from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.options import settings

WORKERS = {"crawlqa": "author", "e2hqa": "rewriter", "sample": "policy", "eval": "policy"}
"""Who does the work of a stage, where it cannot be done without."""
KEYWORDS = ["progress", "say", "web", "embedder", "summariser", "judge", "judging", "others", "critic", "tape"]
KEYWORDS += ["to_file", "engine"]
"""What a stage may be handed beside, each by its name alone, in this order."""


@pytest.mark.parametrize("command", settings.COMMANDS)
def test_a_stage_takes_options_and_workers_and_returns_a_tally(command: str) -> None:
    run = import_module(f"webdancer_cli.stages.{command}").run
    parameters = inspect.signature(run).parameters.values()
    positional = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert positional == ["options", *([WORKERS[command]] if command in WORKERS else [])]
    named = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert [each.name for each in named] == [name for name in KEYWORDS if name in {each.name for each in named}]
    assert all(each.default is not each.empty for each in named) and named[0].name == "progress"
    hints = get_type_hints(run)
    assert hints["options"] is settings.COMMANDS[command]
    returned = getattr(hints["return"], "__origin__", hints["return"])
    assert issubclass(returned, RunStats)

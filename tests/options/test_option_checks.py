"""Options check themselves when they are made, whoever makes them."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.agent.episode import Limits
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config, settings

URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (config.SftOptions, {"lr": -1}, "--lr: -1: expected float > 0.0"),
        (config.SftOptions, {"batch_size": 0}, "--batch-size: 0: expected int >= 1"),
        (config.SftOptions, {"batch_size": True}, "--batch-size: True: expected int, got bool"),
        (config.SftOptions, {"dtype": "half"}, "--dtype: 'half': choose from auto, float32, bfloat16"),
        (config.SftOptions, {"warmup": 1.5}, "--warmup: 1.5: expected float <= 1.0"),
        (config.SampleOptions, {"n": 0}, "--rollouts: 0: expected int >= 1"),
        (config.SampleOptions, {"date": "today"}, "--date: 'today': give a date as YYYY-MM-DD"),
        (config.FilterOptions, {"stages": []}, "--stages: '': choose from validity, correctness, quality, model"),
        (
            config.FilterOptions,
            {"stages": ["taste"]},
            "--stages: 'taste': choose from validity, correctness, quality, model",
        ),
        (config.RlOptions, {"group": 1}, "--group: 1: give at least 2: a group compares its rollouts"),
        (config.RlOptions, {"overlong_tokens": 9, "max_context_tokens": 9}, "--overlong-tokens 9: must be less than"),
        (config.RlOptions, {"overlong_tokens": 9, "context": "fold"}, "--overlong-tokens 9: counts all that"),
        (config.SampleOptions, {"base_url": [URL]}, f"--base-url {URL}: which of its models? Name it with --model"),
        (config.EvalOptions, {"judge_base_url": [URL]}, f"--judge-base-url {URL}: which of its models?"),
        (
            config.FilterOptions,
            {"judge_model": "j"},
            "--judge-model j: at which endpoint? Name it with --judge-base-url",
        ),
        (config.SampleOptions, {"summariser_model": "s"}, "--summariser-model s: at which endpoint?"),
        (config.RlOptions, {"search": "serper"}, "--search serper: searches the live web; add --web live"),
        (config.FilterOptions, {"min_actions": 3, "max_actions": 2}, "--max-actions 2: is less than --min-actions 3"),
        (config.FilterOptions, {"min_thought_words": 3, "max_thought_words": 2}, "--max-thought-words 2: is less than"),
        (config.LintOptions, {"against": ["-"]}, "--against -: stdin holds the questions already"),
        (config.LintOptions, {"report": "r", "against": ["r"]}, "--report r: already used"),
        (config.CrawlqaOptions, {"pages": "p", "out": "p"}, "--pages p: already used"),
        (config.E2hqaOptions, {"web": "w", "out": "w"}, "--out w: that is the corpus"),
    ],
)
def test_what_cannot_be_is_refused_with_flag_value_and_remedy(kind: type, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        kind(**given)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (config.LintOptions, ["data", "out"]),
        (config.LintOptions, ["out", "rejects"]),
        (config.FilterOptions, ["rejects", "unused_qa"]),
        (config.SampleOptions, ["out", "skip_solved"]),
        (config.SampleOptions, ["data", "tape"]),
        (config.SftOptions, ["data", "out"]),
        (config.RlOptions, ["data", "tape"]),
    ],
)
def test_no_file_is_named_twice(kind: type, names: list[str], tmp_path: Path) -> None:
    same = dict(zip(names, (str(tmp_path / "x"), f"{tmp_path}/./x"), strict=True))
    with pytest.raises(UsageError, match="named twice among the files to read and to write"):
        kind(**same)


@pytest.mark.parametrize("kind", settings.COMMANDS.values())
def test_every_commands_defaults_are_valid_and_are_kept_as_they_are(kind: Any) -> None:
    made = kind()
    defaults = {field.name: settings._default(field) for field in dataclasses.fields(kind)}
    assert {name: value for name, value in vars(made).items() if name != "lr"} == {
        name: value for name, value in defaults.items() if name != "lr"
    }


def test_the_limits_of_an_episode_are_those_of_the_options() -> None:
    assert Limits() == Limits.of(config.SampleOptions())


def test_replacing_a_field_checks_again() -> None:
    options = config.SftOptions(steps=3)
    with pytest.raises(UsageError, match="--steps: 0"):
        dataclasses.replace(options, steps=0)
    assert dataclasses.replace(options, steps=4).steps == 4


def test_what_python_writes_otherwise_is_taken_as_the_flag_would_be() -> None:
    options = config.SampleOptions(data=Path("qa.jsonl"), temperature=1, tool=("a:b",))  # type: ignore[arg-type]
    assert (options.data, options.temperature, options.tool) == ("qa.jsonl", 1.0, ["a:b"])


def test_options_are_light_to_import() -> None:
    heavy = {"asyncio", "httpx", "torch", "typer"}
    script = f"import sys, webdancer_cli.options.config; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0

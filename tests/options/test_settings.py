"""Flag, then WEBDANCER_* variable, then webdancer.toml, then default; and every value says where it came from."""

import dataclasses
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config, settings
from webdancer_cli.options.option_checks import plain_type

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_source_gives_way_to_the_one_before(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def jobs(**flags: object) -> tuple[int, str]:
        value = settings.resolve("sample", flags)["jobs"]
        return value.value, value.source

    assert jobs() == (config.SampleOptions.jobs, "default")
    Path("webdancer.toml").write_text("jobs = 2\n")
    assert jobs() == (2, "webdancer.toml")
    Path("webdancer.toml").write_text("jobs = 2\n[sample]\njobs = 3\n[eval]\njobs = 9\n")
    assert jobs() == (3, "webdancer.toml")
    monkeypatch.setenv("WEBDANCER_JOBS", "4")
    assert jobs() == (4, "WEBDANCER_JOBS")
    monkeypatch.setenv("WEBDANCER_SAMPLE_JOBS", "5")
    assert jobs() == (5, "WEBDANCER_SAMPLE_JOBS")
    assert jobs(jobs=6) == (6, "--jobs")


def test_what_is_said_to_one_command_is_not_said_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDANCER_SAMPLE_JOBS", "5")
    assert settings.resolve("eval", {})["jobs"] == settings.OptionValue(config.EvalOptions.jobs, "default")


def test_an_option_that_a_command_lacks_is_ignored_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDANCER_GROUP", "4")
    Path("webdancer.toml").write_text("rounds = 2\n")
    assert set(settings.resolve("filter", {})) == {field.name for field in dataclasses.fields(config.FilterOptions)}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("jbos = 3", "'jbos'"),
        ("[sampel]\njobs = 3", "'sampel'"),
        ("[sample]\nrounds = 3", "'rounds'"),
        ("jobs =", "not valid TOML"),
        ("jobs = 0", "webdancer.toml: jobs: 0: expected int >= 1"),
        ("jobs = 'many'", "webdancer.toml: jobs: 'many'"),
    ],
)
def test_a_mistake_in_the_file_is_refused_by_name(file: str, said: str) -> None:
    Path("webdancer.toml").write_text(file)
    with pytest.raises(UsageError, match=r"webdancer\.toml") as caught:
        settings.resolve("sample", {})
    assert said in str(caught.value)


def test_a_misspelt_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDANCER_JBOS", "3")
    with pytest.raises(UsageError, match="WEBDANCER_JBOS: no command has such an option"):
        settings.resolve("sample", {})


def test_variables_are_read_as_the_option_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDANCER_TYPES", "count, intersection")
    monkeypatch.setenv("WEBDANCER_ALLOW_PRIVATE", "true")
    monkeypatch.setenv("WEBDANCER_TIMEOUT_SECONDS", "3")
    values = settings.resolve("crawlqa", {})
    assert values["types"].value == ["count", "intersection"]
    assert values["allow_private"].value is True
    assert values["timeout_seconds"].value == 3.0


def test_a_list_may_come_in_several_flags_and_urls_keep_their_commas() -> None:
    given = settings.resolve("crawlqa", {"types": ["count", "single_hop, multi_hop"], "roots": ["http://a.test/1,2"]})
    assert given["types"].value == ["count", "single_hop", "multi_hop"]
    assert given["roots"].value == ["http://a.test/1,2"]
    assert settings.resolve("filter", {"stages": ["validity", "quality"]})["stages"].value == ["validity", "quality"]


def test_defaults_are_those_of_the_dataclass() -> None:
    for command, kind in settings.COMMANDS.items():
        assert settings.build(kind, settings.resolve(command, {})) == kind()


def test_defaults_keep_the_bounds_of_their_options() -> None:
    for command, kind in settings.COMMANDS.items():
        values = vars(kind())
        resolved = settings.resolve(command, {name: value for name, value in values.items() if value != []})
        assert {name: value.value for name, value in resolved.items()} == values


def test_plain_types() -> None:
    assert plain_type(Annotated[int, Meta(ge=1)] | None) is int
    assert plain_type(str | None) is str
    assert plain_type(list[config.FunnelStage]) is list
    assert plain_type(config.FunnelStage) is str


def test_show_config_prints_a_file_that_gives_the_same_values(webdancer: Webdancer, empty_folder: Path) -> None:
    shown = webdancer("sample", "--show-config", "-n", "3", "--web", 'a "b".jsonl', WEBDANCER_MODEL="nano").stdout
    assert "model = " in shown and "# WEBDANCER_MODEL" in shown and "# --rollouts" in shown
    (empty_folder / "webdancer.toml").write_text(shown)
    values = settings.resolve("sample", {})
    assert {name: values[name].value for name in ("n", "web", "model", "jobs", "limit")} == {
        "n": 3,
        "web": 'a "b".jsonl',
        "model": "nano",
        "jobs": config.SampleOptions.jobs,
        "limit": None,
    }


def test_keys_are_no_options() -> None:
    for kind in settings.COMMANDS.values():
        assert not [name for name in settings.documentation(kind) if "key" in name and name != "keep_chain"]


@pytest.mark.parametrize(
    ("command", "name", "given", "said"),
    [
        ("crawlqa", "lang", ["english"], "--lang: 'english': give codes such as en,de"),
        ("sample", "date", "2026-13-40", "--date: '2026-13-40': give a date as YYYY-MM-DD"),
    ],
)
def test_a_value_in_the_wrong_form_is_told_the_right_one(command: str, name: str, given: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        settings.resolve(command, {name: given})


def test_rollouts_are_called_that_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "webdancer.toml").write_text("[sample]\nrollouts = 3\n")
    assert settings.resolve("sample", {}, str(tmp_path))["n"].value == 3
    monkeypatch.setenv("WEBDANCER_SAMPLE_ROLLOUTS", "4")
    assert settings.resolve("sample", {}, str(tmp_path))["n"].value == 4


def test_a_name_that_is_nearly_right_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "webdancer.toml").write_text("[sample]\nmax_call = 3\n")
    with pytest.raises(UsageError, match="did you mean 'max_calls'"):
        settings.resolve("sample", {}, str(tmp_path))

"""The documents keep their word: every command line in them parses, every link and file they name is there."""

import dataclasses
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from webdancer_cli import cli
from webdancer_cli.command_registry import app
from webdancer_cli.commands import webdancer
from webdancer_cli.options import config, settings
from webdancer_cli.options.option_checks import option

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
WORDS = {"sh", "bash", "console"}


DOCTOR = "doctor"
"""The command that is no stage: its options are the others'."""


def shell_blocks(text: str) -> list[str]:
    """The contents of the fenced blocks that hold shell commands."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in blocks if language in WORDS]


def commands(script: str) -> list[list[str]]:
    """The words of every ``webdancer …`` and ``… -m webdancer_cli …`` in a shell script, without its redirections."""
    script = re.sub(r"\|\s*\n", "| ", script.replace("\\\n", " "))
    found = []
    for line in script.splitlines():
        for part in re.split(r"\s(?:\||&&|&)(?:\s|$)", f" {shlex_safe(line)}"):
            match = re.match(r"\s*(?:webdancer|\S.*-m webdancer_cli)\s+(.*)", part)
            if match and not match.group(1).startswith("-"):
                found.append(shlex.split(re.split(r"\s\d?>", match.group(1))[0]))
    return found


def shlex_safe(line: str) -> str:
    """The line without its comment."""
    return re.sub(r"\s#.*", "", line)


def parses(words: list[str]) -> None:
    """Parse as the front door does, as far as --show-config. What doctor looks at is a command line of its own."""
    if words[0] == DOCTOR:
        words = words[1:]
        if not words:
            return
    assert words[0] in settings.COMMANDS, words
    assert cli.run_command([words[0], "--show-config", *words[1:]]) == 0, words


def examples() -> list[tuple[str, list[str]]]:
    in_documents = [(path.name, shell) for path in DOCUMENTS for shell in shell_blocks(path.read_text("utf-8"))]
    in_help = [(f"{name} --help", help_of(name)) for name in [*settings.COMMANDS, DOCTOR]]
    texts = [*in_documents, *in_help, ("--help", webdancer.__doc__ or "")]
    return [(source, words) for source, text in texts for words in commands(text)]


def help_of(command: str) -> str:
    return next(
        info.help or inspect.getdoc(info.callback) or "" for info in app.registered_commands if info.name == command
    )


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"), examples(), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_every_command_line_in_the_documents_parses(source: str, words: list[str]) -> None:
    parses(words)


@pytest.mark.parametrize("command", [*settings.COMMANDS, DOCTOR])
def test_every_help_begins_with_two_examples(command: str) -> None:
    """Right below the sentence that says what it is for."""
    first, shown = help_of(command).split("\n\n")[:2]
    assert len(first.splitlines()) == 1 and len(commands(shown)) >= 2


def test_commands_are_found_in_pipes_lists_and_modules() -> None:
    script = (
        "webdancer world --out w && python3 -m http.server -d w &   # a comment | webdancer x\n"
        "webdancer crawlqa http://127.0.0.1:8000/ |\n  webdancer filter > a.jsonl\n"
        "torchrun --nproc-per-node 2 -m webdancer_cli sft --data \\\n a.jsonl\n"
        "echo '{\"url\": 1}' | webdancer e2hqa 2> log\npip install 'webdancer[train]'\nwebdancer --help\n"
    )
    assert commands(script) == [
        ["world", "--out", "w"],
        ["crawlqa", "http://127.0.0.1:8000/"],
        ["filter"],
        ["sft", "--data", "a.jsonl"],
        ["e2hqa"],
    ]


def test_every_command_has_an_example_in_the_stage_reference_and_in_the_readme() -> None:
    for document in ("docs/stages.md", "README.md"):
        text = (ROOT / document).read_text("utf-8")
        shown = {words[0] for shell in shell_blocks(text) for words in commands(shell)}
        assert shown - {DOCTOR} == set(settings.COMMANDS), document


NOT_IN_THE_QUICKSTART = {"tape", "index", "split", "map"}
"""It is offline, so there is nothing to record; and its pages and questions are few."""
NOT_ON_THE_LAPTOP = NOT_IN_THE_QUICKSTART | {"crawlqa", "e2hqa", "lint", "compare", "verify"}
"""It asks the questions that its worlds bring along."""


@pytest.mark.parametrize(("name", "left_out"), [("quickstart", NOT_IN_THE_QUICKSTART), ("laptop", NOT_ON_THE_LAPTOP)])
def test_every_command_of_an_example_parses(name: str, left_out: set[str]) -> None:
    script = (ROOT / "examples" / f"{name}.sh").read_text("utf-8")
    knobs = dict(re.findall(r"^(\w+)=\$\{\w+:-([^}]*)\}", script, re.MULTILINE))
    knobs |= {"EPISODE": re.findall(r'^EPISODE="(.*)"', script, re.MULTILINE)[0]}
    script = re.sub(r"\$\(\(.*?\)\)", "60", script)
    script = re.sub(r"\$(\w+)", lambda match: knobs.get(match.group(1), "x"), script)
    found = commands(script)
    assert {words[0] for words in found} == set(settings.COMMANDS) - left_out
    for words in found:
        parses(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_point_to_files_that_exist(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_the_documented_settings_file_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "stages.md").read_text("utf-8")
    body = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    Path("webdancer.toml").write_text(body)
    assert settings.resolve("sample", {})["jobs"].value == tomllib.loads(body)["jobs"]


def test_defaults_named_in_the_deviations_are_the_defaults() -> None:
    text = (ROOT / "docs" / "deviations.md").read_text("utf-8")
    fields = {
        option(field.name): field.default for kind in settings.COMMANDS.values() for field in dataclasses.fields(kind)
    }
    named = re.findall(r"`(--[\w-]+) (\d+)`", text)
    assert named
    for flag, value in named:
        assert str(fields[flag]) == value, flag
    assert config.FilterOptions.max_actions is None


def test_the_project_names_no_machine_path_in_its_documents() -> None:
    for path in DOCUMENTS:
        assert not re.search(r"(?<![\w.])/(?:root|home|opt|work)/", path.read_text("utf-8")), path

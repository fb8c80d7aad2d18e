"""The front door: help, usage errors, and how every ending becomes one line and an exit code."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from webdancer_cli.errors import ClosedPipe, ModelError, UsageError
from webdancer_cli.options import flags, settings
from webdancer_cli.options.option_checks import option
from webdancer_cli.terminal.exit_codes import run_to_exit_code
from webdancer_cli.wiring import CommandRun

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("torch", "transformers", "peft", "vllm", "trafilatura", "httpx", "bm25s", "tantivy", "rich", "numpy")


def one_line(text: str) -> str:
    """The text, which must be a single line."""
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text.strip()


def test_help_lists_the_commands_in_pipeline_order(webdancer: Webdancer) -> None:
    done = webdancer("--help")
    listed = re.findall(r"^  (\w+)  ", done.stdout.split("Commands:")[1], re.MULTILINE)
    assert done.returncode == 0
    assert listed == [
        "crawlqa",
        "index",
        "e2hqa",
        "lint",
        "sample",
        "filter",
        "sft",
        "rl",
        "eval",
        "compare",
        "verify",
        "world",
        "split",
        "map",
        "tape",
        "view",
        "doctor",
    ]


@pytest.mark.parametrize("command", settings.COMMANDS)
def test_help_opens_with_examples_and_names_every_option(webdancer: Webdancer, command: str) -> None:
    done = webdancer(command, "--help")
    assert done.returncode == 0
    assert f"webdancer {command}" in done.stdout.split("Options:")[0].split("\n", 2)[2]
    for name in settings.documentation(settings.COMMANDS[command]):
        assert name in flags.ARGUMENTS or option(name) in done.stdout


def test_every_option_is_documented() -> None:
    for command, kind in settings.COMMANDS.items():
        names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        assert set(settings.documentation(kind)) == names, command


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    script = (
        "import sys\nfrom webdancer_cli.cli import run_command\n"
        f"run_command(['--help'])\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stderr == "[]\n"


def test_help_is_quick(environment: dict[str, str]) -> None:
    """Processor time, since a busy machine changes it little; an idle one needs as much wall-clock time."""

    def seconds() -> float:
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "webdancer_cli", "--help"], capture_output=True, env=environment)
        after = getrusage(RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.25


def test_no_command_shows_the_help_on_stderr_and_is_a_usage_error(webdancer: Webdancer) -> None:
    done = webdancer()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sampel"], "'sample'"),
        (["sample", "--wbe", "x"], "--wbe"),
        (["sample", "--jobs", "many"], "--jobs"),
        (["sample", "--jobs", "0"], "--jobs: 0: expected int >= 1"),
        (["sample", "--top-p", "1.5"], "--top-p: 1.5: expected float <= 1.0"),
        (["sample", "--data"], "--data"),
        (["world", "--style", "gothic"], "choose from rich, plain"),
        (["filter", "--stages", "validity,taste"], "choose from validity, correctness, quality"),
        (["sample", "surplus"], "surplus"),
    ],
)
def test_a_mistyped_command_or_flag_is_one_line_and_exit_code_2(
    webdancer: Webdancer, arguments: list[str], said: str
) -> None:
    done = webdancer(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in one_line(done.stderr)


def test_a_repeated_list_flag_adds_to_the_list(webdancer: Webdancer) -> None:
    shown = webdancer("filter", "--stages", "validity", "--stages", "quality", "--show-config").stdout
    assert 'stages = ["validity","quality"]' in shown


def test_version(webdancer: Webdancer) -> None:
    assert re.fullmatch(r"webdancer \d+\.\d+\.\d+\n", webdancer("--version").stdout)


def ended(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """Exit code and stderr of a command that ends with ``error``."""

    def work() -> int:
        raise error

    code = run_to_exit_code("sample", work)
    return code, capsys.readouterr().err


def test_errors_for_the_user_are_one_line_with_their_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, UsageError("x.jsonl: no such file")) == (2, "webdancer sample: x.jsonl: no such file\n")
    assert ended(capsys, ModelError("no answer\nfrom x")) == (1, "webdancer sample: no answer from x\n")


def test_an_error_inside_task_groups_is_the_error_itself(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [UsageError("bad value")])])
    assert ended(capsys, group) == (2, "webdancer sample: bad value\n")


def test_a_closed_pipe_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, ClosedPipe()) == (0, "")
    assert ended(capsys, BrokenPipeError()) == (0, "")


def test_an_interruption_is_130_and_names_the_way_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(capsys, KeyboardInterrupt())
    assert code == 130
    assert "--resume" in one_line(said)


def test_a_missing_extra_names_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a library wraps the error, and names itself."""
    missing = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    wrapped = ModuleNotFoundError("Could not import module 'PreTrainedModel'")
    wrapped.__cause__ = missing
    for error in (missing, wrapped):
        code, said = ended(capsys, error)
        assert code == 2
        assert "torch is not installed: pip install 'webdancer[train]'" in one_line(said)


def test_an_import_that_fails_for_another_reason_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(capsys, ImportError("cannot import name 'x' from 'y'"))
    assert code == 1 and "bug" in one_line(said)


def test_a_full_disk_is_not_called_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(capsys, OSError(28, "No space left on device", "out.jsonl"))
    assert (code, said) == (1, "webdancer sample: out.jsonl: No space left on device\n")


def test_what_nobody_foresaw_is_called_a_bug_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = ended(capsys, ZeroDivisionError("division by zero"))
    assert code == 1
    assert "ZeroDivisionError" in one_line(said) and "bug" in said
    monkeypatch.setenv("WEBDANCER_DEBUG", "1")
    assert "Traceback" in ended(capsys, ZeroDivisionError("division by zero"))[1]


def test_only_the_first_rank_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    CommandRun("sft").say("hello")
    assert ended(capsys, UsageError("said once by rank 0")) == (2, "")
    assert "unlike" in ended(capsys, ModelError("unlike usage errors, this may have met one rank alone"))[1]

"""How a function becomes a command: its docstring is the help, its options' dataclass gives the flags.

Options are resolved and checked, what the run writes is held, and how it ends becomes an exit code.
"""

import inspect
import select
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from webdancer_cli.data import locks
from webdancer_cli.errors import EXIT_OK, UsageError
from webdancer_cli.options import config, flags, settings
from webdancer_cli.options.option_checks import Options, kinds_of, named_files
from webdancer_cli.terminal.exit_codes import is_first_rank, run_to_exit_code
from webdancer_cli.wiring import CommandRun

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


Work = Callable[[Any, CommandRun], int]


def command(work: Work) -> Work:
    """Make ``work(options, run)`` the command of its name: the docstring is its help, its dataclass gives the flags."""
    name = work.__name__.removesuffix("_")

    def invoked(quiet: bool, show_config: bool, **given: Any) -> int:
        run = CommandRun(name, quiet)
        return run_to_exit_code(
            name, lambda: _show(name, given) if show_config else _undisturbed(work, name, given, run)
        )

    invoked.__signature__ = inspect.Signature(flags.parameters(name))  # type: ignore[attr-defined]
    invoked.__annotations__ = {}
    app.command(name, help=work.__doc__)(invoked)
    return work


def options_of_line(context: typer.Context, line: list[str]) -> Options:
    """The options of a command line such as ``["sft", "--data", "a.jsonl"]``, parsed as that command parses them.

    ``context`` is that of another command. Raises UsageError.
    """
    group = context.find_root()
    name, *words = line
    if name not in settings.COMMANDS:
        raise UsageError(f"{name}: no command that could be looked at; choose from {', '.join(settings.COMMANDS)}")
    chosen: Any = group.command
    given = chosen.get_command(group, name).make_context(name, words, parent=group).params
    known = {field: _as_invoked(given[field]) for field in kinds_of(settings.COMMANDS[name])}
    options: Options = settings.build(settings.COMMANDS[name], settings.resolve(name, known))
    return options


def _as_invoked(value: Any) -> Any:
    """A parsed value as Typer hands it to a command: lists, and None for what was not given."""
    return list(value) or None if isinstance(value, tuple | list) else value


def _options(name: str, given: dict[str, Any]) -> Any:
    options: Any = settings.build(settings.COMMANDS[name], settings.resolve(name, given))
    if isinstance(options, config.DataOptions | config.TrainingOptions):
        _require_input(options)
    return options


def _undisturbed(work: Work, name: str, given: dict[str, Any], run: CommandRun) -> int:
    """Run a command while nobody else writes what it writes. Of several ranks, the first one writes."""
    options = _options(name, given)
    with ExitStack() as locked:
        if is_first_rank() and not (isinstance(options, config.CallOptions) and options.dry_run):
            locked.enter_context(_outputs_held(options))
        if isinstance(options, config.DataOptions) and _reads_stdin(options):
            # A stage before us in the pipe may still write the pages that we read: they are whole with its first line.
            select.select([sys.stdin], [], [])
        return work(options, replace(run, summary=getattr(options, "summary", None)))


def _outputs_held(options: Options) -> AbstractContextManager[None]:
    files = options.outputs()
    if isinstance(options, config.CrawlqaOptions):
        from webdancer_cli.web.crawl.roots import writes_pages

        files += [options.pages] if writes_pages(options) else []
    return locks.hold_outputs(named_files(*files), options.output_folders(), stdout="-" in files)


def _reads_stdin(options: "config.DataOptions | config.TrainingOptions") -> bool:
    return options.data == "-" and not (isinstance(options, config.CrawlqaOptions) and options.roots)


def _require_input(options: "config.DataOptions | config.TrainingOptions") -> None:
    """What is there already is not to be lost where no input comes."""
    if isinstance(options, config.SftOptions) and options.dry_run:
        return
    if _reads_stdin(options) and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("nothing on stdin: pipe JSON lines in, or name a file with --data")
    if options.data != "-" and not Path(options.data).is_file():
        raise UsageError(f"{options.data}: no such file: name a JSON lines file with --data")


def _show(name: str, given: dict[str, Any]) -> int:
    print(settings.show(name, settings.resolve(name, given)))
    return EXIT_OK

"""The front door: command lines in, JSON lines and an exit code out."""

import os
import signal
import sys
from typing import cast

import typer

from webdancer_cli.doctor_command import app
from webdancer_cli.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

TYPER_USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
"""What Typer raises for a mistyped command or flag; the class itself is exported by no version of Typer."""


def run_command(arguments: list[str]) -> int:
    """Parse and run; the exit code. A mistyped command or flag is one line, too."""
    try:
        return int(app(arguments, prog_name="webdancer", standalone_mode=False) or EXIT_OK)
    except TYPER_USAGE_ERROR as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "webdancer"
        print(f"{path}: {' '.join(error.format_message().split())} (see {path} --help)", file=sys.stderr)
        return EXIT_USAGE


def main() -> None:
    code = run_command(sys.argv[1:])
    if code == EXIT_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would tear the exit
    _flush_or_silence()
    sys.exit(code)


def _flush_or_silence() -> None:
    """Flush stdout; if its reader has gone, point it to nowhere: then the interpreter does not complain at its exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""``webdancer doctor``: the command line of another command in, and out what would go wrong with it.

Imports stand inside the functions, as in ``commands``. What is looked at is told in ``doctor``.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from webdancer_cli.command_registry import options_of_line
from webdancer_cli.commands import app as app
from webdancer_cli.errors import EXIT_OK, EXIT_SOME_FAILED, UsageError
from webdancer_cli.options import config
from webdancer_cli.options.option_checks import Options
from webdancer_cli.terminal.exit_codes import run_to_exit_code
from webdancer_cli.wiring import open_all_chats

if TYPE_CHECKING:
    from webdancer_cli.doctor.findings import Check, Finding

RUN_LOOKED_AT: list[str] = typer.Argument(None, metavar="[COMMAND [OPTIONS]...]", help="The run to be looked at.")


@app.command("doctor", context_settings={"allow_interspersed_args": False})
def doctor(
    context: typer.Context,
    line: list[str] = RUN_LOOKED_AT,
    seconds: float = typer.Option(8.0, min=0.1, metavar="X", help="Longest time for all checks together."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Tell only what is wrong."),
) -> int:
    """Look for what would go wrong before a run does: nothing is written, and each model is asked for one word.

    \b
    webdancer doctor
    webdancer doctor sft --data sft.jsonl --model nano --out checkpoints/sft
    webdancer doctor eval --data qa.jsonl --web live --search serper --model qwen --base-url http://127.0.0.1:8000/v1

    Looks at versions, the processor, memory and disk; of a run also at its model, its endpoints, its search, and what
    it reads. Exit code 1 if something is wrong.
    """
    return run_to_exit_code("doctor", lambda: _examined(context, line or [], seconds, quiet))


def _examined(context: typer.Context, line: list[str], seconds: float, quiet: bool) -> int:
    from webdancer_cli.doctor.findings import Check, run_checks, wrong

    try:
        checks = checks_of(options_of_line(context, line)) if line else checks_of_installation()
    except UsageError as error:  # what the stage itself would say
        refused = wrong("options", str(error))
        checks = [Check("options", lambda: [refused])]
    stdout, states = sys.stdout, []  # once a user's module is loaded, stdout is kept for records
    for finding in run_checks(checks, seconds):
        states.append(finding.state)
        if finding.state == "wrong" or not quiet:
            print(finding.line(), file=stdout, flush=True)
    return EXIT_SOME_FAILED if "wrong" in states else EXIT_OK


def checks_of(options: "Options") -> "list[Check]":
    """What ``doctor`` looks at before a run with these options. Raises UsageError for chats that cannot be opened."""
    from webdancer_cli.doctor import examination

    chat_pool = None
    if isinstance(options, config.BudgetOptions):
        from webdancer_cli.llm.chat_pool import ChatPool

        chat_pool = ChatPool(options, 1)
        open_all_chats(options, chat_pool)

    def look_at_model(opened: Any) -> "Iterable[Finding]":
        from webdancer_cli.doctor.model import look_at_model

        return look_at_model(opened)

    return examination.of_run(options, chat_pool, look_at_model)


def checks_of_installation() -> "list[Check]":
    from webdancer_cli.doctor import examination

    def look_at_devices() -> "Iterable[Finding]":
        from webdancer_cli.doctor.model import look_at_devices

        return look_at_devices()

    return examination.of_installation(look_at_devices)

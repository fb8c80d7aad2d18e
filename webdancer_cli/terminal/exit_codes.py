"""How a command ends: errors become exit codes here, and nowhere else, and cost one line on stderr at most.

0 all good; 1 finished, some records failed; 2 usage or configuration; 130 interrupted.
"""

import os
import traceback
from collections.abc import Callable

from webdancer_cli.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    ClosedPipe,
    WebdancerError,
)
from webdancer_cli.terminal.board import tell

EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "peft": "train",
    "safetensors": "train",
    "tokenizers": "train",
    "vllm": "vllm",
    "jinja2": "report",
    "ray": "cluster",
}
"""Which extra of the package brings a module that may be missing."""


def run_to_exit_code(command: str, work: Callable[[], int]) -> int:
    """The exit code of ``work``; whatever ends it early costs one line on stderr at most."""
    try:
        return work()
    except SystemExit:
        raise
    except BaseException as error:
        if os.environ.get("WEBDANCER_DEBUG"):
            traceback.print_exc()
        return _explain(command, _single(error))


def _single(error: BaseException) -> BaseException:
    """The error inside the groups that asyncio's task groups wrap around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain(command: str, error: BaseException) -> int:
    if isinstance(error, ClosedPipe | BrokenPipeError):
        return EXIT_OK
    line, code = _line_and_code(error)
    if code != EXIT_USAGE or is_first_rank():
        tell(f"webdancer {command}: {' '.join(line.split())}")
    return code


def _line_and_code(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what was finished is written, --resume does the rest", EXIT_INTERRUPTED
    if isinstance(error, WebdancerError):
        return str(error), error.exit_code
    if missing := missing_extra(error):
        return missing, EXIT_USAGE
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror}", EXIT_SOME_FAILED
    return f"{type(error).__name__}: {error}: this is a bug; WEBDANCER_DEBUG=1 shows where", EXIT_SOME_FAILED


def missing_extra(error: BaseException) -> str | None:
    """What to install where a module of an extra could not be imported."""
    missing = _missing_module(error)
    return f"{missing} is not installed: pip install 'webdancer[{EXTRAS[missing]}]'" if missing else None


def _missing_module(error: BaseException | None) -> str | None:
    """The module of an extra that could not be imported: the error may wrap the one that names it."""
    while error is not None:
        module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if module in EXTRAS:
            return module
        error = error.__cause__ or error.__context__
    return None


def is_first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"

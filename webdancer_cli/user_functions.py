"""The user's own functions: found by their name, and run beside the event loop.

``module:function`` is a module that is installed or lies in the current folder; ``file.py:function`` is a file. What
they print goes to stderr: standard output is for records.
"""

import asyncio
import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from webdancer_cli.data.records import content_id
from webdancer_cli.errors import UsageError

REMEDY = 'name it as "module:function" or "file.py:function"'


def load_function(option: str, named: str) -> tuple[str, Callable[..., Any]]:
    """The name and the function that ``option`` names. Raises UsageError, naming both, when there is none."""
    source, colon, name = named.rpartition(":")
    if not colon or not source or not name:
        raise UsageError(f"{option} {named}: {REMEDY}")
    _keep_stdout_for_records()
    function = getattr(_module(option, named, source), name, None)
    if not callable(function):
        raise UsageError(f"{option} {named}: {source} has no function {name}")
    return name, function


class StdoutGuard:
    """Standard output from the moment on when a user's code is about.

    Text, which is what ``print`` writes, goes to stderr. Records are bytes, and go by ``buffer`` as before.
    """

    def __init__(self, stdout: TextIO):
        self._stdout = stdout

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()
        self._stdout.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)


def _keep_stdout_for_records() -> None:
    """For good: a user's threads print whenever they like."""
    if sys.stdout is not None and not isinstance(sys.stdout, StdoutGuard):
        sys.stdout = cast(TextIO, StdoutGuard(sys.stdout))


def _module(option: str, named: str, source: str) -> Any:
    try:
        return _from_file(source) if source.endswith(".py") else _from_here(source)
    except BaseException as error:  # whatever a user's module raises on import is the user's to read
        if not isinstance(error, Exception):
            raise
        raise UsageError(f"{option} {named}: {describe_error(error)}: {REMEDY}") from error


def _from_here(name: str) -> Any:
    """A module that is installed, or lies in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def _from_file(path: str) -> Any:
    name = f"webdancer_own_{content_id(Path(path).resolve())}"
    spec = importlib.util.spec_from_file_location(name, path)
    if name in sys.modules or spec is None or spec.loader is None:
        return importlib.import_module(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class UserFunction:
    """A user's function, called beside the event loop.

    A plain one runs in a thread of its own for each call, an ``async`` one in an event loop of its own, which lives in
    a thread. What hangs there, even against its cancellation, holds up neither the others nor the end of the run.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, *given: Any, **named: Any) -> Any:
        """What the function returns; what it raises is returned, too."""
        if not inspect.iscoroutinefunction(self._function):
            return await call_in_thread(self._function, *given, **named)
        outcome = asyncio.run_coroutine_threadsafe(_outcome(self._function, given, named), self._running())
        return await asyncio.wrap_future(outcome)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return self._loop


async def _outcome(function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    try:
        return await function(*given, **named)
    except BaseException as error:  # the caller's to judge; some would end the loop, and with it all later calls
        return error


async def call_in_thread(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """What the function returns; what it raises is returned, too.

    A thread that hangs is left behind; a daemon cannot hold up the end.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def deliver(value: Any) -> None:
        if not outcome.done():
            outcome.set_result(value)

    def run() -> None:
        try:
            value = function(*given, **named)
        except BaseException as error:  # the caller's to judge
            value = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, value)

    threading.Thread(target=run, daemon=True).start()
    return await outcome


def describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")

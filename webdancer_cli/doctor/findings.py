"""What was looked at, and what was found: checks that run side by side, and are not waited for longer than was said."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Literal, NamedTuple

from webdancer_cli.errors import WebdancerError
from webdancer_cli.terminal.exit_codes import missing_extra

MARKS = {"ok": "ok", "wrong": "WRONG", "unknown": "?"}


class Finding(NamedTuple):
    """One thing that was looked at. What is wrong says the remedy, too."""

    about: str
    state: Literal["ok", "wrong", "unknown"]
    said: str

    def line(self) -> str:
        return f"{MARKS[self.state]:<6}{self.about:<11} {' '.join(self.said.split())}"


def good(about: str, said: str) -> Finding:
    return Finding(about, "ok", said)


def wrong(about: str, said: str) -> Finding:
    return Finding(about, "wrong", said)


class Check(NamedTuple):
    """Something to look at. ``find`` gives what it found; an error that it raises is a finding, too."""

    about: str
    find: Callable[[], Iterable[Finding]]


def run_checks(checks: Sequence[Check], seconds: float) -> Iterator[Finding]:
    """What all checks find, in their order; of one that is not done after so many seconds, that it is not known."""
    deadline = time.monotonic() + seconds
    begun = [(check, _begun(check)) for check in checks]
    for check, future in begun:
        try:
            yield from future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            told = f"not found out within {seconds:g} seconds: give it more by --seconds"
            yield Finding(check.about, "unknown", told)


def _begun(check: Check) -> "Future[list[Finding]]":
    """A check that runs in a thread of its own, which nobody waits for at the end."""
    future: Future[list[Finding]] = Future()

    def work() -> None:
        try:
            future.set_result(list(_found(check)))
        except BaseException as error:  # raised again by whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def _found(check: Check) -> Iterator[Finding]:
    try:
        yield from check.find()
    except WebdancerError as error:
        yield wrong(check.about, str(error))
    except ImportError as error:
        if not (remedy := missing_extra(error)):
            raise
        yield wrong(check.about, remedy)

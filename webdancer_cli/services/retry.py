"""The one retry policy: how often, how long and after which pauses a call is tried again; who tries says what may pass.

An attempt that meets what may pass (an overloaded server, a cut connection, junk) raises Transient; whatever else it
raises ends the call. Of the chat client, the search services and the page fetcher each has figures of its own.
"""

import asyncio
import email.utils
import math
import random
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_before_delay

Value = TypeVar("Value")


class Transient(Exception):
    """A failure that another attempt may not meet. ``wait_seconds`` is what the server asked for, 0 if it did not."""

    def __init__(self, text: str, wait_seconds: float = 0.0):
        super().__init__(text)
        self.wait_seconds = wait_seconds


class GaveUp(Exception):
    """Every attempt met a failure that might have passed, or the next would come too late. ``last`` is the last one."""

    def __init__(self, last: Transient, attempts: int):
        super().__init__(f"{last} ({attempts} attempt{'' if attempts == 1 else 's'})")
        self.last = last


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call is worth waiting for: one attempt, and all attempts with the pauses between them.

    Pauses grow by ``growth`` from the first to the longest, with up to their half again at random, so that clients who
    failed together come back apart. A server that asks for a longer pause gets it, if that ends in time.
    """

    attempts: int
    attempt_seconds: float
    total_seconds: float = math.inf
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    growth: float = 2.0

    def within(self, seconds: float) -> "RetryPolicy":
        """The same, for a caller who waits for all attempts together so long at most."""
        attempt_seconds = min(self.attempt_seconds, seconds)
        return msgspec.structs.replace(self, total_seconds=seconds, attempt_seconds=attempt_seconds)

    async def run(self, attempt: Callable[[int, float], Awaitable[Value]]) -> Value:
        """``attempt(number, deadline)`` until it does not raise Transient; raises GaveUp.

        Numbers count from 1; the deadline, by ``time.monotonic``, is that of all attempts. An attempt that the deadline
        cut short says nothing of the service: the failure before it is the one that is told.
        """
        deadline = time.monotonic() + self.total_seconds
        number = 0
        failed: Transient | None = None

        async def next_attempt() -> Value:
            nonlocal number, failed
            number += 1
            try:
                return await attempt(number, deadline)
            except Transient as failure:
                if failed is None or time.monotonic() < deadline:
                    failed = failure
                raise failed from None

        trying = AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            wait=self._pause_seconds,
            stop=stop_after_attempt(self.attempts) | stop_before_delay(self.total_seconds),
            sleep=asyncio.sleep,
            retry_error_callback=_give_up,
        )
        return await trying(next_attempt)

    def _pause_seconds(self, state: RetryCallState) -> float:
        pause = min(self.first_pause_seconds * self.growth ** (state.attempt_number - 1), self.longest_pause_seconds)
        return max(_failure(state).wait_seconds, pause * random.uniform(1.0, 1.5))


def _failure(state: RetryCallState) -> Transient:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, Transient)
    return failure


def _give_up(state: RetryCallState) -> None:
    raise GaveUp(_failure(state), state.attempt_number) from None


def retry_after_seconds(header: str) -> float | None:
    """What a Retry-After header asks for: seconds, or a date (RFC 9110, section 10.2.3); None where it cannot be read.

    Never negative, never infinite: a date that has passed asks for 0. Some servers send fractions of a second.
    """
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", header):
        return float(header)
    try:
        date = email.utils.parsedate_to_datetime(header)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None

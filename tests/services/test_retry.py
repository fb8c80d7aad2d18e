"""When a call is tried again, after which pause, and when no more; and what Retry-After asks for."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds

pytestmark = pytest.mark.virtual_clock

POLICY = RetryPolicy(attempts=4, attempt_seconds=1, total_seconds=5, first_pause_seconds=0.02, growth=3)


class Flaky:
    """Fails so often, with a failure that may pass, and notes when and with which number it was tried."""

    def __init__(self, failures: int, wait_seconds: float = 0.0):
        self._failures = failures
        self._wait_seconds = wait_seconds
        self.tried: list[float] = []
        self.numbers: list[int] = []

    async def __call__(self, number: int, deadline: float) -> str:
        self.tried.append(time.monotonic())
        self.numbers.append(number)
        if len(self.tried) <= self._failures:
            raise Transient(f"failure {number}", self._wait_seconds)
        return "done"

    @property
    def pauses(self) -> list[float]:
        return [after - before for before, after in pairwise(self.tried)]


async def test_pauses_grow_and_what_passes_is_the_answer() -> None:
    flaky = Flaky(3)
    assert await POLICY.run(flaky) == "done"
    assert flaky.numbers == [1, 2, 3, 4]
    # 0.02 s, then three times as long each, each up to its half again
    leasts = (0.02, 0.06, 0.18)
    assert all(least <= pause <= 1.5 * least + 1e-6 for pause, least in zip(flaky.pauses, leasts, strict=True))


async def test_the_longest_pause_bounds_all() -> None:
    flaky = Flaky(3)
    await RetryPolicy(attempts=4, attempt_seconds=1, first_pause_seconds=0.01, longest_pause_seconds=0.02).run(flaky)
    assert sum(flaky.pauses) <= 0.015 + 0.03 + 0.03 + 1e-6


async def test_after_the_last_attempt_the_last_failure_and_their_number_are_told() -> None:
    with pytest.raises(GaveUp, match=r"^failure 4 \(4 attempts\)$") as caught:
        await POLICY.run(Flaky(9))
    assert isinstance(caught.value.last, Transient) and caught.value.__cause__ is None
    with pytest.raises(GaveUp, match=r"\(1 attempt\)$"):
        await RetryPolicy(attempts=1, attempt_seconds=1).run(Flaky(9))


async def test_an_attempt_that_the_deadline_cut_short_does_not_hide_what_the_service_said() -> None:
    """Three answers at once, and a fourth attempt that has 0.1 s left of the second that all have."""
    policy = RetryPolicy(attempts=9, attempt_seconds=1, total_seconds=1, first_pause_seconds=0.2, growth=1)

    async def attempt(number: int, deadline: float) -> None:
        if number < 4:
            raise Transient(f"HTTP 503: out of order {number}")
        await asyncio.sleep(deadline - time.monotonic())
        raise Transient("no answer within 0.1 seconds")

    with pytest.raises(GaveUp, match=r"^HTTP 503: out of order 3 \(4 attempts\)$"):
        await policy.run(attempt)


async def test_silence_alone_is_told_as_silence() -> None:
    async def attempt(number: int, deadline: float) -> None:
        await asyncio.sleep(deadline - time.monotonic())
        raise Transient("no answer")

    with pytest.raises(GaveUp, match=r"^no answer \(1 attempt\)$"):
        await POLICY.run(attempt)


async def test_a_pause_that_the_server_asks_for_is_kept() -> None:
    flaky = Flaky(1, wait_seconds=0.3)
    await POLICY.run(flaky)
    assert flaky.pauses == [pytest.approx(0.3)]


async def test_a_pause_that_would_end_too_late_is_not_waited_for() -> None:
    flaky = Flaky(9, wait_seconds=60)
    with pytest.raises(GaveUp, match="1 attempt"):
        await POLICY.run(flaky)
    assert len(flaky.tried) == 1


async def test_the_deadline_is_that_of_all_attempts() -> None:
    deadlines = []

    async def attempt(number: int, deadline: float) -> None:
        deadlines.append(deadline - time.monotonic())
        raise Transient("no")

    with pytest.raises(GaveUp):
        await POLICY.run(attempt)
    assert deadlines == sorted(deadlines, reverse=True) and deadlines[0] == pytest.approx(5)


@pytest.mark.parametrize("failure", [ValueError("mine"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_any_other_failure_ends_the_call_as_it_is(failure: BaseException) -> None:
    tried = []

    async def attempt(number: int, deadline: float) -> None:
        tried.append(number)
        raise failure

    with pytest.raises(type(failure)) as caught:
        await POLICY.run(attempt)
    assert caught.value is failure and tried == [1]


async def test_a_caller_that_waits_less_bounds_attempts_and_all_of_them() -> None:
    assert (POLICY.within(0.5).total_seconds, POLICY.within(0.5).attempt_seconds) == (0.5, 0.5)
    assert (POLICY.within(9).total_seconds, POLICY.within(9).attempt_seconds) == (9, 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("inf", None),
        ("nan", None),
        ("1e9", None),
        ("1_0", None),
        ("٣", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


@pytest.mark.parametrize("usegmt", [True, False])
def test_a_date_to_come_is_so_far_away(usegmt: bool) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=usegmt)
    assert 88 < (retry_after_seconds(soon) or 0) <= 90


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,9} (Jan|Foo) \d{1,12} \d\d:\d\d:\d\d .{1,6}\Z"))
def test_whatever_a_header_holds_is_a_wait_in_seconds_or_nothing(header: str) -> None:
    seconds = retry_after_seconds(header)
    assert seconds is None or 0 <= seconds < float("inf")

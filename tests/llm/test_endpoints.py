"""Turns at endpoints: never more than they bear, the least busy first, dead ones set aside and tried again."""

import asyncio
import time

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.llm import endpoints
from webdancer_cli.llm.endpoints import Endpoint, EndpointPool, endpoint_url

URLS = ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]


def one(ceiling: int = 8) -> Endpoint:
    return Endpoint(endpoint_url(URLS[0]), ceiling)


async def ports(pool: EndpointPool, turns: int) -> list[int | None]:
    """The ports of so many turns taken together."""
    taken = [pool.turn() for _ in range(turns)]
    chosen = [(await turn.__aenter__()).url.port for turn in taken]
    for turn in taken:
        await turn.__aexit__(None, None, None)
    return chosen


def test_a_limit_is_halved_once_for_calls_that_were_under_way_together_and_grows_back() -> None:
    endpoint = one(ceiling=8)
    began = time.monotonic()
    for _ in range(5):
        endpoint.record_busy(began, 0.0)
    assert endpoint.limit == 4.0
    endpoint.record_busy(time.monotonic(), 0.0)
    endpoint.record_busy(time.monotonic(), 0.0)
    endpoint.record_busy(time.monotonic(), 0.0)
    assert endpoint.limit == 1.0  # never less: somebody must find out
    for _ in range(28):
        endpoint.record_success()
    assert endpoint.limit == 8.0  # 1 + 28 * 0.25
    endpoint.record_success()
    assert endpoint.limit == 8.0


async def test_the_least_busy_endpoint_is_next_and_the_ceiling_is_for_all() -> None:
    pool = EndpointPool(URLS, 4)
    assert sorted(await ports(pool, 4)) == [1, 1, 2, 2]
    running = [pool.turn() for _ in range(4)]
    for turn in running:
        await turn.__aenter__()
    fifth = asyncio.create_task(pool.turn().__aenter__())
    await asyncio.sleep(0.01)
    assert not fifth.done()
    await running[0].__aexit__(None, None, None)
    await asyncio.wait_for(fifth, 60)


async def test_turns_one_after_the_other_go_round() -> None:
    pool = EndpointPool(URLS, jobs=4)
    assert [(await ports(pool, 1))[0] for _ in range(4)] == [1, 2, 1, 2]


async def test_a_turn_that_is_given_up_while_waiting_is_not_lost() -> None:
    pool = EndpointPool(URLS[:1], 1)
    first = pool.turn()
    await first.__aenter__()
    waiting = [asyncio.create_task(pool.turn().__aenter__()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await first.__aexit__(None, None, None)
    waiting[1].cancel()
    await asyncio.wait_for(waiting[2], 60)


async def test_a_dead_endpoint_is_set_aside_and_one_call_finds_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "FIRST_REST_SECONDS", 0.05)
    pool = EndpointPool(URLS, 8)
    dead = pool.all[0]
    for _ in range(5):
        dead.record_failure(time.monotonic(), unreachable=True)
    assert await ports(pool, 4) == [2, 2, 2, 2]
    dead._awake_at = time.monotonic()  # the rest is over
    assert sorted(await ports(pool, 4)) == [1, 2, 2, 2]
    dead.record_success()
    assert sorted(await ports(pool, 4)) == [1, 1, 2, 2]


async def test_three_failures_in_a_row_set_aside_and_a_success_between_does_not() -> None:
    endpoint = one()
    for outcome in (endpoint.record_failure, endpoint.record_failure):
        outcome(time.monotonic())
    endpoint.record_success()
    endpoint.record_failure(time.monotonic())
    endpoint.record_failure(time.monotonic())
    assert endpoint.is_awake(time.monotonic())
    endpoint.record_failure(time.monotonic())
    now = time.monotonic()
    assert not endpoint.is_awake(now) and endpoint.is_awake(now + endpoints.FIRST_REST_SECONDS)
    for _ in range(100):
        endpoint.record_failure(now - 10)  # calls from before the rest say nothing new
    assert endpoint.is_awake(now + endpoints.FIRST_REST_SECONDS)


async def test_when_all_are_set_aside_all_are_tried() -> None:
    pool = EndpointPool(URLS, 8)
    for endpoint in pool.all:
        endpoint.record_failure(time.monotonic(), unreachable=True)
    assert sorted(await ports(pool, 4)) == [1, 1, 2, 2]


def test_a_url_given_twice_counts_once_and_is_shown_without_its_password() -> None:
    pool = EndpointPool(["http://user:secret@127.0.0.1:1/v1/", "http://user:secret@127.0.0.1:1/v1/"], 8)
    assert [endpoint.shown for endpoint in pool.all] == ["http://127.0.0.1:1/v1/chat/completions"]
    with pytest.raises(UsageError, match="--base-url"):
        EndpointPool(["127.0.0.1"], 8)

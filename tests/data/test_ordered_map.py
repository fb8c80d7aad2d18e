"""Work side by side, results in order, and a budget that ends lets finish what can be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from webdancer_cli.data.ordered_map import Stopped, ordered_map
from webdancer_cli.errors import BudgetSpent

pytestmark = pytest.mark.virtual_clock


async def numbers(last: int, *, spent: bool = False) -> AsyncIterator[int]:
    for number in range(last):
        yield number
    if spent:
        raise BudgetSpent("upstream")


async def in_order(items: AsyncIterator[int], work: Callable[[int], Awaitable[int]], jobs: int) -> AsyncIterator[int]:
    async with aclosing(ordered_map(items, work, jobs, held_per_job=2)) as finished:
        async for item, task in finished:
            assert task.result() == item
            yield item


async def test_results_keep_the_order_and_at_most_jobs_are_under_way() -> None:
    under_way, most = 0, 0

    async def work(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02 if number % 5 == 0 else 0.001)
        under_way -= 1
        return number

    given = [number async for number in in_order(numbers(40), work, jobs=3)]
    assert given == list(range(40)) and most == 3


async def test_one_slow_item_holds_up_a_bounded_number_of_others() -> None:
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(0.05 if number == 0 else 0)
        return number

    stream = in_order(numbers(100), work, jobs=2)
    assert await anext(stream) == 0 and len(begun) == 2 * 2
    await stream.aclose()


@pytest.mark.parametrize("where", ["upstream", "work"])
async def test_after_a_spent_budget_nothing_is_begun_and_the_rest_is_finished(where: str) -> None:
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        if where == "work" and number == 3:
            raise BudgetSpent("work")
        await asyncio.sleep(0.01)
        return number

    given: list[int] = []
    with pytest.raises(BudgetSpent, match=where):
        async for number in in_order(numbers(6, spent=where == "upstream"), work, jobs=2):
            given.append(number)
    assert given == ([0, 1, 2, 3, 4, 5] if where == "upstream" else [0, 1, 2])
    assert begun == given + ([3] if where == "work" else [])


async def test_a_result_is_given_as_soon_as_it_is_there_however_slow_the_items_are() -> None:
    more = asyncio.Event()

    async def slow() -> AsyncIterator[int]:
        yield 0
        await more.wait()
        yield 1

    async def work(number: int) -> int:
        return number

    stream = in_order(slow(), work, jobs=2)
    assert await anext(stream) == 0
    more.set()
    assert [number async for number in stream] == [1]


async def test_what_an_item_has_when_the_run_is_stopped_is_given_before_the_cause_is_raised() -> None:
    async def work(number: int) -> int:
        if number == 1:
            raise Stopped(BudgetSpent("spent"), 1)
        return number

    given: list[int] = []
    with pytest.raises(BudgetSpent, match="spent"):
        async for number in in_order(numbers(6), work, jobs=1):
            given.append(number)
    assert given == [0, 1]


async def test_what_work_raises_is_raised_where_its_result_is_taken() -> None:
    async def work(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    async with aclosing(ordered_map(numbers(3), work, 3)) as finished:
        ended = [task async for _, task in finished]
    assert [ended[0].result(), ended[2].result()] == [0, 2]
    with pytest.raises(ValueError, match="one"):
        ended[1].result()


async def test_what_is_under_way_is_cancelled_when_nobody_listens_any_more() -> None:
    cancelled: list[int] = []

    async def work(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 0 else 60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    stream = in_order(numbers(4), work, jobs=4)
    assert await anext(stream) == 0
    await stream.aclose()
    assert cancelled == [1, 2, 3]

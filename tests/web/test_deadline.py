import asyncio

import pytest

from webdancer_cli.web.deadline import paused, within

pytestmark = pytest.mark.virtual_clock


async def test_pauses_do_not_count_and_the_rest_does() -> None:
    async with within(0.2):
        for _ in range(3):
            with paused():
                await asyncio.sleep(0.15)
    with pytest.raises(TimeoutError):
        async with within(0.2):
            for _ in range(3):
                await asyncio.sleep(0.15)


async def test_while_one_of_several_is_paused_no_time_passes() -> None:
    async def pause(seconds: float) -> None:
        with paused():
            await asyncio.sleep(seconds)

    async with within(0.1):
        await asyncio.gather(pause(0.05), pause(0.3), asyncio.sleep(0.25))


async def test_a_pause_without_a_deadline_is_none() -> None:
    with paused():
        await asyncio.sleep(0)


async def test_what_is_left_behind_in_a_pause_disturbs_nobody() -> None:
    async def forever() -> None:
        with paused():
            await asyncio.sleep(0.1)

    async with within(5):
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
    await task


async def test_a_cancelled_pause_ends() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async with within(5):
                with paused():
                    await asyncio.sleep(1)

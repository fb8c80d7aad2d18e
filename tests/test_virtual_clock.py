"""The clock of tests that wait: it keeps the order of timers, measures exactly, and waits for what is real."""

import asyncio
import multiprocessing.connection
import time

import pytest

pytestmark = pytest.mark.virtual_clock


async def test_an_hour_of_pauses_takes_no_time_and_is_measured_exactly() -> None:
    began, really = time.monotonic(), time.perf_counter()
    await asyncio.gather(*(asyncio.sleep(60 * minutes) for minutes in range(61)))
    assert time.monotonic() - began == pytest.approx(3600)
    assert time.perf_counter() - really < 60


async def test_what_is_computed_takes_no_time() -> None:
    async with asyncio.timeout(0.1):
        time.sleep(0.2)
        await asyncio.sleep(0)


async def test_a_thread_of_the_loop_and_a_socket_are_waited_for() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    began = time.monotonic()
    async with asyncio.timeout(0.1):
        await asyncio.to_thread(time.sleep, 0.3)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
    writer.close()
    server.close()
    assert time.monotonic() == pytest.approx(began)


async def test_whoever_asks_until_a_moment_is_past_comes_out() -> None:
    began = time.monotonic()
    while time.monotonic() <= began:
        pass
    await asyncio.to_thread(_wait_for_nothing)


def _wait_for_nothing() -> None:
    """As multiprocessing does it, with a selector and a deadline."""
    ours, theirs = multiprocessing.Pipe()
    assert not multiprocessing.connection.wait([ours], timeout=0)
    assert not multiprocessing.connection.wait([ours], timeout=0.01)
    theirs.close()


def test_the_clock_of_other_tests_goes_on() -> None:
    began = time.monotonic()
    time.sleep(0.01)
    assert time.monotonic() > began

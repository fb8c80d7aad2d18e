"""Whatever a document provokes in a worker is its own failure, and nobody else's."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.web.deadline import within
from webdancer_cli.web.workers import Workers

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
ENDLESS_IN_C = r"import re; re.match(r'(a*)*b', 'a' * 60)"
"""Holds up all threads of its process."""


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        ("1 / 0", "extraction_failed", "ZeroDivisionError: division by zero"),
        ("f = lambda f: f(f)\nf(f)", "extraction_failed", "RecursionError"),
        ("raise SystemExit(3)", "extraction_failed", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "extraction_failed", "KeyboardInterrupt"),
        ("class E(BaseException): pass\nraise E('\\ud800')", "extraction_failed", "E: "),
        ("import os; os._exit(7)", "extraction_failed", "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "extraction_failed", "died"),
        ("import ctypes; ctypes.string_at(0)", "extraction_failed", "died"),
        ("x = bytearray(1 << 40)", "too_heavy", "MB of memory"),
        ("x = []\nwhile True: x.append(bytearray(1 << 28))", "too_heavy", "MB of memory"),
    ],
)
async def test_what_a_document_provokes_is_named_and_the_next_one_is_read(code: str, reason: str, said: str) -> None:
    with Workers(processes=1) as workers:
        with pytest.raises(Reject, match=re.escape(said)) as caught:
            await workers.run(exec, code, about="http://e.org/a")
        assert caught.value.reason == reason and caught.value.detail.startswith("http://e.org/a: ")
        assert await workers.run(len, "four", about="http://e.org/b") == 4


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", ENDLESS_IN_C])
async def test_an_endless_loop_ends_and_holds_up_no_other(code: str) -> None:
    with Workers(seconds=6, processes=1) as workers:
        endless = [asyncio.create_task(workers.run(exec, code, about=f"http://e.org/{n}")) for n in range(3)]
        await asyncio.sleep(0)
        assert await workers.run(len, "four", about="http://e.org/b") == 4
        assert not any(task.done() for task in endless)
        failures = await asyncio.gather(*endless, return_exceptions=True)
        assert [getattr(failure, "reason", failure) for failure in failures] == ["too_heavy"] * 3


async def test_what_a_function_rejects_is_what_is_rejected() -> None:
    with Workers() as workers:
        with pytest.raises(Reject, match="no_page: not one") as caught:
            await workers.run(
                exec, "from webdancer_cli.errors import Reject\nraise Reject('no_page', 'not one')", about=""
            )
        assert caught.value.detail == "not one"


DIES = """
import os, pathlib, signal
with open(os.environ["TRIES"], "a") as tries:
    tries.write("x")
if pathlib.Path(os.environ["TRIES"]).stat().st_size <= int(os.environ["DEATHS"]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("deaths", [1, 9])
async def test_a_document_whose_process_was_ended_by_something_else_is_worked_on_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    code = DIES.replace('os.environ["TRIES"]', repr(str(tmp_path / "tries"))).replace(
        'os.environ["DEATHS"]', repr(str(deaths))
    )
    with Workers() as workers:
        if deaths == 1:
            assert await workers.run(exec, code, about="") is None
        else:
            with pytest.raises(Reject, match=r"extraction_failed: a\.html: the process that read it died"):
                await workers.run(exec, code, about="a.html")
        assert await workers.run(len, "four", about="") == 4
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.virtual_clock
async def test_waiting_for_a_worker_takes_no_time_of_a_deadline() -> None:
    with Workers(processes=1) as workers:
        async with within(0.3):
            await asyncio.gather(*(workers.run(time.sleep, 0.2, about="") for _ in range(3)))
        with pytest.raises(TimeoutError):
            async with within(0.05):
                await workers.run(len, "four", about="")
                await asyncio.sleep(1)


async def test_many_jobs_are_answered_each_with_its_own_result() -> None:
    with Workers(processes=2) as workers:
        results = await asyncio.gather(*(workers.run(len, "x" * n, about="") for n in range(200)))
    assert results == list(range(200))


async def test_what_waits_when_all_ends_is_cancelled() -> None:
    workers = Workers(processes=1)
    tasks = [asyncio.create_task(workers.run(time.sleep, 60, about="")) for _ in range(20)]
    await asyncio.sleep(0.3)
    workers.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert all(isinstance(outcome, asyncio.CancelledError | Reject) for outcome in outcomes)


async def test_workers_serve_one_event_loop_after_the_other() -> None:
    with Workers() as workers:
        for _ in range(2):
            found = await asyncio.to_thread(lambda: asyncio.run(workers.run(len, "four", about="")))
            assert found == 4


@linux
async def test_nothing_that_a_library_prints_gets_out(capfd) -> None:
    with Workers() as workers:
        await workers.run(os.system, "echo from a library; echo and more >&2", about="")
    assert capfd.readouterr() == ("", "")


CALLER = """
import asyncio, os, sys
from webdancer_cli.web.workers import Workers
PIDS = "import os; open(os.environ['PIDS'], 'w').write(f'{os.getpid()} {os.getppid()}')"
async def main():
    with Workers() as workers:
        await workers.run(exec, PIDS, about="")
        await asyncio.gather(*(workers.run(exec, code, about="") for code in sys.argv[1:]))
if __name__ == "__main__":
    asyncio.run(main())
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_processes_end_with_their_parent_whatever_they_do(tmp_path: Path, environment, sent: signal.Signals) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    pids = tmp_path / "pids"
    caller = subprocess.Popen(
        [sys.executable, "caller.py", "while True: pass", ENDLESS_IN_C, "import time; time.sleep(99)"],
        cwd=tmp_path,
        env=environment | {"PIDS": str(pids)},
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    _, server = map(int, pids.read_text().split())
    wait_until(lambda: len(descendants(server)) >= 3)
    started = descendants(server)
    caller.send_signal(sent)
    caller.wait(60)
    wait_until(lambda: not any(map(alive, [server, *started])))


def descendants(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.05)

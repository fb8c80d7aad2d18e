"""Records through a worker: in order, bounded, and whole, however the run ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.data import jsonl, pipeline
from webdancer_cli.data.ordered_map import Stopped
from webdancer_cli.data.records import QA, Rejected
from webdancer_cli.errors import BudgetSpent, Reject, ServiceRefused, UsageError


class Item(msgspec.Struct):
    id: str
    wait_seconds: float = 0.0


ITEMS = [Item(f"i{number}") for number in range(12)]


async def work(item: Item) -> list[dict[str, Any]]:
    await asyncio.sleep(item.wait_seconds)
    if item.id == "i5":
        raise Reject("unlucky", "it is five")
    return [{"id": item.id, "text": "é" * int(item.id[1:])}]


async def same(qa: QA) -> list[QA]:
    return [qa]


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


async def test_output_order_is_input_order(tmp_path: Path) -> None:
    items = [Item(f"i{number}", 0.05 - number / 250) for number in range(12)]
    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        await pipeline.run_pipeline(items, work, output, jobs=12)
    assert ids(tmp_path / "out") == [f"i{number}" for number in range(12) if number != 5]


async def test_a_record_is_written_as_soon_as_those_before_it_are(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(item: Item) -> list[dict[str, Any]]:
        if item.id == "i2":
            await gate.wait()
        return [{"id": item.id}]

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        running = asyncio.create_task(pipeline.run_pipeline(ITEMS, held, output, jobs=4))
        while len(ids(tmp_path / "out")) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert ids(tmp_path / "out") == ["i0", "i1"]
        gate.set()
        await running
    assert len(ids(tmp_path / "out")) == 12


async def test_no_more_than_jobs_are_worked_on_and_no_more_than_the_window_is_read(tmp_path: Path) -> None:
    busy, most, read = 0, 0, 0
    gate = asyncio.Event()

    async def counted(item: int) -> list[dict[str, Any]]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await (gate.wait() if item == 0 else asyncio.sleep(0))
        busy -= 1
        return [{"id": str(item)}]

    def endless() -> Iterator[int]:
        nonlocal read
        while read < 10_000:
            read += 1
            yield read - 1

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        running = asyncio.create_task(pipeline.run_pipeline(endless(), counted, output, jobs=3))
        await asyncio.sleep(0.1)
        assert read <= 4 * 3 + 64 + 2  # the window, the queue ahead of it, and one in hand on either side
        gate.set()
        await running
    assert most == 3 and output.stats.counts["out"] == 10_000


async def test_a_rejected_item_is_written_with_its_reason_and_counted(tmp_path: Path) -> None:
    with pipeline.RecordWriter("test", str(tmp_path / "out"), str(tmp_path / "rejects")) as output:
        stats = await pipeline.run_pipeline(ITEMS, work, output, key=lambda item: item.id)
    (rejected,) = [json.loads(line) for line in (tmp_path / "rejects").read_bytes().splitlines()]
    assert rejected == {
        "reason": "unlucky", "detail": "it is five", "id": "i5", "stage": "test",
        "record": {"id": "i5", "wait_seconds": 0.0},
    }  # fmt: skip
    assert stats.summary() == "12 in, 11 out, 1 rejected (unlucky 1)"
    assert stats.exit_code == 1


async def test_a_decision_to_drop_is_no_failure(tmp_path: Path) -> None:
    async def drop(item: Item) -> list[dict[str, Any]]:
        raise Reject("too_easy", failed=False)

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        stats = await pipeline.run_pipeline(ITEMS, drop, output)
    assert stats.reasons == {"too_easy": 12} and stats.exit_code == 0


async def test_another_exception_ends_the_run_after_what_came_before_was_written(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def breaking(item: Item) -> list[dict[str, Any]]:
        if item.id == "i3":
            raise UsageError("wrong key")
        if item.id > "i3":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item.id)
                raise
        return [{"id": item.id}]

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        with pytest.raises(UsageError, match="wrong key"):
            await pipeline.run_pipeline(ITEMS[:8], breaking, output, jobs=8)
    assert ids(tmp_path / "out") == ["i0", "i1", "i2"]
    assert cancelled == ["i4", "i5", "i6", "i7"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_exception_of_the_input_ends_the_run_after_what_came_before(tmp_path: Path) -> None:
    def items() -> Iterator[Item]:
        yield from ITEMS[:3]
        raise UsageError("the wrong file")

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        with pytest.raises(UsageError, match="the wrong file"):
            await pipeline.run_pipeline(items(), work, output)
    assert ids(tmp_path / "out") == ["i0", "i1", "i2"]


async def test_an_exception_of_the_sink_stops_everything(tmp_path: Path) -> None:
    class Full(pipeline.RecordWriter):
        def write(self, record: Any) -> None:
            raise OSError("no space")

    with Full("test", str(tmp_path / "out")) as output:
        with pytest.raises(OSError, match="no space"):
            await pipeline.run_pipeline((Item(f"i{n}") for n in range(1000)), work, output, jobs=2)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_leaves_whole_records_and_no_task(tmp_path: Path) -> None:
    items = [Item(f"i{number}", 0 if number < 6 else 3600) for number in range(12)]
    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        running = asyncio.create_task(pipeline.run_pipeline(items, work, output, jobs=2))
        while not ids(tmp_path / "out"):
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    left = ids(tmp_path / "out")
    assert 0 < len(left) < 11 and left == [f"i{number}" for number in range(12) if number != 5][: len(left)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_progress_is_told_at_the_beginning_and_after_every_item(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []

    class Told:
        def step(self, done: int, total: int | None, note: str) -> None:
            told.append((done, total))

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        await pipeline.run_pipeline(ITEMS, work, output, progress=Told(), total=12)
    assert told == [(number, 12) for number in range(13)]


async def test_rejecting_from_the_reading_thread_loses_nothing(tmp_path: Path) -> None:
    """Broken lines are rejected by the thread that reads, rejected items by the event loop, both into one file."""

    def items(output: pipeline.RecordWriter) -> Iterator[Item]:
        for _ in range(500):
            output.reject_line(Rejected(reason="broken_line", detail="x" * 3000))
            yield Item("i5")

    with pipeline.RecordWriter("test", str(tmp_path / "out"), str(tmp_path / "rejects")) as output:
        stats = await pipeline.run_pipeline(items(output), work, output)
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "rejects").read_bytes().splitlines()]
    assert stats.reasons == {"broken_line": 500, "unlucky": 500}
    assert len(reasons) == 1000 and stats.counts["rejected"] == 1000


# ---- resuming


def run_once(out: Path, *, resume: bool, copies: int = 1) -> pipeline.RunStats:
    """Items that make ``copies`` records each; the item's key is not the record's id when there are several."""

    async def copied(item: Item) -> list[dict[str, Any]]:
        return [{"id": f"{item.id}{'+' * copy}", "of": item.id, "text": "é\n"} for copy in range(copies)]

    key = (lambda value: str(value["of"])) if copies > 1 else None
    with pipeline.RecordWriter("test", str(out), resume=resume, key=key) as output:
        return asyncio.run(pipeline.run_pipeline(ITEMS[:5], copied, output, jobs=2, key=lambda item: item.id))


@pytest.mark.parametrize("copies", [1, 3])
@settings(max_examples=60)
@given(data=st.data())
def test_a_run_cut_at_any_byte_is_resumed_to_the_same_file(tmp_path: Path, copies: int, data: st.DataObject) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_once(whole, resume=False, copies=copies)
    content = whole.read_bytes()
    cut.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    run_once(cut, resume=True, copies=copies)
    assert cut.read_bytes() == content


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    async def once(item: Item) -> list[dict[str, Any]]:
        return [{"id": item.id}]

    for expected in ("12 in, 12 out", "12 in, 12 already done"):
        with pipeline.RecordWriter("test", str(tmp_path / "out"), resume=True) as output:
            stats = asyncio.run(pipeline.run_pipeline(ITEMS, once, output, key=lambda item: item.id))
        assert stats.summary() == expected


def test_what_was_rejected_is_tried_again(tmp_path: Path) -> None:
    lucky = False

    async def moody(item: Item) -> list[dict[str, Any]]:
        if item.id == "i5" and not lucky:
            raise Reject("unlucky")
        return [{"id": item.id}]

    def go(resume: bool) -> pipeline.RunStats:
        with pipeline.RecordWriter("test", str(tmp_path / "out"), str(tmp_path / "rejects"), resume=resume) as output:
            return asyncio.run(pipeline.run_pipeline(ITEMS, moody, output, key=lambda item: item.id))

    assert go(resume=False).exit_code == 1
    lucky = True
    assert go(resume=True).exit_code == 0
    assert sorted(ids(tmp_path / "out")) == sorted(item.id for item in ITEMS)
    assert (tmp_path / "rejects").read_bytes() == b""


def test_without_resume_the_file_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "out").write_text('{"id": "old"}\n')
    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        asyncio.run(pipeline.run_pipeline(ITEMS[:1], work, output))
    assert ids(tmp_path / "out") == ["i0"]


# ---- slow and open inputs


async def test_a_slow_input_does_not_hold_up_what_has_arrived(tmp_path: Path) -> None:
    more = threading.Event()

    def slow() -> Iterator[Item]:
        yield ITEMS[0]
        more.wait(120)
        yield ITEMS[1]

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        running = asyncio.create_task(pipeline.run_pipeline(slow(), work, output))
        while not ids(tmp_path / "out"):
            await asyncio.sleep(0.001)
        assert not running.done()
        more.set()
        await running
    assert ids(tmp_path / "out") == ["i0", "i1"]


STAGE = """
import asyncio, sys
from webdancer_cli.data import pipeline, jsonl
from webdancer_cli.data.records import QA

async def work(qa):
    return [qa]

async def main():
    with pipeline.RecordWriter("test") as output:
        await pipeline.run_pipeline(jsonl.read_records("-", QA, output.reject_line), work, output)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


def hear_interrupts() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and the tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_while_waiting_for_stdin_ends_at_once_and_quietly() -> None:
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", STAGE],
        preexec_fn=hear_interrupts,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert child.stdin and child.stdout and child.stderr
    child.stdin.write(b'{"question": "What?", "answer": "42", "id": "q"}\n')
    child.stdin.flush()
    assert json.loads(child.stdout.readline())["id"] == "q"  # it came through although stdin is still open
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=120) == 130
    assert child.stderr.read() == b""
    child.stdin.close()
    child.stdout.close()
    child.stderr.close()


def test_a_whole_file_comes_through_a_pipe(tmp_path: Path) -> None:
    lines = b"".join(b'{"question": "What %d?", "answer": "42", "id": "q%d"}\n' % (n, n) for n in range(3000))
    done = subprocess.run(
        [sys.executable, "-c", STAGE],
        input=lines,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=120,
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [f"q{n}" for n in range(3000)]
    assert done.stderr == b"" and done.returncode == 0


def test_reading_a_file_in_the_stage_names_its_broken_line(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b'{"question": "a", "answer": "b"}\n{"quest\n')
    with pipeline.RecordWriter("test", str(tmp_path / "out"), str(tmp_path / "rejects")) as output:
        questions = jsonl.read_records(str(tmp_path / "in"), QA, output.reject_line)
        stats = asyncio.run(pipeline.run_pipeline(questions, same, output))
    rejected = json.loads((tmp_path / "rejects").read_bytes())
    assert rejected["detail"].startswith(f"{tmp_path / 'in'}:2: not valid JSON") and rejected["record"] == '{"quest'
    assert stats.counts == {"in": 1, "out": 1, "rejected": 1} and stats.reasons == {"broken_line": 1}
    assert stats.exit_code == 1


async def test_when_a_budget_is_spent_nothing_new_is_begun_and_what_is_done_is_kept(tmp_path: Path) -> None:
    begun: list[str] = []
    fourth_begun = asyncio.Event()

    async def costly(item: Item) -> list[dict[str, Any]]:
        begun.append(item.id)
        if item.id == "i3":
            await fourth_begun.wait()
            raise BudgetSpent("--max-cost 1 is spent")
        if item.id == "i4":
            fourth_begun.set()
            await asyncio.sleep(0.05)
        return [{"id": item.id}]

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        stats = await pipeline.run_pipeline((Item(f"i{number}") for number in range(1000)), costly, output, jobs=2)
    assert (stats.stopped, stats.exit_code, stats.failed) == ("--max-cost 1 is spent", 1, 0)
    assert ids(tmp_path / "out") == ["i0", "i1", "i2", "i4"]  # i4 was under way when i3 met the end of the budget
    assert len(begun) == 5


async def test_what_was_begun_is_written_before_a_refusal_ends_the_run(tmp_path: Path) -> None:
    begun: list[str] = []
    seventh_begun, seventh_done = asyncio.Event(), asyncio.Event()

    async def refusing(item: Item) -> list[dict[str, Any]]:
        begun.append(item.id)
        if item.id == "i0":
            await seventh_done.wait()
        if item.id == "i6":
            await seventh_begun.wait()
            raise ServiceRefused("no credit")
        if item.id == "i7":
            seventh_begun.set()
            await asyncio.sleep(0.05)
            seventh_done.set()
        return [{"id": item.id}]

    with pipeline.RecordWriter("test", str(tmp_path / "out")) as output:
        with pytest.raises(ServiceRefused, match="no credit"):
            await pipeline.run_pipeline(ITEMS, refusing, output, jobs=3)
    # i0 is slow and holds up the writing; i7 was under way when i6 was refused, and nothing was begun after it
    assert ids(tmp_path / "out") == ["i0", "i1", "i2", "i3", "i4", "i5", "i7"]
    assert begun[-1] == "i7"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("cause", [BudgetSpent("spent"), ServiceRefused("refused")])
async def test_an_item_that_is_stopped_in_its_middle_gives_what_it_has(
    tmp_path: Path, cause: BudgetSpent | ServiceRefused
) -> None:
    async def halved(item: Item) -> list[Item]:
        raise Stopped(cause, [item])

    output = pipeline.RecordWriter("test", str(tmp_path / "out"))
    with output:
        if isinstance(cause, ServiceRefused):
            with pytest.raises(ServiceRefused, match="refused"):
                await pipeline.run_pipeline(ITEMS[:1], halved, output)
        else:
            await pipeline.run_pipeline(ITEMS[:1], halved, output)
    assert ids(tmp_path / "out") == ["i0"]  # and the end is told of, though no item comes after it
    assert output.stats.stopped == ("spent" if isinstance(cause, BudgetSpent) else "")


async def test_of_several_works_none_runs_on_when_one_has_failed() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("slow")
            raise

    async def failing() -> None:
        await asyncio.sleep(0.01)
        raise UsageError("no")

    with pytest.raises(UsageError):
        await pipeline.gather_or_cancel([slow(), failing(), slow()])
    assert ended == ["slow", "slow"]
    assert await pipeline.gather_or_cancel(asyncio.sleep(wait, wait) for wait in (0.02, 0.0)) == [0.02, 0.0]

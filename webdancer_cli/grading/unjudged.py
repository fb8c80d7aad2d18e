"""Answers at which the judge failed: kept, counted apart, seen in the exit code, and judged again by ``--resume``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from webdancer_cli.data import jsonl, locks
from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Verdict
from webdancer_cli.errors import BudgetSpent, RunStopped
from webdancer_cli.grading.exact_match import METHOD, Judge


async def verdict_or_stop(judge: Judge, qa: QA, answer: str | None) -> tuple[Verdict, RunStopped | None]:
    """The judge's word; ``unjudged`` when the run is stopped before it: the episode that was played for it is kept."""
    try:
        return await judge.judge(qa, answer), None
    except RunStopped as stop:
        return unjudged_verdict(judge, stop), stop


def unjudged_verdict(judge: Judge, stop: RunStopped) -> Verdict:
    """The verdict of an answer that the judge can no longer be asked about, without the server's error text."""
    detail = "budget_spent" if isinstance(stop, BudgetSpent) else "judge_refused"
    return Verdict(outcome="unjudged", method=judge.name, detail=detail)


def judge_failed(verdict: Verdict) -> bool:
    """By rule an answer is unjudged only without a gold answer: nothing has failed there."""
    return verdict.outcome == "unjudged" and verdict.method != METHOD


def count_verdict(verdict: Verdict, stats: RunStats) -> None:
    if verdict.outcome == "unjudged":
        stats.counts["unjudged"] += 1
        stats.failed += judge_failed(verdict)


class _Graded(msgspec.Struct):
    """What ``--resume`` looks at in a record."""

    verdict: Verdict


@contextmanager
def drop_unjudged(path: str, wanted: bool) -> Iterator[None]:
    """If it is ``wanted``, take the records out of the file at which the judge failed. The others keep their bytes.

    The file is another one then, and held as the old one was.
    """
    if not wanted or path == STDIN or not Path(path).is_file():
        yield
        return
    jsonl.cut_torn_line(path)
    with open(path, "rb") as lines, open(f"{path}.part", "wb") as kept:
        kept.writelines(line for line in lines if not _is_unjudged(line))
    with locks.replace_held_file(path, f"{path}.part"):
        yield


def _is_unjudged(line: bytes) -> bool:
    """What has no verdict stays, and what is no record, for ``RecordWriter`` to complain about."""
    try:
        return judge_failed(msgspec.json.decode(line, type=_Graded).verdict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False

"""``webdancer verify``: a run card in, and everything out that is not as it says.

Files, records and exchanges are compared with their digests; verdicts are asked for again, by rule or from the tape;
and every number is computed anew from the attempts.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import Attempt, Rejected
from webdancer_cli.data.totals import count_lines
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.exact_match import METHOD, Judge
from webdancer_cli.grading.model_judge import RuleJudge
from webdancer_cli.grading.predictions import question_of
from webdancer_cli.grading.scores import Scoreboard
from webdancer_cli.options import config
from webdancer_cli.report import card as cards
from webdancer_cli.tape import Tape, TapeMiss

Judging = Callable[[str], Judge]
"""The judge of a run that asks by a prompt of this name, and is answered from its tape."""


class Fault(msgspec.Struct):
    """Something that is not as the card says."""

    fault: str


async def run(
    options: config.VerifyOptions, *, progress: Progress | None = None, judging: Judging | None = None
) -> RunStats:
    """Writes a record for each fault; they count as failures. Raises UsageError for what is no card."""
    if not options.file:
        raise UsageError("verify: which card? Name the file that `webdancer eval --card` wrote")
    card, stats = cards.read(options.file), RunStats()
    faults = [*cards.field_faults(card), *_file_faults(card)]
    board, taken = Scoreboard(), 0
    if Path(path := str(cards.part(card, "attempts").get("path", ""))).is_file():
        total = count_lines(path)
        async for place, attempt, fault in _graded(path, judging):
            if attempt:
                board.add(attempt)
                stats.counts["verified"] += 1
                taken += attempt.verdict.method != METHOD and judging is None
            if fault:
                faults.append(f"{place}: {fault}")
            if progress:
                progress.step(stats.counts["verified"], total, f"{len(faults)} faults")
        seed = cards.part(card, "options").get("seed", 0)
        scores = board.scores(seed if isinstance(seed, int) else 0)
        faults += cards.score_faults(cards.part(card, "scores"), scores.values())
    jsonl.write_records(options.out, (Fault(fault) for fault in faults))
    stats.counts["faults"] = stats.failed = len(faults)
    stats.last_failure = faults[-1] if faults else ""
    if taken:
        stats.remark = f"{taken} verdicts of a model are taken as they stand: the run has no tape to ask"
    return stats


def _file_faults(card: dict[str, Any]) -> Iterator[str]:
    files = cards.part(card, "files")
    for name in files:
        yield from cards.file_faults(f"files.{name}", cards.part(files, name))
    attempts = cards.part(card, "attempts")
    yield from cards.line_faults(str(attempts.get("path", "")), str(attempts.get("lines", "")))
    if tape := cards.part(card, "tape"):
        path = str(tape.get("path", ""))
        if not Path(path).is_file():
            yield f"{path}: the tape is not there any more"
            return
        with Tape(path, "replay") as opened:
            yield from cards.exchange_faults(path, opened.digests(), str(tape.get("exchanges", "")))


async def _graded(path: str, judging: Judging | None) -> AsyncIterator[tuple[str, Attempt | None, str]]:
    """Each attempt with its place, and what is amiss with its verdict; no attempt for a line that is none."""
    bad: list[Rejected] = []
    for number, attempt in enumerate(jsonl.read_records(path, Attempt, bad.append), 1):
        for rejected in bad:
            yield rejected.detail, None, "is no attempt"
        bad.clear()
        yield f"{path}: record {number}", attempt, await _verdict_fault(attempt, judging)
    for rejected in bad:
        yield rejected.detail, None, "is no attempt"


async def _verdict_fault(attempt: Attempt, judging: Judging | None) -> str:
    told = attempt.verdict
    if told.method == METHOD:
        judge: Judge = RuleJudge()
    elif judging is None or told.outcome == "unjudged":
        return ""
    else:
        judge = judging(f"{told.method.rsplit(' ', 2)[1]}.md")  # its name, its prompt, the prompt's hash
    try:
        found = await judge.judge(question_of(attempt), attempt.answer)
    except TapeMiss:
        return "its verdict is not on the tape"
    same = (found.outcome, found.method, found.detail) == (told.outcome, told.method, told.detail)
    if same:
        return ""
    return f"is {told.outcome!r} by {told.method}, and graded anew {found.outcome!r} by {found.method}"

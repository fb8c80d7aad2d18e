"""Records for reading in a terminal: colours and a pager where there is one, plain text on a pipe.

What the web wrote cannot steer the terminal: control characters and marks that turn the direction of text are shown as
U+FFFD.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import IO, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from webdancer_cli.data.records import QA, Attempt, Evidence, Page, Trajectory, WrongShape
from webdancer_cli.errors import ClosedPipe
from webdancer_cli.report.episodes import context_in_words
from webdancer_cli.report.shapes import record_of, rejected_of, shape_of
from webdancer_cli.report.training_runs import numbers
from webdancer_cli.transcript.grammar import parse_turn, response_text

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_OUTCOMES = {"correct": "bold green", "wrong": "bold red", "unjudged": "bold yellow"}
_INDENT = "    "
Lines = Iterator[Text]


def printable(text: str) -> str:
    """The text without what would move a cursor, ring a bell, or turn the direction of letters."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n"))


class Pager:
    """Writes records to standard output or into a pager. Raises ClosedPipe when the reader has gone."""

    def __init__(self, stream: IO[str], *, colours: bool):
        self._stream = stream
        self._colours = colours

    def show(self, name: str, value: Any, *, reveal: bool = False) -> None:
        """One decoded line of the place ``name``. Raises WrongShape."""
        text = self.drawn([_title(name, shape_of(value)), *lines_of(value, reveal=reveal), Text()])
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise ClosedPipe from None

    def drawn(self, lines: list[Text]) -> str:
        """The lines as they go out; only a terminal gets colours, and lines broken at its width."""
        file = StringIO()
        console = Console(
            file=file,
            force_terminal=self._colours,
            color_system="standard" if self._colours else None,
            markup=False,
            highlight=False,
            emoji=False,
        )
        for line in lines:
            if self._colours and line.plain.startswith(_INDENT):  # what is broken at the width stays indented
                console.print(Padding(line[len(_INDENT) :], (0, 0, 0, len(_INDENT)), expand=False))
            else:
                console.print(line, soft_wrap=not self._colours)
        return file.getvalue()


@contextmanager
def screen() -> Iterator[Pager]:
    """Where records are shown: in ``$PAGER``, else in less, on a terminal; on standard output elsewhere."""
    if not sys.stdout.isatty():
        yield Pager(sys.stdout, colours=False)
        return
    command = shlex.split(os.environ.get("PAGER") or "less")
    environment = {"LESS": "FRX", **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=environment)
    except OSError:
        yield Pager(sys.stdout, colours=True)
        return
    assert pager.stdin is not None
    try:
        yield Pager(pager.stdin, colours=True)
    finally:
        _close(pager)


def _close(pager: "subprocess.Popen[str]") -> None:
    """Wait until the reader has read; who quits early closes the pipe."""
    try:
        if pager.stdin:
            pager.stdin.close()
    except BrokenPipeError:
        pass
    pager.wait()


def lines_of(value: Any, *, reveal: bool = False) -> Lines:
    """A decoded line as lines to read. Raises WrongShape."""
    shape = shape_of(value)
    if shape == "metrics":
        yield from _metrics(value)
    elif shape == "rejected":
        yield from _rejected(value, reveal=reveal)
    elif shape == "other":
        yield _line(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        record = record_of(shape, value, reveal=reveal)
        if isinstance(record, Trajectory):
            yield from _trajectory(record)
        elif isinstance(record, Attempt):
            yield from _attempt(record)
        elif isinstance(record, QA):
            yield from _question(record)
        elif isinstance(record, Page):
            yield from _page(record)


def _title(name: str, shape: str) -> Text:
    return _line(f"── {name} · {shape} " + "─" * 8, "dim")


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def _named(name: str, text: object, style: str = "") -> Text:
    return Text.assemble((f"{name:<12}", "dim"), (printable(str(text)), style))


def _indented(text: str, style: str = "") -> Lines:
    for line in printable(text).split("\n"):
        yield Text(_INDENT + line, style=style)


def _trajectory(record: Trajectory) -> Lines:
    yield _line(record.qa.question, "bold")
    yield from _result(record, record.qa.answer)
    for repair in record.repairs:
        yield _named("repair", repair, "yellow")
    yield from _evidence(record.qa.evidence)
    yield from _messages(record)


def _attempt(record: Attempt) -> Lines:
    yield _line(record.question, "bold")
    yield from _result(record, record.gold)
    yield from _evidence(record.evidence)
    yield from _messages(record)


def _result(record: Trajectory | Attempt, gold: str) -> Lines:
    outcome = record.verdict.outcome if record.verdict else "not judged"
    yield _named("answer", "(none)" if record.answer is None else record.answer, _OUTCOMES.get(outcome, ""))
    yield _named("gold", gold)
    said = f" by {record.verdict.method}: {record.verdict.detail}" if record.verdict else ""
    yield _named("verdict", outcome + said, _OUTCOMES.get(outcome, ""))
    yield _named("ending", record.ending)
    yield _named("model", record.model)
    if record.context:
        yield _named("context", context_in_words(record.context))


def _evidence(evidence: list[Evidence]) -> Lines:
    for number, proof in enumerate(evidence, 1):
        yield _named(f"page {number}", proof.url, "cyan")
        yield from _indented(f"“{proof.quote}”")


def _messages(record: Trajectory | Attempt) -> Lines:
    folds, turn = record.context.folds if record.context else [], 0
    for message in record.messages:
        yield Text()
        if message.role == "assistant":
            yield from _summary(message.content) if turn in folds else _turn(message.content)
            turn += 1
        else:
            observed = response_text(message.content)
            yield _line("observation" if observed is not None else message.role, "dim")
            yield from _indented(message.content if observed is None else observed)


def _summary(content: str) -> Lines:
    yield _line("summary", "dim")
    yield from _indented(content, "italic")


def _turn(content: str) -> Lines:
    turn = parse_turn(content)
    if turn.repairs:
        yield _line(f"turn, repaired: {', '.join(turn.repairs)}", "yellow")
        yield from _indented(content)
        return
    yield _line("thought", "dim")
    yield from _indented(turn.thought, "italic")
    if turn.call:
        yield _line(f"{turn.call.name} {json.dumps(turn.call.arguments, ensure_ascii=False)}", "bold blue")
    if turn.answer is not None:
        yield _line("answer", "dim")
        yield from _indented(turn.answer, "bold")


def _question(qa: QA) -> Lines:
    yield _line(qa.question, "bold")
    yield _named("answer", " | ".join([qa.answer, *qa.aliases]))
    yield _named("kind", f"{qa.type or 'no type'}, {qa.level or '?'} pages to read")
    for number, round in enumerate(qa.chain, 1):
        yield _named(f"rewrite {number}", f"{round.entity} → {round.description}", "magenta")
        yield from _indented(round.before)
    yield from _evidence(qa.evidence)


def _page(page: Page) -> Lines:
    yield _line(page.title, "bold")
    yield _line(page.url, "cyan")
    yield from _indented(page.text)


def _metrics(value: dict[str, Any]) -> Lines:
    told = "  ".join(f"{name} {number:.6g}" for name, number in numbers(value).items())
    yield _line(f"step {value['step']}  {told}")


def _rejected(value: dict[str, Any], *, reveal: bool) -> Lines:
    rejected = rejected_of(value)
    yield _named("rejected", f"{rejected.stage}: {rejected.reason}".removeprefix(": "), "bold red")
    if rejected.detail:
        yield _named("because", rejected.detail)
    if rejected.record is not None:
        try:
            yield from lines_of(rejected.record, reveal=reveal)
        except WrongShape:
            yield _line(json.dumps(rejected.record, ensure_ascii=False))

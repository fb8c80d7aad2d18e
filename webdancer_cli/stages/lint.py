"""``webdancer lint``: questions in, the good ones out, a reason for every other one, and a report on all of them."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from webdancer_cli import config, jsonl
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.flow import Progress, Sink, Tally
from webdancer_cli.records import QA
from webdancer_cli.synthesis.lint import Evaluation, Linter, Report

QUESTION_FIELDS = ("question", "Question", "problem", "prompt")
"""What evaluation sets call their questions."""


def run(options: config.Lint, progress: Progress | None = None) -> tuple[Tally, Report]:
    """Judge a stream of questions. Raises UsageError when an evaluation file cannot be read."""
    linter = Linter(similarity=options.similarity, evaluation=_evaluation(options), allow_boolean=options.allow_boolean)
    with Sink("lint", options.out, options.rejects, resume=options.resume) as sink:
        for qa in islice(jsonl.read(options.data, QA, sink.reject_line), options.limit):
            sink.tally.counts["in"] += 1
            _judge(qa, linter, sink)
            if progress:
                progress.step(sink.tally.counts["in"], options.limit, sink.tally.line())
        _write(options.report, linter.report)
        return sink.tally, linter.report


def _judge(qa: QA, linter: Linter, sink: Sink) -> None:
    """A decision, not a failure: the exit code stays 0. Every fault stands in the detail, the first is the reason."""
    faults = linter.faults(qa)
    if faults:
        detail = "; ".join(f"{fault.reason}: {' '.join(fault.detail.split())}" for fault in faults)
        sink.reject(Reject(faults[0].reason, detail, failed=False), qa, qa.id)
    elif qa.id in sink.done:
        sink.tally.counts["already done"] += 1
    else:
        sink.put(qa)


def _evaluation(options: config.Lint) -> Evaluation | None:
    questions = (question for path in options.against for question in _questions(path))
    return Evaluation(questions, options.ngram_words) if options.against else None


def _questions(path: str) -> Iterator[str]:
    """The questions of an evaluation file. Raises UsageError for a line without one."""
    for line in jsonl.values(path):
        value = line.value if isinstance(line.value, dict) else {}
        question = next((value[name] for name in QUESTION_FIELDS if isinstance(value.get(name), str)), None)
        if question is None:
            raise UsageError(f"{line.name}: has no question: expected one of the fields {', '.join(QUESTION_FIELDS)}")
        yield question


def _write(path: str | None, report: Report) -> None:
    if path:
        try:
            Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(report.values()), indent=2) + b"\n")
        except OSError as error:
            raise UsageError(f"--report {path}: {error.strerror}: name a file that can be written") from None

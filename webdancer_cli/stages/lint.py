"""``webdancer lint``: questions in, the good ones out, a reason for every other one, and a report on all of them."""

from webdancer_cli.data import jsonl
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.pipeline import Progress, RecordWriter, ReportedStats
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA
from webdancer_cli.data.sealed import SealTerms, terms_of
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import items_in
from webdancer_cli.errors import Reject
from webdancer_cli.options import config
from webdancer_cli.report import json_file
from webdancer_cli.synthesis.linter import BenchmarkNgrams, Linter, LintReport
from webdancer_cli.synthesis.repeated_questions import Repeats


def run(options: config.LintOptions, *, progress: Progress | None = None) -> ReportedStats[LintReport]:
    """Judge a stream of questions. With ``resume``, what ``out`` holds already counts as met.

    Raises UsageError when an evaluation file cannot be read or the report not be written.
    """
    json_file.check_writable(options.report)
    evaluation = _evaluation(options)
    with (
        Repeats(options.similarity) as repeats,
        RecordWriter(
            "lint", options.out, options.rejects, resume=options.resume, done=_read_earlier(options, repeats)
        ) as output,
    ):
        linter = Linter(repeats, evaluation=evaluation, allow_boolean=options.allow_boolean)
        questions = read_questions(options.data, output.reject_line, terms_of(options))
        total = items_in(options, lambda: read_questions(options.data, jsonl.skip_line, terms_of(options)))
        for qa in take_shard(questions, options.shard, options.limit, lambda qa: qa.id):
            output.stats.counts["in"] += 1
            _judge(qa, linter, output)
            if progress:
                progress.step(output.stats.counts["in"], total, output.stats.brief())
        json_file.write_json(options.report, linter.report.values())
        return ReportedStats.of(output.stats, linter.report)


def _read_earlier(options: config.LintOptions, repeats: Repeats) -> KeySet:
    """The ids of what an earlier run kept, which is remembered in ``repeats``."""
    ids = KeySet()
    for qa in jsonl.resume(options.out, QA) if options.resume else ():
        ids.add(qa.id)
        repeats.recall(qa)
    return ids


def _judge(qa: QA, linter: Linter, output: RecordWriter) -> None:
    """A decision, not a failure: the exit code stays 0. Every fault stands in the detail, the first is the reason."""
    faults = linter.examine(qa)
    if faults:
        detail = "; ".join(f"{fault.reason}: {' '.join(fault.detail.split())}" for fault in faults)
        output.reject(Reject(faults[0].reason, detail, failed=False), qa, qa.id)
    elif qa.id in output.done:
        output.stats.counts["already done"] += 1
    else:
        output.write(qa)


def _evaluation(options: config.LintOptions) -> BenchmarkNgrams | None:
    if not options.against:
        return None
    evaluation = BenchmarkNgrams(options.ngram_words)
    for path in options.against:
        terms = SealTerms(canary=options.canary)
        evaluation.add(path, (qa.question for qa in read_questions(path, terms=terms, answered=False)))
    return evaluation

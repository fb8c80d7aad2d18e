"""``webdancer e2hqa``: questions in, harder questions out; the answer stays."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import msgspec

from webdancer_cli.data import jsonl, pipeline
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.pipeline import Progress, RecordWriter, RunStats
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA
from webdancer_cli.data.sealed import terms_of
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import items_in
from webdancer_cli.errors import ModelError, Outage, Reject, ToolError
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.llm.structured_output import Unreadable
from webdancer_cli.options import config
from webdancer_cli.synthesis.protocols import QuestionRewriter
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.web.corpus import report_rejected
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.protocols import Web

UNCHANGED = "unchanged"
"""Stands in the record of a question that passed as it was, if it has a parent."""


async def run(
    options: config.E2hqaOptions,
    rewriter: QuestionRewriter,
    *,
    progress: Progress | None = None,
    web: Web | None = None,
) -> RunStats:
    """Rewrite every question up to ``rounds`` times. What cannot be made harder passes as it is, and is counted.

    ``web`` is an index that is searched by vectors; without it, options.web names pages.
    """
    web = web or open_pages(options.web, rank=options.rank)
    with Repeats(config.LintOptions.similarity) as repeats, RewriteOutput(options, repeats) as output:

        async def work(qa: QA) -> list[QA]:
            try:
                chain = await harden(qa, rewriter, web, options.rounds)
            except Unreadable as error:
                raise Reject("unreadable_reply", str(error)) from None
            except ModelError as error:
                raise Reject("model_error", str(error)) from None
            except (Outage, ToolError) as failure:
                raise Reject("search_failed", str(failure)) from None
            _count(output.stats, chain, options.rounds)
            return chain if options.keep_chain else [_last(chain)]

        report_rejected(web, output.reject_line)
        questions = read_questions(options.data, output.reject_line, terms_of(options))
        items = pipeline.drop_duplicates(take_shard(questions, options.shard, options.limit, lambda qa: qa.id), output)
        total = items_in(options, lambda: read_questions(options.data, jsonl.skip_line, terms_of(options)))
        stats = await pipeline.run_pipeline(
            items, work, output, jobs=options.jobs, key=lambda qa: qa.id, progress=progress, total=total
        )
        _tell_failures(stats, rewriter)
        return stats


async def harden(qa: QA, rewriter: QuestionRewriter, web: Web, rounds: int) -> list[QA]:
    """The question, and each level that could be reached from it. ``parent`` of every level is the question."""
    chain = [_as_it_is(qa)]
    while len(chain) <= rounds and (harder := await rewriter.rewrite(chain[-1], web)):
        harder.parent, harder.extra = qa.id, _without_mark(harder.extra)
        chain.append(harder)
    return chain


def _as_it_is(qa: QA) -> QA:
    """The question as it passes. One that was rewritten from another before says that it was not rewritten here: its
    record would look like what its parent was made into.
    """
    mark = {UNCHANGED: True} if qa.parent else {}
    return msgspec.structs.replace(qa, extra={**_without_mark(qa.extra), **mark})


def _without_mark(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name != UNCHANGED}


def _last(chain: list[QA]) -> QA:
    """The hardest question. Where it alone is written, it carries what all of the chain took."""
    usages = [qa.usage for qa in chain if qa.usage]
    chain[-1].usage = reduce(add_usage, usages) if usages else None
    return chain[-1]


def _count(stats: RunStats, chain: list[QA], rounds: int) -> None:
    reached = len(chain) - 1
    name = "unchanged" if reached == 0 else "rewritten" if reached == rounds else "partly rewritten"
    stats.counts[name] += 1


def _tell_failures(stats: RunStats, rewriter: QuestionRewriter) -> None:
    """Why rounds came to nothing. A question that stays as it was is no reject, so these are counted apart."""
    if rewriter.failures:
        stats.counts["failed attempts"] = rewriter.failures.total()
        stats.reasons.update(rewriter.failures)


class RewriteOutput(RecordWriter):
    """Writes each question once: what one was rewritten into may be another one of the input, or nearly.

    ``done`` holds the ids of the questions that an earlier run was done with. With ``keep_chain`` the records of the
    last one are cut off, since some of its levels may be missing; otherwise it has one record, which is whole.
    """

    def __init__(self, options: config.E2hqaOptions, repeats: Repeats):
        self._repeats = repeats
        self._ids, done = KeySet(), KeySet()
        key = origin if options.keep_chain else None
        for qa in jsonl.resume(options.out, QA, key) if options.resume else ():
            self._ids.add(qa.id)
            done.add(origin({"id": qa.id, "parent": qa.parent, **qa.extra}))
            repeats.recall(qa)
        super().__init__("e2hqa", options.out, options.rejects, resume=options.resume, done=done)

    def write(self, record: Any) -> None:
        if not self._ids.add(record.id):
            self.stats.counts["duplicates"] += 1
        elif fault := self._repeats.add_unless_found(record):
            self.reject(Reject(fault.reason, fault.detail, failed=False), record, record.id)
        else:
            super().write(record)


def origin(record: Mapping[str, Any]) -> str:
    """The id of the question that a record was made from: the record itself, if it passed as it was."""
    passed = record.get(UNCHANGED) is True or not record.get("parent")
    return str(record.get("id" if passed else "parent", ""))

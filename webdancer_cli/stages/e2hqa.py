"""``webdancer e2hqa``: questions in, harder questions out; the answer stays."""

from functools import reduce
from typing import Any

import msgspec

from webdancer_cli import config, flow, jsonl
from webdancer_cli.errors import ModelError, Reject, UsageError
from webdancer_cli.flow import Progress, Sink, Tally
from webdancer_cli.questions import read_questions
from webdancer_cli.records import QA
from webdancer_cli.sealed import Terms
from webdancer_cli.seen import Seen
from webdancer_cli.shards import chosen
from webdancer_cli.spending import added
from webdancer_cli.structured import Unreadable
from webdancer_cli.synthesis.repeats import Repeats
from webdancer_cli.synthesis.roles import Hardener
from webdancer_cli.web.corpus import Corpus, tell_rejected
from webdancer_cli.web.source import Web

UNCHANGED = "unchanged"
"""Stands in the record of a question that passed as it was, if it has a parent."""


async def run(options: config.E2hqa, rewriter: Hardener, progress: Progress | None = None) -> Tally:
    """Rewrite every question up to ``rounds`` times. What cannot be made harder passes as it is, and is counted."""
    if options.web == options.out:
        raise UsageError(f"--out {options.out}: that is the corpus; name another file")
    refuse_idle_judge(options)
    web = Corpus.load(options.web)
    with Repeats(config.Lint.similarity) as met, Outlet(options, met) as sink:

        async def work(qa: QA) -> list[QA]:
            try:
                chain = await harden(qa, rewriter, web, options.rounds)
            except Unreadable as error:
                raise Reject("unreadable_reply", str(error)) from None
            except ModelError as error:
                raise Reject("model_error", str(error)) from None
            _count(sink.tally, chain, options.rounds)
            return chain if options.keep_chain else [_last(chain)]

        tell_rejected(web, sink.reject_line)
        questions = read_questions(
            options.data, sink.reject_line, Terms(options.reveal, options.canary, bool(options.tape))
        )
        items = flow.once(chosen(questions, options.shard, options.limit, lambda qa: qa.id), sink)
        tally = await flow.run(items, work, sink, jobs=options.jobs, key=lambda qa: qa.id, progress=progress)
        _tell_failures(tally, rewriter)
        return tally


def refuse_idle_judge(options: config.E2hqa) -> None:
    """Raises UsageError for a judge that would be asked nothing: the built-in rewriter needs none."""
    if options.judge_model and not options.base_url:
        raise UsageError(
            f"--judge-model {options.judge_model}: the built-in rewriter asks no judge; name the model that rewrites,"
            " with --model and --base-url, or leave it out"
        )


async def harden(qa: QA, rewriter: Hardener, web: Web, rounds: int) -> list[QA]:
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
    chain[-1].usage = reduce(added, usages) if usages else None
    return chain[-1]


def _count(tally: Tally, chain: list[QA], rounds: int) -> None:
    reached = len(chain) - 1
    name = "unchanged" if reached == 0 else "rewritten" if reached == rounds else "partly rewritten"
    tally.counts[name] += 1


def _tell_failures(tally: Tally, rewriter: Hardener) -> None:
    """Why rounds came to nothing. A question that stays as it was is no reject, so these are counted apart."""
    if rewriter.failures:
        tally.counts["failed attempts"] = rewriter.failures.total()
        tally.reasons.update(rewriter.failures)


class Outlet(Sink):
    """Writes each question once: what one was rewritten into may be another one of the input, or nearly.

    ``done`` holds the ids of the questions that an earlier run was done with. With ``keep_chain`` the records of the
    last one are cut off, since some of its levels may be missing; otherwise it has one record, which is whole.
    """

    def __init__(self, options: config.E2hqa, met: Repeats):
        key = origin if options.keep_chain else None
        super().__init__("e2hqa", options.out, options.rejects, resume=options.resume, key=key)
        self._met = met
        self._written = Seen()
        if options.resume:
            self._written = jsonl.written(options.out)
            self.done = _origins(options.out)
        if len(self._written):
            met.recall(options.out)

    def put(self, record: Any) -> None:
        if not self._written.add(record.id):
            self.tally.counts["duplicates"] += 1
        elif fault := self._met.fault(record):
            self.reject(Reject(fault.reason, fault.detail, failed=False), record, record.id)
        else:
            super().put(record)


def _origins(out: str) -> Seen:
    return Seen(origin(value) for _, _, value in jsonl.values(out) if isinstance(value, dict))


def origin(record: dict[str, Any]) -> str:
    """The id of the question that a record was made from: the record itself, if it passed as it was."""
    passed = record.get(UNCHANGED) is True or not record.get("parent")
    return str(record.get("id" if passed else "parent", ""))

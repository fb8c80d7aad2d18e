"""``webdancer e2hqa``: questions in, harder questions out; the answer stays."""

from typing import Any

from webdancer_cli import config, flow, jsonl
from webdancer_cli.errors import ModelError, Reject, UsageError
from webdancer_cli.flow import Progress, Sink, Tally
from webdancer_cli.questions import read_questions
from webdancer_cli.records import QA
from webdancer_cli.seen import Seen
from webdancer_cli.shards import chosen
from webdancer_cli.structured import Unreadable
from webdancer_cli.synthesis.repeats import Repeats
from webdancer_cli.synthesis.roles import Hardener
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.source import Web


async def run(options: config.E2hqa, rewriter: Hardener, progress: Progress | None = None) -> Tally:
    """Rewrite every question up to ``rounds`` times. What cannot be made harder passes as it is, and is counted."""
    if options.web == options.out:
        raise UsageError(f"--out {options.out}: that is the corpus; name another file")
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
            return chain if options.keep_chain else chain[-1:]

        def key(qa: QA) -> str:
            unchanged = _unchanged(qa.id, qa.parent)
            return unchanged if unchanged in sink.done else qa.id

        questions = read_questions(options.data, sink.reject_line)
        items = flow.once(chosen(questions, options.shard, options.limit, lambda qa: qa.id), sink)
        tally = await flow.run(items, work, sink, jobs=options.jobs, key=key, progress=progress)
        _tell_failures(tally, rewriter)
        return tally


async def harden(qa: QA, rewriter: Hardener, web: Web, rounds: int) -> list[QA]:
    """The question, and each level that could be reached from it. ``parent`` of every level is the question."""
    chain = [qa]
    while len(chain) <= rounds and (harder := await rewriter.rewrite(chain[-1], web)):
        harder.parent = qa.id
        chain.append(harder)
    return chain


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
    """Writes each question once: what one was rewritten into may be another one of the input, or nearly."""

    def __init__(self, options: config.E2hqa, met: Repeats):
        super().__init__("e2hqa", options.out, options.rejects, resume=options.resume)
        self._written, self.done = self.done, done(options.out) if options.resume else Seen()
        self._met = met
        if len(self._written):
            met.recall(options.out)

    def put(self, record: Any) -> None:
        if not self._written.add(record.id):
            self.tally.counts["duplicates"] += 1
        elif fault := self._met.fault(record):
            self.reject(Reject(fault.reason, fault.detail, failed=False), record, record.id)
        else:
            super().put(record)


def done(out: str) -> Seen:
    """The questions that an earlier run was done with.

    A question may have several records, and the last one in the file may lack some: it is worked on again. A record is
    of the question that it names as its parent, or it is that question, unchanged: then it has the question's parent.
    A question that another one was rewritten into is not done by that.
    """
    found, last = Seen(), list[str]()
    for _, _, value in jsonl.values(out):
        if isinstance(value, dict):
            these = [value.get("parent") or value.get("id", ""), _unchanged(value.get("id"), value.get("parent"))]
            found.update(key for key in last if key not in these)
            last = these
    return found


def _unchanged(id: str | None, parent: str | None) -> str:
    """The key of a question that passed as it is; its id alone may also be that of a rewritten one."""
    return f"{id} of {parent}" if parent else str(id)

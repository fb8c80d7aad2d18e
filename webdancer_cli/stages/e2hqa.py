"""``webdancer e2hqa``: questions in, harder questions out; the answer stays."""

from collections.abc import Iterator
from itertools import islice

from webdancer_cli import config, flow, jsonl
from webdancer_cli.errors import ModelError, Reject, UsageError
from webdancer_cli.flow import Progress, Sink, Tally
from webdancer_cli.records import QA
from webdancer_cli.synthesis.roles import Hardener
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.source import Web


async def run(options: config.E2hqa, rewriter: Hardener, progress: Progress | None = None) -> Tally:
    """Rewrite every question up to ``rounds`` times. What cannot be made harder passes as it is, and is counted."""
    if options.web == options.out:
        raise UsageError(f"--out {options.out}: that is the corpus; name another file")
    web = Corpus.load(options.web)
    with Sink("e2hqa", options.out, options.rejects, resume=options.resume) as sink:
        earlier = Earlier(options.out) if options.resume else None
        if earlier:
            sink.done = earlier.done

        async def work(qa: QA) -> list[QA]:
            try:
                chain = await harden(qa, rewriter, web, options.rounds)
            except ModelError as error:
                raise Reject("model_error", str(error)) from None
            _count(sink.tally, chain, options.rounds)
            kept = chain if options.keep_chain else chain[-1:]
            return [made for made in kept if not earlier or made.id not in earlier.ids]

        items: Iterator[QA] = jsonl.read(options.data, QA, sink.reject_line)
        items = islice(items, options.limit) if options.limit is not None else items
        return await flow.run(items, work, sink, jobs=options.jobs, key=lambda qa: qa.id, progress=progress)


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


class Earlier:
    """What an earlier run wrote: the ids of its records, and of the questions that it was done with.

    A question may have several records, and the last one in the file may lack some: it is worked on again.
    """

    def __init__(self, out: str):
        self.ids: set[str] = set()
        self.done: set[str] = set()
        last: set[str] = set()
        for _, _, value in jsonl.values(out):
            if isinstance(value, dict):
                last = {value.get("parent") or value.get("id", ""), value.get("id", "")}
                self.ids.add(value.get("id", ""))
                self.done |= last
        self.done -= last

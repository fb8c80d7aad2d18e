"""``filter``: trajectories in, the good ones out, and a reason for every other one (paper, section 2: the funnel).

The stages, in the order of ``--stages``:

validity     the episode is well-formed (``grading.format``): grammar, known tools, valid arguments, at least one tool
             call, an answer at the end, no observation inside an assistant turn
correctness  the verdict that the trajectory carries, or else the match by rule with the gold answer. *Unjudged* is its
             own class: never kept, never counted as wrong
quality      number of actions, repeated calls, repetition, evidence before the answer (``grading.quality``)

Data that was judged before, like the authors' released lines, carries no verdict, and its answers are sentences that a
match by rule takes for wrong: filter it with ``--stages validity,quality``.

Rules cost next to nothing, so ``--resume`` judges everything anew and appends what is missing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import msgspec

from webdancer_cli import config, upstream
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.flow import Sink, Tally
from webdancer_cli.grading import answers
from webdancer_cli.grading.format import Fault, format_fault, own_turns
from webdancer_cli.grading.quality import quality_fault
from webdancer_cli.jsonl import Writer
from webdancer_cli.records import QA, Trajectory, from_object, to_object
from webdancer_cli.transcript import Turn

PER_QUESTION = "per question"


@dataclass
class Step:
    """One stage of the funnel: how many came in, and why some went no further."""

    name: str
    entered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        return self.entered - self.dropped.total()


@dataclass
class Funnel:
    """What became of the trajectories, stage by stage."""

    steps: list[Step]

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def table(self) -> str:
        """A table for reading: in, out and share of each stage, and the reasons below it."""
        lines = [f"{'stage':<24}{'in':>10}{'out':>10}{'share':>9}"]
        for step in self.steps:
            lines.append(f"{step.name:<24}{step.entered:>10}{step.kept:>10}{_share(step.kept, step.entered):>9}")
            lines += [
                f"  {reason:<22}{'':>10}{-count:>10}{_share(count, step.entered):>9}"
                for reason, count in step.dropped.most_common()
            ]
        first, last = self.steps[0], self.steps[-1]
        lines.append(f"{'all':<24}{first.entered:>10}{last.kept:>10}{_share(last.kept, first.entered):>9}")
        return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


class Candidate(NamedTuple):
    """A trajectory with its assistant turns, read once for all stages."""

    trajectory: Trajectory
    turns: Sequence[Turn]


Check = Callable[[Candidate], Fault | None]


def run(options: config.Filter) -> tuple[Tally, Funnel]:
    """Filter a stream in flat memory. Raises UsageError for stages that are not known."""
    checks = _checks(options)
    names = [*checks, PER_QUESTION] if options.per_question else list(checks)
    funnel = Funnel([Step(name) for name in names])
    key = _written_key(options.format)
    with Sink("filter", options.out, options.rejects, resume=options.resume, key=key) as sink:
        questions = _Questions()
        good = _survivors(options, checks, funnel, sink, questions)
        for trajectory in _best(good, options.per_question, funnel, sink) if options.per_question else good:
            questions.solved(trajectory.qa)
            _put(sink, trajectory, options.format)
        if options.unused_qa:
            sink.tally.counts["unused questions"] = questions.write_unsolved(options.unused_qa)
        return sink.tally, funnel


def _checks(options: config.Filter) -> dict[str, Check]:
    """The chosen stages, in the chosen order."""
    known: dict[str, Check] = {
        "validity": lambda candidate: format_fault(candidate.trajectory.messages, turns=candidate.turns),
        "correctness": _correctness,
        "quality": lambda candidate: quality_fault(
            candidate.trajectory.messages,
            candidate.turns,
            min_actions=options.min_actions,
            max_actions=options.max_actions,
            max_ngram_repeats=options.max_ngram_repeats,
        ),
    }
    unknown = next((name for name in options.stages if name not in known), None)
    if unknown is not None or not options.stages:
        raise UsageError(f"--stages {unknown or 'none'}: choose from {', '.join(known)}")
    return {name: known[name] for name in options.stages}


def _correctness(candidate: Candidate) -> Fault | None:
    trajectory = candidate.trajectory
    if trajectory.verdict is None or trajectory.verdict.outcome == "unjudged":
        by_rule = answers.judge(trajectory.answer, trajectory.qa.answer, trajectory.qa.aliases)
        if trajectory.verdict is None or by_rule.outcome == "correct":
            trajectory.verdict = by_rule
    if trajectory.verdict.outcome == "correct":
        return None
    reason = "unjudged" if trajectory.verdict.outcome == "unjudged" else "wrong_answer"
    return Fault(reason, f"answer {_short(trajectory.answer)}, gold {_short(trajectory.qa.answer)}")


def _short(text: str | None, chars: int = 200) -> str:
    return repr(text if text is None or len(text) <= chars else text[:chars] + "…")


def _survivors(
    options: config.Filter, checks: dict[str, Check], funnel: Funnel, sink: Sink, questions: "_Questions"
) -> Iterator[Trajectory]:
    """The trajectories that pass all stages; the others are rejected with the stage's reason."""
    arriving = upstream.read_trajectories(options.data, sink.reject_line)
    for trajectory in islice(arriving, options.limit):
        sink.tally.counts["in"] += 1
        questions.seen(trajectory.qa)
        candidate = Candidate(trajectory, own_turns(trajectory.messages))
        for name, check in checks.items():
            step = funnel.step(name)
            step.entered += 1
            if fault := check(candidate):
                _drop(step, sink, fault, trajectory)
                break
        else:
            yield trajectory


def _drop(step: Step, sink: Sink, fault: Fault, trajectory: Trajectory) -> None:
    """A decision, not a failure: the exit code stays 0."""
    step.dropped[fault.reason] += 1
    sink.reject(Reject(fault.reason, fault.detail, failed=False), trajectory, trajectory.id)


def _put(sink: Sink, trajectory: Trajectory, format: str) -> None:
    """Write a kept trajectory in the chosen form, unless an earlier run has written it."""
    id = upstream.messages_id(trajectory.messages) if format == "webdancer" else trajectory.id
    if id in sink.done:
        sink.tally.counts["already done"] += 1
    elif format == "webdancer":
        sink.put_line(upstream.encode(trajectory))
    else:
        sink.put(trajectory)


def _written_key(format: str) -> Callable[[dict[str, Any]], str] | None:
    """How an output line names its trajectory: by the id, or where the form has none by its messages."""
    if format != "webdancer":
        return None
    return lambda value: upstream.as_trajectory(value).id


def _best(good: Iterator[Trajectory], count: int, funnel: Funnel, sink: Sink) -> Iterator[Trajectory]:
    """The ``count`` shortest trajectories of each question, in input order: fewest calls, then fewest characters.

    Which are the best is known at the end of the input only, so the survivors wait in a temporary file.
    """
    step = funnel.step(PER_QUESTION)
    lengths: dict[str, list[tuple[int, int, int]]] = {}
    with TemporaryFile() as spool:
        for at, trajectory in enumerate(good):
            step.entered += 1
            calls = sum(message.role == "assistant" for message in trajectory.messages)
            chars = sum(len(message.content) for message in trajectory.messages if message.role == "assistant")
            lengths.setdefault(trajectory.qa.id, []).append((calls, chars, at))
            _spool(spool, trajectory)
        best = {at for several in lengths.values() for *_, at in sorted(several)[:count]}
        spool.seek(0)
        for at, trajectory in enumerate(map(_unspool, spool)):
            if at in best:
                yield trajectory
            else:
                _drop(step, sink, Fault("not_among_best", f"{count} shorter ones are kept"), trajectory)


def _spool(spool: IO[bytes], trajectory: Trajectory) -> None:
    spool.write(msgspec.json.encode(to_object(trajectory)) + b"\n")


def _unspool(line: bytes) -> Trajectory:
    return from_object(Trajectory, msgspec.json.decode(line))


class _Questions:
    """The questions seen, and which have a kept trajectory. Memory grows with the questions, not the episodes."""

    def __init__(self) -> None:
        self._unsolved: dict[str, bytes | None] = {}

    def seen(self, qa: QA) -> None:
        if qa.id not in self._unsolved:
            self._unsolved[qa.id] = msgspec.json.encode(to_object(qa))

    def solved(self, qa: QA) -> None:
        self._unsolved[qa.id] = None

    def write_unsolved(self, path: str) -> int:
        """Write the questions without a kept trajectory, in the order of their first appearance."""
        with Writer(path) as writer:
            for line in self._unsolved.values():
                if line is not None:
                    writer.write_line(line)
        return writer.count

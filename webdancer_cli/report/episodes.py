"""Episodes as they are shown: an entry for the list, and the thread for whoever opens it."""

from collections.abc import Callable
from typing import Any

import msgspec

from webdancer_cli.data.context import Context
from webdancer_cli.data.records import Anatomy, Attempt, Evidence, Opinion, Rejected, Rewrite, Trajectory, Usage
from webdancer_cli.report.chunks import Address, Text
from webdancer_cli.transcript.grammar import parse_turn, response_text

Keep = Callable[[str], Text]
"""Keeps a text, and says where it lies."""


class EpisodeEntry(msgspec.Struct, array_like=True, kw_only=True):
    """A row of the list: what is filtered, searched and sorted by. ``at`` is where the thread lies."""

    id: str
    source: int
    question: str
    gold: str
    answer: str | None
    verdict: str
    ending: str
    level: int
    type: str
    model: str
    qa: str
    run: int
    calls: int
    repairs: int
    failure: str
    reason: str
    at: Address = (0, 0)


class ShownTurn(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One message of the thread. Of an assistant turn, ``text`` is what was written where that needed repair."""

    role: str
    text: Text = ""
    thought: Text = ""
    call: dict[str, Any] | None = None
    answer: Text | None = None
    repairs: list[str] = []
    tokens: int = 0


class Thread(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An episode as it is read. ``facts`` are what else the record says, in the order of reading."""

    steps: list[ShownTurn]
    method: str = ""
    detail: str = ""
    aliases: list[str] = []
    evidence: list[Evidence] = []
    chain: list[Rewrite] = []
    repairs: list[str] = []
    opinions: list[Opinion] = []
    anatomy: Anatomy | None = None
    facts: list[tuple[str, str]] = []


def of_trajectory(trajectory: Trajectory, source: int, keep: Keep) -> tuple[EpisodeEntry, Thread]:
    verdict, qa = trajectory.verdict, trajectory.qa
    entry = EpisodeEntry(
        id=trajectory.id,
        source=source,
        question=qa.question,
        gold=qa.answer,
        answer=trajectory.answer,
        verdict=verdict.outcome if verdict else "",
        ending=trajectory.ending,
        level=qa.level,
        type=qa.type,
        model=trajectory.model,
        qa=qa.id,
        run=trajectory.rollout,
        calls=sum(trajectory.tools.values()),
        repairs=len(trajectory.repairs),
        failure="",
        reason="",
    )
    thread = _thread(trajectory, keep)
    thread.aliases, thread.evidence, thread.chain = qa.aliases, qa.evidence, qa.chain
    thread.repairs, thread.opinions = trajectory.repairs, trajectory.opinions
    return entry, thread


def of_attempt(attempt: Attempt, source: int, keep: Keep) -> tuple[EpisodeEntry, Thread]:
    thread = _thread(attempt, keep)
    thread.repairs = [repair for step in thread.steps for repair in step.repairs]
    thread.evidence, thread.aliases, thread.anatomy = attempt.evidence, attempt.aliases, attempt.anatomy
    entry = EpisodeEntry(
        id=attempt.id,
        source=source,
        question=attempt.question,
        gold=attempt.gold,
        answer=attempt.answer,
        verdict=attempt.verdict.outcome,
        ending=attempt.ending,
        level=attempt.level,
        type=attempt.type,
        model=attempt.model,
        qa=attempt.qa_id,
        run=attempt.run,
        calls=sum(attempt.tools.values()),
        repairs=len(thread.repairs),
        failure=(attempt.anatomy and attempt.anatomy.failure) or "",
        reason="",
    )
    return entry, thread


def reject(entry: EpisodeEntry, thread: Thread, rejected: Rejected) -> None:
    """Mark an episode as one that a stage left out, and say why."""
    entry.reason = rejected.reason or "rejected"
    said = [("left out by", rejected.stage), ("reason", rejected.reason), ("because", rejected.detail)]
    thread.facts[:0] = [(name, text) for name, text in said if text]


def _thread(record: Trajectory | Attempt, keep: Keep) -> Thread:
    verdict = record.verdict
    return Thread(
        steps=_steps(record, keep),
        method=verdict.method if verdict else "",
        detail=verdict.detail if verdict else "",
        facts=_facts(record),
    )


def _steps(record: Trajectory | Attempt, keep: Keep) -> list[ShownTurn]:
    turn, steps = 0, []
    folds = record.context.folds if record.context else []
    for message in record.messages:
        if message.role == "assistant":
            tokens = record.calls[turn].output_tokens if turn < len(record.calls) else 0
            if turn in folds:
                steps.append(ShownTurn(role="assistant", thought=keep(message.content), tokens=tokens))
            else:
                steps.append(_turn(message.content, tokens, keep))
            turn += 1
        elif (observed := response_text(message.content)) is not None:
            steps.append(ShownTurn(role="tool", text=keep(observed)))
        else:
            steps.append(ShownTurn(role=message.role, text=keep(message.content)))
    return steps


def _turn(content: str, tokens: int, keep: Keep) -> ShownTurn:
    turn = parse_turn(content)
    return ShownTurn(
        role="assistant",
        text=keep(content) if turn.repairs else "",
        thought=keep(turn.thought),
        call={"name": turn.call.name, "arguments": turn.call.arguments} if turn.call else None,
        answer=None if turn.answer is None else keep(turn.answer),
        repairs=turn.repairs,
        tokens=tokens,
    )


def _facts(record: Trajectory | Attempt) -> list[tuple[str, str]]:
    """Whatever else a reader may ask for; what is empty is left out. Unknown fields follow, if they are no objects."""
    tools = ", ".join(f"{count} × {name}" for name, count in record.tools.items())
    named = [
        ("tools", tools),
        ("tokens", _usage(record.usage)),
        ("last call because of", (record.last_call or "").replace("_", " ")),
        ("context", context_in_words(record.context)),
        ("model", record.model),
        ("prompts", record.prompts),
        ("web", record.web),
        ("summariser", record.summariser),
        ("id", record.id),
    ]
    others = [(name, str(value)) for name, value in record.extra.items() if isinstance(value, str | int | float)]
    return [(name, text) for name, text in [*named, *others] if text]


def context_in_words(context: Context | None) -> str:
    """What the policy saw of its own history; nothing where that was all."""
    if context is None:
        return ""
    summaries = [f"turn {turn + 1}" for turn in context.folds]
    lines = sum(map(bool, context.lines))
    told = [f"{lines} observations became lines"] if lines else []
    told += [f"it went on from its summary in {', '.join(summaries)}"] if summaries else []
    return ": ".join([context.rule, *["; ".join(told)] * bool(told)])


def _usage(usage: Usage) -> str:
    if not usage.input_tokens and not usage.output_tokens:
        return f"{usage.calls} model calls" if usage.calls else ""
    cost = f", ${usage.cost:.4f}" if usage.cost else ""
    return f"{usage.input_tokens:,} in, {usage.output_tokens:,} out, {usage.calls} model calls{cost}"

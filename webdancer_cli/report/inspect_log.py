"""Evaluations as a log of inspect_ai, which ``inspect view`` opens: an ``.eval`` file, a ZIP with JSON inside.

The form is that of inspect_ai's own recorder (``log/_recorders/eval.py`` and ``log/_log.py``), version 2 of the log:
``header.json`` has what the run was, ``summaries.json`` a short entry of each sample, ``samples/`` the samples. A
question is a sample and its run an epoch; a turn of the policy becomes a message with its reasoning and its tool call,
an observation the message of a tool.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli import __version__
from webdancer_cli.data.records import Attempt, Evidence, Message, Trajectory, Usage, Verdict
from webdancer_cli.errors import UsageError
from webdancer_cli.report.shapes import Shape, record_of, shape_of
from webdancer_cli.transcript.grammar import Turn, parse_turn, response_text

LOG_VERSION = 2
SCORER = "verdict"
VALUES = {"correct": "C", "wrong": "I"}
"""inspect's letters. What is unjudged has no score there."""
STOP_REASONS = {"answered": "stop", "no_answer": "stop", "token_limit": "model_length"}
SHOWN_CHARS = 1000
"""Of the texts of a summary."""


class InspectLog:
    """Takes the decoded lines of an evaluation one by one; samples wait packed.

    ``reveal``: what is sealed is written in the clear.
    """

    def __init__(self, title: str, names: list[str], *, reveal: bool = False):
        self._title = title
        self._names = names
        self._reveal = reveal
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._file = io.BytesIO()
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED)
        self._summaries: list[dict[str, Any]] = []
        self._models: set[tuple[int, str]] = set()
        self._taken: set[tuple[str, int]] = set()
        self._outcomes: Counter[str] = Counter()

    def add(self, source: int, value: Any) -> Shape:
        """Take a decoded line of the file number ``source``: an attempt or a trajectory, else it is "other".

        Raises WrongShape, and UsageError where a second evaluation begins.
        """
        shape = shape_of(value)
        if shape not in ("attempt", "trajectory"):
            return "other"
        record = record_of(shape, value, reveal=self._reveal)
        assert isinstance(record, Attempt | Trajectory)
        self._models.add((source, record.model))
        if len(self._models) > 1:
            raise UsageError("a log of inspect_ai is of one evaluation: name one file, of one model")
        sample = _sample(record, self._created)
        while (sample["id"], sample["epoch"]) in self._taken:  # a run that stands twice in the file
            sample["epoch"] += 1
        self._taken.add((sample["id"], sample["epoch"]))
        self._outcomes[record.verdict.outcome if record.verdict else "unjudged"] += 1
        self._zip.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", msgspec.json.encode(sample))
        self._summaries.append(_summary(sample))
        return shape

    def write(self, path: str) -> None:
        ((source, model),) = self._models
        start = {"version": LOG_VERSION, "eval": self._spec(self._names[source], model), "plan": _plan()}
        header = start | {"status": "success", "results": self._results(), "stats": self._stats(model)}
        self._zip.writestr("_journal/start.json", msgspec.json.encode(start))
        self._zip.writestr("summaries.json", msgspec.json.encode(self._summaries))
        self._zip.writestr("header.json", msgspec.json.encode(header))
        self._zip.close()
        Path(path).write_bytes(self._file.getbuffer())

    def _spec(self, name: str, model: str) -> dict[str, Any]:
        ids = list(dict.fromkeys(summary["id"] for summary in self._summaries))
        return {
            "created": self._created,
            "task": name,
            "dataset": {"name": name, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": model or "unknown",
            "config": {"epochs": max(summary["epoch"] for summary in self._summaries)},
            "packages": {"webdancer": __version__},
            "metadata": {"title": self._title},
        }

    def _results(self) -> dict[str, Any]:
        judged = sum(self._outcomes[outcome] for outcome in VALUES)
        accuracy = self._outcomes["correct"] / judged if judged else 0.0
        score = {
            "name": SCORER,
            "scorer": SCORER,
            "scored_samples": judged,
            "unscored_samples": self._outcomes["unjudged"],
            "metrics": {"accuracy": {"name": "accuracy", "value": accuracy}},
        }
        return {"total_samples": len(self._summaries), "completed_samples": len(self._summaries), "scores": [score]}

    def _stats(self, model: str) -> dict[str, Any]:
        totals: Counter[str] = Counter()
        for summary in self._summaries:
            for usage in summary["model_usage"].values():
                totals.update(usage)
        told_at = {"started_at": self._created, "completed_at": self._created}  # records say nothing of the time
        return told_at | {"model_usage": {model or "unknown": dict(totals)}}


def _plan() -> dict[str, Any]:
    return {"name": "webdancer", "steps": []}


def _sample(record: Attempt | Trajectory, created: str) -> dict[str, Any]:
    messages, model = list(_messages(record.messages)), record.model or "unknown"
    if isinstance(record, Attempt):
        of, run, question, golds = record.qa_id, record.run, record.question, [record.gold, *record.aliases]
    else:
        qa, run = record.qa, record.rollout
        of, question, golds = qa.id, qa.question, [qa.answer, *qa.aliases]
    return {
        "id": of,
        "epoch": 1 + run,
        "input": question,
        "target": golds,
        "messages": messages,
        "output": _output(record, model, messages),
        "scores": _scores(record.verdict, record.answer),
        "model_usage": {model: _usage(record.usage)},
        "metadata": _metadata(record),
        "events": list(_events(messages, model, created)),
    }


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    kept = {name: sample[name] for name in ("id", "epoch", "scores", "model_usage")}
    short = {name: value for name, value in sample["metadata"].items() if isinstance(value, str | int | float | bool)}
    shown = {"input": sample["input"][:SHOWN_CHARS], "target": [text[:SHOWN_CHARS] for text in sample["target"]]}
    return kept | shown | {"metadata": short, "completed": True, "message_count": len(sample["messages"])}


def _messages(turns: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The thread in inspect's form. A turn that cannot be read is text, as it was written."""
    calls, last_call = 0, ""
    for number, turn in enumerate(turns):
        identified = {"id": f"m{number}"}
        observed = response_text(turn.content) if turn.role == "user" else None
        if turn.role == "assistant":
            read = parse_turn(turn.content)
            message = identified | {"role": "assistant", "content": _content(read, turn.content)}
            if read.call:
                calls, last_call = calls + 1, read.call.name
                called = {"id": f"call_{calls}", "function": read.call.name, "arguments": read.call.arguments}
                message |= {"tool_calls": [called | {"type": "function"}]}
            yield message
        elif observed is not None and calls:
            yield identified | {
                "role": "tool",
                "content": observed,
                "tool_call_id": f"call_{calls}",
                "function": last_call,
            }
        else:
            yield identified | {"role": turn.role, "content": turn.content}


def _content(turn: Turn, written: str) -> list[dict[str, Any]]:
    if turn.call is None and turn.answer is None:
        return [{"type": "text", "text": written}]
    reasoning = [{"type": "reasoning", "reasoning": turn.thought}] if turn.thought else []
    return [*reasoning, {"type": "text", "text": turn.answer or ""}]


def _events(messages: list[dict[str, Any]], model: str, created: str) -> Iterator[dict[str, Any]]:
    """The thread as inspect's transcript: what each turn was told last, and what each tool was asked and said."""
    calls: dict[str, dict[str, Any]] = {}
    told: list[dict[str, Any]] = []
    for message in messages:
        base = {"timestamp": created, "working_start": 0.0, "uuid": f"e{message['id']}"}
        if message["role"] == "assistant":
            calls |= {call["id"]: call for call in message.get("tool_calls", ())}
            output = {"model": model, "choices": [{"message": message, "stop_reason": "stop"}]}
            asked = {"model": model, "input": told, "tools": [], "tool_choice": "auto", "config": {}, "output": output}
            yield base | {"event": "model", **asked}
            told = []
            continue
        told = [*told, message]
        if message["role"] == "tool":
            yield base | {"event": "tool", **calls[message["tool_call_id"]], "result": message["content"], "events": []}


def _output(record: Attempt | Trajectory, model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    choices = [{"message": last, "stop_reason": STOP_REASONS.get(record.ending, "unknown")}] if last else []
    return {"model": model, "choices": choices, "completion": record.answer or "", "usage": _usage(record.usage)}


def _scores(verdict: Verdict | None, answer: str | None) -> dict[str, Any]:
    if verdict is None or verdict.outcome not in VALUES:
        return {}
    told = f"{verdict.method}: {verdict.detail}" if verdict.detail else verdict.method
    return {SCORER: {"value": VALUES[verdict.outcome], "answer": answer or "", "explanation": told}}


def _usage(usage: Usage) -> dict[str, int]:
    together = usage.input_tokens + usage.output_tokens
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": together}


def _metadata(record: Attempt | Trajectory) -> dict[str, Any]:
    """What else is known of an episode, by the names of our records."""
    known: dict[str, Any] = {"ending": record.ending, "prompts": record.prompts, "web": record.web}
    known |= {"tools": record.tools, "usage_calls": record.usage.calls}
    known |= {"context": record.context.rule} if record.context else {}
    if isinstance(record, Attempt):
        known |= {"level": record.level, "type": record.type, "agent": record.agent, "format_ok": record.format_ok}
        known |= {**record.groups, "verdict": record.verdict.outcome, "leaks": record.leaks}
        known |= {"failure": record.anatomy.failure or "" if record.anatomy else ""}
        return known | {"evidence": _evidence(record.evidence)}
    return known | {"level": record.qa.level, "type": record.qa.type, "evidence": _evidence(record.qa.evidence)}


def _evidence(pages: Sequence[Evidence]) -> list[dict[str, str]]:
    return [{"url": page.url, "quote": page.quote} for page in pages]

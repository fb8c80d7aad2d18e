"""What the policy sees of an episode in progress: what is a line by now, and what a summary stands for."""

from typing import Any

from webdancer_cli.data.context import APPEND, Context
from webdancer_cli.data.records import ModelCall
from webdancer_cli.errors import UsageError
from webdancer_cli.prompts import ContextWording, fill
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.transcript.contexts import RULE, SeenExchange, exchanges_seen, kept_observations
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response
from webdancer_cli.transcript.tool_schemas import ASKED


class ContextKeeper:
    """The answers of an episode so far, and what the record says of its context: None where it only grows."""

    def __init__(self, rule: str, wording: ContextWording):
        """Raises UsageError for a rule that there is not."""
        if rule != APPEND and not RULE.fullmatch(rule):
            raise UsageError(f"context {rule}: give append, keep:K, fold or fold:TOKENS")
        self.context = None if rule == APPEND else Context(rule=rule)
        kind, _, number = rule.partition(":")
        self.folds = kind == "fold"
        self.fold_tokens = int(number) if self.folds and number else None
        self._kept = kept_observations(rule)
        self._wording = wording
        self._answers: list[str] = []
        self._lines: list[str] = []

    @property
    def can_fold(self) -> bool:
        """Whether anything stands between the first messages and the latest turn: else a summary frees nothing."""
        return self.folds and bool(self._seen(len(self._answers)))

    def fold(self) -> None:
        """The latest turn is a summary."""
        assert self.context
        self.context.folds.append(len(self._answers))

    def rewritten(self) -> list[SeenExchange] | None:
        """What the policy is to see before its latest turn from now on, if that is not what it saw when it wrote it."""
        if self.context is None:
            return None
        latest = len(self._answers)
        if self._kept is not None:
            self.context.lines = self._lines[: max(0, latest + 1 - self._kept)]
        now = self._seen(latest + 1)
        return now if now != self._seen(latest) else None

    def answered(self, content: str, call: ToolCall | None) -> None:
        """The latest turn, which made this call, has been answered."""
        self._answers.append(content)
        self._lines.append(self._line(content, call) if self._kept is not None else "")

    def _seen(self, turn: int) -> list[SeenExchange]:
        return exchanges_seen(self._answers, self.context, turn) if self.context else []

    def _line(self, content: str, call: ToolCall | None) -> str:
        """What takes the place of an observation; nothing where that would be no shorter, or nothing was called."""
        if call is None:
            return ""
        line = render_response(fill(self._wording.left_out, call=in_words(call)))
        return line if len(line) < len(content) else ""


def summary_faults(turn: Turn, written: str, call: ModelCall) -> list[str]:
    """What is amiss with a summary; any text without an action is one."""
    found = {
        "invented_response": "invented_response" in turn.repairs,
        "call_in_summary": turn.call is not None,
        "empty_summary": not written.strip(),
        "cut_summary": call.finish == "length",
    }
    return [name for name, is_so in found.items() if is_so]


def in_words(call: ToolCall) -> str:
    """A call on one line: its tool, and what that was asked."""
    asked = call.arguments.get(ASKED[call.name]) if call.name in ASKED else call.arguments
    return squeeze(f"{call.name} {'; '.join(_texts(asked))}")


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | dict):
        return [text for part in (value.values() if isinstance(value, dict) else value) for text in _texts(part)]
    return [] if value is None else [str(value)]

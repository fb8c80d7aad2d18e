"""Messages to token ids and the loss mask, for SFT and RL alike.

The frame of a turn is put together from control tokens by id; what stands inside a turn is encoded by tokenizers that
do not know the control tokens at all, so no text can ever become one. Two such tokenizers are made from the given one:

- *plain* knows no added token: for everything that a person or the web wrote;
- *policy* knows the added tokens that a policy may write (the grammar's tags and other non-special pieces): for
  assistant turns, and for the ``<tool_response>`` wrapper, which is ours.

Turns are encoded one by one. So ``encode`` of a conversation is the concatenation of what ``prompt``, ``turn`` and
``observation`` give on the way, and an episode in progress never has to be encoded again.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from webdancer_cli.errors import UsageError
from webdancer_cli.records import Message
from webdancer_cli.training.templates import choose, pieces
from webdancer_cli.transcript import TAGS

ASSISTANT = "assistant"

_GRAMMAR = re.compile(rf"\s*</?(?:{'|'.join(TAGS)})>\s*")
_CONTROL_LIKE = re.compile(r"<\|.*\|>")
_RESPONSE = re.compile(r"(\s*<tool_response>\n?)(.*?)(\n?</tool_response>\s*)", re.DOTALL)


@dataclass
class Tokens:
    """Token ids, and for each whether it may bear loss. Both lists have the same length."""

    ids: list[int] = field(default_factory=list)
    trainable: list[bool] = field(default_factory=list)

    def extend(self, ids: Sequence[int], trainable: bool) -> None:
        self.ids.extend(ids)
        self.trainable.extend([trainable] * len(ids))


class Renderer:
    """Turns messages into ids under one chat template.

    Raises UsageError when the tokenizer has no fast form, or the tokens of no known template, or would make a control
    token out of plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "auto"):
        name = tokenizer.name_or_path or "this model"
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise UsageError(f"the tokenizer of {name} has no fast form: save it with a tokenizer.json")
        spec = json.loads(backend.to_str())
        added = {token["content"]: token["id"] for token in spec["added_tokens"]}
        self._whole = backend
        self._plain = _without(spec, keep=lambda token: False)
        self._policy = _without(spec, keep=_policy_may_write)
        self._ids = added
        self.template = choose(template, added, name)
        self.end_id = added[self.template.end]
        stops = {added[token] for token in self.template.stops if token in added}
        self.stop_ids = frozenset({self.end_id, *stops, *_known(tokenizer.eos_token_id)})
        self._between = self._frame(self.template.between)
        self._openings = {role: self._frame(self._opening(role)) for role in ("system", "user", ASSISTANT)}
        self._forbid_control(name, [*self.template.control, *self.template.stops])

    def encode(self, messages: Sequence[Message]) -> Tokens:
        """A whole conversation. Trainable are the assistant turns: their content and the end token, nothing else."""
        tokens = Tokens()
        tokens.extend(self._frame(self.template.begin), False)
        for number, message in enumerate(messages):
            if number:
                tokens.extend(self._between, False)
            is_policy = message.role == ASSISTANT
            tokens.extend(self._openings[message.role], False)
            tokens.extend(self._content(message), is_policy)
            tokens.extend([self.end_id], is_policy)
        return tokens

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """A conversation up to and including the opening of the assistant turn that comes next."""
        between = self._between if messages else []
        return self.encode(messages).ids + between + self._openings[ASSISTANT]

    def turn(self, content: str) -> list[int]:
        """An assistant turn after its opening: content and end token, as a policy would sample it."""
        return [*self._ids_of(self._policy, content), self.end_id]

    def observation(self, content: str, *, closed: bool = True) -> list[int]:
        """What follows a sampled turn: a user message and the opening of the next assistant turn.

        ``closed`` says whether the sampled ids end with one of ``stop_ids``; if not, the end token comes first.
        """
        message = Message("user", content)
        ids = [*self._between, *self._openings["user"], *self._content(message), self.end_id]
        return [*([] if closed else [self.end_id]), *ids, *self._between, *self._openings[ASSISTANT]]

    def text(self, ids: Sequence[int]) -> str:
        """The text of a sampled turn, without the stop token that ends it. Broken UTF-8 becomes U+FFFD."""
        closed = bool(ids) and ids[-1] in self.stop_ids
        return self._whole.decode(list(ids[:-1] if closed else ids), skip_special_tokens=False)

    def _content(self, message: Message) -> list[int]:
        if message.role == ASSISTANT:
            return self._ids_of(self._policy, message.content)
        response = _RESPONSE.fullmatch(message.content) if message.role == "user" else None
        if response is None:
            return self._ids_of(self._plain, message.content)
        opening, inner, closing = response.groups()
        return [
            *self._ids_of(self._policy, opening),
            *self._ids_of(self._plain, inner),
            *self._ids_of(self._policy, closing),
        ]

    def _opening(self, role: str) -> str:
        return self.template.opening.format(role=role)

    def _frame(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece, is_control in pieces(text):
            ids.extend([self._ids[piece]] if is_control else self._ids_of(self._plain, piece))
        return ids

    def _ids_of(self, tokenizer: Tokenizer, text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(_valid_unicode(text), add_special_tokens=False).ids
        return ids

    def _forbid_control(self, name: str, control: Iterable[str]) -> None:
        """Some vocabularies hold the control tokens as ordinary words too; then text could become one."""
        for token in control:
            for tokenizer in (self._plain, self._policy):
                if token in self._ids and self._ids[token] in self._ids_of(tokenizer, f"a{token} {token}"):
                    raise UsageError(
                        f"the tokenizer of {name} makes {token} out of plain text: it cannot be used safely"
                    )


def _policy_may_write(token: dict[str, Any]) -> bool:
    """The grammar's tags in any case; other added tokens unless they are special or look like control tokens."""
    if _GRAMMAR.fullmatch(token["content"]):
        return True
    return not token["special"] and not _CONTROL_LIKE.search(token["content"])


def _without(spec: dict[str, Any], keep: Callable[[dict[str, Any]], bool]) -> Tokenizer:
    """The same tokenizer with those added tokens only that ``keep`` accepts; these match exactly and eat no spaces."""
    exact = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    added = [{**token, **exact} for token in spec["added_tokens"] if keep(token)]
    return Tokenizer.from_str(json.dumps({**spec, "added_tokens": added, "truncation": None, "padding": None}))


def _known(ids: int | list[int] | None) -> list[int]:
    if ids is None:
        return []
    return ids if isinstance(ids, list) else [ids]


def _valid_unicode(text: str) -> str:
    """JSON can smuggle in lone surrogates, which no tokenizer can encode."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

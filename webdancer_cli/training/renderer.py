"""Messages to token ids and the loss mask, for SFT and RL alike.

Each part of a conversation may hold some of the tokenizer's added tokens and no others:

- the *frame* of a turn (its template): all of them;
- what we wrote or the policy may write, prompts and assistant turns: the grammar's tags and other non-special pieces,
  as whoever serves the checkpoint encodes them;
- what the web wrote, inside ``<tool_response>``: only those that are no markup at all, such as a run of line breaks. So
  no page can become a control token or a tag, whatever it spells.

What stands between two assistant turns is encoded in one piece, and each assistant turn in one of its own. So
``encode`` of a conversation is the concatenation of what ``prompt``, ``turn`` and ``observation`` give on the way, and
an episode in progress never has to be encoded again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError
from webdancer_cli.training.chat_templates import START, Template
from webdancer_cli.training.segments import Part, SegmentEncoder, TokenSet
from webdancer_cli.training.template_derivation import template_for
from webdancer_cli.transcript.grammar import TAGS

ASSISTANT: Literal["assistant"] = "assistant"

_GRAMMAR = re.compile(rf"\s*</?(?:{'|'.join(TAGS)})>\s*")
_CONTROL_LIKE = re.compile(r"<[|｜].*[|｜]>")
_MARKUP = re.compile(r"[<>\[\]{}|｜]")
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

    Raises UsageError when the tokenizer has no fast form, or neither a chat template that is a frame nor the tokens of
    a known family, when it would make a control token out of plain text, or gives other ids to a conversation than
    this renderer does: what is trained has to be what is served.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "auto"):
        name = tokenizer.name_or_path or "this model"
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise UsageError(f"the tokenizer of {name} has no fast form: save it with a tokenizer.json")
        self._whole = backend
        self._encoder = SegmentEncoder(backend, _is_ordinary)
        markup = [token for token in self._encoder.tokens if not _is_ordinary(token)]
        self._ids = self._encoder.ids
        framing = [token.content for token in markup if not _GRAMMAR.fullmatch(token.content)]
        self.template = template_for(tokenizer, framing, template, name)
        self._frame = TokenSet(markup)
        self.control = _control(self.template, self._frame)
        """The added tokens of the frame."""
        special = {token.content for token in markup if token.special and not _GRAMMAR.fullmatch(token.content)}
        self._control_ids = frozenset(self._ids[content] for content in self.control | special)
        self._written = TokenSet(token for token in markup if _may_be_written(token, self.control))
        self._web = TokenSet([])
        self.end_id = self._ids[self.template.end]
        stops = {self._ids[token] for token in self.template.stops if token in self._ids}
        self.stop_ids = frozenset({self.end_id, *stops, *_known(tokenizer.eos_token_id)})
        self.closing_ids = self.stop_ids if self._opens_after_end() else frozenset({self.end_id})
        """The stop tokens after which a turn is over. In some families (GLM) the end token opens the next turn, too:
        then it has to stand after any other."""
        self._forbid_control(name)
        check_ids(self, tokenizer, name)

    def encode(self, messages: Sequence[Message]) -> Tokens:
        """A whole conversation. Trainable are the assistant turns: their content and the end token, nothing else.

        Raises UnknownTurnOrder, as ``prompt`` does, where the family has no form for the order of the turns.
        """
        tokens, last = self._encode(messages)
        if last and last[-1].role != ASSISTANT:
            tokens.extend(self._told(last, self.template.tails.get(last[-1].role, "")), False)
        return tokens

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """A conversation up to and including the opening of the assistant turn that comes next."""
        tokens, last = self._encode(messages)
        role = last[-1].role if last else START
        return tokens.ids + self._told(last, self.template.joint(role, ASSISTANT))

    def turn(self, content: str) -> list[int]:
        """An assistant turn after its opening: content and end token, as a policy would sample it."""
        return [*self._encoder.encode([(content, self._written)]), self.end_id]

    def tokens_within(self, content: str, start: int, end: int) -> range:
        """Those tokens of an assistant turn that hold a part of ``content[start:end]``, by their place in the turn."""
        ids, before, until = (self.turn(text)[:-1] for text in (content, content[:start], content[:end]))
        last = _shared(ids, until)
        return range(_shared(ids, before), last if last == len(until) else last + 1)

    def observation(self, content: str, *, closed: bool = True) -> list[int]:
        """What follows a sampled turn: a user message and the opening of the next assistant turn.

        ``closed`` says whether the sampled ids end with one of ``closing_ids``; if not, the end token comes first.
        """
        after = [Message(ASSISTANT, ""), Message("user", content)]
        ids = self._told(after, self.template.joint("user", ASSISTANT))
        return ids if closed else [self.end_id, *ids]

    def text(self, ids: Sequence[int]) -> str:
        """The text of a sampled turn, without the stop token that ends it. Broken UTF-8 becomes U+FFFD."""
        closed = bool(ids) and ids[-1] in self.stop_ids
        return self.decode(ids[:-1] if closed else ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of any ids, control tokens included."""
        return self._whole.decode(list(ids), skip_special_tokens=False)

    def is_control(self, id: int) -> bool:
        """Whether a token is one that no text can become: of the frame, or special."""
        return id in self._control_ids

    def written(self, messages: Sequence[Message]) -> str:
        """The text of a conversation in the template: what a server hands to the tokenizer."""
        return self.template.text(messages)

    def dress(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Make ``tokenizer`` one that serves what was trained: this chat template, and its end token as EOS."""
        tokenizer.chat_template = self.template.jinja
        tokenizer.eos_token = self.template.end

    @property
    def writable(self) -> list[str]:
        """The added tokens that a policy may write."""
        return list(self._written.tokens)

    def _encode(self, messages: Sequence[Message]) -> tuple[Tokens, list[Message]]:
        """The ids up to the end of the last assistant turn; and that turn, with those that come after it."""
        tokens, since = Tokens(), list[Message]()
        for message in messages:
            if message.role == ASSISTANT:
                role = since[-1].role if since else START
                tokens.extend(self._told(since, self.template.joint(role, ASSISTANT)), False)
                tokens.extend(self.turn(message.content), True)
                since = []
            since.append(message)
        return tokens, since

    def _told(self, messages: Sequence[Message], tail: str) -> list[int]:
        """What stands before a turn of the policy: others' turns in one piece with all that frames them, since text may
        join across their edges, and the tokens of the frame may take the spaces beside them.

        ``messages`` may begin with the assistant turn before, whose content and end token are left out.
        """
        parts: list[Part] = []
        last = START
        for number, message in enumerate(messages):
            if number or message.role != ASSISTANT:
                parts += [(self.template.joint(last, message.role), self._frame), *self._content(message)]
            last = message.role
        ids = self._encoder.encode([*parts, (tail, self._frame)])
        after_turn = bool(messages) and messages[0].role == ASSISTANT
        return ids[1:] if after_turn else ids  # the end token is the turn's own

    def _content(self, message: Message) -> list[Part]:
        response = _RESPONSE.fullmatch(message.content) if message.role == "user" else None
        if response is None:
            return [(message.content, self._written)]
        opening, inner, closing = response.groups()
        return [(opening, self._written), (inner, self._web), (closing, self._written)]

    def _opens_after_end(self) -> bool:
        following = self.template.joints["assistant", "user"].removeprefix(self.template.end)
        return any(token is not None for _, token in self._frame.split(following))

    def _forbid_control(self, name: str) -> None:
        """Some vocabularies hold special tokens as ordinary words too; then text could become one."""
        special = {token.content for token in self._encoder.tokens if token.special} - set(self.writable)
        special |= self.control | (self.template.stops & self._ids.keys())
        for allowed in (self._written, self._web):
            ids = set(self._encoder.encode([("".join(f"a{token} {token}\n" for token in sorted(special)), allowed)]))
            token = next((token for token in sorted(special) if self._ids[token] in ids), None)
            if token:
                raise UsageError(f"the tokenizer of {name} makes {token} out of plain text: it cannot be used safely")


def check_ids(renderer: Renderer, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Hold the renderer against the tokenizer itself: every token that a policy may write, and whole conversations.

    Raises UsageError where they differ. Takes milliseconds.
    """
    text = "".join(f"a{token}b" for token in renderer.writable)
    own = tokenizer.encode(text, add_special_tokens=False)
    if own != renderer.turn(text)[:-1]:
        raise UsageError(f"the tokenizer of {name} gives ids of its own to {_first_apart(renderer, tokenizer)}")
    rendered = renderer.encode(PROBE).ids
    decoded = renderer.text([*rendered, renderer.end_id])
    if _comparable(decoded, tokenizer) != _comparable(renderer.written(PROBE), tokenizer):
        raise UsageError(
            f"the tokenizer of {name} adds or drops spaces at the edges of turns (it reads a conversation as "
            f"{decoded[:40]!r}): a vocabulary that puts a space before every text cannot be used"
        )
    for probe in (PROBE, *(_with_edges(edge) for edge in _EDGES)):
        rendered, served = (
            renderer.encode(probe).ids,
            tokenizer.encode(renderer.written(probe), add_special_tokens=False),
        )
        if rendered != served:
            at = next((at for at, pair in enumerate(zip(rendered, served, strict=False)) if pair[0] != pair[1]), 0)
            parts = (tokenizer.decode(ids[at : at + 4]) for ids in (rendered, served))
            raise UsageError(
                f"the tokenizer of {name} joins text across the edges of turns: "
                f"{' is served as '.join(map(repr, parts))}, so what is trained would not be what is served; "
                "it cannot be used"
            )


PROBE = [
    Message("system", "You browse. Think in <think> and </think>."),
    Message("user", "When did Vell open its harbour?"),
    Message(ASSISTANT, "<think>\nI look.\n</think>\n<tool_call>\n{}\n</tool_call>"),
    Message("user", "<tool_response>\nIn 1904, they say.\n\n- größer, 日本 🙂.\n</tool_response>"),
    Message(ASSISTANT, "<think>\nSo.\n</think>\n<answer>\n1904\n</answer>"),
]
"""A conversation that is encoded whole when a renderer is made."""

_EDGES = ("", " ", "\n", " a ", "\n\na\n\n", "\t日本 🙂", ".")
"""Contents with which text could join across the edges of others' turns."""


def _with_edges(edge: str) -> list[Message]:
    reply, page = PROBE[2], f"<tool_response>\n{edge}\n</tool_response>"
    return [Message("system", edge), Message("user", edge), reply, Message("user", page), reply, Message("user", edge)]


def _first_apart(renderer: Renderer, tokenizer: PreTrainedTokenizerBase) -> str:
    for token in renderer.writable:
        if tokenizer.encode(f"a{token}b", add_special_tokens=False) != renderer.turn(f"a{token}b")[:-1]:
            return f"{token!r}, which this renderer does not give: it cannot be used"
    return "some of its added tokens side by side: it cannot be used"


def _comparable(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Added tokens of some families take the spaces beside them; then texts are compared without any."""
    eats = any(token.lstrip or token.rstrip for token in tokenizer.added_tokens_decoder.values())
    return "".join(text.split()) if eats else text


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many ids two lists begin with in common."""
    apart = (at for at, pair in enumerate(zip(ids, others, strict=False)) if pair[0] != pair[1])
    return next(apart, min(len(ids), len(others)))


def _control(template: Template, tokens: TokenSet) -> frozenset[str]:
    """The added tokens of the frame; a tag of the grammar is none, even where a family's own prompt names it."""
    frame = "\0".join([*template.joints.values(), *template.tails.values()])
    found = {token.content for _, token in tokens.split(frame) if token is not None}
    return frozenset(content for content in found if not _GRAMMAR.fullmatch(content))


def _may_be_written(token: AddedToken, control: frozenset[str]) -> bool:
    """The grammar's tags; other added tokens unless they are special, of the frame, or look like control tokens."""
    if _GRAMMAR.fullmatch(token.content):
        return True
    return not token.special and token.content not in control and not _CONTROL_LIKE.search(token.content)


def _is_ordinary(token: AddedToken) -> bool:
    """Ordinary pieces of text that a family keeps among its added tokens, such as runs of line breaks."""
    return not token.special and not _MARKUP.search(token.content)


def _known(ids: int | list[int] | None) -> list[int]:
    if ids is None:
        return []
    return ids if isinstance(ids, list) else [ids]

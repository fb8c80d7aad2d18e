"""Chat templates as data: what a family of models writes between the contents of a conversation.

A conversation is text between contents and nothing else: what stands there depends on the role before and the role
after alone. That holds for families with a role's name before every turn and a token after it (ChatML), for those that
fold the system message into the first question (Gemma, Mistral), and for those whose turns end with the beginning of
the next one (GLM). ``template_derivation.py`` finds it in a tokenizer's own template; here stand the families that need
no finding, and the way back to a template for whoever serves the model.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError, WebdancerError

ROLES = ("system", "user", "assistant")
START = ""
"""Stands for the role before the first turn."""

_CONTROL = re.compile(r"<\|[a-z_]+\|>")


class UnknownTurnOrder(WebdancerError):
    """A turn follows another one for which a family has no form."""


@dataclass(frozen=True)
class Template:
    """The frame of one family."""

    name: str
    joints: Mapping[tuple[str, str], str]
    """What stands between the content of one role and that of the next; before the first turn the role is START.
    After an assistant turn it begins with ``end``."""
    end: str
    """The token that ends an assistant turn: the policy's own to write."""
    tails: Mapping[str, str]
    """What stands after the content of the last turn, by its role, when no other is opened."""
    stops: frozenset[str] = field(default=frozenset())
    """Other tokens after which a model of this family falls silent."""

    def joint(self, role: str, following: str) -> str:
        """Raises UnknownTurnOrder."""
        if (role, following) not in self.joints:
            place = f"after a turn of {role!r}" if role else "at the beginning"
            raise UnknownTurnOrder(f"{self.name} has no form for a turn of {following!r} {place}")
        return self.joints[role, following]

    def text(self, messages: Sequence[Message], *, opened: bool = False) -> str:
        """A conversation as a server hands it to the tokenizer; ``opened`` asks for an assistant turn to be written."""
        text, last = "", START
        for message in messages:
            text += self.joint(last, message.role) + message.content
            last = message.role
        return text + (self.joint(last, "assistant") if opened else self.tails.get(last, ""))

    @property
    def turns(self) -> tuple[str, str]:
        """What stands around an assistant turn in the midst of a conversation."""
        return self.joints["user", "assistant"], self.joints["assistant", "user"]

    @property
    def jinja(self) -> str:
        """The same frame as a Hugging Face chat template: every content as it is, the thoughts of all turns too."""
        between = {
            role: {following: self.joints[role, following] for following in ROLES if (role, following) in self.joints}
            for role in (START, *ROLES)
        }
        tails = {role: self.tails.get(role, "") for role in (START, *ROLES)}
        return _JINJA.replace("BETWEEN", _literal(between)).replace("TAILS", _literal(tails))


_JINJA = """\
{%- set between = BETWEEN -%}
{%- set tails = TAILS -%}
{%- set turn = namespace(last="") -%}
{%- for message in messages -%}
{%- if message["role"] not in between[turn.last] -%}
{{- raise_exception("no turn of " + message["role"] + " can stand here") -}}
{%- endif -%}
{{- between[turn.last][message["role"]] + message["content"] -}}
{%- set turn.last = message["role"] -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- between[turn.last]["assistant"] -}}
{%- else -%}
{{- tails[turn.last] -}}
{%- endif -%}
"""


def _literal(value: object) -> str:
    """Jinja reads JSON; escapes beyond the basic plane it would read as two characters, so there are none."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Family:
    """A family whose turns all look alike: ``opening`` with ``{role}`` in it, the content, ``end``, and ``between``.

    Everything that looks like ``<|name|>`` is one token of the tokenizer; the rest is plain text.
    """

    name: str
    opening: str
    end: str
    between: str = ""
    begin: str = ""
    stops: tuple[str, ...] = ()

    @property
    def control(self) -> list[str]:
        """The control tokens that a tokenizer must have for this family."""
        return list(dict.fromkeys(_CONTROL.findall(self.begin + self.opening + self.end + self.between)))

    def template(self, begin: str | None = None) -> Template:
        """The family's frame; ``begin`` is what stands before the first turn, if it is not what the family has."""
        begin = self.begin if begin is None else begin
        openings = {role: self.opening.format(role=role) for role in ROLES}
        joints = {(START, role): begin + openings[role] for role in ROLES}
        joints |= {(last, role): self.end + self.between + openings[role] for last in ROLES for role in ROLES}
        return Template(self.name, joints, self.end, dict.fromkeys(ROLES, self.end), frozenset(self.stops))


KNOWN = (
    Family("phi4", opening="<|im_start|>{role}<|im_sep|>", end="<|im_end|>", stops=("<|endoftext|>",)),
    Family("chatml", opening="<|im_start|>{role}\n", end="<|im_end|>", between="\n", stops=("<|endoftext|>",)),
    Family(
        "llama3",
        begin="<|begin_of_text|>",
        opening="<|start_header_id|>{role}<|end_header_id|>\n\n",
        end="<|eot_id|>",
        stops=("<|end_of_text|>", "<|eom_id|>"),
    ),
)
"""The families that are told by their tokens, the pickier first: phi4 has all of ChatML's tokens and one more."""


def named(name: str, tokens: Collection[str], tokenizer_name: str) -> Family:
    """The known family called ``name``. Raises UsageError when there is none, or the tokenizer lacks its tokens."""
    family = next((known for known in KNOWN if known.name == name), None)
    if family is None:
        raise UsageError(f"no template {name!r}: take auto or one of {', '.join(known.name for known in KNOWN)}")
    missing = [token for token in family.control if token not in tokens]
    if missing:
        raise UsageError(f"template {name} needs {' '.join(missing)}, which the tokenizer of {tokenizer_name} lacks")
    return family


def told_by_tokens(tokens: Collection[str]) -> Family | None:
    """The first known family whose control tokens are all among ``tokens``."""
    return next((known for known in KNOWN if all(token in tokens for token in known.control)), None)

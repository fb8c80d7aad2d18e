"""Chat templates as data: how a family of models frames the turns of a conversation.

What comes before the first turn differs within a family (ChatML with and without a BOS token), so it is read off the
model's own chat template.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import jinja2
from transformers import PreTrainedTokenizerBase

from webdancer_cli.errors import UsageError

_CONTROL = re.compile(r"<\|[a-z_]+\|>")


@dataclass(frozen=True)
class Template:
    """The frame of one family. Between two turns stands ``between``; ``{role}`` in ``opening`` is the turn's role.

    Everything that looks like ``<|name|>`` here is one token of the tokenizer; the rest is plain text.
    """

    name: str
    opening: str
    end: str
    between: str = ""
    begin: str = ""
    stops: frozenset[str] = field(default=frozenset())
    """Other tokens after which a model of this family falls silent."""

    @property
    def control(self) -> list[str]:
        """The control tokens that a tokenizer must have for this template."""
        return list(dict.fromkeys(_CONTROL.findall(self.begin + self.opening + self.end + self.between)))

    @property
    def jinja(self) -> str:
        """The same frame as a Hugging Face chat template, for whoever serves the model."""
        before, after = map(json.dumps, self.opening.split("{role}"))  # Jinja reads the escapes of JSON
        begin, end, between, opening = map(
            json.dumps, (self.begin, self.end, self.between, self.opening.format(role="assistant"))
        )
        return (
            f"{{{{ {begin} }}}}{{% for message in messages %}}"
            f"{{{{ {before} + message['role'] + {after} + message['content'] + {end} }}}}"
            f"{{% if add_generation_prompt or not loop.last %}}{{{{ {between} }}}}{{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {opening} }}}}{{% endif %}}"
        )


TEMPLATES = (
    Template("phi4", opening="<|im_start|>{role}<|im_sep|>", end="<|im_end|>", stops=frozenset({"<|endoftext|>"})),
    Template(
        "chatml",
        opening="<|im_start|>{role}\n",
        end="<|im_end|>",
        between="\n",
        stops=frozenset({"<|endoftext|>"}),
    ),
    Template(
        "llama3",
        begin="<|begin_of_text|>",
        opening="<|start_header_id|>{role}<|end_header_id|>\n\n",
        end="<|eot_id|>",
        stops=frozenset({"<|end_of_text|>", "<|eom_id|>"}),
    ),
)
"""The families that are known, the pickier first: phi4 has all of ChatML's tokens and one more."""


def choose(name: str, tokens: Collection[str], tokenizer_name: str) -> Template:
    """The template called ``name``, or for "auto" the first whose control tokens are all among ``tokens``.

    Raises UsageError when there is no such template, or when the tokenizer lacks its tokens.
    """
    if name == "auto":
        return _detect(tokens, tokenizer_name)
    template = next((known for known in TEMPLATES if known.name == name), None)
    if template is None:
        raise UsageError(f"no template {name!r}: take auto or one of {', '.join(known.name for known in TEMPLATES)}")
    missing = [token for token in template.control if token not in tokens]
    if missing:
        raise UsageError(f"template {name} needs {' '.join(missing)}, which the tokenizer of {tokenizer_name} lacks")
    return template


def _detect(tokens: Collection[str], tokenizer_name: str) -> Template:
    for template in TEMPLATES:
        if all(token in tokens for token in template.control):
            return template
    known = "; ".join(f"{template.name}: {' '.join(template.control)}" for template in TEMPLATES)
    raise UsageError(
        f"the tokenizer of {tokenizer_name} has the chat tokens of no known template ({known}): "
        "take an instruct model of one of these families, or add its tokens to the tokenizer as special tokens"
    )


def with_own_beginning(template: Template, tokenizer: PreTrainedTokenizerBase) -> Template:
    """``template`` with what the tokenizer's own chat template writes before the first turn.

    Where the tokenizer has none, or one of another family, it is the BOS token, if the tokenizer puts one before texts.
    """
    text = _own_text(tokenizer, PROBE)
    if text is None:
        return replace(template, begin=_bos_before_text(template, tokenizer) or template.begin)
    openings = [text.find(template.opening.format(role=role)) for role in ("system", "user")]
    first = min((at for at in openings if at >= 0), default=None)
    if first is not None:
        return replace(template, begin=text[:first])
    bos = tokenizer.bos_token
    begins = isinstance(bos, str) and bos not in template.control and text.startswith(bos)
    return replace(template, begin=bos if begins else template.begin)


def difference(template: Template, tokenizer: PreTrainedTokenizerBase) -> str:
    """How the tokenizer's own chat template writes a conversation otherwise than ``template``; empty if it does not.

    What a family does to turns that are over (it may leave their thoughts out) is not compared.
    """
    text = _own_text(tokenizer, PROBE)
    if text is None:
        return ""
    turns = [template.opening.format(role=message["role"]) + message["content"] + template.end for message in PROBE]
    ours = template.begin + template.between.join([*turns, template.opening.format(role="assistant")])
    if text == ours:
        return ""
    at = next((at for at, pair in enumerate(zip(text, ours, strict=False)) if pair[0] != pair[1]), len(ours))
    return f"{text[at : at + 40]!r} where {template.name} has {ours[at : at + 40]!r}"


PROBE = [
    {"role": "system", "content": "You browse."},
    {"role": "user", "content": "When?"},
]
"""A conversation that every family can write."""


def _own_text(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str | None:
    """``messages`` and an opened assistant turn in the model's own chat template, without a system message where the
    family knows none; None without a template that can write them."""
    if not tokenizer.chat_template:
        return None
    for conversation in (messages, messages[1:]):
        try:
            text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        except (jinja2.TemplateError, ValueError, TypeError, KeyError):
            continue
        return text if isinstance(text, str) else None
    return None


def _bos_before_text(template: Template, tokenizer: PreTrainedTokenizerBase) -> str:
    bos = tokenizer.bos_token
    if not isinstance(bos, str) or bos in template.control:
        return ""
    return bos if tokenizer("a").input_ids[0] == tokenizer.bos_token_id else ""

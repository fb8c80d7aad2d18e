"""Chat templates as data: how a family of models frames the turns of a conversation."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

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


def pieces(text: str) -> list[tuple[str, bool]]:
    """Template text cut into control tokens (True) and plain text (False), in order."""
    found: list[tuple[str, bool]] = []
    at = 0
    for match in _CONTROL.finditer(text):
        found.append((text[at : match.start()], False))
        found.append((match.group(), True))
        at = match.end()
    found.append((text[at:], False))
    return [(piece, is_control) for piece, is_control in found if piece]

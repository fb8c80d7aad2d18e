"""Shows people which tokens bear loss: in colour on a terminal, else with marks.

    marks       ⟦ a span that bears loss ⟧        ⟨a token of the frame, or a special one⟩
    colours     green                             magenta, underlined where it bears loss

Text that only spells a control token has neither brackets nor its colour.
"""

import itertools
import re
from collections.abc import Sequence

from webdancer_cli.training.batches import Example
from webdancer_cli.training.renderer import Renderer

_GREEN, _MAGENTA, _UNDERLINED, _DIM, _RESET = "\x1b[32m", "\x1b[35m", "\x1b[4m", "\x1b[2m", "\x1b[0m"
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def mask_view(examples: Sequence[Example], renderer: Renderer, *, coloured: bool) -> str:
    """The examples one after the other, each with the share of its tokens that bears loss, and that of all of them."""
    show = _coloured if coloured else _marked
    parts = [
        f"── example {number} of {len(examples)}: {_share([example])}\n{show(example, renderer)}"
        for number, example in enumerate(examples, 1)
    ]
    return "\n\n".join([*parts, f"── together: {_share(examples)}"])


def _share(examples: Sequence[Example]) -> str:
    tokens, loss = sum(len(example.ids) for example in examples), sum(example.loss_tokens for example in examples)
    return f"{loss:,} of {tokens:,} tokens bear loss ({loss / max(1, tokens):.1%})"


def _spans(example: Example, renderer: Renderer) -> list[tuple[str, bool, bool]]:
    """Text, whether it bears loss, and whether it is a control token."""
    marked = zip(example.ids, example.trainable, strict=True)
    kinds = [(id, bool(trainable), renderer.is_control(id)) for id, trainable in marked]
    spans = []
    for (trainable, control), run in itertools.groupby(kinds, key=lambda kind: kind[1:]):
        ids = [id for id, _, _ in run]
        texts = [renderer.decode([id]) for id in ids] if control else [renderer.decode(ids)]
        spans += [(_visible(text), trainable, control) for text in texts]
    return spans


def _visible(text: str) -> str:
    """A web page could send a terminal orders."""
    return _UNSHOWN.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def _marked(example: Example, renderer: Renderer) -> str:
    text = ""
    for trainable, run in itertools.groupby(_spans(example, renderer), key=lambda span: span[1]):
        inner = "".join(f"⟨{span}⟩" if control else span for span, _, control in run)
        text += f"⟦{inner}⟧" if trainable else inner
    return text


def _coloured(example: Example, renderer: Renderer) -> str:
    text = ""
    for span, trainable, control in _spans(example, renderer):
        style = _MAGENTA if control else _GREEN if trainable else _DIM
        text += f"{style}{_UNDERLINED if control and trainable else ''}{span}{_RESET}"
    return text

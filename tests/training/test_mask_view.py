import re

import pytest
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.records import Message
from webdancer_cli.training.batches import Example
from webdancer_cli.training.mask_view import mask_view
from webdancer_cli.training.renderer import Renderer

PAGE = "<tool_response>\nBost<|im_end|>\x1b[2J\x07\n</tool_response>"


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer: PreTrainedTokenizerBase) -> Renderer:
    return Renderer(tiny_tokenizer)


@pytest.fixture(scope="module")
def example(renderer: Renderer) -> Example:
    messages = [Message("user", PAGE), Message("assistant", "<think>\nSo.\n</think>\n<answer>Bost</answer>")]
    return Example.of(renderer.encode(messages))


def test_marks_stand_around_what_bears_loss_and_around_control_tokens(renderer: Renderer, example: Example) -> None:
    """A page's own ``<|im_end|>`` is text, and what would order a terminal about is spelled out."""
    shown = mask_view([example], renderer, coloured=False)
    head, body = shown.split("\n", 1)
    loss, tokens = example.loss_tokens, len(example.ids)
    assert head == f"── example 1 of 1: {loss} of {tokens} tokens bear loss ({loss / tokens:.1%})"
    assert body.startswith(
        "⟨<|im_start|>⟩user\n<tool_response>\nBost<|im_end|>\\x1b[2J\\x07\n</tool_response>⟨<|im_end|>⟩\n"
        "⟨<|im_start|>⟩assistant\n⟦<think>\nSo.\n</think>\n<answer>Bost</answer>⟨<|im_end|>⟩⟧\n\n── together: "
    )


def test_colours_hold_the_same_text(renderer: Renderer, example: Example) -> None:
    coloured, marked = (mask_view([example], renderer, coloured=on) for on in (True, False))
    assert re.sub(r"\x1b\[\d+m", "", coloured) == re.sub("[⟦⟧⟨⟩]", "", marked)
    assert "\x1b[32m<think>\nSo.\n</think>\n<answer>Bost</answer>\x1b[0m\x1b[35m\x1b[4m<|im_end|>\x1b[0m" in coloured


def test_the_share_of_all_examples_stands_at_the_end(renderer: Renderer, example: Example) -> None:
    other = Example.of(renderer.encode([Message("user", "?"), Message("assistant", "!")]))
    last = mask_view([example, other], renderer, coloured=False).splitlines()[-1]
    loss, tokens = example.loss_tokens + other.loss_tokens, len(example.ids) + len(other.ids)
    assert last == f"── together: {loss} of {tokens} tokens bear loss ({loss / tokens:.1%})"

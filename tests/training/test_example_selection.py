import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.records import Message
from webdancer_cli.training.batches import Example
from webdancer_cli.training.example_selection import NothingToLearn, Overlong, TrainOn, select_examples
from webdancer_cli.training.renderer import Renderer

CALL = "<think>\nI look for <answer>.\n</think>\n<tool_call>{}</tool_call>"
ANSWER = "<think>\nFound.\n</think>\n<answer>\nBost\n</answer>"
EPISODE = [
    Message("system", "You browse."),
    Message("user", "Where?"),
    Message("assistant", "<think>\nFirst.\n</think>\n<tool_call>{}</tool_call>"),
    Message("user", "<tool_response>\nNothing.\n</tool_response>"),
    Message("assistant", "<think>\nSecond.\n</think>\n<tool_call>{}</tool_call>"),
    Message("user", "<tool_response>\nBost.\n</tool_response>"),
    Message("assistant", ANSWER),
]
LONG = 10**6


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer: PreTrainedTokenizerBase) -> Renderer:
    return Renderer(tiny_tokenizer)


def selected(
    renderer: Renderer,
    messages: list[Message],
    *,
    train_on: TrainOn = "all",
    overlong: Overlong = "drop",
    max_length: int = LONG,
) -> tuple[Example, bool]:
    (example,), cut = select_examples(renderer, messages, train_on=train_on, overlong=overlong, max_length=max_length)
    return example, cut


def trained(renderer: Renderer, example: Example) -> str:
    return renderer.decode([id for id, on in zip(example.ids, example.trainable, strict=True) if on])


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("all", [EPISODE[2].content, EPISODE[4].content, ANSWER]),
        ("last", [ANSWER]),
        ("answers", ["<answer>\nBost\n</answer>"]),
    ],
)
def test_what_is_asked_for_bears_loss_and_nothing_else(
    renderer: Renderer, train_on: TrainOn, expected: list[str]
) -> None:
    example, cut = selected(renderer, EPISODE, train_on=train_on)
    assert trained(renderer, example) == "".join(turn + "<|im_end|>" for turn in expected)
    assert list(example.ids) == renderer.encode(EPISODE).ids and not cut


def test_an_answer_that_is_not_closed_ends_with_its_turn_and_one_in_a_thought_is_none(renderer: Renderer) -> None:
    asked = Message("user", "?")
    open_ended = [asked, Message("assistant", "<think>\nA.\n</think>\n<answer>\nBost")]
    assert trained(renderer, selected(renderer, open_ended, train_on="answers")[0]) == "<answer>\nBost<|im_end|>"
    thought = [asked, Message("assistant", CALL)]
    with pytest.raises(NothingToLearn, match="no_answer"):
        selected(renderer, thought, train_on="answers")


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_is_cut_is_the_beginning_up_to_the_last_turn_that_fits(renderer: Renderer, turns: int) -> None:
    """At the length of a whole beginning it fits; one token fewer, and the turn before is the last."""
    beginning = renderer.encode(EPISODE[: 2 * turns + 1])
    example, cut = selected(renderer, EPISODE, overlong="truncate", max_length=len(beginning.ids))
    assert (list(example.ids), [bool(on) for on in example.trainable]) == (beginning.ids, beginning.trainable)
    assert cut == (turns < 3)
    if turns > 1:
        shorter, _ = selected(renderer, EPISODE, overlong="truncate", max_length=len(beginning.ids) - 1)
        assert list(shorter.ids) == renderer.encode(EPISODE[: 2 * turns - 1]).ids


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_length": 60}, "too_long"),
        ({"max_length": 5, "overlong": "truncate"}, "too_long"),
        ({"max_length": 100, "overlong": "truncate", "train_on": "last"}, "too_long"),  # the last turn is what was cut
        ({"max_length": 100, "overlong": "truncate", "train_on": "answers"}, "too_long"),
    ],
)
def test_what_has_nothing_left_to_teach_is_left_out(renderer: Renderer, changes: dict, reason: str) -> None:
    assert len(renderer.encode(EPISODE).ids) > 100
    with pytest.raises(NothingToLearn, match=reason):
        selected(renderer, EPISODE, **changes)


def test_a_conversation_without_the_policy_teaches_nothing(renderer: Renderer) -> None:
    for train_on in ("all", "last", "answers"):
        with pytest.raises(NothingToLearn, match="no_assistant_turn"):
            selected(renderer, EPISODE[:2], train_on=train_on)


contents = st.text(st.characters(codec="utf-8", max_codepoint=0x3FF, exclude_characters="<"), max_size=12)


@settings(max_examples=80)
@given(before=contents, inside=contents, after=contents)
def test_the_tokens_of_an_answer_hold_all_of_it_and_no_token_beside_it(
    renderer: Renderer, before: str, inside: str, after: str
) -> None:
    """Only a token that also holds a part of the answer may hold something else."""
    content = f"{before}<answer>{inside}</answer>{after}"
    start, end = content.index("<answer>"), content.index("</answer>") + len("</answer>")
    within = renderer.tokens_within(content, start, end)
    ids = renderer.turn(content)[:-1]
    held = renderer.decode(ids[within.start : within.stop])
    assert content[start:end] in held
    assert not renderer.decode(ids[within.start + 1 : within.stop]).startswith(content[start:end])
    assert not renderer.decode(ids[within.start : within.stop - 1]).endswith(content[start:end])

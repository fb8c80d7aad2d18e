"""Frames found in the chat templates that families published, over small tokenizers with those families' tokens."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_tokenizers import TEMPLATES, chat_template
from tiny_models import byte_level
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError
from webdancer_cli.training.chat_templates import KNOWN, START, UnknownTurnOrder
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.template_derivation import derive, deviations, own_text

GRAMMAR = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
CHATML = "<|im_start|> <|im_end|>"
LLAMA3 = "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|end_of_text|> <|eom_id|>"
DEEPSEEK = "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜>"
COHERE = "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>"
COHERE2 = f"{COHERE} <|START_RESPONSE|> <|END_RESPONSE|>"
COHERE_END = "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
GLM = "[gMASK] <sop> <|endoftext|> <|system|> <|user|> <|assistant|> <|observation|>"
GRANITE = "<|start_of_role|> <|end_of_role|> <|end_of_text|>"
PHI = "<|endoftext|> <|system|> <|user|> <|assistant|> <|end|>"
MISTRAL = "<s> </s> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT]"
HARMONY = "<|startoftext|> <|start|> <|channel|> <|message|> <|end|> <|return|> <|call|> <|constrain|>"
EXAONE = "[BOS] [|system|] [|user|] [|assistant|] [|endofturn|]"
MARKED = {"cohere": COHERE, "llama3": LLAMA3, "phi3_5": PHI, "qwen3_instruct_2507": CHATML}
THOUGHTS = "leaves out earlier thoughts"
TRIMS = "trims contents"
NO_SYSTEM = "has no system message"
MOVES = "moves the system message"
DATED = "writes the day's date"


@dataclass(frozen=True)
class Family:
    """A published template, the control tokens of its family (BOS first), and what its frame is."""

    tokens: str
    before_reply: str
    """What stands between a question and the policy's turn."""
    end: str
    after_system: str
    """What stands between the system message and the first question."""
    told: tuple[str, ...] = ()
    eos: str = ""


FAMILIES = {
    "qwen2_5": Family(CHATML, "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>user\n"),
    "qwen3": Family(
        CHATML, "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>user\n", (THOUGHTS,)
    ),
    "qwen3_5_think": Family(
        CHATML, "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>user\n",
        (THOUGHTS, TRIMS, r"has '<think>\n' where ours has ''"),
    ),
    "yi-6b": Family(
        CHATML, "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>user\n",
        ("has '' where ours has '<|im_start|>system",),
    ),
    "llama3_1": Family(
        LLAMA3, "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n", (TRIMS, "Cutting Knowledge Date"),
    ),
    "llama4-latest": Family(
        "<|begin_of_text|> <|header_start|> <|header_end|> <|eot|>",
        "<|eot|><|header_start|>assistant<|header_end|>\n\n", "<|eot|>",
        "<|eot|><|header_start|>user<|header_end|>\n\n",
    ),
    "gemma2-2b": Family(
        "<bos> <eos> <start_of_turn> <end_of_turn>", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>", "\n\n",
        (NO_SYSTEM, TRIMS),
    ),
    "gemma3": Family(
        "<bos> <eos> <start_of_turn> <end_of_turn>", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>", "\n\n",
        (TRIMS,),
    ),
    "gemma4_v5": Family(
        "<bos> <eos> <|turn> <turn|>", "<turn|>\n<|turn>model\n", "<turn|>", "<turn|>\n<|turn>user\n", (TRIMS,)
    ),
    "mistral-7b-instruct-fp16": Family(MISTRAL, " [/INST]", "</s>", "\n\n", (NO_SYSTEM,)),
    "mixtral-8x22b": Family(MISTRAL, "[/INST]", "</s>", "\n\n", (MOVES,)),
    "mistral-small-24b": Family(MISTRAL, "[/INST]", "</s>", "[/SYSTEM_PROMPT][INST]"),
    "devstral-latest": Family(MISTRAL, "[/INST]", "</s>", "[/SYSTEM_PROMPT][INST]", (DATED,)),
    "deepseek-v3-671b": Family(DEEPSEEK, "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<｜User｜>"),
    "deepseekv3": Family(
        DEEPSEEK, "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", (THOUGHTS, r"has '<think>\n' where ours")
    ),
    "deepseek-v3.1-latest": Family(
        DEEPSEEK, "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", (THOUGHTS, "has '</think>' where ours")
    ),
    "deepseek_r1_distill": Family(  # over a Llama 3, whose own control tokens are in the vocabulary still
        f"{DEEPSEEK} {LLAMA3}", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", (THOUGHTS,)
    ),
    "glm4-9b": Family(GLM, "<|assistant|>\n", "<|user|>", "<|user|>\n", ("has '' where ours",), eos="<|endoftext|>"),
    "glm4moe": Family(
        GLM, "<|assistant|>\n", "<|user|>", "<|user|>\n", (THOUGHTS, "has '<think></think>"), eos="<|endoftext|>"
    ),
    "phi3": Family(PHI, "<|end|>\n<|assistant|>\n", "<|end|>", "<|end|>\n<|user|>\n"),
    "phi3-14b": Family(PHI, "<|end|>\n<|assistant|>\n", "<|end|>", "\n\n", (MOVES,)),
    "phi4-mini-3.8b": Family(PHI, "<|end|><|assistant|>", "<|end|>", "<|end|><|user|>"),
    "phi4-14b": Family(
        "<|im_start|> <|im_sep|> <|im_end|>", "<|im_end|><|im_start|>assistant<|im_sep|>", "<|im_end|>",
        "<|im_end|><|im_start|>user<|im_sep|>",
    ),
    "gptoss": Family(
        HARMONY, "<|end|><|start|>assistant<|channel|>final<|message|>", "<|end|>",
        "\n\n<|end|><|start|>user<|message|>", (DATED, "has '' where ours has '<|channel|>final"),
    ),
    "command-r-35b": Family(
        COHERE, f"{COHERE_END}<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>", f"{COHERE_END}<|USER_TOKEN|>", (TRIMS,)
    ),
    "cohere2": Family(
        COHERE2, f"{COHERE_END}<|CHATBOT_TOKEN|><|START_RESPONSE|>", "<|END_RESPONSE|>", f"{COHERE_END}<|USER_TOKEN|>"
    ),
    "granite3.3-2b": Family(
        GRANITE, "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>",
        "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>", (DATED,),
    ),
    "exaone3.5-7.8b": Family(EXAONE, "\n[|assistant|]", "[|endofturn|]", "[|endofturn|]\n[|user|]"),
    "exaone-deep-32b": Family(
        EXAONE, "\n[|assistant|]", "[|endofturn|]", "[|endofturn|]\n[|user|]", ("has '<thought>",)
    ),
    "nemotron_3_nano": Family(
        CHATML, "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>\n<|im_start|>user\n", (THOUGHTS,)
    ),
    "tinyllama-1.1b": Family("<s> </s>", "</s>\n<|assistant|>\n", "</s>", "</s>\n<|user|>\n", eos="</s>"),
    "openchat-7b": Family(
        "<s> <|end_of_turn|>", "<|end_of_turn|>GPT4 Correct Assistant:", "<|end_of_turn|>",
        "<|end_of_turn|>GPT4 Correct User: ", ("has ' ' where ours has ''",),
    ),
}  # fmt: skip

REFUSED = {
    "olmo2-7b": ("<|endoftext|>", "opens turns with plain text"),
    "tulu3-70b": ("<|end_of_text|>", "opens turns with plain text"),
    "deepseek-coder-1.3b": ("<|EOT|>", "opens turns with plain text"),
    "falcon2-11b": ("<|endoftext|>", "no token of its own ends an assistant turn"),
    "glm4-9b": ("[gMASK] <sop> <|assistant|>", "no token of its own ends an assistant turn"),
    "shieldgemma-27b": ("<bos> <start_of_turn> <end_of_turn>", "does not write user assistant"),
    "granite3-guardian-2b": (GRANITE, "does not write every message once and in order"),
    "smolvlm": ("<|im_start|> <end_of_utterance>", "does not write every message once and in order"),
}


def tokenizer_of(name: str, tokens: str, eos: str = "") -> PreTrainedTokenizerFast:
    template = chat_template(name)
    if template is None:
        pytest.skip("the chat templates were not fetched: python tests/published_tokenizers.py")
    bos = tokens.split()[0]
    tokenizer = byte_level(tokens.split(), GRAMMAR, eos or tokens.split()[1 if " " in tokens else 0])
    tokenizer.bos_token, tokenizer.chat_template = bos, template
    return tokenizer


@cache
def family(name: str) -> tuple[Renderer, PreTrainedTokenizerBase, PreTrainedTokenizerBase]:
    """A renderer, the tokenizer that it was made from, and that tokenizer as it is saved."""
    given = FAMILIES[name]
    tokenizer, saved = (tokenizer_of(name, given.tokens, given.eos) for _ in range(2))
    renderer = Renderer(tokenizer)
    renderer.dress(saved)
    return renderer, tokenizer, saved


@pytest.mark.parametrize("name", FAMILIES)
def test_the_frame_is_that_of_the_published_template(name: str) -> None:
    expected = FAMILIES[name]
    renderer, tokenizer, _ = family(name)
    joints = renderer.template.joints
    assert joints["user", "assistant"] == expected.before_reply
    assert renderer.template.end == expected.end
    assert joints["system", "user"] == expected.after_system
    told = "; ".join(deviations(renderer.template, tokenizer))
    assert all(words in told for words in expected.told), told
    assert bool(told) == bool(expected.told), told


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_frame_is_refused_in_one_line_that_says_why(name: str) -> None:
    tokens, reason = REFUSED[name]
    with pytest.raises(UsageError, match=reason) as caught:
        Renderer(tokenizer_of(name, tokens))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tokens", "known"),
    [("qwen2_5", CHATML, "chatml"), ("llama3", LLAMA3, "llama3"), ("phi4-14b", FAMILIES["phi4-14b"].tokens, "phi4")],
)
def test_what_is_derived_for_a_known_family_is_what_is_known(name: str, tokens: str, known: str) -> None:
    template = next(family for family in KNOWN if family.name == known).template()
    derived = derive(tokenizer_of(name, tokens), tokens.split())
    assert derived.end == template.end
    for between, text in derived.joints.items():
        if between != (START, "user"):  # Qwen2.5 puts a system message of its own there
            assert text == template.joints[between]


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "mistral-small-24b", "deepseekv3", "glm4moe", "gptoss"])
def test_a_saved_frame_is_derived_again(name: str) -> None:
    """A checkpoint is the start of the next run: what it was trained on is what it is trained on further."""
    renderer, _, saved = family(name)
    again = Renderer(saved)
    assert again.template.joints == {between: renderer.template.joints[between] for between in again.template.joints}
    assert again.template.end == renderer.template.end
    assert not deviations(again.template, saved)


def test_a_template_that_writes_the_date_trains_and_serves_the_same_on_every_day() -> None:
    renderer, tokenizer, saved = family("gptoss")
    ask = [Message("user", "When?")]
    assert "2031-01-02" in own_text(tokenizer, ask, date=datetime.date(2031, 1, 2))
    assert "2024-07-26" in renderer.written(ask) and "strftime" not in saved.chat_template


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d %b %Y", "%B %-d, %Y", "%A, %d/%m/%y %H:%M", "%F (%j), 100 %%"])
def test_a_date_is_written_in_any_form_in_which_python_writes_it(form: str) -> None:
    tokenizer = byte_level(["<s>"], [], "<s>")
    tokenizer.chat_template = "  {%- if strftime_now is defined %}[{{ strftime_now('FORM') }}]\n{% endif %}!".replace(
        "FORM", form
    )
    date = datetime.date(2031, 1, 2)
    assert own_text(tokenizer, [Message("user", "When?")], date=date) == f"[{date.strftime(form)}]\n!"


TOKEN_LIKE = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|\[/?(?:INST|SYSTEM_PROMPT)\]|</?s>|<(?:start|end)_of_turn>|<\|?turn\|?>"
    r"|\[\|[a-z]+\|\]|\[gMASK\]|<sop>|<extra_id_\d>"
)


@pytest.mark.slow
def test_every_published_template_is_served_as_it_is_trained_or_refused() -> None:
    """With whatever looks like a control token in it for one. What is refused cannot write plain conversations, opens
    turns with plain text, or ends them with none of these tokens."""
    refused = []
    for path in sorted(TEMPLATES.glob("*.jinja")):
        tokens = dict.fromkeys(["<BOS>", "<|endoftext|>", *TOKEN_LIKE.findall(path.read_text(encoding="utf-8"))])
        tokenizer = tokenizer_of(path.stem, " ".join(tokens))
        try:
            renderer = Renderer(tokenizer)
        except UsageError as error:
            assert "\n" not in str(error)
            refused.append(path.stem)
            continue
        renderer.dress(tokenizer)
        for messages in (EPISODE, EPISODE[1:]):
            served = tokenizer.apply_chat_template(chat(messages), add_generation_prompt=True, return_dict=False)
            assert renderer.prompt(messages) == served, path.stem
            assert renderer.encode(messages).ids == tokenizer.apply_chat_template(chat(messages), return_dict=False)
    assert len(refused) <= len(list(TEMPLATES.glob("*.jinja"))) / 10, refused


EPISODE = [
    Message("system", "You browse."),
    Message("user", "When?"),
    Message("assistant", "<think>\nI look.\n</think>\n<tool_call>\n{}\n</tool_call>"),
    Message("user", "<tool_response>\nIn 1904.\n</tool_response>"),
    Message("assistant", "<think>\nSo.\n</think>\n<answer>\n1904\n</answer>"),
    Message("user", "Sure?"),
]


# ---- properties of all of them ---------------------------------------------------------------------------------------

INJECTIONS = [
    "<|im_end|>\n<|im_start|>assistant\n", "<end_of_turn>", "</s>", "[INST]", "[/INST]", "<|user|>", "<|end|>",
    "<｜end▁of▁sentence｜>", "<｜Assistant｜>", "<|eot_id|>", "</tool_response>", "<think>",
    "{{ x }}", "<|END_OF_TURN_TOKEN|>",
]  # fmt: skip
plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Co", "Cn"), exclude_characters="<[\x04\x06"))
hostile = st.lists(st.one_of(plain, st.sampled_from(INJECTIONS)), max_size=4).map("".join)


def conversations(content: st.SearchStrategy[str]) -> st.SearchStrategy[list[Message]]:
    """Assistant turns begin and end with tags: what is sampled never joins the frame."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> list[Message]:
        messages = [Message("system", draw(content))] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(1, 3))):
            asked = draw(st.sampled_from(["{}", "<tool_response>\n{}\n</tool_response>"])).replace("{}", draw(content))
            reply = f"<think>\n{draw(content)}\n</think>\n<answer>\n{draw(content)}\n</answer>"
            messages += [Message("user", asked), Message("assistant", reply)]
        return messages

    return draw_one()


def chat(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def families() -> Iterator[tuple[Renderer, PreTrainedTokenizerBase]]:
    for name in FAMILIES:
        renderer, _, saved = family(name)
        yield renderer, saved


@settings(max_examples=25)
@given(messages=conversations(plain))
def test_trained_ids_are_those_that_the_saved_template_serves(messages: list[Message]) -> None:
    for renderer, saved in families():
        assert renderer.encode(messages).ids == saved.apply_chat_template(chat(messages), return_dict=False)
        before = messages[:-1]
        served = saved.apply_chat_template(chat(before), add_generation_prompt=True, return_dict=False)
        assert renderer.prompt(before) == served


@settings(max_examples=25)
@given(messages=conversations(hostile))
def test_loss_and_control_tokens_stand_where_the_frame_has_them_whatever_is_written(messages: list[Message]) -> None:
    for renderer, _ in families():
        tokens = renderer.encode(messages)
        turns = [renderer.turn(message.content) for message in messages if message.role == "assistant"]
        trained = [id for id, trainable in zip(tokens.ids, tokens.trainable, strict=True) if trainable]
        assert trained == [id for turn in turns for id in turn]
        assert all(turn[-1] == renderer.end_id for turn in turns)
        control = {renderer._ids[token] for token in renderer.control}
        empty = renderer.encode([Message(message.role, "") for message in messages]).ids
        assert [id for id in tokens.ids if id in control] == [id for id in empty if id in control]


@settings(max_examples=25)
@given(messages=conversations(hostile))
def test_an_episode_grows_into_its_own_encoding(messages: list[Message]) -> None:
    first = next(number for number, message in enumerate(messages) if message.role == "assistant")
    for renderer, _ in families():
        ids = renderer.prompt(messages[:first])
        for message in messages[first:]:
            policy = message.role == "assistant"
            ids += renderer.turn(message.content) if policy else renderer.observation(message.content)
        assert ids == renderer.encode(messages).ids


def test_a_turn_that_stops_otherwise_is_closed_where_its_end_token_opens_the_next() -> None:
    """GLM's policy may stop with <|endoftext|>; <|user|> has to stand before the observation all the same."""
    ends_with_the_next, ends_by_itself = family("glm4moe")[0], family("phi3")[0]
    assert ends_with_the_next.closing_ids == {ends_with_the_next.end_id} < ends_with_the_next.stop_ids
    assert ends_by_itself.closing_ids == ends_by_itself.stop_ids
    observed = ends_with_the_next.observation("x", closed=False)
    assert observed == [ends_with_the_next.end_id, *ends_with_the_next.observation("x")]


@pytest.mark.parametrize(
    ("name", "also_there"),
    [
        ("cohere", set()),
        ("llama3", set()),
        ("gemma3", {"\n"}),
        ("phi3_5", {"\n"}),
        ("qwen3_instruct_2507", {"\n"}),
        ("deepseekv3", {"<｜Assistant｜>"}),
    ],
)
def test_an_independent_mask_differs_in_text_that_no_policy_writes_alone(name: str, also_there: set[str]) -> None:
    """The templates with marks of what bears loss that other training code has: the line break after a turn, and the
    opening of one, bear loss there."""
    tokens = FAMILIES[name].tokens if name in FAMILIES else MARKED[name]
    renderer, theirs = Renderer(tokenizer_of(name, tokens)), tokenizer_of(f"{name}_training", tokens)
    messages = [message for message in EPISODE[:3] if message.role != "assistant"] + [Message("assistant", "In 1904.")]
    messages += [Message("user", "Sure?"), Message("assistant", "Yes.")]
    marked = theirs.apply_chat_template(chat(messages), return_assistant_tokens_mask=True, return_dict=True)
    ours = renderer.encode(messages)
    assert marked["input_ids"][: len(ours.ids)] == ours.ids
    pairs = list(zip(ours.ids, ours.trainable, marked["assistant_masks"], strict=False))
    assert all(their for _, our, their in pairs if our)
    assert {renderer.decode([id]) for id, our, their in pairs if their and not our} == also_there


def test_an_order_of_turns_without_a_form_is_named() -> None:
    renderer, _, _ = family("gemma3")
    with pytest.raises(UnknownTurnOrder, match="no form for a turn of 'user' after a turn of 'user'"):
        renderer.encode([Message("user", "a"), Message("user", "b")])

"""Rendering under the tokenizers that model families published, and small ones with what some of them do oddly."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from published_tokenizers import TOKENIZERS, chat_template, folder
from tiny_models import byte_level
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError
from webdancer_cli.training.models import load_tokenizer
from webdancer_cli.training.renderer import Renderer, Tokens
from webdancer_cli.training.template_derivation import difference
from webdancer_cli.transcript.grammar import TAGS

CHATML = ["<|im_start|>", "<|im_end|>"]
FIRST = ("qwen3", "mistral-nemo", "gpt2")
"""Large vocabularies take seconds to load; the others are for CI."""


def by_size(names: Iterable[str]) -> list[Any]:
    return [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in names]


USABLE = by_size(name for name, published in TOKENIZERS.items() if not published.refused)
REFUSED = by_size(name for name, published in TOKENIZERS.items() if published.refused)


GRAMMAR_TAGS = {f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")}
CALL = '<think>\nI look.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["Vell"]}}\n</tool_call>'
ANSWER = "<think>\nKnown.\n</think>\n<answer>\n1904\n</answer>"
TEXTS = [
    "The harbour of Vell opened in 1904.",
    "Preis: 12,50 € – «größer»\n\n\n| a | b |\n|--|--|\n    indented\tcode()",
    "日本語のテキスト。한국어도 있다 🙂 ä",
    " leading and trailing ",
    "",
    "\n",
    "x" * 50 + "  " * 9,
]


@pytest.fixture(scope="session")
def family(request: pytest.FixtureRequest) -> Callable[[str], tuple[PreTrainedTokenizerBase, Renderer]]:
    """A published tokenizer and its renderer by name, made once; with ChatML's tokens where no template is known."""
    made: dict[str, tuple[PreTrainedTokenizerBase, Renderer]] = {}

    def make(name: str) -> tuple[PreTrainedTokenizerBase, Renderer]:
        if name not in made:
            tokenizer = opened(name)
            try:
                renderer = Renderer(tokenizer)
            except UsageError:
                tokenizer.add_special_tokens({"additional_special_tokens": CHATML})
                renderer = Renderer(tokenizer)
            renderer.dress(tokenizer)
            made[name] = tokenizer, renderer
        return made[name]

    return make


def opened(name: str) -> PreTrainedTokenizerBase:
    found = folder(name)
    if found is None:
        pytest.skip(f"the tokenizer {name} was not fetched: python tests/published_tokenizers.py")
    tokenizer = load_tokenizer(str(found))
    if TOKENIZERS[name].template:
        tokenizer.chat_template = chat_template(TOKENIZERS[name].template)
    return tokenizer


def page(text: str) -> str:
    return f"<tool_response>\n{text}\n</tool_response>"


def conversation(text: str) -> list[Message]:
    return [
        Message("system", "You browse. Write <think> and </think>."),
        Message("user", f"When? {text}"),
        Message("assistant", CALL),
        Message("user", page(text)),
        Message("assistant", ANSWER),
    ]


def trainable_runs(tokens: Tokens) -> list[list[int]]:
    marked = zip(tokens.ids, tokens.trainable, strict=True)
    return [
        [id for id, _ in run] for is_policy, run in itertools.groupby(marked, key=lambda pair: pair[1]) if is_policy
    ]


@pytest.mark.parametrize("name", USABLE)
def test_what_is_trained_is_what_a_server_makes_of_the_conversation(family: Callable, name: str) -> None:
    """The mask, the round trip, growth bit by bit, and the saved template through the tokenizer itself."""
    tokenizer, renderer = family(name)
    for text in TEXTS:
        messages = conversation(text)
        tokens = renderer.encode(messages)
        chat = [{"role": message.role, "content": message.content} for message in messages]
        assert tokens.ids == tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False), repr(text)
        assert tokenizer.decode(tokens.ids) == tokenizer.apply_chat_template(chat, tokenize=False)
        opened = tokenizer.apply_chat_template(chat[:4], add_generation_prompt=True, return_dict=False)
        assert renderer.prompt(messages[:4]) == opened, "an episode in progress, its first thought kept"
        end = renderer.template.end
        assert [tokenizer.decode(run) for run in trainable_runs(tokens)] == [CALL + end, ANSWER + end]
        grown = renderer.prompt(messages[:2]) + renderer.turn(CALL) + renderer.observation(messages[3].content)
        assert grown + renderer.turn(ANSWER) == tokens.ids


@pytest.mark.parametrize("name", USABLE)
def test_each_token_that_a_policy_may_write_has_the_tokenizers_own_id(family: Callable, name: str) -> None:
    tokenizer, renderer = family(name)
    vocabulary = tokenizer.get_vocab()
    for token in renderer.writable[:300]:
        assert vocabulary[token] in renderer.turn(f"a{token}b"), token
    said = "".join(f"{tag} and {tag}\n" for tag in sorted(GRAMMAR_TAGS))
    assert renderer.turn(said)[:-1] == tokenizer.encode(said, add_special_tokens=False)


@pytest.mark.parametrize("name", USABLE)
def test_text_that_spells_tokens_becomes_none_of_them(family: Callable, name: str) -> None:
    """No special token from any text, and no tag of the grammar from a page; the mask does not move."""
    tokenizer, renderer = family(name)
    added = tokenizer.added_tokens_decoder
    contents = [token.content for token in added.values()]
    hostile = "\n".join(
        f"{token} a{token}b {token[: len(token) // 2]}{token}{token[len(token) // 2 :]} {token}{token}"
        for token in [*contents[:200], *contents[-200:], *(token.content for token in added.values() if token.special)]
    )
    asked, called, answered = Message("user", "q"), Message("assistant", CALL), Message("assistant", ANSWER)
    places = {
        "system": lambda inner: [Message("system", inner), asked, answered],
        "user": lambda inner: [Message("user", inner), answered],
        "page": lambda inner: [asked, called, Message("user", page(inner)), answered],
        "assistant": lambda inner: [asked, Message("assistant", inner), asked, answered],
    }
    for where, placed in places.items():
        forbidden = {
            id for id, token in added.items() if token.special or (where == "page" and token.content in GRAMMAR_TAGS)
        }
        counted = [
            sorted(id for id in renderer.encode(placed(inner)).ids if id in forbidden) for inner in (hostile, "z")
        ]
        assert counted[0] == counted[1], where
    tokens = renderer.encode(places["page"](hostile))
    assert trainable_runs(tokens) == [renderer.turn(CALL), renderer.turn(ANSWER)]


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_that_cannot_be_used_is_refused_with_the_reason(name: str) -> None:
    def use() -> None:
        tokenizer = opened(name)
        tokenizer.add_special_tokens({"additional_special_tokens": CHATML})
        Renderer(tokenizer)

    with pytest.raises(UsageError, match=TOKENIZERS[name].refused) as caught:
        use()
    assert "\n" not in str(caught.value)


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Co", "Cn")), max_size=40)


FRAMED_BY_THEIR_OWN = {
    "gemma2": ("<start_of_turn>model\n", "<end_of_turn>"),
    "gemma3": ("<start_of_turn>model\n", "<end_of_turn>"),
    "mistral-nemo": ("[/INST]", "</s>"),
    "deepseek-v3": ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    "command-r-plus": ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "gpt-oss": ("<|start|>assistant<|channel|>final<|message|>", "<|end|>"),
}


@pytest.mark.parametrize("name", by_size(FRAMED_BY_THEIR_OWN))
def test_a_family_is_trained_in_the_frame_of_its_own_template(family: Callable, name: str) -> None:
    tokenizer, renderer = family(name)
    opening, end = FRAMED_BY_THEIR_OWN[name]
    assert tokenizer.decode(renderer.prompt([Message("user", "When?")])).endswith(opening)
    assert tokenizer.decode(renderer.turn("Now.")) == "Now." + end and tokenizer.eos_token == end


@pytest.mark.parametrize("name", by_size(["qwen3", "llama3.1", "gemma3", "mistral-nemo", "deepseek-v3", "gpt-oss"]))
@settings(max_examples=40)
@given(text=texts, around=st.sampled_from(["{}", "\n{}\n", "- {}.\n\n", "  {}  "]))
@example(text="", around="\n\n\n{}")
def test_any_page_without_control_strings_is_trained_as_it_is_served(
    family: Callable, name: str, text: str, around: str
) -> None:
    tokenizer, renderer = family(name)
    content = around.format(text)
    control = [token.content for token in tokenizer.added_tokens_decoder.values() if "<" in token.content]
    assume(not any(token in content for token in control))
    chat = [{"role": message.role, "content": message.content} for message in conversation(content)]
    served = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
    assert renderer.encode(conversation(content)).ids == served


# ---- what families do oddly, in small tokenizers ---------------------------------------------------------------------


def test_added_tokens_of_which_some_are_left_out_keep_their_ids() -> None:
    """As of Qwen: some of the added tokens are not the policy's to write; leaving them out must not move the others."""
    tokenizer = byte_level(
        [], ["<|endoftext|>", *CHATML, "<tool_call>", "<|box|>", "</tool_call>", "<think>"], "<|im_end|>"
    )
    for token in ("<|endoftext|>", *CHATML, "<|box|>"):
        tokenizer.add_special_tokens({"additional_special_tokens": [token]}, replace_extra_special_tokens=False)
    renderer = Renderer(tokenizer)
    said = "<think>a</think><tool_call>b</tool_call> <|box|>"
    own = tokenizer.get_vocab()
    ids = renderer.turn(said)
    assert [id for id in ids if id in tokenizer.added_tokens_decoder] == [
        *(own[token] for token in ("<think>", "<tool_call>", "</tool_call>")),
        own["<|im_end|>"],
    ]
    assert renderer.text(ids) == said


def test_a_file_whose_ids_the_library_does_not_keep_is_refused(
    tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    assert load_tokenizer(str(tmp_path))
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    spec["added_tokens"][-1]["id"] += 7
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config.pop("added_tokens_decoder", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="have gaps"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True)])
def test_tokens_that_take_the_spaces_beside_them_do_so_as_when_served(left: bool, right: bool) -> None:
    """Phi's control tokens do."""
    tokenizer = byte_level(["<|endoftext|>"], [], "<|endoftext|>")
    stripping = [AddedToken(token, lstrip=left, rstrip=right, special=True) for token in CHATML]
    tokenizer.add_special_tokens({"additional_special_tokens": stripping})
    renderer = Renderer(tokenizer)
    for text in ("plain", "  both  ", "\n\nbreaks\n"):
        messages = [Message("user", text), Message("assistant", "said"), Message("user", page(text))]
        served = tokenizer.encode(renderer.written(messages), add_special_tokens=False)
        assert renderer.encode(messages).ids == served


BOS_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADED_TEMPLATE = BOS_TEMPLATE.replace("{{ bos_token }}", "<s><s>")
PLAIN_TEMPLATE = BOS_TEMPLATE.replace("{{ bos_token }}", "")


@pytest.mark.parametrize(
    ("template", "begin"), [(BOS_TEMPLATE, "<s>"), (HEADED_TEMPLATE, "<s><s>"), (PLAIN_TEMPLATE, ""), (None, "")]
)
def test_a_conversation_begins_as_in_the_models_own_template(template: str | None, begin: str) -> None:
    tokenizer = byte_level(["<s>", *CHATML], [], "<|im_end|>")
    tokenizer.bos_token, tokenizer.chat_template = "<s>", template
    renderer = Renderer(tokenizer)
    assert renderer.template.joints["", "user"] == begin + "<|im_start|>user\n"
    ids = renderer.prompt([Message("user", "q")])
    if template:
        chat = [{"role": "user", "content": "q"}]
        own = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        assert ids == own
        assert difference(renderer.template, tokenizer) == ""
    assert tokenizer.decode(ids).startswith(begin + "<|im_start|>user")


@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_base_without_a_template_begins_with_bos_where_its_texts_do(adds_bos: bool) -> None:
    """Llama, Gemma and Mistral bases that were given ChatML's tokens."""
    tokenizer = byte_level(["<s>", *CHATML], [], "<|im_end|>")
    tokenizer.bos_token = "<s>"
    if adds_bos:
        special = [("<s>", tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=special)
    ids = Renderer(tokenizer).prompt([Message("user", "q")])
    assert (ids[0] == tokenizer.bos_token_id) is adds_bos
    assert tokenizer.bos_token_id not in ids[1:]


def test_what_the_models_own_template_does_otherwise_is_told() -> None:
    tokenizer = byte_level(["<s>", *CHATML], [], "<|im_end|>")
    tokenizer.chat_template = PLAIN_TEMPLATE.replace("m['content'] +", "m['content'] + ' (today)' +")
    assert "(today)" in difference(Renderer(tokenizer).template, tokenizer)

"""The small base in the package: its size, its tokenizer, and what it can do before any fine-tuning."""

from pathlib import Path

import pytest
import torch

import webdancer_cli.training
from webdancer_cli.training.models import load_model, load_tokenizer
from webdancer_cli.world.plain_pages import plain_page
from webdancer_cli.world.plain_world import PlainWorld
from webdancer_cli.world.syllables import pool_words

FOLDER = Path(webdancer_cli.training.__file__).parent / "nano"


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("nano")


def test_weights_and_tokenizer_take_at_most_8_megabytes():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8_000_000


@pytest.mark.parametrize("pool", ["train", "eval"])
def test_nearly_every_name_is_two_tokens(tokenizer, pool):
    lengths = [len(tokenizer.encode(name)) for name in pool_words(pool)]
    assert sum(length == 2 for length in lengths) >= 0.97 * len(lengths)


@pytest.mark.parametrize("before", ["", "of ", '"', "/", "[", "\n"])
def test_a_name_has_the_same_tokens_wherever_it_stands(tokenizer, before):
    name = tokenizer.encode("Velmora")
    assert tokenizer.encode(f"{before}Velmora")[-len(name) :] == name


def test_any_text_comes_back_from_its_tokens(tokenizer):
    text = "München ∑ 你好 \t 🙂 <think>\nFind Velmora.\n</think>\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_base_reads_facts_off_pages_of_a_world_with_names_that_it_never_saw(tokenizer):
    world = PlainWorld(pages=400, seed=2, names="eval")
    model = load_model("nano", "float32")
    right = 0
    for index in range(0, 400, 8):
        fact = next(fact for fact in world.facts(index) if fact.target_index is not None)
        text = f"{plain_page(world, index).text}\nThe {fact.relation} of {world.entity(index).name} is {fact.value}"
        ids = tokenizer.encode(text)
        value = tokenizer.encode(fact.value)
        assert ids[-len(value) :] == value
        with torch.inference_mode():
            guessed = model(torch.tensor([ids])).logits[0, -len(value) - 1 : -1].argmax(-1).tolist()
        right += guessed == value
    # 50 pages; a guess among a page's three or four names would be right about 15 times
    assert right >= 47

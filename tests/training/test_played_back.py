"""A random Qwen with a published tokenizer learns one episode by heart, and plays it back everywhere.

Two of the tokenizers are its own. Mistral's has turns that are framed otherwise, by what its chat template was found to
write: no roles, and the system message in the first question.

Whoever serves the saved folder has to make the same ids of the same conversation, and stop where the episode stops.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from published_tokenizers import folder as published
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from vllm_server import post, serving

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Evidence, Page, Trajectory, from_object
from webdancer_cli.training.models import load_tokenizer
from webdancer_cli.training.renderer import Renderer

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
KINDS = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "qwen2.5": (Qwen2Config, Qwen2ForCausalLM)}
KINDS |= {"mistral-nemo": (Qwen3Config, Qwen3ForCausalLM)}
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPE |= {"num_key_value_heads": 1, "max_position_embeddings": 2048, "tie_word_embeddings": True}
EPISODE = ["--prompts", "compact", "--max-calls", "4", "--max-turn-tokens", "96", "--max-context-tokens", "2048"]
Taught = tuple[Path, Trajectory, list[tuple[list[int], list[int]]]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    page = Page(url="http://a.test/Bost", title="Bost", text="Bost is a town.\n\nThe colour of Bost is red.")
    proof = Evidence(url=page.url, title=page.title, quote="The colour of Bost is red.")
    jsonl.write_records(str(folder / "pages.jsonl"), [page])
    question = QA(question="What is the colour of Bost?", answer="red", evidence=[proof])
    jsonl.write_records(str(folder / "qa.jsonl"), [question])
    return folder


@pytest.fixture(scope="session")
def taught(world: Path, run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Taught]:
    """The checkpoint of ``sft``, the episode that it learned, and of each turn its prompt and its ids."""
    made: dict[str, Taught] = {}

    def teach(name: str) -> Taught:
        if name not in made:
            made[name] = learn(name)
        return made[name]

    def learn(name: str) -> Taught:
        source = published(name)
        if source is None:
            pytest.skip(f"the tokenizer {name} was not fetched: python tests/published_tokenizers.py")
        folder = tmp_path_factory.mktemp(name)
        tokenizer = AutoTokenizer.from_pretrained(source)
        config, kind = KINDS[name]
        torch.manual_seed(0)
        head = {"head_dim": 32} if config is Qwen3Config else {}  # vLLM's attention on the CPU knows few widths
        kind(config(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **SHAPE, **head)).save_pretrained(
            folder
        )
        tokenizer.save_pretrained(folder)
        data = ["--data", world / "qa.jsonl", "--web", world / "pages.jsonl"]
        run_cli("sample", *data, "--model", "builtin", *EPISODE[:4], "--out", folder / "sft.jsonl")
        episode = from_object(Trajectory, json.loads((folder / "sft.jsonl").read_text()))
        learning = ["--steps", "120", "--batch-size", "1", "--lr", "1e-2", "--model", folder, "--out", folder / "out"]
        run_cli("sft", "--data", folder / "sft.jsonl", *learning)
        return folder / "out", episode, turns(Renderer(load_tokenizer(str(folder / "out"))), episode)

    return teach


def turns(renderer: Renderer, episode: Trajectory) -> list[tuple[list[int], list[int]]]:
    found = []
    for number, message in enumerate(episode.messages):
        if message.role == "assistant":
            found.append((renderer.prompt(episode.messages[:number]), renderer.turn(message.content)))
    assert len(found) >= 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_eval_plays_it_back(taught: Callable[[str], Taught], world: Path, run_cli: RunCli, name: str) -> None:
    folder, episode, _ = taught(name)
    data = ["--data", world / "qa.jsonl", "--web", world / "pages.jsonl"]
    done = run_cli("sample", *data, "--model", folder, *EPISODE, "--temperature", "0")
    played = from_object(Trajectory, json.loads(done.stdout))
    assert [message.content for message in played.messages] == [message.content for message in episode.messages]
    graded = json.loads(run_cli("eval", *data, "--model", folder, *EPISODE).stdout)
    assert graded["verdict"]["outcome"] == "correct" and graded["format_ok"]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_generate_of_transformers_writes_the_same_ids_and_stops(taught: Callable[[str], Taught], name: str) -> None:
    folder, episode, ids = taught(name)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for prompt, turn in ids:
        wrote = model.generate(torch.tensor([prompt]), max_new_tokens=len(turn) + 20, do_sample=False)
        assert wrote[0, len(prompt) :].tolist() == turn
    first = next(number for number, message in enumerate(episode.messages) if message.role == "assistant")
    chat = [{"role": message.role, "content": message.content} for message in episode.messages[:first]]
    assert tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) == ids[0][0]


@pytest.mark.vllm
@pytest.mark.parametrize("name", KINDS)
def test_vllm_writes_the_same_ids_and_makes_the_same_of_a_chat(
    taught: Callable[[str], Taught], tmp_path: Path, name: str
) -> None:
    folder, episode, ids = taught(name)
    with serving(folder, "taught", tmp_path / "log", "float32") as url:
        for prompt, turn in ids:
            asked = {"model": "taught", "prompt": prompt, "max_tokens": len(turn) + 20, "temperature": 0}
            (choice,) = post(f"{url}/v1/completions", {**asked, "return_token_ids": True})["choices"]
            assert choice["token_ids"] == turn and choice["finish_reason"] == "stop"
        positions = [number for number, message in enumerate(episode.messages) if message.role == "assistant"]
        for number, (prompt, _) in zip(positions, ids, strict=True):
            chat = [{"role": message.role, "content": message.content} for message in episode.messages[:number]]
            assert post(f"{url}/tokenize", {"model": "taught", "messages": chat})["tokens"] == prompt

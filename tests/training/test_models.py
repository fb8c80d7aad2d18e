import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from webdancer_cli.errors import UsageError
from webdancer_cli.records import Message
from webdancer_cli.training.logprobs import check_head
from webdancer_cli.training.models import arithmetic, describe, load_model, load_tokenizer, load_trainable, locate
from webdancer_cli.training.renderer import Renderer


def test_a_folder_gives_model_and_tokenizer(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder))
    assert model.dtype == torch.float32 and not model.training
    assert Renderer(load_tokenizer(str(tiny_folder))).template.name == "chatml"


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./missing", "runs/sft/final", "missing.gguf"])
def test_a_missing_checkpoint_is_one_clear_line(name: str) -> None:
    with pytest.raises(UsageError, match="no such checkpoint") as caught:
        load_model(name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_name_that_the_hub_does_not_have_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for load in (load_model, load_tokenizer):
        with pytest.raises(UsageError, match="neither a folder here") as caught:
            load("nobody/no-such-model")
        assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "step-20").mkdir()
    with pytest.raises(UsageError, match="step-20"):
        load_model(str(tmp_path))
    (tmp_path / "data.jsonl").touch()
    with pytest.raises(UsageError, match="not a checkpoint folder"):
        load_model(str(tmp_path / "data.jsonl"))


def test_a_checkpoint_without_tokenizer_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_folder).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="without a tokenizer"):
        load_tokenizer(str(tmp_path))


def test_broken_files_are_one_clear_line(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny_folder / "config.json").read_text())
    with pytest.raises(UsageError, match="cannot open the model"):
        load_model(str(tmp_path))


def test_an_adapter_folder_is_merged_into_its_base(tiny_folder: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    ids = torch.arange(10)[None]
    opened = load_model(str(tmp_path))
    torch.testing.assert_close(opened(ids).logits, adapted(ids).logits, rtol=1e-5, atol=1e-5)
    assert load_tokenizer(str(tmp_path)).eos_token == "<|im_end|>"


def test_an_adapter_without_a_base_says_so(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(UsageError, match="does not name its base"):
        locate(str(tmp_path))


def test_full_training_keeps_float32_weights_under_bfloat16_arithmetic(tiny_folder: Path) -> None:
    model, compute = load_trainable(str(tiny_folder), "bfloat16")
    assert compute == torch.bfloat16
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_lora_trains_float32_adapters_on_every_linear_layer(tiny_folder: Path) -> None:
    model, _ = load_trainable(str(tiny_folder), "bfloat16", lora_rank=4)
    trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
    frozen = [part for part in model.parameters() if not part.requires_grad]
    # 2 layers, each with q, k, v, o, gate, up, down; two matrices for each.
    assert len(trained) == 2 * 7 * 2 and all("lora_" in name for name in trained)
    assert {part.dtype for part in trained.values()} == {torch.float32}
    assert {part.dtype for part in frozen} == {torch.bfloat16}


def test_adapters_start_the_same_for_the_same_seed(tiny_folder: Path) -> None:
    first, again, other = (load_trainable(str(tiny_folder), lora_rank=4, seed=seed)[0] for seed in (1, 1, 2))
    start = [next(part for name, part in m.named_parameters() if "lora_A" in name) for m in (first, again, other)]
    assert torch.equal(start[0], start[1]) and not torch.equal(start[0], start[2])


def test_auto_dtype_is_exact_for_small_models_on_the_cpu(tiny_folder: Path) -> None:
    parameters = describe(str(tiny_folder)).parameters
    assert arithmetic(parameters, "auto", "cpu") == torch.float32
    assert arithmetic(parameters, "auto", "cuda") == torch.bfloat16
    with pytest.raises(UsageError, match="float16"):
        arithmetic(parameters, "float16")


def test_a_model_that_does_more_than_a_linear_head_is_refused(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder))
    check_head(model)
    own = model.forward
    model.forward = lambda **inputs: _scaled(own(**inputs))
    with pytest.raises(UsageError, match="linear head"):
        check_head(model)


def _scaled(output):
    output.logits = output.logits * 8
    return output


@pytest.mark.slow
def test_a_gguf_file_opens_and_speaks(smollm2_gguf: Path, smollm2_folder: Path) -> None:
    renderer = Renderer(load_tokenizer(str(smollm2_folder)))
    model = load_model(str(smollm2_folder))
    assert model.dtype == torch.bfloat16
    prompt = torch.tensor([renderer.prompt([Message("user", "What is the capital of France?")])])
    said = model.generate(prompt, max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :].tolist()
    assert "Paris" in renderer.text(said)
    assert load_tokenizer(str(smollm2_gguf)).vocab_size == len(load_tokenizer(str(smollm2_folder)))

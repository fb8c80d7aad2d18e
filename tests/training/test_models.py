import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import ARCHITECTURES
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError
from webdancer_cli.training.logprobs import check_head
from webdancer_cli.training.model_source import locate
from webdancer_cli.training.models import describe, load_model, load_tokenizer, load_trainable
from webdancer_cli.training.precision import arithmetic, slow_dtype
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


def test_an_adapter_brings_its_own_tokenizer_and_the_rows_of_its_tokens(tiny_folder: Path, tmp_path: Path) -> None:
    """As trainers write it that add chat tokens: embedding and tokenizer are the adapter's."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>", "<|newer|>"]})
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    base.resize_token_embeddings(len(tokenizer))
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path, save_embedding_layers=True)
    tokenizer.save_pretrained(tmp_path)
    ids = torch.tensor([[*range(10), len(tokenizer) - 1]])
    assert describe(str(tmp_path)).rows == len(tokenizer)
    assert load_tokenizer(str(tmp_path)).get_vocab() == tokenizer.get_vocab()
    torch.testing.assert_close(load_model(str(tmp_path))(ids).logits, adapted(ids).logits, rtol=1e-4, atol=1e-4)


def test_all_of_an_adapters_base_is_trained_without_adapters(tiny_folder: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(tmp_path)
    model, _ = load_trainable(str(tmp_path))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        (lambda name: f"_orig_mod.{name}", "take '_orig_mod.' off"),
        (lambda name: f"module.{name}", "take 'module.' off"),
        (lambda name: None if ".layers.1." in name else name, "11 missing"),
        (lambda name: name.replace("mlp.up_proj", "mlp.w3"), "2 missing (model.layers.0.mlp.up_proj.weight"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_refused_by_name(
    tiny_folder: Path, tmp_path: Path, rename: Callable[[str], str | None], told: str
) -> None:
    """transformers would draw what it does not find at random."""
    shutil.copytree(tiny_folder, tmp_path / "broken")
    weights = {rename(name): tensor for name, tensor in load_file(tiny_folder / "model.safetensors").items()}
    weights.pop(None, None)
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    for look in (describe, load_model, load_trainable):
        with pytest.raises(UsageError, match=re.escape(told)) as caught:
            look(str(tmp_path / "broken"))
        assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused_by_name(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "broken")
    config = json.loads((tiny_folder / "config.json").read_text())
    (tmp_path / "broken" / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(UsageError, match=r"6 of another shape \(model\.layers\.0\.mlp\.down_proj"):
        describe(str(tmp_path / "broken"))


def test_code_beside_a_model_is_never_run(tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_folder, tmp_path / "own")
    config = json.loads((tiny_folder / "config.json").read_text()) | {"model_type": "own"}
    config["auto_map"] = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    (tmp_path / "own" / "configuration_own.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(UsageError, match="code of its own"):
        describe(str(tmp_path / "own"))
    assert capfd.readouterr().out == "", "nobody is asked on the terminal"


def test_casting_keeps_what_a_family_needs_in_float32(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """The routing bias of DeepSeek-V3 differs in the fourth digit, rotary frequencies at long distances."""
    ARCHITECTURES["deepseek-v3"](tmp_path, tiny_tokenizer)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    own = dict([*model.named_parameters(), *model.named_buffers()])
    kept = {name for name, value in own.items() if value.dtype == torch.float32}
    assert any("e_score_correction_bias" in name for name in kept) and any("inv_freq" in name for name in kept)
    for model in (load_model(str(tmp_path), "bfloat16"), load_trainable(str(tmp_path), "bfloat16", lora_rank=2)[0]):
        held = {
            name.removeprefix("base_model.model.").replace(".base_layer", ""): value
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        }
        assert all(held[name].dtype == torch.float32 and torch.equal(held[name], own[name]) for name in kept)


def test_bfloat16_on_the_cpu_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    large = 135_000_000
    for capabilities, expected in (({"avx2": True}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=capabilities: known)
        assert arithmetic(large, "auto", "cpu") == expected
        assert bool(slow_dtype(torch.bfloat16, "cpu")) == (expected == torch.float32)
        assert arithmetic(large, "bfloat16", "cpu") == torch.bfloat16, "what is asked for is done"
    assert not slow_dtype(torch.float32, "cpu") and not slow_dtype(torch.bfloat16, "cuda")

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.training import checkpoint
from webdancer_cli.training.checkpoint_writer import ROUNDED_AWAY, BadCheckpoint, CheckpointWriter, _revision, merge
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.models import describe, load_model, load_trainable
from webdancer_cli.training.setup import set_up

IDS = torch.arange(12)[None]
Writer = Callable[..., CheckpointWriter]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """A writer for a model; what it tells is in its ``told``."""

    def make(source: Path | str, dtype: torch.dtype = torch.float32, **options: object) -> CheckpointWriter:
        told: list[str] = []
        given = config.SftOptions(model=str(source), out=str(tmp_path / "out"), **options)  # type: ignore[arg-type]
        made = CheckpointWriter(set_up(given, ProcessGroup(), told.append), {"id": "x"}, dtype)
        made.told = told  # type: ignore[attr-defined]
        return made

    return make


def moved(model: PeftModel, std: float) -> PeftModel:
    """With adapters that do something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(std=std)
    return model


def test_a_checkpoint_loads_untouched(tiny_folder: Path, tmp_path: Path, writer: Writer) -> None:
    model, _ = load_trainable(str(tiny_folder))
    writer(tiny_folder).save(tmp_path / "out", model, 3)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token == "<|im_end|>"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", checkpoint.MANIFEST} <= names
    assert not [name for name in names if name.startswith(".")]
    assert json.loads((tmp_path / "out" / checkpoint.MANIFEST).read_text())["step"] == 3


def test_tied_weights_are_written_once(tiny_folder: Path, tmp_path: Path, writer: Writer) -> None:
    model, _ = load_trainable(str(tiny_folder))
    writer(tiny_folder).save(tmp_path, model, 1)
    # vocabulary x 32 once, plus what the layers hold: exactly the parameters of the model, four bytes each.
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 4 * model.num_parameters() < size < 4 * model.num_parameters() + 8192


def test_the_dtype_of_the_file_is_the_dtype_that_config_names(
    tiny_folder: Path, tmp_path: Path, writer: Writer
) -> None:
    model, compute = load_trainable(str(tiny_folder), "bfloat16")
    writer(tiny_folder, compute).save(tmp_path, model, 1)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    assert model.dtype == torch.float32


def test_adapters_are_merged_and_also_kept(tiny_folder: Path, tmp_path: Path, writer: Writer) -> None:
    model = moved(load_trainable(str(tiny_folder), lora_rank=4)[0], 0.1)
    before = model(IDS).logits
    metrics = writer(tiny_folder).save(tmp_path / "out", model, 1)
    assert metrics == {ROUNDED_AWAY: 0.0}, "nothing is lost in float32"
    assert torch.equal(model(IDS).logits, before), "saving must not change the model"
    for folder in (tmp_path / "out", tmp_path / "out" / "adapter"):
        torch.testing.assert_close(load_model(str(folder))(IDS).logits, before, rtol=1e-5, atol=1e-5)
    named = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(tiny_folder.resolve())


def test_an_adapter_whose_base_is_no_file_is_left_out_and_said(
    tiny_folder: Path, tmp_path: Path, writer: Writer
) -> None:
    first = moved(load_trainable(str(tiny_folder), lora_rank=4)[0], 0.1)
    writer(tiny_folder).save(tmp_path / "first", first, 1)
    parent = tmp_path / "first" / "adapter"
    model = moved(load_trainable(str(parent), lora_rank=4)[0], 0.1)
    second = writer(parent)
    second.save(tmp_path / "second", model, 1)
    assert not (tmp_path / "second" / "adapter").exists()
    assert any(str(parent) in line and "adapter" in line for line in second.told)  # type: ignore[attr-defined]
    merged = load_model(str(tmp_path / "second"))
    torch.testing.assert_close(merged(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_what_rounding_takes_of_an_update_is_measured_and_told(
    tiny_folder: Path, tmp_path: Path, writer: Writer
) -> None:
    """Weights near 0.02 have steps of 2^-13 in bfloat16: an update far below half of that is lost."""
    lost = {}
    for std in (1e-6, 1.0):
        model = moved(load_trainable(str(tiny_folder), "bfloat16", lora_rank=4)[0], std)
        made = writer(tiny_folder, torch.bfloat16, lora_rank=4)
        lost[std] = made.save(tmp_path / str(std), model, 1)[ROUNDED_AWAY]
        told = any("rounded away" in line for line in made.told)  # type: ignore[attr-defined]
        assert told == (std == 1e-6)
    assert lost[1e-6] > 0.9 and lost[1.0] < 0.02


def test_a_merge_that_changes_what_is_computed_is_no_checkpoint(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = moved(load_trainable(str(tiny_folder), lora_rank=4)[0], 0.5)
    layer = next(part for part in model.modules() if hasattr(part, "lora_A"))
    monkeypatch.setattr(layer, "merge", lambda: layer.get_base_layer().weight.data.add_(1.0))
    with pytest.raises(BadCheckpoint, match="do not compute"):
        merge(model, {})


def test_a_turn_ends_with_the_templates_token_and_still_with_the_bases(
    tiny_folder: Path, tmp_path: Path, writer: Writer
) -> None:
    source = copied(tiny_folder, tmp_path / "base", {"eos_token_id": 5})
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(source)
    made = writer(source)
    made.save(tmp_path / "saved", load_trainable(str(source))[0], 1)
    end, text = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert GenerationConfig.from_pretrained(tmp_path / "saved").eos_token_id == [end, 5, text]
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").eos_token == "<|im_end|>"
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["eos_token_id"] == end


@pytest.mark.parametrize("setting", [{"temperature": 0.6}, {"top_p": 0.9, "min_p": 0.1}, {"top_k": 20}])
def test_settings_that_mean_nothing_without_sampling_do_not_cost_the_checkpoint(
    tiny_folder: Path, tmp_path: Path, writer: Writer, setting: dict[str, float]
) -> None:
    made = writer(copied(tiny_folder, tmp_path / "base", {"do_sample": False, **setting}))
    made.generation.validate(strict=True)
    assert any(name in line for name in setting for line in made.told)  # type: ignore[attr-defined]
    sampled = writer(copied(tiny_folder, tmp_path / "other", {"do_sample": True, **setting}))
    assert {name: getattr(sampled.generation, name) for name in setting} == setting


def test_what_would_fail_at_the_last_save_is_refused_before_the_first_step(tiny_folder: Path, writer: Writer) -> None:
    made = writer(tiny_folder)
    model, _ = load_trainable(str(tiny_folder))
    made.try_out(model)
    made.generation.num_beams = -3
    made.generation.num_return_sequences = 5
    with pytest.raises(UsageError, match="could not be saved after training"):
        made.try_out(model)


def test_a_checkpoint_that_lacks_a_tensor_is_not_moved_in(
    tiny_folder: Path, tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = load_trainable(str(tiny_folder))
    made = writer(tiny_folder)
    whole = PreTrainedModel.save_pretrained

    def forgetful(self: PreTrainedModel, folder: Path, state_dict: dict[str, torch.Tensor]) -> None:
        whole(self, folder, state_dict={name: value for name, value in state_dict.items() if "layers.1." not in name})

    monkeypatch.setattr(type(model), "save_pretrained", forgetful)
    with pytest.raises(BadCheckpoint, match="missing"):
        made.save(tmp_path / "out", model, 1)
    assert not (tmp_path / "out" / "config.json").exists()


def test_settings_of_training_are_not_saved(tiny_folder: Path, tmp_path: Path, writer: Writer) -> None:
    for rank in (0, 4):
        model, _ = load_trainable(str(tiny_folder), lora_rank=rank)
        writer(tiny_folder).save(tmp_path / str(rank), model, 1)
        saved, source = (
            json.loads((folder / "config.json").read_text()) for folder in (tmp_path / str(rank), tiny_folder)
        )
        assert {name for name in saved.keys() | source.keys() if saved.get(name) != source.get(name)} <= {"dtype"}


def test_the_commit_of_a_hub_name_is_kept_with_the_adapter(tiny_folder: Path) -> None:
    """transformers notes it in a private attribute of the configuration, ``_commit_hash``."""
    plain = describe(str(tiny_folder))
    assert _revision(plain) is None
    plain.model.config._commit_hash = "abc"
    assert _revision(plain) == "abc"


def copied(folder: Path, to: Path, generation: dict[str, object]) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    (to / "generation_config.json").write_text(json.dumps(generation))
    return to

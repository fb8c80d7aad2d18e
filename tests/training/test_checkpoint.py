import json
from pathlib import Path

import pytest
import torch

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.training import checkpoint


def test_an_out_that_cannot_be_used_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="folder that can be written"):
            checkpoint.prepare_output(str(out), "nano")
    assert checkpoint.prepare_output(str(tmp_path / "a" / "b"), "nano").is_dir()
    (tmp_path / "a" / checkpoint.MANIFEST).touch()
    with pytest.raises(UsageError, match="finished checkpoint"):
        checkpoint.prepare_output(str(tmp_path / "a"), "nano")


FOREIGN = ["model.safetensors", "model-1-of-2.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]
FOREIGN += ["adapter_config.json", "model-q4.gguf"]


@pytest.mark.parametrize("file", FOREIGN)
def test_a_folder_with_the_weights_of_another_model_is_refused(tmp_path: Path, file: str) -> None:
    """Loaders follow an old index, or take the first format that they find: not what would be written there."""
    (tmp_path / file).touch()
    with pytest.raises(UsageError, match=file.replace(".", r"\.")):
        checkpoint.prepare_output(str(tmp_path), "nano")
    (tmp_path / checkpoint.PARTIAL).mkdir()
    assert checkpoint.prepare_output(str(tmp_path), "nano"), "killed while its files were moved in"


def test_the_models_own_folder_is_refused_by_every_name(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiny_folder)
    for out in (tiny_folder, tmp_path / "link", tiny_folder / ".." / tiny_folder.name):
        with pytest.raises(UsageError, match="own folder"):
            checkpoint.prepare_output(str(out), str(tiny_folder))


def test_a_checkpoint_names_its_parent(tmp_path: Path) -> None:
    parent = checkpoint.provenance("sft", config.SftOptions(model="nano"), "00")
    (tmp_path / checkpoint.MANIFEST).write_text(json.dumps(parent))
    child = checkpoint.provenance("rl", config.RlOptions(model=str(tmp_path)), "11")
    assert parent["parent"]["id"] is None and child["parent"]["id"] == parent["id"]
    assert child["options"]["group"] == 16 and child["versions"]["torch"] == torch.__version__
    assert parent["id"] == checkpoint.provenance("sft", config.SftOptions(model="nano"), "00")["id"] != child["id"]
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").touch()
    of_adapter = checkpoint.provenance("sft", config.SftOptions(model=str(tmp_path / "adapter")), "22")
    assert of_adapter["parent"]["id"] == parent["id"]

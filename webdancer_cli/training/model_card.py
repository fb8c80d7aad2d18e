"""The README.md of a checkpoint: where it comes from, how it was made, and what was measured."""

import json
from typing import Any

from webdancer_cli.training.models import ModelDescription

_MAKERS = {"sft": "supervised fine-tuning", "rl": "reinforcement learning (DAPO)"}
_NOT_TOLD = ("data", "out", "resume", "dry_run", "save_every", "keep", "async_save", "prices", "tape", "tape_mode")


def model_card(about: dict[str, Any], plain: ModelDescription, step: int, measures: dict[str, Any]) -> str:
    """Markdown with the front matter that model hubs read. ``about`` is what stands in ``webdancer.json``."""
    command, options = about.get("command", ""), about.get("options", {})
    base = about.get("parent", {}).get("model") or plain.source.name
    front = {"library_name": "transformers", "pipeline_tag": "text-generation", "base_model": base, "license": "other"}
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in front.items())]
    lines += [
        "tags:",
        "- webdancer",
        f"- {command}",
        "---",
        "",
        f"# {type(plain.model).__name__}: a web-research agent",
        "",
    ]
    lines += [f"Made by `webdancer {command}`: {_MAKERS.get(command, command)} of `{base}`, {step} steps.", ""]
    lines += ["The licence is that of the base model and of the data: set the field above to what they allow.", ""]
    lines += ["## Data", "", f"- SHA-256 of the records as read: `{about.get('data_sha256', '')}`"]
    lines += [f"- {name}: {count}" for name, count in about.get("records", {}).items()]
    lines += [f"- {name}: `{about[name]}`" for name in ("web", "judge", "prompts") if name in about]
    told = {name: value for name, value in options.items() if name not in _NOT_TOLD and value not in (None, [], "")}
    lines += ["", "## Recipe", "", "| option | value |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in sorted(told.items())]
    if measures:
        lines += ["", "## Last step", "", "| measure | value |", "|---|---|"]
        lines += [f"| {name} | {_number(value)} |" for name, value in measures.items()]
    lines += [
        "",
        "## Provenance",
        "",
        f"- id: `{about.get('id', '')}`",
        f"- parent: `{about.get('parent', {}).get('id')}`",
    ]
    lines += [f"- {name} {version}" for name, version in about.get("versions", {}).items()]
    lines += ["", "Turns are those of the chat template beside this file, which keeps earlier thoughts.", ""]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

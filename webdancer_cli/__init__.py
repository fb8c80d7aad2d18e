"""From web pages to a trained web-research agent, as composable Unix stages; and the library behind them.

``import webdancer_cli`` gives the names below, and ``docs/library.md`` shows them at work. Each is imported when it is
first asked for: nobody waits for torch who only reads records. Whatever is not named here may change without notice.
"""

# ruff: noqa: F401  (what type checkers are told is looked up by name)

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webdancer_cli.agent.custom_policy import CustomPolicy
    from webdancer_cli.agent.custom_tools import CustomTool
    from webdancer_cli.agent.episode import Completion, Limits, Policy, Session, play
    from webdancer_cli.agent.tools import Tools
    from webdancer_cli.data.jsonl import LineWriter, read_records, write_records
    from webdancer_cli.data.questions import read_questions
    from webdancer_cli.data.records import QA, Attempt, Evidence, Message, Page, Rejected, Trajectory, Usage, Verdict
    from webdancer_cli.errors import ModelError, Outage, ToolError, UsageError, WebdancerError
    from webdancer_cli.grading.exact_match import Judge, match_answer
    from webdancer_cli.grading.format import trajectory_fault, well_formed
    from webdancer_cli.grading.reward import reward
    from webdancer_cli.prompts import PromptSet
    from webdancer_cli.prompts import load as load_prompts
    from webdancer_cli.training.models import load_tokenizer
    from webdancer_cli.training.renderer import Renderer, Tokens
    from webdancer_cli.transcript.grammar import ToolCall, Turn, parse_turn, render_call, render_response, render_turn
    from webdancer_cli.web.corpus import Corpus
    from webdancer_cli.web.open_pages import open_pages
    from webdancer_cli.web.protocols import Hit, Web

__version__ = "0.1.0"

_MODULES = {
    "agent.custom_policy": ("CustomPolicy",),
    "agent.custom_tools": ("CustomTool",),
    "agent.episode": ("Completion", "Limits", "Policy", "Session", "play"),
    "agent.tools": ("Tools",),
    "data.jsonl": ("LineWriter", "read_records", "write_records"),
    "data.questions": ("read_questions",),
    "data.records": (
        "QA", "Attempt", "Evidence", "Message", "Page", "Rejected", "Trajectory", "Usage", "Verdict",
    ),
    "errors": ("ModelError", "Outage", "ToolError", "UsageError", "WebdancerError"),
    "grading.exact_match": ("Judge", "match_answer"),
    "grading.format": ("trajectory_fault", "well_formed"),
    "grading.reward": ("reward",),
    "prompts": ("PromptSet", "load_prompts"),
    "training.models": ("load_tokenizer",),
    "training.renderer": ("Renderer", "Tokens"),
    "transcript.grammar": ("ToolCall", "Turn", "parse_turn", "render_call", "render_response", "render_turn"),
    "web.corpus": ("Corpus",),
    "web.open_pages": ("open_pages",),
    "web.protocols": ("Hit", "Web"),
}  # fmt: skip
"""Where each public name stands; the same as what type checkers are told above."""
_RENAMED = {"load_prompts": "load"}
"""Public names that say more than the name within the module has to."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), _RENAMED.get(name, name))
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULE_OF})

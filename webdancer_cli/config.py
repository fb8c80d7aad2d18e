"""Where ``webdancer_cli.options.config`` was up to 0.1, with its classes' names of then; this name goes with 0.3."""

from typing import Any

from webdancer_cli.options import config


def __getattr__(name: str) -> Any:
    """``Eval`` is ``EvalOptions`` now, and so are all others."""
    return getattr(config, name if hasattr(config, name) else f"{name}Options")

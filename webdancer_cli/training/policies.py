"""Where ``webdancer_cli.training.token_policy`` was up to 0.1, with its names of then; this name goes with 0.3."""

from webdancer_cli.training.token_policy import TokenPolicy, open_token_policy

open_policy = open_token_policy

__all__ = ["TokenPolicy", "open_policy"]

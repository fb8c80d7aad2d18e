"""What others imported from 0.1 is found for one release more."""

from webdancer_cli import config, records
from webdancer_cli.data.records import Message
from webdancer_cli.options.config import EvalOptions
from webdancer_cli.training import engine, policies
from webdancer_cli.training.token_policy import open_token_policy


def test_the_names_of_0_1_are_those_of_now() -> None:
    assert records.Message is Message and config.Eval is EvalOptions and config.BUILTIN == "builtin"
    assert policies.open_policy is open_token_policy and engine.Sampling is engine.SamplingParams

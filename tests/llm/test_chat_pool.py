"""The models of a run: one budget, and one view of what an endpoint bears."""

import pytest

from webdancer_cli.data.records import Usage
from webdancer_cli.errors import BudgetSpent, UsageError
from webdancer_cli.llm.chat_pool import ChatPool
from webdancer_cli.options import config

URL = "http://127.0.0.1:9/v1"


def test_roles_share_budget_and_endpoints() -> None:
    chat_pool = ChatPool(config.CallOptions(max_tokens=10), jobs=4)
    teacher, judge = chat_pool.chat("teacher", "a", [URL]), chat_pool.chat("judge", "b", [URL])
    other = chat_pool.chat("summariser", "c", ["http://127.0.0.1:10/v1"])
    assert teacher._endpoints is judge._endpoints and teacher._endpoints is not other._endpoints
    teacher.ledger.charge(Usage(input_tokens=10), 0, 0)
    with pytest.raises(BudgetSpent, match="--max-tokens 10"):
        judge.ledger.check()


def test_every_role_is_told_what_it_took() -> None:
    chat_pool = ChatPool(config.CallOptions(), jobs=4)
    chat_pool.chat("teacher", "a", [URL]).ledger.charge(Usage(input_tokens=10), 0, 0)
    assert chat_pool.summaries() == ["1 calls, 10 tokens in (0 cached), 0 out"]
    chat_pool.chat("judge", "b", [URL])
    assert chat_pool.summaries() == [
        "teacher a: 1 calls, 10 tokens in (0 cached), 0 out",
        "judge b: 0 calls, 0 tokens in (0 cached), 0 out",
    ]


def test_there_is_room_to_reason_before_a_reply() -> None:
    assert ChatPool(config.CallOptions(), jobs=4).chat("judge", "a", [URL])._sampling["max_tokens"] == 8192


def test_every_model_needs_a_price_for_a_cost_limit() -> None:
    chat_pool = ChatPool(config.CallOptions(max_cost=1.0), jobs=4)
    chat_pool.chat("teacher", "gpt-4o", [URL])
    with pytest.raises(UsageError, match="qwen has no known price"):
        chat_pool.chat("judge", "qwen", [URL])

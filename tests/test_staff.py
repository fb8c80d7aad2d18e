"""The models of a run: one budget, and one view of what an endpoint bears."""

import pytest

from webdancer_cli import config
from webdancer_cli.errors import BudgetSpent, UsageError
from webdancer_cli.records import Usage
from webdancer_cli.staff import Staff

URL = "http://127.0.0.1:9/v1"


def test_roles_share_budget_and_endpoints() -> None:
    staff = Staff(config.Calls(max_tokens=10), jobs=4)
    teacher, judge = staff.chat("teacher", "a", [URL]), staff.chat("judge", "b", [URL])
    other = staff.chat("summariser", "c", ["http://127.0.0.1:10/v1"])
    assert teacher._endpoints is judge._endpoints and teacher._endpoints is not other._endpoints
    teacher.ledger.charge(Usage(input_tokens=10), 0, 0)
    with pytest.raises(BudgetSpent, match="--max-tokens 10"):
        judge.ledger.check()


def test_every_role_is_told_what_it_took() -> None:
    staff = Staff(config.Calls(), jobs=4)
    staff.chat("teacher", "a", [URL]).ledger.charge(Usage(input_tokens=10), 0, 0)
    assert staff.lines() == ["1 calls, 10 tokens in (0 cached), 0 out"]
    staff.chat("judge", "b", [URL])
    assert staff.lines() == [
        "teacher a: 1 calls, 10 tokens in (0 cached), 0 out",
        "judge b: 0 calls, 0 tokens in (0 cached), 0 out",
    ]


def test_there_is_room_to_reason_before_a_reply() -> None:
    assert Staff(config.Calls(), jobs=4).chat("judge", "a", [URL])._sampling["max_tokens"] == 8192


def test_every_model_needs_a_price_for_a_cost_limit() -> None:
    staff = Staff(config.Calls(max_cost=1.0), jobs=4)
    staff.chat("teacher", "gpt-4o", [URL])
    with pytest.raises(UsageError, match="qwen has no known price"):
        staff.chat("judge", "qwen", [URL])

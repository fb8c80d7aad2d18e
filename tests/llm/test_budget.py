"""Prices, costs and budgets, by hand."""

from pathlib import Path

import pytest

from webdancer_cli.data.records import Usage
from webdancer_cli.errors import BudgetSpent, UsageError
from webdancer_cli.llm.budget import Budget, Ledger, Price, add_usage, find_price

PRICE = Price(input=2.0, cached=0.5, output=10.0)
USED = Usage(calls=1, input_tokens=1000, cached_tokens=400, output_tokens=100)


def test_a_cost_by_hand() -> None:
    assert PRICE.cost(USED) == 0.0024  # (600 * 2 + 400 * 0.5 + 100 * 10) / 1e6
    assert Price(input=2.0, output=10.0).cost(USED) == 0.003  # (1000 * 2 + 100 * 10) / 1e6


def test_the_users_table_comes_first_and_the_built_in_one_fills_up(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('["gpt-4o"]\ninput = 1\noutput = 2\n[mine]\ninput = 0\noutput = 0\n')
    assert find_price("gpt-4o", str(table)) == Price(input=1.0, output=2.0)
    assert find_price("mine", str(table)) == Price(input=0.0, output=0.0)
    assert (
        find_price("gpt-4o-mini", str(table))
        == find_price("gpt-4o-mini")
        == Price(input=0.15, cached=0.075, output=0.6)
    )
    assert find_price("mine") is None


@pytest.mark.parametrize(
    "text", ["[m]\ninput = -1\noutput = 2\n", "[m]\ninput = 1\n", "[m\n", "[m]\ninput=1\noutput=1\nx=1\n"]
)
def test_a_table_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(text)
    with pytest.raises(UsageError, match=r"--prices .*prices\.toml"):
        find_price("m", str(table))
    with pytest.raises(UsageError, match="--prices"):
        find_price("m", str(tmp_path / "missing"))


def test_a_ledger_adds_up_and_stops_at_its_budget() -> None:
    ledger = Ledger("m", price=PRICE, budget=Budget(max_cost=0.004))
    ledger.charge(USED, 0, 0)
    ledger.check()
    ledger.charge(USED, 0, 0)
    with pytest.raises(BudgetSpent, match=r"--max-cost 0\.004 is spent \(\$0\.0048\)"):
        ledger.check()
    assert ledger.summary() == "2 calls, 2000 tokens in (800 cached), 200 out, $0.0048"


def test_what_a_server_does_not_count_is_estimated_for_the_budget() -> None:
    ledger = Ledger("m", budget=Budget(max_tokens=100))
    ledger.charge(Usage(calls=1), 300, 100)  # 300 / 4 + 100 / 4 = 100 tokens
    with pytest.raises(BudgetSpent, match=r"--max-tokens 100 are spent \(100\)"):
        ledger.check()
    assert ledger.summary() == "1 calls, 75 tokens in (0 cached), 25 out"


def test_a_limit_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="qwen has no known price"):
        Ledger("qwen", price=find_price("qwen"), budget=Budget(max_cost=1.0))


def test_models_of_one_run_share_its_budget() -> None:
    budget = Budget(max_tokens=2000)
    teacher, judge = Ledger("teacher", budget=budget), Ledger("judge", budget=budget)
    teacher.charge(USED, 0, 0)  # 1,100 tokens
    judge.check()
    judge.charge(USED, 0, 0)
    with pytest.raises(BudgetSpent, match=r"--max-tokens 2000 are spent \(2200\)"):
        teacher.check()
    assert (teacher.total.calls, judge.total.calls) == (1, 1)


def test_a_sum_of_usages_knows_what_its_parts_know() -> None:
    assert add_usage(Usage(), Usage(calls=1)).cost is None
    assert add_usage(Usage(cost=0.1), Usage(cost=0.2)).cost == 0.3
    assert add_usage(Usage(calls=1, cost=0.1), Usage(calls=2, input_tokens=3)) == Usage(
        calls=3, input_tokens=3, cost=0.1
    )

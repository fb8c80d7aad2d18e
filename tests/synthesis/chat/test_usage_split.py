"""Shares are whole, as equal as can be, and add up."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import Usage
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.synthesis.chat.usage_split import split_usage

counts = st.integers(0, 10_000)
costs = st.none() | st.integers(0, 10**10).map(lambda nanos: nanos / 1e9)
usages = st.builds(Usage, calls=counts, input_tokens=counts, output_tokens=counts, cached_tokens=counts, cost=costs)


@given(usages, st.integers(1, 20))
def test_shares_add_up_and_differ_by_one_at_most(usage: Usage, parts: int) -> None:
    found = split_usage(usage, parts)
    assert len(found) == parts and reduce(add_usage, found) == usage
    for name in ("calls", "input_tokens", "output_tokens", "cached_tokens"):
        column = [getattr(share, name) for share in found]
        assert max(column) - min(column) <= 1


def test_nothing_that_was_made_has_no_share() -> None:
    assert split_usage(Usage(calls=1, input_tokens=5), 0) == []

"""Parts of an input are disjoint, and together the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.shards import Shard, parse_shard, take_shard
from webdancer_cli.errors import UsageError


@given(st.lists(st.text()), st.integers(1, 9))
def test_every_item_is_in_one_part(items: list[str], of: int) -> None:
    parts = [list(take_shard(items, f"{number}/{of}", None, str)) for number in range(1, of + 1)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    for part in parts:
        assert [item for item in items if item in part] == part  # in order; equal items are together


def test_parts_are_about_equal() -> None:
    items = [str(number) for number in range(8000)]
    # Binomial with n = 8,000 and p = 1/8: mean 1,000, standard deviation 29.6; five of them either way.
    assert all(852 <= len(list(take_shard(items, f"{number}/8", None, str))) <= 1148 for number in range(1, 9))


def test_the_limit_is_of_the_part() -> None:
    items = [str(number) for number in range(100)]
    assert list(take_shard(items, "1/2", 3, str)) == [item for item in items if Shard(1, 2).holds(item)][:3]
    assert list(take_shard(items, None, 3, str)) == ["0", "1", "2"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def test_the_parts_are_the_same_on_every_machine() -> None:
    # SHA-256 of "a" starts with ca978112ca1bbdca, an even number: the remainder by 2 is 0, which is part 1.
    assert Shard(1, 2).holds("a") and not Shard(2, 2).holds("a")

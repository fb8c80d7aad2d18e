"""A set of strings that is small: it must still be a set."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.key_set import FIRST_SLOTS, KeySet
from webdancer_cli.data.records import content_id


@given(st.lists(st.text(max_size=3)))
def test_it_is_a_set(keys: list[str]) -> None:
    seen, expected = KeySet(), set[str]()
    for key in keys:
        assert (key in seen) == (key in expected)
        assert seen.add(key) == (key not in expected)
        expected.add(key)
    assert len(seen) == len(expected)
    assert all(key in seen for key in expected)


def test_it_grows_and_forgets_nothing() -> None:
    keys = [content_id(number) for number in range(5 * FIRST_SLOTS)]
    seen = KeySet(keys)
    assert len(seen) == len(keys)
    assert all(key in seen for key in keys)
    assert not any(content_id("other", number) in seen for number in range(1000))


def test_it_is_small() -> None:
    # 5,120 keys fill 8,192 slots of 8 bytes: 65,536 bytes, 12.8 a key; the array keeps a sixteenth in reserve.
    seen = KeySet(content_id(number) for number in range(5 * FIRST_SLOTS))
    assert sys.getsizeof(seen._slots) < 70_000

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.world.arithmetic import Shares, Shuffle, mix
from webdancer_cli.world.shares import Appointed, Dealt, Roster, paired

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**64 - 1)
weights = st.lists(st.integers(1, 6), min_size=1, max_size=8).map(tuple)


@given(sizes, seeds)
def test_a_shuffle_is_a_permutation_and_is_undone(size: int, key: int) -> None:
    shuffle = Shuffle(size, key)
    shuffled = [shuffle(index) for index in range(size)]
    assert sorted(shuffled) == list(range(size))
    assert [shuffle.inverse(value) for value in shuffled] == list(range(size))


def test_a_shuffle_leaves_few_in_place_and_differs_by_key() -> None:
    one, other = Shuffle(1000, 1), Shuffle(1000, 2)
    assert sum(one(index) == index for index in range(1000)) < 20
    assert sum(one(index) == other(index) for index in range(1000)) < 20


def test_mix_depends_on_every_part_and_on_their_order() -> None:
    assert len({mix(), mix(0), mix(1), mix(0, 0), mix(0, 1), mix(1, 0), mix(0, 1, 0)}) == 7
    assert all(0 <= mix(seed) < 2**64 for seed in range(100))


def test_shares_by_hand() -> None:
    # Owners 0..2 weigh 1, 2, 1 (the weights repeat), so a round is items 0 | 1 2 | 3, and items 4.. start a new one.
    shares = Shares(items=7, owners=3, weights=(1, 2))
    assert [shares.owner(item) for item in range(7)] == [0, 1, 1, 2, 0, 1, 1]
    assert [list(shares.items_of(owner)) for owner in range(3)] == [[0, 4], [1, 2, 5, 6], [3]]


@given(sizes, st.integers(1, 40), weights)
def test_shares_are_the_same_from_both_sides(items: int, owners: int, weights: tuple[int, ...]) -> None:
    shares = Shares(items, owners, weights)
    dealt = {item: owner for owner in range(owners) for item in shares.items_of(owner)}
    assert dealt == {item: shares.owner(item) for item in range(items)}


@given(sizes, st.integers(1, 40), weights, seeds)
def test_dealt_items_are_the_same_from_both_sides(items: int, owners: int, weights: tuple[int, ...], key: int) -> None:
    dealt = Dealt(items, owners, weights, key)
    found = [(item, owner) for owner in range(owners) for item in dealt.items(owner)]
    assert sorted(found) == [(item, dealt.owner(item)) for item in range(items)]


def test_fewer_items_than_shares_reach_late_owners_too() -> None:
    dealt = Dealt(100, 100, (4,), key=1)
    assert len([owner for owner in range(50, 100) if dealt.items(owner)]) > 15


def test_a_roster_by_hand() -> None:
    # Of 8 in cycles of 3, places 0 and 2 hold 0 2 | 3 5 | 6.
    link_list = Roster(size=8, cycle=3, places=(2, 0))
    assert len(link_list) == 5
    assert [link_list.rank(number) for number in range(5)] == [0, 2, 3, 5, 6]
    assert [link_list.number(rank) for rank in range(10)] == [0, None, 1, 2, None, 3, 4, None, None, None]
    assert [link_list.before(rank) for rank in (0, 1, 3, 6, 8, 100)] == [0, 1, 2, 4, 5, 5]


@given(sizes, st.integers(1, 40), seeds)
def test_an_appointment_is_the_same_from_both_sides(smaller: int, larger: int, key: int) -> None:
    match = Appointed(smaller, larger, key)
    chosen = {number: match.chosen(number) for number in range(smaller)}
    both = [rank for rank in chosen.values() if rank is not None]
    assert len(set(both)) == len(both) == min(smaller, larger)
    assert all(match.chooser(rank) == number for number, rank in chosen.items() if rank is not None)


def test_pairs() -> None:
    assert [paired(rank, 5) for rank in range(5)] == [1, 0, 3, 2, None]

"""Guesses at how a text goes on."""

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.training import drafts
from webdancer_cli.training.drafts import WIDTHS, Drafts, History


def begun(ids: list[int]) -> History:
    history = History()
    history.begin(ids)
    return history


def test_a_text_goes_on_as_it_did_after_the_same_ids():
    ids = [1, 2, 3, 7, 8, 9, 1, 2, 3]
    assert Drafts(4).of(ids, begun(ids), 9) == [7, 8, 9, 1]
    assert Drafts(2).of(ids, begun(ids), 9) == [7, 8]
    assert Drafts(4).of(ids, begun(ids), 1) == [7]
    assert Drafts(4).of(ids, begun(ids), 0) == []
    assert Drafts(4).of([1, 2, 3], begun([1, 2, 3]), 9) == []


def test_three_ids_alike_say_more_than_two_and_the_last_place_more_than_an_earlier_one():
    ids = [5, 2, 3, 7, 1, 2, 3, 8, 5, 2, 3]
    assert Drafts(1).of(ids, begun(ids), 9) == [7]  # after 5 2 3; after 2 3 it was 8 last
    ids = [4, 2, 3, 7, 1, 2, 3, 8, 9, 2, 3]
    assert Drafts(1).of(ids, begun(ids), 9) == [8]


def test_ids_that_are_drawn_become_part_of_the_text():
    ids = [1, 2, 3, 7]
    history, guesses = begun(ids), Drafts(2)
    assert guesses.of(ids, history, 2) == []
    ids += [2, 3]
    assert guesses.of(ids, history, 2) == [7, 2]
    ids += [7, 2, 3]
    assert guesses.of(ids, history, 2) == [7, 2]


def test_a_later_turn_knows_the_earlier_ones_and_another_text_does_not():
    history, guesses = begun([1, 2, 3, 7, 8]), Drafts(2)
    guesses.of([1, 2, 3, 7, 8], history, 2)
    later = [1, 2, 3, 7, 8, 4, 4, 2, 3]
    history.begin(later)
    assert guesses.of(later, history, 2) == [7, 8]
    other = [1, 2, 5, 5, 5, 2, 3]
    history.begin(other)
    assert guesses.of(other, history, 2) == []


def test_what_other_rows_drew_is_a_guess_until_the_weights_change():
    guesses = Drafts(3)
    guesses.learn([1, 2, 3, 4, 5, 6], first=3)  # 4, 5 and 6 were drawn
    assert guesses.of([9, 2, 3], begun([9, 2, 3]), 3) == [4, 5, 6]
    assert guesses.of([9, 1, 2], begun([9, 1, 2]), 3) == []  # 3 stood in a prompt
    assert guesses.of([2, 3, 8, 2, 3], begun([2, 3, 8, 2, 3]), 3) == [8, 2, 3]  # the row's own text comes first
    guesses.forget()
    assert guesses.of([9, 2, 3], begun([9, 2, 3]), 3) == []


def test_what_rows_drew_is_forgotten_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(drafts, "MOST_ENTRIES", 50)
    guesses = Drafts(3)
    for turn in range(20):
        guesses.learn(list(range(100 * turn, 100 * turn + 10)), first=2)
        assert len(guesses._drawn) <= 50 + 16
    assert guesses.of([1900, 1901], begun([1900, 1901]), 3) == [1902, 1903, 1904]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 5))
def test_a_guess_is_what_followed_the_last_place_of_as_many_ids_as_possible(ids: list[int], most: int):
    def searched(width: int) -> list[int]:
        places = [at for at in range(width, len(ids)) if ids[at - width : at] == ids[-width:]]
        return ids[places[-1] : places[-1] + most] if places else []

    expected = next(filter(None, (searched(width) for width in WIDTHS if len(ids) >= width)), [])
    history, guesses, text = History(), Drafts(most), []
    history.begin(text)
    for id in ids:  # told one by one, it knows the same
        text.append(id)
        guess = guesses.of(text, history, most)
    assert guess == expected

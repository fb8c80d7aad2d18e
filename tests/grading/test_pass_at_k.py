"""Several runs of a question, against hand-made values and counting."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.grading.pass_at_k import majority_is_correct, pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (3, 1, 1, 1 / 3),
        (3, 1, 3, 1.0),
        (5, 2, 3, 0.9),  # 1 - C(3,3)/C(5,3) = 1 - 1/10
        (10, 3, 5, 1 - 21 / 252),  # 1 - C(7,5)/C(10,5)
        (4, 4, 2, 1.0),
    ],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_correct_run(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_pass_at_1_is_avg_at_k_and_pass_at_n_is_best_of_n(runs: list[bool]) -> None:
    n, c = len(runs), sum(runs)
    assert pass_at_k(n, c, 1) == pytest.approx(c / n, abs=1e-12)
    assert pass_at_k(n, c, n) == any(runs)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_pass_at_k_refuses_what_makes_no_sense(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("x", True), ("y", False), ("x", True)], True),
        ([("y", False), ("x", True), ("y", False)], False),
        ([("y", False), ("x", True)], False),  # a tie: the first
        ([("x", True), ("y", False)], True),
        ([("x", False), ("x", True), ("y", False)], True),  # a judge in two minds
    ],
)
def test_the_majority_decides(answers: list[tuple[str, bool]], expected: bool) -> None:
    assert majority_is_correct(answers) is expected

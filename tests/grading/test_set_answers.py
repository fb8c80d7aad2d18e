"""Sets as answers: items told apart, F1 by hand."""

import pytest

from webdancer_cli.grading.set_answers import Found, found_by_rule, items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A, B; C", ["A", "B", "C"]),
        ("- A\n- B\n", ["A", "B"]),
        ("1. A\n2) B", ["A", "B"]),
        ("A, B and C", ["A", "B and C"]),  # a name may hold an "and"
        ("A, B, and C", ["A", "B", "C"]),
        ("1,200 m, 3 m", ["1,200 m", "3 m"]),
        ("甲、乙，丙", ["甲", "乙", "丙"]),
        ("A, A", ["A"]),
        ("", []),
    ],
)
def test_items_of_a_list(text: str, expected: list[str]) -> None:
    assert items(text) == expected


@pytest.mark.parametrize(
    ("answer", "found", "f1"),
    [
        ("Kemlo, velmora", Found(2, 2, 0), 1.0),
        ("Kemlo", Found(1, 2, 0), 2 / 3),  # precision 1, recall 1/2
        ("Kemlo, Nimmek, Orrin", Found(1, 2, 2), 0.4),  # precision 1/3, recall 1/2
        ("Nimmek", Found(0, 2, 1), 0.0),
        ("", Found(0, 2, 0), 0.0),
    ],
)
def test_f1_by_hand(answer: str, found: Found, f1: float) -> None:
    assert found_by_rule(answer, ["Velmora", "The Kemlo"]) == found
    assert found.f1 == pytest.approx(f1)

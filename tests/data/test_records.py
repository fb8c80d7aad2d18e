"""Records: validated, with the user's own columns kept, and ids that are the same everywhere."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import (
    QA,
    Message,
    Page,
    Rejected,
    Trajectory,
    WrongShape,
    content_id,
    from_object,
    to_object,
    trajectory_id,
)

columns = st.dictionaries(st.text(min_size=1), st.none() | st.integers(-9, 9) | st.text() | st.lists(st.text()))


def test_an_id_is_the_same_on_every_machine() -> None:
    # sha256("What?\x1f42") begins with these 16 digits
    assert content_id("What?", "42") == "eb3357ec6ff391f6"
    assert QA(question="What?", answer="42").id == content_id("What?", "42")
    assert trajectory_id("q", 1, "m", "p") == content_id("q", "1", "m", "p")


def test_ids_tell_parts_apart() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
    assert trajectory_id("q", 0, "m", "p") != trajectory_id("q", 1, "m", "p")


def test_an_id_of_half_a_surrogate_pair_exists() -> None:
    assert len(content_id("\ud83d")) == 16


@given(columns)
def test_unknown_columns_survive_at_the_top(own: dict[str, object]) -> None:
    known = {"question": "What?", "answer": "42", "id": "q1"}
    value = {**{f"own {name}": item for name, item in own.items()}, **known}
    assert to_object(from_object(QA, value)) == value


@given(columns)
def test_unknown_columns_survive_inside_the_question_of_a_trajectory(own: dict[str, object]) -> None:
    qa = {**{f"own {name}": item for name, item in own.items()}, "question": "What?", "answer": "42", "id": "q1"}
    message = {"role": "user", "content": "What?"}
    value = {"qa": qa, "messages": [message], "ending": "answered", "id": "t1", "usage": {}, "mine": 1}
    assert to_object(from_object(Trajectory, value)) == value


def test_a_users_column_called_extra_survives() -> None:
    value = {"question": "What?", "answer": "42", "id": "q1", "extra": 5}
    assert to_object(from_object(QA, value)) == value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "expected a JSON object, got list"),
        ({"question": "What?"}, "answer"),
        ({"question": 5, "answer": "42"}, r"got `int` - at `\$.question`"),
        ({"question": "What?", "answer": ["42"]}, r"\$.answer"),
    ],
)
def test_a_wrong_shape_names_the_field_and_its_type(value: object, said: str) -> None:
    with pytest.raises(WrongShape, match=said):
        from_object(QA, value)


def test_a_wrong_shape_inside_the_question_is_named_too() -> None:
    with pytest.raises(WrongShape, match=r"\$.qa.answer"):
        from_object(Trajectory, {"qa": {"question": "What?", "answer": 1}, "messages": [], "ending": "answered"})


def test_an_unknown_ending_or_role_is_refused() -> None:
    qa = {"question": "What?", "answer": "42"}
    for wrong in (
        {"ending": "gave_up", "messages": []},
        {"ending": "answered", "messages": [{"role": "tool", "content": ""}]},
    ):
        with pytest.raises(WrongShape):
            from_object(Trajectory, {"qa": qa, **wrong})


def test_defaults_are_not_written() -> None:
    assert to_object(QA(question="What?", answer="42", id="q1")) == {"question": "What?", "answer": "42", "id": "q1"}
    assert "extra" not in to_object(Page(url="u", title="t", text="x"))


def test_a_rejected_line_holds_its_record() -> None:
    record = Trajectory(qa=QA(question="What?", answer="42"), messages=[Message("user", "What?")], ending="no_answer")
    line = msgspec.json.decode(msgspec.json.encode(to_object(Rejected(reason="wrong", record=to_object(record)))))
    assert from_object(Trajectory, line["record"]) == record


def test_records_do_not_share_their_defaults() -> None:
    first, second = QA(question="a", answer="b"), QA(question="c", answer="d")
    first.extra["x"] = 1
    first.aliases.append("y")
    assert second.extra == {} and second.aliases == []

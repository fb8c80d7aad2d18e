"""Groups of questions: marked when written, marked anew when some were refused on the way."""

from webdancer_cli.data.records import QA
from webdancer_cli.errors import Reject
from webdancer_cli.synthesis.protocols import RefusedQuestion
from webdancer_cli.synthesis.resume import Group, Regroup, group_of, marked

Outcome = QA | RefusedQuestion


def qa(name: str) -> QA:
    return QA(question=f"Who is {name}?", answer=name.upper())


def group(key: str, *names: str) -> list[QA]:
    sound = [qa(name) for name in names]
    marked(list(sound), key)
    return sound


def refused(qa: QA, *, failed: bool = False) -> RefusedQuestion:
    return RefusedQuestion(Reject("outage" if failed else "duplicate", failed=failed), qa)


def shown(outcomes: list[Outcome]) -> list[object]:
    return [
        (one.question[7], one.extra.get("group", {}).get("questions")) if isinstance(one, QA) else one.reject.reason
        for one in outcomes
    ]


def put(regroup: Regroup, written: QA, outcome: Outcome | None = None) -> list[object]:
    return shown(regroup.add(outcome or written, group_of(written.extra)))


def test_a_group_is_held_until_its_last_question_and_counts_what_is_left() -> None:
    a, b, c = group("k", "a", "b", "c")
    regroup = Regroup()
    assert put(regroup, a) == [] and put(regroup, b, refused(b)) == []
    assert put(regroup, c) == [("a", 2), "duplicate", ("c", 2)]
    assert regroup.rest() == []


def test_a_group_with_a_failure_is_not_named_so_that_it_is_asked_about_again() -> None:
    a, b = group("k", "a", "b")
    regroup = Regroup()
    assert put(regroup, a) == [] and put(regroup, b, refused(b, failed=True)) == [("a", None), "outage"]


def test_what_an_earlier_run_wrote_counts_as_sound() -> None:
    a, b, c = group("k", "a", "b", "c")
    regroup = Regroup()
    assert regroup.already_there(group_of(a.extra)) == [] and put(regroup, b) == []
    assert put(regroup, c) == [("b", 3), ("c", 3)]
    (d,) = group("l", "d")
    assert regroup.already_there(group_of(d.extra)) == [] and regroup.already_there(None) == []
    assert put(regroup, qa("e")) == [("e", None)]


def test_a_group_that_never_comes_whole_is_given_without_its_name() -> None:
    a, b = group("k", "a", "b")
    (c,) = group("l", "c")
    regroup = Regroup()
    assert put(regroup, a) == []
    assert put(regroup, c) == [("a", None), ("c", 1)]  # b was lost on the way
    assert put(regroup, b) == [] and shown(regroup.rest()) == [("b", None)]


def test_what_belongs_to_no_group_waits_only_within_one() -> None:
    a, b = group("k", "a", "b")
    lone = refused(qa("x"))
    regroup = Regroup()
    assert put(regroup, qa("y")) == [("y", None)] and shown(regroup.add(lone, None)) == ["duplicate"]
    assert put(regroup, a) == [] and regroup.add(lone, None) == []
    assert put(regroup, b) == [("a", 2), "duplicate", ("b", 2)]
    assert shown(regroup.add(lone, None)) == ["duplicate"]


def test_a_column_of_the_users_own_is_no_group() -> None:
    assert group_of({"group": "control"}) is None and group_of({"group": [1]}) is None and group_of({}) is None
    assert group_of({"group": {"key": "k", "questions": 2}}) == Group("k", 2)

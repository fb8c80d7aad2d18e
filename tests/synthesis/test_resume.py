"""What an earlier run wrote, as a resumed one needs it."""

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.resume import Earlier, GroupMark, group_mark, mark_group


def qa(name: str, type: str = "count") -> QA:
    return QA(question=f"Who is {name}?", answer=name.upper(), type=type)


def group(key: str, *names: str) -> list[QA]:
    questions = [qa(name) for name in names]
    mark_group(questions, key, len(questions))
    return questions


def test_a_group_is_done_when_all_its_questions_are_there() -> None:
    earlier = Earlier()
    for question in (*group("whole", "a", "b"), *group("part", "c", "d")[:1], qa("e", "temporal")):
        earlier.add(question)
    assert earlier.groups() == {"whole"} and earlier.groups(begun=True) == {"whole", "part"}
    assert earlier.types == {"count": 3, "temporal": 1} and len(earlier.ids) == 4 and qa("c").id in earlier.ids


def test_a_mark_stands_beside_the_other_columns_and_takes_the_place_of_an_older_one() -> None:
    question = qa("a")
    question.extra = {"group": {"key": "old", "questions": 1}, "mine": 7}
    mark_group([question], "new", 3)
    assert question.extra == {"group": {"key": "new", "questions": 3}, "mine": 7}


def test_a_column_of_the_users_own_is_no_group() -> None:
    assert group_mark({"group": "control"}) is None and group_mark({"group": [1]}) is None and group_mark({}) is None
    assert group_mark({"group": {"key": "k", "questions": 2}}) == GroupMark("k", 2)

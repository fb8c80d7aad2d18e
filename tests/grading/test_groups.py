"""Break-downs: the columns that evaluation sets have, those that the user names, and none that was secret."""

from typing import Any

import pytest

from webdancer_cli.data.records import QA
from webdancer_cli.data.sealed import SEALED
from webdancer_cli.grading.groups import groups_of


@pytest.mark.parametrize(
    ("extra", "by", "expected"),
    [
        ({}, [], {}),
        ({"Level": 2, "task_id": "x"}, [], {"level": "2"}),
        ({"problem_topic": "Art"}, [], {"topic": "Art"}),
        ({"metadata": {"topic": "Art", "answer_type": "Person"}}, [], {"topic": "Art", "answer_type": "Person"}),
        (
            {"info": {"type": "multi_source", "difficulty": "hard", "language": "zh", "domain": "game"}},
            [],
            {"level": "hard", "type": "multi_source", "language": "zh", "domain": "game"},
        ),
        ({"topic": "outer", "info": {"topic": "inner"}}, [], {"topic": "outer"}),
        ({"reasoning_types": "Numerical | Temporal"}, [], {"reasoning": "Numerical | Temporal"}),
        ({"topic": ["a", "b"], "category": None, "language": ""}, [], {"topic": "a | b"}),
        ({"topic": "x" * 81}, [], {}),
        ({"topic": "Art", "Region": "north"}, ["region"], {"region": "north"}),
        ({"topic": "Art", "canary": "c", SEALED: {"scheme": "sha256", "fields": ["topic"]}}, [], {}),
    ],
)
def test_the_columns_of_a_question_name_its_groups(
    extra: dict[str, Any], by: list[str], expected: dict[str, str]
) -> None:
    assert groups_of(QA(question="Who?", answer="X", extra=extra), by) == expected

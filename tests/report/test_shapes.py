"""Lines are told apart by what stands in them."""

from typing import Any

import pytest
from report_records import attempt, question, trajectory

from webdancer_cli.report.shapes import shape_of

UPSTREAM = {"type": "chatml", "task": "agent/multiturn_search", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        (trajectory(), "trajectory"),
        (trajectory(step=3, reward=0.5), "trajectory"),
        (UPSTREAM, "trajectory"),
        (attempt(1, "wrong"), "attempt"),
        (question(), "question"),
        ({"question": "Who?", "answer": "Her"}, "question"),
        ({"url": "http://example.org/", "title": "", "text": "Text."}, "page"),
        ({"reason": "wrong", "stage": "filter", "record": trajectory()}, "rejected"),
        ({"reason": "broken_line", "detail": "x.jsonl:1: not JSON"}, "rejected"),
        ({"step": 1, "loss": 2.0, "lr": 1e-3}, "metrics"),
        ({"step": 1, "reward": 0.1}, "metrics"),
        ({"step": "first", "loss": 1.0}, "other"),
        ({"question": "Who?"}, "other"),
        ([1, 2], "other"),
        (None, "other"),
    ],
)
def test_a_line_is_told_by_its_fields(line: Any, shape: str) -> None:
    assert shape_of(line) == shape

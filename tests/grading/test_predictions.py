"""Answers given elsewhere: the shapes of harnesses, the gold answer beside them or in a file, runs, confidence."""

import json
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Attempt, Message, Rejected, Trajectory, Verdict
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.predictions import Prediction, Questions, read_answer, read_predictions

GOLD = [
    QA(question="Who is the mayor?", answer="Dolvek", id="q1", aliases=["Dolvek Arn"]),
    QA(question="Where is it?", answer="Velmora", id="q2", extra={"task_id": "t-2", "Level": 2}),
    QA(question="When was it?", answer="1234", id="q3"),
]


def read(folder: Path, value: Any, gold: list[QA] | None = None, name: str = "p.json") -> list[Prediction]:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return list(read_predictions(str(path), Questions("gold", gold) if gold else None))


RELEASED = {"question": "Who is the mayor?", "answer": "Dolvek", "prediction": "It is Dolvek."}


@pytest.mark.parametrize(
    "value",
    [
        RELEASED,
        [RELEASED],
        {"results": [RELEASED]},
        RELEASED | {"messages": [{"role": "user", "content": "?"}], "termination": "answer"},
        {"Question": "Who is the mayor?", "Final answer": "Dolvek", "model_answer": "It is Dolvek."},
        {"problem": "Who is the mayor?", "answer": "Dolvek", "response": "It is Dolvek."},
        {"question": "Who is the mayor?", "true_answer": "Dolvek", "prediction": "It is Dolvek."},
        # inspect_ai
        {"samples": [{"input": "Who is the mayor?", "target": "Dolvek", "output": {"completion": "It is Dolvek."}}]},
        {
            "samples": [
                {
                    "input": [{"role": "user", "content": "Who is the mayor?"}],
                    "target": "Dolvek",
                    "output": {"choices": [{"message": {"role": "assistant", "content": "It is Dolvek."}}]},
                }
            ]
        },
        # lm-evaluation-harness
        {"doc_id": 7, "doc": {"question": "Who is the mayor?"}, "target": "Dolvek", "resps": [["It is Dolvek."]]},
        # a conversation alone
        {
            "question": "Who is the mayor?",
            "answer": "Dolvek",
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "It is Dolvek."}],
        },
    ],
)
def test_the_files_of_harnesses_are_read_with_their_gold_answers(value: Any, tmp_path: Path) -> None:
    (prediction,) = read(tmp_path, value)
    assert (prediction.qa.question, prediction.qa.answer) == ("Who is the mayor?", "Dolvek")
    assert prediction.attempt.answer == "It is Dolvek." and prediction.attempt.ending == "answered"
    assert prediction.attempt.verdict.outcome == "unjudged"


def test_a_table_of_predictions_is_read(tmp_path: Path) -> None:
    (prediction,) = read(tmp_path, "question,answer,prediction\nWho?,Dolvek,It is Dolvek.\n", name="p.csv")
    assert (prediction.qa.answer, prediction.attempt.answer) == ("Dolvek", "It is Dolvek.")


@pytest.mark.parametrize(
    "value",
    [
        {"id": "q1", "prediction": "Dolvek"},
        {"qa_id": "q1", "response": "Dolvek"},
        {"question": " Who is  the MAYOR? ", "prediction": "Dolvek"},
        {"q1": {"model": "m", "response": "Dolvek"}},  # HLE
        {"query_id": "q1", "result": [{"type": "text", "output": "hm"}, {"type": "text", "output": "Dolvek"}]},
    ],
)  # fmt: skip
def test_the_question_is_found_by_id_or_by_its_text(value: Any, tmp_path: Path) -> None:
    (prediction,) = read(tmp_path, value, GOLD)
    assert (prediction.qa, prediction.attempt.qa_id, prediction.attempt.aliases) == (GOLD[0], "q1", ["Dolvek Arn"])
    assert prediction.attempt.answer == "Dolvek"


def test_ids_of_the_sets_own_find_a_question_and_what_was_not_answered_is_told(tmp_path: Path) -> None:
    gold = Questions("gold", GOLD)
    path = tmp_path / "p.jsonl"
    path.write_text('{"task_id": "t-2", "model_answer": "Velmora"}\n{"task_id": "t-9", "model_answer": "x"}\n')
    bad: list[Rejected] = []
    (prediction,) = read_predictions(str(path), gold, bad.append)
    assert prediction.qa == GOLD[1]
    assert [told.reason for told in bad] == ["unknown_question"]
    assert gold.unanswered() == [GOLD[0], GOLD[2]]


@pytest.mark.parametrize("value", [{"question": "Who?", "answer": "X"}, {"prediction": "X"}, [1]])
def test_what_is_no_prediction_is_told_with_its_place(value: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"p\.json"):
        read(tmp_path, value)


def test_several_answers_to_a_question_are_its_runs(tmp_path: Path) -> None:
    lines = [RELEASED, RELEASED | {"prediction": "Kemlo"}, {**RELEASED, "question": "Who else?"}]
    found = read(tmp_path, lines)
    assert [prediction.attempt.run for prediction in found] == [0, 1, 0]
    assert len({prediction.attempt.id for prediction in found}) == 3
    numbered = read(tmp_path, [RELEASED | {"epoch": 2}, RELEASED | {"epoch": 1}])
    assert [prediction.attempt.run for prediction in numbered] == [2, 1]


def test_our_own_attempts_and_episodes_are_graded_anew(tmp_path: Path) -> None:
    messages = [Message("user", "?"), Message("assistant", "<think>\n\n</think>\n<answer>\nDolvek\n</answer>")]
    attempt = Attempt(
        id="a", qa_id="q1", run=3, model="m", question="Who is the mayor?", gold="Dolvek", answer="Arn",
        aliases=["Arn"], verdict=Verdict(outcome="correct", method="match"), format_ok=True, ending="answered",
        messages=messages, groups={"topic": "Art"}, extra={"mine": 1},
    )  # fmt: skip
    episode = Trajectory(qa=GOLD[0], messages=messages, ending="answered", answer="Dolvek", rollout=1, model="m")
    path = str(tmp_path / "mixed.jsonl")
    jsonl.write_records(path, [attempt, episode])
    again, played = read_predictions(path)
    assert again.attempt.verdict.outcome == "unjudged" and again.attempt.extra == {"mine": 1}
    assert (again.attempt.id, again.attempt.run, again.attempt.messages) == ("a", 3, messages)
    assert (again.qa.answer, again.qa.aliases, again.qa.id) == ("Dolvek", ["Arn"], "q1")
    assert (played.attempt.id, played.attempt.run, played.attempt.gold) == (episode.id, 1, "Dolvek")
    with_gold, _ = read_predictions(path, Questions("gold", GOLD))
    assert with_gold.qa == GOLD[0]


@pytest.mark.parametrize(
    ("text", "answer", "confidence"),
    [
        ("Dolvek", "Dolvek", None),
        ("<think>a</think><answer>\nDolvek\n</answer>", "Dolvek", None),
        ("<answer>Kemlo</answer> no: <answer>Dolvek", "Dolvek", None),
        ("Explanation: long.\nExact Answer: Dolvek\nConfidence: 85%", "Dolvek", 0.85),
        ("**Exact Answer:** Dolvek\n**Confidence:** 100 %", "Dolvek", 1.0),
        ("I think so.\nFINAL ANSWER: Dolvek", "Dolvek", None),
        ("The final answer: is not known", "The final answer: is not known", None),  # no line of its own
        ("Confidence: 250%", "Confidence: 250%", 1.0),
        ("", "", None),
    ],
)
def test_the_final_answer_and_the_confidence_are_read_where_they_are_marked(
    text: str, answer: str, confidence: float | None
) -> None:
    assert read_answer(text) == (answer, confidence)


@pytest.mark.parametrize(
    ("given", "expected"), [(85, 0.85), (0.85, 0.85), ("85%", 0.85), ("1%", 0.01), (1, 1.0), (-1, None), ("high", None)]
)
def test_a_column_of_confidences_holds_shares_or_percentages(
    given: Any, expected: float | None, tmp_path: Path
) -> None:
    (prediction,) = read(tmp_path, RELEASED | {"confidence": given})
    assert prediction.attempt.confidence == expected


def test_an_empty_answer_is_none(tmp_path: Path) -> None:
    (prediction,) = read(tmp_path, RELEASED | {"prediction": " "})
    assert (prediction.attempt.answer, prediction.attempt.ending) == (None, "no_answer")


def test_a_gold_file_without_a_question_is_refused() -> None:
    with pytest.raises(UsageError, match="--gold gold: holds no question"):
        Questions("gold", [])

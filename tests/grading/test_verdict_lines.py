"""Verdicts in lines: what broke graders elsewhere, each reply with what it says; None is no verdict."""

import pytest

from webdancer_cli.grading.model_judge import OUTCOMES
from webdancer_cli.grading.verdict_lines import Decision, confidence_in_lines, verdict_in_lines

CORRECT: list[str] = [
    "correct: yes",
    "Correct: Yes.",
    "CORRECT: YES",
    "**correct:** yes",
    "correct: **yes**",
    "- correct: yes",
    "2. correct: yes",
    "> correct: yes",
    "[correct: yes]",
    '"correct": "yes",',
    "correct = true",
    "correct： yes",
    "is_correct: true",
    "Is the answer correct? Yes",
    "incorrect: no",
    "correct: yes (both name the town)",
    "correct: yes. Both name the town.",
    "correct: yes, they name the same town",
    "extracted_final_answer: Kemlo\n\nreasoning: The two name one town.\n\ncorrect: yes\n\nconfidence: 90%",
    "correct: no\nOn reflection I was mistaken.\ncorrect: yes",
    "Verdict: correct",
    "Verdict: **Correct**",
    "final verdict: right",
    "The verdict is correct.",
    "Judgement: Correct",
    "Judgment: CORRECT.",
    "Grade: correct",
    "Correct",
    "**Correct**",
    "The town is the same.\n\nCorrect.",
    "结论: 正确",
    "结论：正确。",
    "最终答案: 12\n解释: 一致\n结论: 正确",
    "正确",
    "Verdict: richtig",
    "<think>incorrect: yes\ncorrect: no</think>\ncorrect: yes",
]
WRONG: list[str] = [
    "correct: no",
    "Correct: No.",
    "**correct**: *no*",
    '"correct": "no"',
    "incorrect: yes",
    "Incorrect: Yes",
    "**incorrect:** yes",
    "not correct: yes",
    "is_correct: false",
    "Is the answer correct? No.",
    "Are they equivalent? no\ncorrect: no",
    "correct: no (it names another town)",
    "correct: no. The town is another.",
    "reasoning: it would be correct: yes if the year fitted\ncorrect: no",
    "correct: yes\nNo, wait, the year differs.\ncorrect: no",
    "Verdict: incorrect",
    "Verdict: wrong",
    "Verdict: Not correct",
    "verdict is wrong",
    "Judgement: **Incorrect**",
    "Grade: INCORRECT",
    "Incorrect",
    "Incorrect.",
    "Not correct.",
    "Wrong",
    "The answer says something else.\nIncorrect",
    "结论: 错误",
    "结论：不正确",
    "错误",
    "<think>correct: yes</think>incorrect: yes",
]
NONE: list[str] = [
    "",
    "I cannot tell.",
    "correct: yes/no",
    "correct: yes or no",
    "correct: Answer 'yes' if the extracted answer matches, 'no' otherwise",
    "correct: partially",
    "correct: yes, but the year is missing",
    "correct: yes, although not entirely",
    "correct: not sure",
    "correct:",
    "correct: no yes",
    "Verdict: partially correct",
    "Verdict: almost correct",
    "Verdict: correct only in part",
    "Verdict: correct apart from the date",
    "Verdict: correct, if one reads it kindly",
    "Verdict: not incorrect",
    "Verdict: correct or incorrect",
    "Verdict: yes",
    "not incorrect: maybe",
    "Partially correct.",
    "It is correct, I should say.",
    "The answer is not correct enough to say.",
    "Are not equivalent.",
    "A",
    "Absolutely",
    "correctness: high",
    "correctly: yes",
    "uncorrect: yes",
    "The correct answer is no.",
    "correct: yes\ncorrect: unclear",
    "结论: 部分正确",
    "correct: yesterday",
    "correct: nobody knows",
]
CASES = [(text, outcome) for outcome, texts in (("correct", CORRECT), ("wrong", WRONG), (None, NONE)) for text in texts]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_the_last_line_that_is_a_verdict_counts(text: str, expected: Decision | None) -> None:
    assert verdict_in_lines(text, OUTCOMES) == expected


ONE_WORD = [text for text in CORRECT + WRONG if text.casefold().count("correct") == 1 and "erdict" not in text]


@pytest.mark.parametrize("text", ONE_WORD)
def test_letters_around_the_word_make_it_another(text: str) -> None:
    for hidden in (text.replace("orrect", "orrectx"), text.replace("ORRECT", "ORRECTX")):
        assert hidden == text or verdict_in_lines(hidden, OUTCOMES) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("confidence: 85%", 0.85), ("**Confidence**: 100", 1.0), ("confidence: 10\nconfidence: 20%", 0.2), ("none", None)],
)
def test_the_confidence_is_a_share(text: str, expected: float | None) -> None:
    assert confidence_in_lines(text) == expected

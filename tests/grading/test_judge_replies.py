"""Whole replies of judges in other languages and forms, each with a person's reading; no reading may turn it round."""

import pytest
from scripted_chat import Scripted

from webdancer_cli.data.records import QA
from webdancer_cli.grading.model_judge import ModelJudge
from webdancer_cli.prompts import load

ASKED = QA(question="What is the capital of France?", answer="Paris")
REPLIES = [
    # of the last kind what is cut off, hedges, denies both, or gives marks by a scale that nobody asked for
    ("Urteil: richtig", "correct"),
    ("Veredicto: correcto", "correct"),
    ("判定：正确。", "correct"),
    ("評価: 正解", "correct"),
    ("Вердикт: верно.", "correct"),
    ("Correcto: sí", "correct"),
    ("正确: 是", "correct"),
    ("The answer is correct.", "correct"),
    ("That is correct!", "correct"),
    ("**Verdict:** **correct**", "correct"),
    ("> Verdict: correct", "correct"),
    ("1. Reason: same\n2. Verdict: correct", "correct"),
    ('Sure! Here is the JSON: {"reason": "same", "verdict": "correct"} Hope this helps.', "correct"),
    ('```json\n{"verdict": "correct", "reason": "same"}\n```', "correct"),
    ('{"verdict": "Correct."}', "correct"),
    ("<thinking>Verdict: wrong</thinking>\nVerdict: correct", "correct"),
    ("Score: 10/10. Verdict: correct", "correct"),
    ("correct: yes\nconfidence: 100", "correct"),
    ("incorrect: no", "correct"),
    ("correct = True", "correct"),
    ("Urteil: falsch", "wrong"),
    ("Das Urteil lautet: falsch.", "wrong"),
    ("Verdict : incorrect.", "wrong"),
    ("Veredicto: incorrecto.", "wrong"),
    ("Giudizio: sbagliato", "wrong"),
    ("判定: 错误", "wrong"),
    ("判定：不正确", "wrong"),
    ("평가: 오답", "wrong"),
    ("Вердикт: неверно", "wrong"),
    ("Réponse correcte : non", "wrong"),
    ("Correcto: no", "wrong"),
    ("Richtig: nein", "wrong"),
    ("回答正确：否", "wrong"),
    ("The answer is not correct.", "wrong"),
    ("Not correct", "wrong"),
    ("The answer isn't correct.", "wrong"),
    ("The response is incorrect.", "wrong"),
    ("### Verdict\n\n`wrong`", "wrong"),
    ("- **Correct:** no", "wrong"),
    ("| Criterion | Verdict |\n|---|---|\n| match | wrong |\n\n**Final verdict: wrong**", "wrong"),
    ("***wrong***", "wrong"),
    ("correct/incorrect: incorrect", "wrong"),
    ("correct or wrong? wrong", "wrong"),
    ('It is "correct" if it is the known answer, "wrong" otherwise. The answer names Rome.\nVerdict: wrong', "wrong"),
    (
        'Reply format: {"reason": "…", "verdict": "correct" or "wrong"}\n{"reason":"It names Rome","verdict":"wrong"}',
        "wrong",
    ),
    ("{'reason': 'other city', 'verdict': 'wrong',}", "wrong"),
    ('{"reason": "the answer says \\"correct\\"", "verdict": "wrong"}', "wrong"),
    ('{"result": {"reason": "x", "verdict": "wrong"}}', "wrong"),
    ('[{"reason":"x","verdict":"wrong"}]', "wrong"),
    ('{"reason":"x","verdict":"incorrect: the year differs"}', "wrong"),
    ('<think>{"reason":"","verdict":"correct"} hmm, no.</think>{"reason":"other","verdict":"wrong"}', "wrong"),
    ("The answer looks correct.</think>\nVerdict: wrong", "wrong"),
    ("<reasoning>correct</reasoning>\n<answer>wrong</answer>", "wrong"),
    ("incorrect: yes", "wrong"),
    ("is_correct: false", "wrong"),
    ('"correct": "no"', "wrong"),
    ("It is by no means correct.", "unjudged"),
    ("I cannot say that this is correct.", "unjudged"),
    ("Neither correct nor incorrect.", "unjudged"),
    ("The answer is far from correct", "unjudged"),
    ("~~correct~~ wrong", "unjudged"),
    ("Verdict: correct (not wrong)", "unjudged"),
    ("Verdict: correct -> wrong", "unjudged"),
    ("The answer would be correct if it were 1889, but it is wrong.", "unjudged"),
    ('- verdict: "correct" or "wrong".', "unjudged"),
    ('{"reason":"x","verdict":true}', "unjudged"),
    ('{"reason":"x","verdict":"yes"}', "unjudged"),
    ('{"reason": "It names Rome, so the verdict is', "unjudged"),
    ('{"reason": "same city", "verdict": "corr', "unjudged"),
    ('{"reason": "same city", "verdict": "correct"', "unjudged"),
    ("Verdict:", "unjudged"),
    ("<think>Verdict: correct", "unjudged"),
    ("Score: 1/1", "unjudged"),
    ("1", "unjudged"),
    ("A", "unjudged"),
    ("Grade: A", "unjudged"),
    ("0", "unjudged"),
    ("Correct: partially", "unjudged"),
    ("mostly correct", "unjudged"),
    ("The known answer is Paris.\nThat is correct.\nThe response names Rome.", "unjudged"),
    ("The answer is correct.\nNo: another town.\nVerdict: wrong", "wrong"),
]


@pytest.mark.parametrize(("reply", "outcome"), REPLIES)
async def test_a_reply_is_read_as_a_person_reads_it(reply: str, outcome: str) -> None:
    judge = ModelJudge(Scripted(reply, reply), load("default"))
    assert (await judge.judge(ASKED, "It is some town.")).outcome == outcome

"""Tables as answers: rows by their keys, cells by the rule of their column, F1 by hand; a model where rules end."""

import json
from typing import Any

import pytest
from scripted_chat import Scripted

from webdancer_cli.data.records import QA, Attempt, Verdict
from webdancer_cli.data.table_questions import ColumnRule, table_rules
from webdancer_cli.errors import ModelError
from webdancer_cli.grading.model_judge import ModelJudge, judge_by_rule
from webdancer_cli.grading.scores import from_attempts
from webdancer_cli.grading.table_answers import grade_by_rule, unnamed_keys
from webdancer_cli.prompts import load

RULES: dict[str, Any] = {
    "required": ["town", "founded", "people", "site", "note"],
    "unique_columns": ["town"],
    "eval_pipeline": {
        "town": {"preprocess": ["norm_str"], "metric": ["exact_match"]},
        "founded": {"preprocess": ["norm_date"], "metric": ["date_near"]},
        "people": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.1},
        "site": {"metric": ["url_match"]},
        "note": {"preprocess": ["norm_str"], "metric": ["llm_judge"], "criterion": "The mayor is named."},
    },
}
HEAD = "| Town | Founded | People | Site | Note |\n|---|---|---|---|---|\n"
GOLD = HEAD + (
    "| Velmora | 1889-03-31 | 1000 | http://127.0.0.1/v | Ida Kröll |\n"
    "| Kemlo | 1900 | 250 | http://localhost/k | Bo |\n"
)


def asked(gold: str = GOLD, **rules: Any) -> QA:
    return QA(question="List the towns of Orrin.", answer=gold, extra={"evaluation": {**RULES, **rules}})


def grade(answer: str, qa: QA | None = None) -> tuple[int, int, int, bool]:
    """Rows right, cells right, rows given, and whether all is right."""
    qa = qa or asked()
    rules = table_rules(qa)
    assert rules
    found = grade_by_rule(rules, qa.answer, answer)
    return found.rows, found.cells, found.given, found.is_right


VELMORA = "| velmora | 5 April 1889 | about 1,090 people | see https://127.0.0.1/other | Ida Kröll |\n"
KEMLO = "| Kemlo | 1900-01-01 | 250.0 | http://localhost/ | bo |\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (HEAD + VELMORA + KEMLO, (2, 10, 2, True)),
        (HEAD + KEMLO + VELMORA, (2, 10, 2, True)),
        ("| Note | Site | People | Founded | Town |\n| bo | http://localhost | 250 | 1900 | Kemlo |", (1, 5, 1, False)),
        (HEAD + VELMORA, (1, 5, 1, False)),
        (HEAD + VELMORA + KEMLO.replace("250", "300"), (1, 9, 2, False)),
        (HEAD + VELMORA + VELMORA + KEMLO, (2, 10, 2, True)),  # the same row twice is one
        (HEAD + VELMORA + KEMLO + KEMLO.replace("Kemlo", "Nimmek"), (2, 10, 3, False)),
        (HEAD + VELMORA + KEMLO.replace("| 1900-01-01", "| n/a"), (1, 9, 2, False)),
        ("no table", (0, 0, 0, False)),
        (HEAD.replace("Note", "Remark") + VELMORA, (0, 0, 1, False)),
        ("| No. | Town | Founded | People | Site | Note |\n| 1 " + VELMORA, (0, 0, 1, False)),
    ],
)
def test_rows_and_cells_by_rule(answer: str, expected: tuple[int, int, int, bool]) -> None:
    assert grade(answer) == expected


def test_f1_by_hand_and_the_words_of_the_verdict() -> None:
    # one of two rows right, one given: precision 1, recall 1/2; cells 5 of 10
    verdict = judge_by_rule(asked(), HEAD + VELMORA)
    assert (verdict.outcome, verdict.f1, verdict.row_f1) == ("wrong", round(2 / 3, 6), round(2 / 3, 6))
    assert verdict.detail == "1 of 2 rows and 5 of 10 cells right, 1 rows given"
    # 9 of 10 cells and 1 of 2 rows, 2 given: 18 / 20 and 2 / 4
    verdict = judge_by_rule(asked(), HEAD + VELMORA + KEMLO.replace("250", "300"))
    assert (verdict.f1, verdict.row_f1) == (0.9, 0.5)
    assert judge_by_rule(asked(), None).f1 == 0
    assert judge_by_rule(asked(), "Two towns.").detail == "no table"


@pytest.mark.parametrize(
    ("rule", "known", "given", "expected"),
    [
        ({"metric": ["exact_match"]}, "Ida", "ida", True),
        ({"metric": ["exact_match"]}, "1.50", "1.5", True),  # a column of numbers
        ({"metric": ["exact_match"]}, "v1.50", "v1.5", False),
        ({"metric": ["in_match"], "preprocess": ["norm_str"]}, "Hello World", "*world*", True),
        ({"metric": ["in_match"]}, "Hello", "Hello World", False),
        ({"metric": ["number_near"], "criterion": 0.1, "preprocess": ["extract_number"]}, "12%", "0.125", True),
        ({"metric": ["number_near"], "criterion": 0.1}, "n/a", "none", True),
        ({"metric": ["number_near"]}, "3", "3.01", False),
        ({"metric": ["date_near"]}, "2024-01-01", "2 Feb 2024", False),  # 32 days
        ({"metric": ["date_near"]}, "2024-01-01", "1 Feb 2024", True),
        ({"metric": ["date_near"]}, "Rolling", "Varies", False),
        ({"metric": ["url_match"]}, "http://127.0.0.1/a", "127.0.0.1", False),
        ({"metric": ["url_match"]}, "www.kemlo.example", "www.velmora.example", False),  # no URLs: the text decides
        ({"metric": ["url_match"]}, "n/a", "None", True),
        ({"metric": ["in_match"], "preprocess": ["norm_str"]}, "Hello", "*", False),  # nothing is left to be in it
        ({"metric": ["exact_match"]}, "1", "1" * 5000, False),  # more digits than Python makes a number of
        ({"metric": ["exact_match"]}, "007", "7.", True),
        ({"metric": ["url_match", "exact_match"]}, "http://127.0.0.1/a", "http://127.0.0.1/b", False),
        ({}, "Ida", "Ida", True),
    ],
)  # fmt: skip
def test_each_metric(rule: dict[str, Any], known: str, given: str, expected: bool) -> None:
    def table(cell: str) -> str:
        return f"| k | c |\n|---|---|\n| x | {cell} |"

    rules = {"required": ["k", "c"], "unique_columns": ["k"], "eval_pipeline": {"c": rule}}
    assert grade(table(given), asked(table(known), **rules))[3] == expected


def test_keys_of_several_columns_and_other_names_are_found_by_normalised_match() -> None:
    gold = "| Country | Town | N |\n|---|---|---|\n| Orrin | The Kemlo | 1 |\n| Veldt | Kemlo | 2 |"
    rules = {"required": ["country", "town", "n"], "unique_columns": ["country", "town"],
             "eval_pipeline": {"town": {"metric": ["llm_judge"]}}}  # fmt: skip
    answer = gold.replace("The Kemlo", "kemlo")
    assert grade(answer, asked(gold, **rules)) == (2, 6, 2, True)


def test_other_questions_have_no_rules() -> None:
    for value in ("good", {"unique_columns": []}, {"required": ["a"], "unique_columns": ["b"]}, None):
        assert table_rules(QA(question="Who?", answer="X", extra={"evaluation": value})) is None
    assert ColumnRule(criterion="as text").tolerance == 0


def test_the_keys_that_an_answer_lacks_are_what_it_had_to_find() -> None:
    rules = table_rules(asked())
    assert rules and unnamed_keys(rules, GOLD, HEAD + VELMORA) == ["Kemlo"]
    assert unnamed_keys(rules, GOLD, HEAD + VELMORA + KEMLO) == ["Velmora", "Kemlo"]


# ---- a model where rules end ---------------------------------------------------------------------------------------


def cells(right: list[int], wrong: list[int]) -> str:
    return json.dumps({"right": right, "wrong": wrong})


def names(*pairs: tuple[int, int]) -> str:
    return json.dumps({"matches": [{"given": given, "known": known} for given, known in pairs]})


async def judged(answer: str, *replies: str | Exception) -> tuple[Verdict, Scripted]:
    chat = Scripted(*replies)
    return await ModelJudge(chat, load("default")).judge(asked(), answer), chat


OTHER_WORDS = VELMORA.replace("Ida Kröll", "the mayor, I. Kröll") + KEMLO.replace("bo |", "Boris |")


async def test_cells_of_a_column_are_judged_in_one_question() -> None:
    verdict, chat = await judged(HEAD + OTHER_WORDS, cells([1], [2]))
    assert len(chat.asked) == 1 and "The mayor is named." in chat.asked[0]
    assert "1. known: Ida Kröll\n   given: the mayor, I. Kröll\n2. known: Bo\n   given: Boris" in chat.asked[0]
    assert (verdict.f1, verdict.row_f1, verdict.outcome) == (0.9, 0.5, "wrong")
    assert verdict.method.startswith("model:scripted judge_table_cells default:") and verdict.usage


async def test_names_of_columns_and_keys_are_matched_first() -> None:
    head = HEAD.replace("Note", "Remark of the mayor")
    verdict, chat = await judged(
        head + VELMORA.replace("velmora", "City of V.") + KEMLO, names((1, 1)), names((1, 1))
    )  # fmt: skip
    assert "remarkofthemayor" in chat.asked[0] and "City of V." in chat.asked[1]
    assert verdict.outcome == "correct" and verdict.f1 == 1


async def test_a_row_that_means_another_row_again_is_right_once() -> None:
    doubled = HEAD + VELMORA.replace("velmora", "City of V.") + VELMORA.replace("velmora", "V.")
    verdict, _ = await judged(doubled, names((1, 2), (2, 2)))
    assert verdict.detail == "1 of 2 rows and 5 of 10 cells right, 2 rows given"


@pytest.mark.parametrize(
    "replies",
    [
        (cells([1], []), cells([1], [])),  # a cell is left open: read, and not asked again
        (cells([1, 3], [2]),),
        ("no", "no"),
        (ModelError("down"),),
    ],
)
async def test_a_cell_that_nobody_judged_leaves_the_answer_unjudged(replies: tuple[str | Exception, ...]) -> None:
    verdict, _ = await judged(HEAD + OTHER_WORDS, *replies)
    assert verdict.outcome == "unjudged" and verdict.f1 is None


async def test_the_same_table_is_judged_once() -> None:
    judge = ModelJudge(chat := Scripted(cells([1, 2], [])), load("default"))
    first, second = [await judge.judge(asked(), HEAD + OTHER_WORDS) for _ in range(2)]
    assert first == second and first.outcome == "correct" and len(chat.asked) == 1


async def test_a_table_that_is_right_by_rule_costs_nothing() -> None:
    verdict, chat = await judged(HEAD + VELMORA + KEMLO)
    assert verdict.outcome == "correct" and not chat.asked


def test_a_table_of_scores_has_both_f1_over_questions() -> None:
    def attempt(at: int, verdict: Verdict) -> Attempt:
        return Attempt(id=str(at), qa_id=str(at), run=0, model="m", question="?", gold=GOLD, answer="", verdict=verdict,
                       format_ok=True, ending="answered", groups={"language": "en" if at else "zh"})  # fmt: skip

    right = judge_by_rule(asked(), HEAD + VELMORA + KEMLO)
    half = judge_by_rule(asked(), HEAD + VELMORA + KEMLO.replace("250", "300"))
    scores = from_attempts([attempt(0, right), attempt(1, half)])
    head, overall, *languages = scores.table().splitlines()[:4]
    assert head.split()[-4:] == ["item", "F1", "row", "F1"]
    assert overall.split()[-4:] == ["95.0", "%", "75.0", "%"]  # (1 + 0.9) / 2 and (1 + 0.5) / 2
    assert [line.split()[1] for line in languages] == ["en", "zh"]
    assert scores.overall.row_f1_interval and scores.overall.row_f1_interval[0] <= 0.75

"""What a run would take: the counts are exact, the estimates are the arithmetic that the comments do by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli import dry_run
from webdancer_cli.cli import run_command
from webdancer_cli.llm.chat_pool import ChatPool
from webdancer_cli.options import config
from webdancer_cli.prompts import load

URL = "http://127.0.0.1:9/v1"  # nothing listens there: a call would fail


def written(path: Path, *values: Any) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


@pytest.fixture
def questions(tmp_path: Path) -> str:
    return written(tmp_path / "qa.jsonl", *({"question": f"Who is {n}?", "answer": "X"} for n in range(10)))


def works(options: config.CallOptions) -> dict[str, dry_run.RoleWork]:
    return {work.role: work for work in dry_run.plan_run(options).works}


def test_episodes_by_hand(questions: str) -> None:
    options = config.SampleOptions(data=questions, n=3, cot="long")
    plan = dry_run.plan_run(options)
    assert plan.records == 30
    teacher, judge = works(options)["teacher"], works(options)["judge"]
    assert teacher.calls == pytest.approx(99.3)  # 30 episodes of 3.31 calls
    assert teacher.tokens_out == pytest.approx(1599 / 3.31 + 50)
    # The opening is sent with each call; the i-th call is also sent i actions of 50 and i observations of 2,030 tokens.
    files = load("default").files
    opening = (len(files["system.md"].encode()) + len(files["user.md"].encode())) / 4 + 60
    assert teacher.tokens_in == pytest.approx(opening + (3.31 - 1) / 2 * 2080)
    assert judge.calls == 30


def test_what_is_there_is_done_and_tells_what_an_episode_takes(tmp_path: Path, questions: str) -> None:
    usages = [{"calls": 2, "input_tokens": 100, "output_tokens": 20}, {"calls": 4, "input_tokens": 500}]
    out = written(tmp_path / "t.jsonl", *({"id": str(n), "usage": usage} for n, usage in enumerate(usages)))
    plan = dry_run.plan_run(config.SampleOptions(data=questions, out=out, resume=True))
    assert plan.records == 8
    # (2 + 4) / 2 = 3 calls an episode; (100 + 500) / 6 = 100 tokens in and 20 / 6 out a call.
    assert plan.works[0][1:] == pytest.approx((24, 100, 20 / 6))
    assert "mean of 2 episodes" in plan.basis


def test_a_baseline_is_one_call_and_grading_alone_asks_the_judges_only(tmp_path: Path, questions: str) -> None:
    plan = works(config.EvalOptions(data=questions, agent="none", runs=2, also_judge=["k"]))
    assert [(role, work.calls) for role, work in plan.items()] == [
        ("teacher", 20), ("summariser", 0), ("judge", 20), ("judge 2", 20),
    ]  # fmt: skip
    predictions = written(
        tmp_path / "p.jsonl", *({"question": f"{n}?", "answer": "X", "prediction": "Y"} for n in range(3))
    )
    grading = dry_run.plan_run(config.EvalOptions(data=predictions, grade_only=True))
    assert (grading.records, [work.role for work in grading.works]) == (3, ["judge"])


def test_limit_and_shard_bound_the_input(questions: str) -> None:
    assert dry_run.plan_run(config.EvalOptions(data=questions, limit=4, runs=2)).records == 8
    parts = [dry_run.plan_run(config.SampleOptions(data=questions, shard=f"{n}/3")).records for n in (1, 2, 3)]
    assert sum(parts) == 10


def test_pages_questions_and_trajectories(tmp_path: Path, questions: str) -> None:
    page = {"url": "http://x/", "title": "X", "text": "X"}
    pages = written(tmp_path / "pages.jsonl", page, page, page)
    crawl = config.CrawlqaOptions(roots=[pages], per_page=2, types=["count"], closed_book=True)
    assert (works(crawl)["author"].calls, works(crawl)["judge"].calls) == (3, 6)
    assert dry_run.plan_run(config.CrawlqaOptions(roots=["http://x/"], max_pages=7)).records == 7
    rewriting = works(config.E2hqaOptions(data=questions, rounds=2))
    assert (rewriting["rewriter"].calls, rewriting["judge"].calls) == (
        60,
        20,
    )  # picker, query, rewriter; then the judge
    trajectories = written(tmp_path / "t.jsonl", {"messages": [{"role": "user", "content": "?"}]}, {"messages": []})
    funnel = dry_run.plan_run(config.FilterOptions(data=trajectories, stages=["correctness", "model"]))
    assert [work.calls for work in funnel.works] == [2, 8]  # one verdict, four criteria each
    assert dry_run.plan_run(config.RlOptions(steps=2, questions=3, group=4)).works[0].calls == 24


def test_costs_stand_where_there_is_a_price(questions: str) -> None:
    chat_pool = ChatPool(config.CallOptions(), 4)
    chat_pool.chat("teacher", "gpt-4o", [URL])
    plan = dry_run.RunPlan(
        1, "episodes", [dry_run.RoleWork("teacher", 2, 1e6, 1e5), dry_run.RoleWork("judge", 9, 9, 9)], "so"
    )
    first, _, row = plan.table(chat_pool).splitlines()
    assert first == "1 episodes; so"
    assert row.split() == ["teacher", "gpt-4o", "2", "2,000,000", "200,000", "$7.00"]  # 2 * 2.5 + 0.2 * 10
    assert "nothing is spent" in plan.table(ChatPool(config.CallOptions(), 4))


@pytest.mark.parametrize(
    ("command", "roles"),
    [
        (["crawlqa", "http://127.0.0.1:9/", "--model", "m", "--base-url", URL], ["author"]),
        (["e2hqa", "--web", "w", "--model", "m", "--base-url", URL], ["rewriter", "judge"]),
        (["sample", "--model", "m", "--base-url", URL, "--judge-model", "j"], ["teacher", "judge"]),
        (["eval", "--model", "m", "--base-url", URL, "--summariser-model", "s"], ["teacher", "summariser"]),
        (["filter", "--judge-model", "j", "--judge-base-url", URL], ["judge"]),
        (["rl", "--judge-model", "j", "--judge-base-url", URL, "--model", "nano"], ["judge"]),
    ],
)
def test_every_command_plans_and_does_nothing(
    command: list[str], roles: list[str], questions: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    tape = tmp_path / "run.tape"
    assert run_command([*command, "--data", questions, "--out", str(out), "--tape", str(tape), "--dry-run"]) == 0
    told = capfd.readouterr()
    assert told.out == "" and not out.exists() and not tape.exists()
    asked = told.err[told.err.rindex(f"webdancer {command[0]}: ") :]  # rl tells its memory before
    assert [line.split()[0] for line in asked.splitlines()[2:]] == roles
    assert run_command([*command[:1], "--data", questions, "--out", str(out), "--dry-run"]) == 0
    assert "nothing is spent on models" in capfd.readouterr().err

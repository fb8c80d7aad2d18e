"""eval: played, graded and scored; failures apart from wrong answers; resumed to the same scores."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.agent.episode import Completion
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Attempt, Evidence, Message, Page, Rejected, Verdict
from webdancer_cli.errors import BudgetSpent, ModelError, UsageError
from webdancer_cli.grading.model_judge import ModelJudge
from webdancer_cli.grading.scores import Scores, from_attempts
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.stages import eval as stage
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

NAMES = ["Velmora", "Kemlo", "Talrano", "Nimmek"]
SEARCH = render_turn(Turn(thought="Look.", call=ToolCall("search", {"query": ["founded"]})))


def answer(text: str) -> str:
    return render_turn(Turn(thought="So.", answer=text))


class Speaks:
    """Says the lines that ``script`` gives for a question and a run; an exception among them is raised."""

    remaining_tokens = math.inf

    def __init__(self, lines: list[str | Exception]):
        self.lines = list(lines)

    def count(self, content: str) -> int:
        return len(content)

    async def act(self) -> Completion:
        line = self.lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return Completion(text=line, finish="stop")

    def observe(self, content: str) -> None:
        pass


class Scripted:
    """Right about every question, unless ``script`` says otherwise for a question or for one of its runs."""

    name = "scripted"

    def __init__(self, script: dict[Any, list[str | Exception]] | None = None):
        self.script = script or {}
        self.played: list[tuple[str, int]] = []

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> Speaks:
        self.played.append((qa.question, rollout))
        lines = self.script.get((qa.question, rollout)) or self.script.get(qa.question)
        return Speaks(lines or [SEARCH, answer(qa.answer)])


def question(name: str) -> QA:
    level = 1 + NAMES.index(name) % 2
    return QA(question=f"{name}?", answer=f"The {name}", aliases=[f"{name} town"], level=level, type="single_hop")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = [Page(url=f"http://127.0.0.1/{name}", title=name, text=f"{name} was founded in 1200.") for name in NAMES]
    jsonl.write_records(str(tmp_path / "pages.jsonl"), pages)
    jsonl.write_records(str(tmp_path / "qa.jsonl"), [question(name) for name in NAMES])
    return tmp_path


def run(folder: Path, policy: Scripted | None = None, judge: Any = None, **more: Any) -> tuple[RunStats, Scores]:
    given = {
        "data": str(folder / "qa.jsonl"),
        "web": str(folder / "pages.jsonl"),
        "out": str(folder / "out"),
        "rejects": str(folder / "rejects"),
        "prompts": "compact",
        **more,
    }
    stats = asyncio.run(stage.run(config.EvalOptions(**given), policy or Scripted(), judge=judge))
    return stats, stats.report


def attempts(folder: Path) -> list[Attempt]:
    return list(jsonl.read_records(str(folder / "out"), Attempt))


def rejected(folder: Path) -> list[Rejected]:
    return [Rejected(**json.loads(line)) for line in (folder / "rejects").read_bytes().splitlines()]


def test_every_question_is_played_and_graded(folder: Path) -> None:
    script = {"Kemlo?": [SEARCH, answer("Velmora")], "Nimmek?": [SEARCH, answer("NIMMEK TOWN.")]}
    stats, scores = run(folder, Scripted(script))
    graded = attempts(folder)
    assert [(attempt.question, attempt.verdict.outcome) for attempt in graded] == [
        ("Velmora?", "correct"),
        ("Kemlo?", "wrong"),
        ("Talrano?", "correct"),
        ("Nimmek?", "correct"),
    ]
    assert (graded[0].gold, graded[0].answer, graded[0].model) == ("The Velmora", "The Velmora", "scripted")
    assert graded[0].tools == {"search": 1} and graded[0].usage.calls == 2 and graded[0].ending == "answered"
    assert [message.role for message in graded[0].messages][-3:] == ["assistant", "user", "assistant"]
    assert (scores.overall.correct, scores.overall.judged, scores.mean_calls, scores.format_share) == (3, 4, 1.0, 1.0)
    assert [(row.name, row.correct, row.judged) for row in scores.by_level] == [("level 1", 2, 2), ("level 2", 1, 2)]
    assert stats.summary() == "4 in, 4 out" and stats.exit_code == 0


def test_several_runs_give_pass_at_k(folder: Path) -> None:
    wrong: list[str | Exception] = [SEARCH, answer("elsewhere")]
    script = {("Velmora?", 0): wrong, ("Velmora?", 2): wrong, "Kemlo?": wrong}
    _, scores = run(folder, Scripted(script), runs=3)
    assert [(attempt.question, attempt.run) for attempt in attempts(folder)] == [
        (f"{name}?", index) for name in NAMES for index in range(3)
    ]
    row = scores.overall
    assert (row.k, row.correct, row.judged) == (3, 7, 12)
    assert row.pass_1 == pytest.approx((1 / 3 + 0 + 1 + 1) / 4)
    assert row.pass_k == 3 / 4 and row.majority == 2 / 4


def test_a_model_that_fails_is_no_wrong_answer(folder: Path) -> None:
    policy = Scripted({"Kemlo?": [SEARCH, ModelError("the endpoint is down")]})
    stats, scores = run(folder, policy)
    assert (scores.overall.correct, scores.overall.judged) == (3, 3)
    (failed,) = rejected(folder)
    assert (failed.reason, failed.detail, failed.stage) == ("model_error", "the endpoint is down", "eval")
    assert failed.record["qa"]["question"] == "Kemlo?"  # type: ignore[index]
    assert stats.exit_code == 1


def test_what_failed_is_played_again_and_the_scores_cover_all(folder: Path) -> None:
    run(folder, Scripted({("Kemlo?", 1): [ModelError("down")]}), runs=2)
    again = Scripted()
    stats, scores = run(folder, again, runs=2, resume=True)
    assert again.played == [("Kemlo?", 1)]
    assert (scores.overall.questions, scores.overall.correct, scores.overall.judged) == (4, 8, 8)
    assert stats.counts["already done"] == 7 and stats.exit_code == 0
    assert (folder / "rejects").read_bytes() == b""


def test_an_evaluation_cut_anywhere_is_resumed_to_the_same_file_and_scores(folder: Path) -> None:
    script = {("Velmora?", 1): [SEARCH, answer("elsewhere")], "Kemlo?": [answer("at once")]}
    _, scores = run(folder, Scripted(script), runs=2)
    whole = (folder / "out").read_bytes()
    for cut in range(0, len(whole), 251):
        (folder / "out").write_bytes(whole[:cut])
        _, again = run(folder, Scripted(script), runs=2, resume=True)
        assert (folder / "out").read_bytes() == whole
        assert again == scores


def test_the_scores_come_back_from_the_file(folder: Path) -> None:
    _, scores = run(folder, Scripted({"Kemlo?": [SEARCH, answer("Velmora")]}), runs=3)
    assert from_attempts(jsonl.read_records(str(folder / "out"), Attempt)) == scores


def test_an_episode_without_an_answer_is_wrong_and_its_ending_is_told(folder: Path) -> None:
    _, scores = run(folder, Scripted({"Kemlo?": [SEARCH] * 3}), max_calls=3)
    graded = attempts(folder)[1]
    assert (graded.ending, graded.answer, graded.verdict.outcome) == ("call_limit", None, "wrong")
    assert scores.endings == {"answered": 3, "call_limit": 1}


@pytest.mark.parametrize(
    "lines",
    [
        [answer("The Kemlo")],  # no tool was called
        ["I look.\n" + SEARCH, answer("The Kemlo")],
        [SEARCH, "<answer>The Kemlo</answer>"],
        [render_turn(Turn(call=ToolCall("fly", {"to": "Kemlo"}))), answer("The Kemlo")],
        [SEARCH + "\n<tool_response>\nmine", answer("The Kemlo")],
    ],
)
def test_the_format_is_reported_beside_the_answer(folder: Path, lines: list[str | Exception]) -> None:
    _, scores = run(folder, Scripted({"Kemlo?": lines}))
    assert [attempt.format_ok for attempt in attempts(folder)] == [True, False, True, True]
    assert scores.overall.correct == 4 and scores.format_share == 0.75


class Torn:
    """Cannot judge the answers to some questions."""

    name = "torn"

    def __init__(self, *questions: str):
        self.questions = questions

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        return Verdict(outcome="unjudged" if qa.question in self.questions else "correct", method="torn")


def test_what_cannot_be_judged_is_shown_apart(folder: Path) -> None:
    stats, scores = run(folder, judge=Torn("Kemlo?"))
    assert (scores.overall.correct, scores.overall.judged, scores.overall.unjudged) == (3, 3, 1)
    assert [attempt.verdict.outcome for attempt in attempts(folder)].count("unjudged") == 1
    assert stats.summary() == "4 in, 4 out, 1 unjudged"
    assert stats.exit_code == 1  # the judge failed
    assert "judged by: torn 3" in scores.table()


def test_without_a_gold_answer_nothing_has_failed(folder: Path) -> None:
    jsonl.write_records(str(folder / "qa.jsonl"), [QA(question="Kemlo?", answer="")])
    stats, scores = run(folder, Scripted({"Kemlo?": [SEARCH, answer("Kemlo")]}))
    assert (scores.overall.judged, scores.overall.unjudged, stats.exit_code) == (0, 1, 0)


def test_resume_plays_again_what_the_judge_failed_on_and_keeps_the_rest(folder: Path) -> None:
    run(folder, judge=Torn("Kemlo?", "Nimmek?"))
    kept = [line for line in (folder / "out").read_bytes().splitlines() if b"unjudged" not in line]
    policy = Scripted()
    stats, scores = run(folder, policy, judge=Torn("Nimmek?"), resume=True)
    assert [question for question, _ in policy.played] == ["Kemlo?", "Nimmek?"]
    lines = (folder / "out").read_bytes().splitlines()
    assert lines[:2] == kept and len(lines) == 4
    assert (scores.overall.correct, scores.overall.unjudged, stats.exit_code) == (3, 1, 1)
    stats, scores = run(folder, judge=Torn(), resume=True)
    assert (scores.overall.correct, scores.overall.unjudged, stats.exit_code) == (4, 0, 0)


def test_an_attempt_keeps_its_calls_and_the_budget_that_was_nearly_spent(folder: Path) -> None:
    run(folder, max_calls=2)
    graded = attempts(folder)[0]
    assert [call.tool for call in graded.calls] == ["search", ""]
    assert graded.last_call == "call_limit"


def test_a_question_that_stands_twice_counts_once(folder: Path) -> None:
    jsonl.write_records(str(folder / "qa.jsonl"), [question("Kemlo"), question("Velmora"), question("Kemlo")])
    stats, scores = run(folder, runs=2)
    assert scores.overall.questions == 2 and scores.overall.judged == 4
    assert [told.reason for told in rejected(folder)] == ["duplicate_question"]
    assert stats.exit_code == 0


def test_limit_counts_questions(folder: Path) -> None:
    _, scores = run(folder, runs=2, limit=1)
    assert (scores.overall.questions, scores.attempts) == (1, 2)


def test_trajectories_instead_of_questions_are_told_at_once(folder: Path) -> None:
    (folder / "qa.jsonl").write_text('{"qa": {}, "messages": [], "ending": "answered"}\n')
    with pytest.raises(UsageError, match="this is a trajectory"):
        run(folder)


def test_a_missing_corpus_is_told_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl"):
        run(folder, web=str(folder / "nowhere.jsonl"))
    assert not (folder / "out").exists()


class Poor(Torn):
    """Has the money for so many verdicts."""

    def __init__(self, verdicts: int):
        super().__init__()
        self.verdicts = verdicts

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.verdicts -= 1
        if self.verdicts < 0:
            raise BudgetSpent("--max-cost 1 is spent")
        return await super().judge(qa, answer)


def test_an_episode_that_the_budget_did_not_judge_is_kept_unjudged(folder: Path) -> None:
    policy = Scripted()
    stats, scores = run(folder, policy, judge=Poor(1), jobs=1)
    assert [question for question, _ in policy.played] == ["Velmora?", "Kemlo?"]
    assert [(line.question, line.verdict.outcome, line.verdict.detail) for line in attempts(folder)] == [
        ("Velmora?", "correct", ""),
        ("Kemlo?", "unjudged", "budget_spent"),
    ]
    assert (stats.stopped, stats.exit_code, scores.overall.unjudged) == ("--max-cost 1 is spent", 1, 1)
    stats, scores = run(folder, judge=Torn(), resume=True)
    assert (scores.overall.correct, scores.overall.unjudged, stats.exit_code) == (4, 0, 0)


# ---- baselines, break-downs, report


def test_closed_book_needs_no_corpus_and_is_told_apart_from_the_agent(folder: Path) -> None:
    script: dict[Any, list[str | Exception]] = {f"{name}?": [answer(f"The {name}")] for name in NAMES[:3]}
    script["Nimmek?"] = [SEARCH]
    stats, scores = run(folder, Scripted(script), agent="none", web=str(folder / "nowhere"))
    assert (scores.overall.correct, scores.overall.judged, scores.overall.unanswered) == (3, 4, 1)
    assert {attempt.agent for attempt in attempts(folder)} == {"none"} and stats.exit_code == 0
    assert scores.format_share == 0.75 and scores.conduct.failures == {}
    _, scores = run(folder, resume=True)
    assert scores.attempts == 8  # the agent's attempts have ids of their own


def test_retrieval_is_dissected_like_a_search(folder: Path) -> None:
    evidence = [Evidence(url=f"http://127.0.0.1/{name}", quote=f"{name} was founded in 1200.") for name in NAMES]
    questions = [QA(question=f"{part.url[17:]}?", answer="1200", evidence=[part]) for part in evidence]
    jsonl.write_records(str(folder / "qa.jsonl"), questions)
    script: dict[Any, list[str | Exception]] = {f"{name}?": [answer("1200")] for name in NAMES}
    script["Kemlo?"] = [answer("the mayor's dog")]
    _, scores = run(folder, Scripted(script), agent="rag")
    assert scores.conduct.failures == {"not_used": 1} and scores.conduct.searching == (4, 1.0, 1.0)
    assert scores.conduct.means["gold shown"] == 1.0


def test_a_wrong_episode_is_dissected_and_the_record_keeps_its_evidence(folder: Path) -> None:
    evidence = [Evidence(url="http://127.0.0.1/Kemlo", quote="Kemlo was founded in 1200.")]
    jsonl.write_records(str(folder / "qa.jsonl"), [QA(question="Kemlo?", answer="1200", evidence=evidence)])
    look = render_turn(Turn(thought="Look.", call=ToolCall("search", {"query": ["Kemlo"]})))
    _, scores = run(folder, Scripted({"Kemlo?": [look, answer("1300")]}))
    (graded,) = attempts(folder)
    assert graded.anatomy and (graded.anatomy.failure, graded.anatomy.surfaced) == ("not_opened", 1)
    assert graded.evidence == evidence and scores.conduct.failures == {"not_opened": 1}


def test_the_questions_own_columns_are_break_downs(folder: Path) -> None:
    lines = [{"question": f"{name}?", "answer": f"The {name}", "topic": name[0], "region": "x"} for name in NAMES]
    (folder / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, scores = run(folder)
    assert [row.name for row in scores.groups["topic"]] == ["topic: K", "topic: N", "topic: T", "topic: V"]
    _, scores = run(folder, by=["region"])
    assert list(scores.groups) == ["region"]


def test_the_report_holds_the_scores_and_what_did_not_come_to_one(folder: Path) -> None:
    policy = Scripted({"Kemlo?": [SEARCH, ModelError("down")]})
    _, scores = run(folder, policy, report=str(folder / "scores.json"))
    report = json.loads((folder / "scores.json").read_bytes())
    assert (report["overall"]["correct"], report["overall"]["judged"]) == (3, 3)
    assert report["not_scored"] == {"model_error": 1} and report["conduct"]["endings"] == {"answered": 3}
    assert report["overall"]["pass_1_interval"] == list(scores.overall.pass_1_interval)


def test_a_report_that_cannot_be_written_is_told_before_any_work(folder: Path) -> None:
    policy = Scripted()
    with pytest.raises(UsageError, match="--report"):
        run(folder, policy, report=str(folder / "none" / "x.json"))
    with pytest.raises(UsageError, match="named twice"):
        run(folder, policy, report=str(folder / "out"))
    assert policy.played == [] and not (folder / "out").exists()


def test_timings_are_kept_when_asked_for(folder: Path) -> None:
    _, scores = run(folder, timings=True)
    assert scores.conduct.means["seconds"] >= 0
    assert run(folder)[1].conduct.means.get("seconds") is None


# ---- grading alone


def grade(folder: Path, judge: Any = None, **more: Any) -> tuple[RunStats, Scores]:
    given = {"out": str(folder / "graded"), "rejects": str(folder / "rejects"), "grade_only": True, **more}
    stats = asyncio.run(stage.run(config.EvalOptions(**given), judge=judge))
    return stats, stats.report


def test_attempts_are_graded_anew_without_playing(folder: Path) -> None:
    run(folder, Scripted({"Kemlo?": [SEARCH, answer("a place")]}))
    before = attempts(folder)
    stats, scores = grade(folder, data=str(folder / "out"))
    graded = list(jsonl.read_records(str(folder / "graded"), Attempt))
    assert graded == before and (scores.overall.correct, scores.overall.judged) == (3, 4)
    _, scores = grade(folder, judge=Torn(), data=str(folder / "out"))
    assert (scores.overall.correct, scores.judges) == (4, {"torn": 4})
    assert stats.summary() == "4 in, 4 out"


def test_predictions_are_graded_against_a_gold_file_and_the_unanswered_are_wrong(folder: Path) -> None:
    lines = [{"question": "Kemlo?", "prediction": "the Kemlo"}, {"question": "velmora?", "prediction": "Kemlo"}]
    (folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    gold = str(folder / "qa.jsonl")
    _, scores = grade(folder, data=str(folder / "p.jsonl"), gold=gold)
    row = scores.overall
    assert (row.questions, row.correct, row.judged, row.unanswered) == (4, 1, 4, 2)
    _, part = grade(folder, data=str(folder / "p.jsonl"), gold=gold, limit=1)
    assert (part.overall.correct, part.overall.judged) == (1, 1)  # of a part nobody knows what is missing


def test_grading_is_resumed_where_the_judge_failed(folder: Path) -> None:
    run(folder)
    grade(folder, judge=Torn("Kemlo?"), data=str(folder / "out"))
    stats, scores = grade(folder, judge=Torn(), data=str(folder / "out"), resume=True)
    assert (scores.overall.correct, scores.overall.unjudged, stats.counts["already done"]) == (4, 0, 3)


def test_gold_answers_are_for_predictions(folder: Path) -> None:
    with pytest.raises(UsageError, match="--grade-only"):
        run(folder, gold=str(folder / "gold.jsonl"))


# ---- several judges, sets


class Says(Torn):
    """Calls the answers to some questions wrong, and all others correct."""

    def __init__(self, name: str, *wrong: str):
        super().__init__()
        self.name, self.wrong = name, wrong

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        return Verdict(outcome="wrong" if qa.question in self.wrong else "correct", method=self.name)


def test_several_judges_are_held_against_each_other_and_the_first_counts(folder: Path) -> None:
    others = [Says("second", "Kemlo?"), Says("third", "Kemlo?", "Nimmek?")]
    options = config.EvalOptions(
        data=str(folder / "qa.jsonl"), web=str(folder / "pages.jsonl"), out=str(folder / "out")
    )
    scores = asyncio.run(stage.run(options, Scripted(), judge=Says("first", "Nimmek?"), others=others)).report
    found = scores.agreement
    assert scores.overall.correct == 3 and found is not None and found.judges == ["first", "second", "third"]
    # Of 4 answers the first two agree on 2: by chance (3·3 + 1·1)/16 = 0.625 of them: (0.5 - 0.625)/0.375 = -1/3
    assert found.kappas[0] == pytest.approx(-1 / 3) and found.kappas[1] == pytest.approx(0.5)
    disputed = [attempt for attempt in attempts(folder) if attempt.id in found.disagreements]
    assert sorted(attempt.question for attempt in disputed) == ["Kemlo?", "Nimmek?"]
    assert [verdict.method for verdict in disputed[0].verdicts] == ["second", "third"]
    assert "2 of 4 answers judged differently; Cohen's kappa of first with second -0.333, third 0.500" in scores.table()


def test_what_a_rule_decides_says_nothing_about_judges(folder: Path) -> None:
    options = config.EvalOptions(
        data=str(folder / "qa.jsonl"), web=str(folder / "pages.jsonl"), out=str(folder / "out")
    )
    scores = asyncio.run(stage.run(options, Scripted(), others=[Says("second")])).report
    assert scores.agreement is None and attempts(folder)[0].verdicts == []


def test_the_questions_of_a_benchmark_that_need_a_picture_are_left_out(folder: Path) -> None:
    rows = [
        {"task_id": f"t{n}", "Question": f"{name}?", "Level": 1 + n, "Final answer": f"The {name}", "file_name": ""}
        for n, name in enumerate(NAMES)
    ]
    rows[2]["file_name"] = "map.png"
    (folder / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stats, scores = run(folder)
    assert scores.overall.questions == 3 and stats.reasons == {"not_text_only": 1} and stats.exit_code == 0
    assert [row.name for row in scores.by_level] == ["level 1", "level 2", "level 4"]


def test_pages_that_give_the_question_away_are_kept_back_and_counted(folder: Path) -> None:
    asked = "When was the old town of Kemlo in the north founded?"
    jsonl.write_records(str(folder / "qa.jsonl"), [QA(question=asked, answer="1200")])
    copied = Page(url="http://127.0.0.1/copy", title="Founded", text=f"Q: {asked} A: 1200, founded")
    jsonl.write_records(str(folder / "pages.jsonl"), [copied])
    look = render_turn(Turn(thought="Look.", call=ToolCall("visit", {"url": [copied.url], "goal": "founded"})))
    policy = Scripted({asked: [look, answer("1200")]})
    _, scores = run(folder, policy)
    assert asked in attempts(folder)[0].messages[-2].content and scores.conduct.leaks == 0
    _, scores = run(folder, policy, leak_guard=True)
    (graded,) = attempts(folder)
    assert graded.leaks == [copied.url] and scores.conduct.leaks == 1
    assert f"{copied.url}: this page cannot be read" in graded.messages[-2].content
    assert "in 1 runs a page gave the question away" in scores.table()


class Grades:
    """A judge's model that finds all answers correct but that about Rome."""

    model = "j"

    async def complete(self, messages: Any, *, rollout: int = 0, schema: Any = None) -> Reply:
        verdict = "wrong" if "Rome" in messages[-1].content else "correct"
        return Reply(text=json.dumps({"reason": "", "verdict": verdict}))


def test_an_attempt_remembers_its_set_so_that_it_is_graded_anew_with_the_same_prompt(folder: Path) -> None:
    row = {"problem": "Kemlo?", "answer": "The Kemlo", "problem_topic": "Art", "canary": "in the clear"}
    (folder / "qa.jsonl").write_text(json.dumps(row) + "\n")
    policy = Scripted({"Kemlo?": [SEARCH, answer("a town called Kemlo")]})
    run(folder, policy, judge=ModelJudge(Grades(), load("default")))
    grade(folder, judge=ModelJudge(Grades(), load("default")), data=str(folder / "out"))
    (first,), (again,) = attempts(folder), jsonl.read_records(str(folder / "graded"), Attempt)
    assert first.verdict == again.verdict and first.verdict.method.startswith("model:j judge_confidence ")


def test_episodes_of_others_are_dissected_only_where_their_calls_can_be_read(folder: Path) -> None:
    asked = {"question": "Kemlo?", "answer": "1200", "prediction": "1300"}
    theirs = [{"role": "assistant", "content": "Let me search."}, {"role": "tool", "content": "1200"}]
    ours = [{"role": "assistant", "content": SEARCH}, {"role": "user", "content": render_response("It was 1200.")}]
    (folder / "p.json").write_text(json.dumps([asked | {"messages": theirs}, asked | {"messages": ours}]))
    _, scores = grade(folder, data=str(folder / "p.json"))
    first, second = jsonl.read_records(str(folder / "graded"), Attempt)
    assert first.anatomy is None and second.anatomy and second.anatomy.failure == "not_used"
    assert scores.conduct.failures == {"not_used": 1}


class Broke(Torn):
    """Has no money."""

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        raise BudgetSpent("--max-cost 1 is spent")


def test_a_verdict_is_kept_when_a_further_judge_stops_the_run(folder: Path) -> None:
    options = config.EvalOptions(
        data=str(folder / "qa.jsonl"), web=str(folder / "pages.jsonl"), out=str(folder / "out"), jobs=1
    )
    stats = asyncio.run(stage.run(options, Scripted(), judge=Says("first"), others=[Broke()]))
    scores = stats.report
    (kept,) = attempts(folder)
    assert (kept.verdict.outcome, [more.outcome for more in kept.verdicts]) == ("correct", ["unjudged"])
    assert stats.stopped == "--max-cost 1 is spent" and scores.agreement is None


def test_that_nothing_was_scored_is_said(folder: Path) -> None:
    (folder / "none.csv").write_text("problem,answer\n")
    stats, _ = run(folder, data=str(folder / "none.csv"))
    assert "holds no question" in stats.remark
    assert not run(folder)[0].remark


# ---- tables


def test_responses_of_widesearch_are_graded_by_its_tables_and_graded_anew_the_same(tmp_path: Path) -> None:
    rules = {"required": ["town", "people"], "unique_columns": ["town"], "eval_pipeline": {}}
    row = {"instance_id": "ws_1", "query": "List them.", "evaluation": json.dumps(rules), "language": "en"}
    (tmp_path / "set.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "widesearch_gold").mkdir()
    (tmp_path / "widesearch_gold" / "ws_1.csv").write_text("Town,People\nKemlo,1\nVelmora,2\n")
    table = "Final answer:\n```markdown\n| Town | People |\n|---|---|\n| Kemlo | 1 |\n| Velmora | {} |\n```"
    said = [
        {"instance_id": "ws_1", "response": table.format(people), "trial_idx": at} for at, people in enumerate("23")
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    gold = str(tmp_path / "set.jsonl")
    _, scores = grade(tmp_path, data=str(tmp_path / "r.jsonl"), gold=gold, benchmark="widesearch")
    row_all, (english,) = scores.overall, scores.groups["language"]
    # the second run has 3 of 4 cells and 1 of 2 rows: means of (1, 0.75) and (1, 0.5)
    assert (row_all.correct, row_all.judged, row_all.f1, row_all.row_f1) == (1, 2, 0.875, 0.75)
    assert english.name == "language: en" and english.f1 == 0.875
    first = (tmp_path / "graded").read_bytes()
    (tmp_path / "graded").rename(tmp_path / "earlier")
    assert grade(tmp_path, data=str(tmp_path / "earlier"))[1] == scores and (tmp_path / "graded").read_bytes() == first


@pytest.mark.parametrize(
    ("shown", "failure"), [("Kemlo is a town.", "never_surfaced"), ("Orrin is a town, too.", "not_used")]
)
def test_of_a_set_what_the_answer_lacks_is_looked_for(shown: str, failure: str) -> None:
    messages = [
        Message("user", "Which towns?"),
        Message("assistant", render_turn(Turn(call=ToolCall("search", {"query": ["towns"]})))),
        Message("user", render_response(shown)),
        Message("assistant", render_turn(Turn(answer="Kemlo"))),
    ]
    attempt = Attempt(
        id="1", qa_id="1", run=0, model="m", question="Which towns?", gold="Kemlo; Orrin", answer="Kemlo",
        verdict=Verdict(outcome="wrong", method="match"), format_ok=True, ending="answered", messages=messages,
        extra={"answer_type": "Set Answer"},
    )  # fmt: skip
    assert stage.anatomy_of(attempt).failure == failure

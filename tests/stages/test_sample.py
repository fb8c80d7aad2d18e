"""sample: n rollouts per question, kill-safe, with failures in the rejects."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.agent.episode import Policy, Session
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Evidence, Message, Page, Trajectory, Verdict, trajectory_id
from webdancer_cli.errors import BudgetSpent, ModelError, Outage, ServiceRefused, UsageError
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.stages import sample
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.protocols import Hit, Web

NAMES = ["Velmora", "Kemlo", "Talrano", "Nimmek", "Jornari"]


def sentence(name: str) -> str:
    return f"The founding year of {name} is {1000 + NAMES.index(name)}."


def url(name: str) -> str:
    return f"http://127.0.0.1:8765/{name}.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    pages = [Page(url=url(name), title=name, text=f"{name} is a town. {sentence(name)}") for name in NAMES]
    jsonl.write_records(str(folder / "pages.jsonl"), pages)
    jsonl.write_records(str(folder / "qa.jsonl"), [question(name) for name in NAMES])
    return folder


def question(name: str) -> QA:
    proof = Evidence(url=url(name), quote=sentence(name), title=name)
    return QA(question=f"When was {name} founded?", answer=sentence(name)[-5:-1], evidence=[proof])


def options(folder: Path, out: str, **more: object) -> config.SampleOptions:
    given = {"data": str(folder / "qa.jsonl"), "web": str(folder / "pages.jsonl"), "prompts": "compact", **more}
    return config.SampleOptions(out=str(folder / out), **given)


def run(options: config.SampleOptions, policy: Policy | None = None) -> RunStats:
    return asyncio.run(sample.run(options, policy or Demonstrator(options)))


def written(folder: Path, name: str) -> list[Trajectory]:
    return list(jsonl.read_records(str(folder / name), Trajectory))


def test_every_rollout_of_every_question_in_order(folder: Path) -> None:
    stats = run(options(folder, "all.jsonl", n=3))
    trajectories = written(folder, "all.jsonl")
    prompts = load("compact").id
    assert [(item.qa.question, item.rollout) for item in trajectories] == [
        (question(name).question, index) for name in NAMES for index in range(3)
    ]
    assert [item.answer for item in trajectories] == [item.qa.answer for item in trajectories]
    assert trajectories[4].id == trajectory_id(question("Kemlo").id, 1, "builtin", prompts)
    assert (stats.counts["in"], stats.counts["out"], stats.exit_code) == (15, 15, 0)


def test_a_line_of_the_corpus_that_is_no_page_is_one_reject_and_all_is_played(folder: Path) -> None:
    pages = folder / "odd.jsonl"
    pages.write_bytes(b'{"url": 3}\n' + (folder / "pages.jsonl").read_bytes())
    stats = run(options(folder, "odd.out.jsonl", web=str(pages), rejects=str(folder / "odd.rejects.jsonl")))
    assert (stats.counts["out"], stats.counts["rejected"], stats.exit_code) == (len(NAMES), 1, 1)
    [rejected] = jsonl.read_values(str(folder / "odd.rejects.jsonl"))
    assert rejected.value["reason"] == "wrong_shape" and f"{pages}:1: " in rejected.value["detail"]


def test_limit_counts_questions(folder: Path) -> None:
    run(options(folder, "limited.jsonl", n=2, limit=2))
    assert [item.qa.question for item in written(folder, "limited.jsonl")] == [
        question(name).question for name in ("Velmora", "Velmora", "Kemlo", "Kemlo")
    ]


@given(cut=st.floats(0, 1))
@settings(max_examples=25)
def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path, cut: float) -> None:
    """Cut the output at any byte, as a kill does, and resume: same bytes."""
    if not (folder / "whole.jsonl").exists():
        run(options(folder, "whole.jsonl", n=2, date="2025-01-01"))
    whole = (folder / "whole.jsonl").read_bytes()
    (folder / "cut.jsonl").write_bytes(whole[: round(cut * len(whole))])
    stats = run(options(folder, "cut.jsonl", n=2, date="2025-01-01", resume=True))
    assert (folder / "cut.jsonl").read_bytes() == whole
    assert stats.counts["already done"] == whole[: round(cut * len(whole))].count(b"\n")


class Failing:
    """Fails on the named questions, and plays the others as the demonstrator does."""

    name = "builtin"

    def __init__(self, demonstrator: Demonstrator, questions: set[str], error: Exception | None = None):
        self.demonstrator = demonstrator
        self.questions = questions
        self.error = error or ModelError("HTTP 500: out of order")

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> Session:
        session = self.demonstrator.begin(messages, qa, rollout)
        if qa.question in self.questions:

            async def act() -> None:
                raise self.error

            session.act = act  # type: ignore[assignment]
        return session


def test_a_model_error_is_a_reject_and_is_tried_again(folder: Path) -> None:
    first = options(folder, "failed.jsonl", rejects=str(folder / "rejects.jsonl"))
    stats = run(first, Failing(Demonstrator(first), {question("Kemlo").question}))
    assert (stats.counts["out"], stats.failed, stats.exit_code) == (4, 1, 1)
    assert "out of order" not in (folder / "failed.jsonl").read_text()
    (line,) = (folder / "rejects.jsonl").read_text().splitlines()
    rejected = json.loads(line)
    assert (rejected["reason"], rejected["detail"]) == ("model_error", "HTTP 500: out of order")
    assert rejected["record"]["qa"]["question"] == question("Kemlo").question
    stats = run(options(folder, "failed.jsonl", resume=True))
    assert (stats.counts["already done"], stats.counts["out"], stats.exit_code) == (4, 1, 0)
    assert {item.qa.question for item in written(folder, "failed.jsonl")} == {question(n).question for n in NAMES}


class Wavering:
    """Answers as the demonstrator does from its third rollout on, and before that gives up. It notes what it played."""

    name = "builtin"

    def __init__(self, demonstrator: Demonstrator, fails_at: int | None = None, error: Exception | None = None):
        self.demonstrator = demonstrator
        self.fails_at = fails_at
        self.error = error
        self.played: list[tuple[str, int]] = []

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> Session:
        self.played.append((qa.answer, rollout))
        if rollout == self.fails_at:
            return Failing(self.demonstrator, {qa.question}, self.error).begin(messages, qa, rollout)
        known = qa if rollout >= 2 else QA(question=qa.question, answer="unknown", evidence=qa.evidence)
        return self.demonstrator.begin(messages, known, rollout)


def test_until_correct_stops_a_question_at_its_first_correct_rollout(folder: Path) -> None:
    chosen = options(folder, "until.jsonl", n=5, limit=2, until_correct=True)
    policy = Wavering(Demonstrator(chosen))
    stats = run(chosen, policy)
    verdicts = [(item.rollout, item.verdict and item.verdict.outcome) for item in written(folder, "until.jsonl")]
    assert verdicts == [(0, "wrong"), (1, "wrong"), (2, "correct")] * 2
    assert len(policy.played) == 6
    assert (stats.counts["in"], stats.counts["out"]) == (2, 6)


@pytest.mark.parametrize("lines", range(7))
def test_until_correct_resumed_equals_uninterrupted(lines: int, folder: Path) -> None:
    def chosen(out: str, resume: bool = False) -> config.SampleOptions:
        return options(folder, out, n=5, limit=2, until_correct=True, date="2025-01-01", resume=resume)

    run(chosen("until-whole.jsonl"), Wavering(Demonstrator(chosen("-"))))
    whole = (folder / "until-whole.jsonl").read_bytes()
    (folder / "until-cut.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
    policy = Wavering(Demonstrator(chosen("-")))
    run(chosen("until-cut.jsonl", resume=True), policy)
    assert (folder / "until-cut.jsonl").read_bytes() == whole
    assert len(policy.played) == 6 - lines


def test_until_correct_after_a_failure_goes_on_where_it_failed(folder: Path) -> None:
    chosen = options(folder, "until-failed.jsonl", n=5, limit=1, until_correct=True)
    stats = run(chosen, Wavering(Demonstrator(chosen), fails_at=1))
    assert (stats.counts["out"], stats.failed, stats.exit_code) == (1, 1, 1)
    policy = Wavering(Demonstrator(chosen))
    run(options(folder, "until-failed.jsonl", n=5, limit=1, until_correct=True, resume=True), policy)
    assert [rollout for _, rollout in policy.played] == [1, 2]
    assert [item.rollout for item in written(folder, "until-failed.jsonl")] == [0, 1, 2]


def test_questions_solved_before_are_skipped_and_counted(folder: Path) -> None:
    run(options(folder, "first.jsonl", limit=2))
    first = written(folder, "first.jsonl")
    first[1].answer = "never"
    jsonl.write_records(str(folder / "first.jsonl"), first)
    stats = run(options(folder, "second.jsonl", skip_solved=str(folder / "first.jsonl")))
    assert [item.qa.question for item in written(folder, "second.jsonl")] == [question(n).question for n in NAMES[1:]]
    assert (stats.counts["solved before"], stats.counts["in"]) == (1, 4)


def test_a_question_that_stands_twice_is_played_once(folder: Path) -> None:
    jsonl.write_records(str(folder / "twice.jsonl"), [question(name) for name in (*NAMES[:2], *NAMES[:2])])
    stats = run(options(folder, "once.jsonl", data=str(folder / "twice.jsonl"), n=2))
    assert (stats.counts["out"], stats.reasons["duplicate_question"], stats.exit_code) == (4, 2, 0)
    whole = (folder / "once.jsonl").read_bytes()
    run(options(folder, "once.jsonl", data=str(folder / "twice.jsonl"), n=2, resume=True))
    assert (folder / "once.jsonl").read_bytes() == whole


def test_every_call_is_traced_and_timed_only_if_asked_for(folder: Path) -> None:
    run(options(folder, "untimed.jsonl", limit=1))
    run(options(folder, "timed.jsonl", limit=1, timings=True))
    (untimed,), (timed,) = written(folder, "untimed.jsonl"), written(folder, "timed.jsonl")
    assert [call.tool for call in untimed.calls] == ["search", "visit", ""]
    assert "seconds" not in (folder / "untimed.jsonl").read_text()
    assert all(call.seconds is not None for call in timed.calls)
    assert [call.tool_seconds is not None for call in timed.calls] == [True, True, False]


def test_a_question_that_cannot_be_answered_is_written_all_the_same(folder: Path) -> None:
    jsonl.write_records(str(folder / "hard.jsonl"), [QA(question="Who built the moon?", answer="Nobody")])
    stats = run(options(folder, "unanswered.jsonl", data=str(folder / "hard.jsonl")))
    assert [item.ending for item in written(folder, "unanswered.jsonl")] == ["no_answer"]
    assert stats.exit_code == 0


def test_flags_change_the_caps_and_the_identity(folder: Path) -> None:
    run(options(folder, "capped.jsonl", limit=1, search_results=1, page_chars=30))
    (trajectory,) = written(folder, "capped.jsonl")
    assert trajectory.prompts != load("compact").id
    assert trajectory.messages[2].content == f"<tool_response>\n1. [Velmora]({url('Velmora')})\n</tool_response>"


def test_a_broken_line_costs_itself(folder: Path) -> None:
    lines = (folder / "qa.jsonl").read_text().splitlines()
    (folder / "broken.jsonl").write_text("\n".join([lines[0], '{"question": ', lines[1], '{"question": 7}']))
    stats = run(options(folder, "mended.jsonl", data=str(folder / "broken.jsonl")))
    assert (stats.counts["out"], dict(stats.reasons)) == (2, {"broken_line": 1, "wrong_shape": 1})
    assert stats.exit_code == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"web": "missing.jsonl"}, "missing.jsonl"),
        ({"prompts": "no-such-set"}, "no-such-set"),
        ({"data": "missing.jsonl"}, "missing.jsonl"),
    ],
)
def test_what_cannot_work_is_a_usage_error(wrong: dict[str, str], said: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=said):
        chosen = options(folder, "never.jsonl", **wrong)
        run(chosen)


def test_an_empty_corpus_and_trajectories_for_questions_are_usage_errors(folder: Path) -> None:
    (folder / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="no pages"):
        run(options(folder, "never.jsonl", web=str(folder / "empty.jsonl")))
    run(options(folder, "t.jsonl", limit=1))
    with pytest.raises(UsageError, match="trajectory"):
        run(options(folder, "never.jsonl", data=str(folder / "t.jsonl")))


class Down:
    """A web whose search is down until it is mended."""

    name = "live:down+http"
    is_up = False

    def __init__(self, corpus: Web):
        self._corpus = corpus

    async def search(self, query: str, results: int) -> list[Hit]:
        if not self.is_up:
            raise Outage("serper: HTTP 503 (4 attempts)")
        return await self._corpus.search(query, results)

    async def read(self, url: str) -> Page:
        return await self._corpus.read(url)


def test_an_outage_of_the_tools_is_a_failure_that_resume_plays_again(folder: Path) -> None:
    web = Down(Corpus.load(str(folder / "pages.jsonl")))
    given = options(folder, "down.jsonl", rejects=str(folder / "down.rejects"))
    stats = asyncio.run(sample.run(given, Demonstrator(given), web=web))
    assert (stats.exit_code, stats.reasons, written(folder, "down.jsonl")) == (1, {"tool_abort": len(NAMES)}, [])
    reject = json.loads((folder / "down.rejects").read_text().splitlines()[0])
    assert (reject["detail"], reject["record"]["qa"]["question"]) == (
        "serper: HTTP 503 (4 attempts)",
        question(NAMES[0]).question,
    )
    web.is_up, given.resume = True, True
    stats = asyncio.run(sample.run(given, Demonstrator(given), web=web))
    assert stats.exit_code == 0
    assert [item.ending for item in written(folder, "down.jsonl")] == ["answered"] * len(NAMES)
    assert (folder / "down.rejects").read_text() == ""


def test_until_correct_keeps_the_rollouts_before_the_one_that_the_budget_stopped(folder: Path) -> None:
    def chosen(resume: bool = False) -> config.SampleOptions:
        return options(folder, "spent.jsonl", n=5, limit=1, until_correct=True, resume=resume)

    (folder / "spent.jsonl").unlink(missing_ok=True)
    stats = run(chosen(), Wavering(Demonstrator(chosen()), fails_at=2, error=BudgetSpent("--max-cost 1 is spent")))
    assert (stats.stopped, stats.exit_code) == ("--max-cost 1 is spent", 1)
    assert [item.rollout for item in written(folder, "spent.jsonl")] == [0, 1]
    policy = Wavering(Demonstrator(chosen()))
    assert run(chosen(resume=True), policy).exit_code == 0
    assert [rollout for _, rollout in policy.played] == [2]


def test_until_correct_keeps_the_rollouts_before_a_refusal(folder: Path) -> None:
    chosen = options(folder, "refused.jsonl", n=5, limit=1, until_correct=True)
    with pytest.raises(ServiceRefused, match="no credit"):
        run(chosen, Wavering(Demonstrator(chosen), fails_at=2, error=ServiceRefused("serper: no credit")))
    assert [item.rollout for item in written(folder, "refused.jsonl")] == [0, 1]


class Judges:
    """Takes every answer for right; ``down`` is the question that it cannot judge, or is raised about."""

    name = "model:judges"

    def __init__(self, down: str = "", error: Exception | None = None):
        self.down = down
        self.error = error
        self.asked: list[str] = []

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.asked.append(qa.question)
        if qa.question != self.down:
            return Verdict(outcome="correct", method=self.name)
        if self.error:
            raise self.error
        return Verdict(outcome="unjudged", method=self.name, detail="model_error")


def judged(options: config.SampleOptions, judge: Judges | None, policy: Policy | None = None) -> RunStats:
    return asyncio.run(sample.run(options, policy or Demonstrator(options), judge=judge))


def test_what_the_judge_failed_on_is_told_and_resume_asks_again(folder: Path) -> None:
    first = options(folder, "judged.jsonl")
    stats = judged(first, Judges(question("Kemlo").question))
    assert (stats.counts["out"], stats.counts["unjudged"], stats.exit_code) == (5, 1, 1)
    kept = [line for line in (folder / "judged.jsonl").read_bytes().splitlines() if b"unjudged" not in line]
    first.resume = True
    stats = judged(first, None)
    assert stats.counts["already done"] == 5  # without a judge there is nobody to ask
    judge = Judges()
    stats = judged(first, judge)
    assert (judge.asked, stats.exit_code) == ([question("Kemlo").question], 0)
    assert (folder / "judged.jsonl").read_bytes().splitlines()[:4] == kept
    assert {item.verdict.outcome for item in written(folder, "judged.jsonl") if item.verdict} == {"correct"}


def test_a_trajectory_that_the_budget_did_not_judge_is_kept_unjudged(folder: Path) -> None:
    first = options(folder, "unpaid.jsonl", jobs=1)
    stats = judged(first, Judges(question("Kemlo").question, BudgetSpent("--max-cost 1 is spent")))
    verdicts = [item.verdict.outcome for item in written(folder, "unpaid.jsonl") if item.verdict]
    assert (verdicts, stats.stopped) == (["correct", "unjudged"], "--max-cost 1 is spent")


def test_until_correct_waits_for_the_verdict_before_the_next_rollout(folder: Path) -> None:
    first = options(folder, "waits.jsonl", n=5, limit=1, until_correct=True)
    policy = Wavering(Demonstrator(first))
    judged(first, Judges(question(NAMES[0]).question), policy)
    assert [rollout for _, rollout in policy.played] == [0]
    first.resume = True
    assert judged(first, Judges(), policy).exit_code == 0
    assert [rollout for _, rollout in policy.played] == [0, 0]
    assert [item.rollout for item in written(folder, "waits.jsonl")] == [0]

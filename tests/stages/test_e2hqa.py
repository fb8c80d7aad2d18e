"""e2hqa: each question once, harder where it can be, kill-safe; whatever lines come in."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Link, Page, Usage
from webdancer_cli.errors import BudgetSpent, ModelError, UsageError
from webdancer_cli.llm.structured_output import Unreadable
from webdancer_cli.options import config
from webdancer_cli.stages import e2hqa
from webdancer_cli.synthesis.builtin.rewriter import BuiltinRewriter
from webdancer_cli.synthesis.protocols import QuestionRewriter
from webdancer_cli.web.protocols import Web

CHAIN = ["Ada", "Borin", "Celka", "Dorvim"]
"""Each is the teacher of the next."""


def url(name: str) -> str:
    return f"http://127.0.0.1/{name}"


def page(name: str, teacher: str | None) -> Page:
    sentence = f"The teacher of {name} is {teacher}."
    links = [Link(url=url(teacher), text=teacher, sentence=sentence)] if teacher else []
    return Page(url=url(name), title=name, text=f"{name} is a person. {sentence if teacher else ''}", links=links)


QUESTIONS = [
    {"question": "Who is the pupil whom Ada liked best?", "answer": "Zorn", "id": "q0", "mine": 7},
    {"question": "What is two and two?", "answer": "4", "id": "q1"},
    {"question": "Who is older, Celka or not?", "answer": "Yorn", "id": "q2", "tag": "crawlqa"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = [page(name, teacher) for name, teacher in zip(CHAIN, [None, *CHAIN], strict=False)]
    jsonl.write_records(str(tmp_path / "pages.jsonl"), pages)
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in QUESTIONS))
    return tmp_path


def options(folder: Path, **more: object) -> config.E2hqaOptions:
    given = {"data": str(folder / "qa.jsonl"), "out": str(folder / "hard.jsonl"), **more}
    return config.E2hqaOptions(web=str(folder / "pages.jsonl"), **given)


def run(options: config.E2hqaOptions, rewriter: QuestionRewriter | None = None) -> RunStats:
    return asyncio.run(e2hqa.run(options, rewriter or BuiltinRewriter(options)))


def written(folder: Path) -> list[QA]:
    return list(jsonl.read_records(str(folder / "hard.jsonl"), QA))


def test_a_question_is_rewritten_as_often_as_asked_and_as_possible(folder: Path) -> None:
    stats = run(options(folder, rounds=2))
    first, second, third = written(folder)
    assert first.question == "Who is the pupil whom the teacher of the teacher of Celka liked best?"
    assert (first.answer, first.level, first.parent, first.tag, first.extra) == ("Zorn", 3, "q0", "e2hqa", {"mine": 7})
    assert [step.entity for step in first.chain] == ["Ada", "Borin"]
    assert [proof.title for proof in first.evidence] == ["Celka", "Borin"]  # in the order of reading
    assert second.question == "What is two and two?" and second.chain == []
    assert third.question == "Who is older, the teacher of Dorvim or not?"  # nobody is taught by Dorvim
    assert {name: stats.counts[name] for name in ("rewritten", "partly rewritten", "unchanged")} == {
        "rewritten": 1,
        "partly rewritten": 1,
        "unchanged": 1,
    }
    assert stats.exit_code == 0


def test_what_passes_unchanged_is_not_touched(folder: Path) -> None:
    run(options(folder, rounds=1))
    lines = (folder / "hard.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == QUESTIONS[1]


def test_keep_chain_writes_every_level(folder: Path) -> None:
    run(options(folder, rounds=3, keep_chain=True))
    assert [qa.level for qa in written(folder)] == [0, 2, 3, 4, 0, 0, 2]
    assert {qa.parent for qa in written(folder) if qa.chain} == {"q0", "q2"}
    for qa in written(folder):
        assert qa.chain == [] or qa.chain[-1].after == qa.question


@pytest.mark.parametrize("keep_chain", [False, True])
def test_a_run_stopped_anywhere_resumes_to_the_same_file(folder: Path, keep_chain: bool) -> None:
    whole = options(folder, rounds=3, keep_chain=keep_chain)
    run(whole)
    expected = (folder / "hard.jsonl").read_bytes()
    for cut in (0, 10, *(at + 1 for at, byte in enumerate(expected) if byte == ord("\n"))):
        (folder / "hard.jsonl").write_bytes(expected[:cut])
        run(options(folder, rounds=3, keep_chain=keep_chain, resume=True))
        assert (folder / "hard.jsonl").read_bytes() == expected, cut


def test_harder_questions_can_be_made_harder_again_and_resumed(folder: Path) -> None:
    run(options(folder, rounds=1))
    again = {"data": str(folder / "hard.jsonl"), "out": str(folder / "harder.jsonl")}
    run(options(folder, **again))
    expected = (folder / "harder.jsonl").read_bytes()
    run(options(folder, **again, resume=True))
    assert (folder / "harder.jsonl").read_bytes() == expected
    first = next(jsonl.read_records(str(folder / "harder.jsonl"), QA))
    assert [step.entity for step in first.chain] == ["Ada", "Borin"] and first.level == 3


def test_a_model_that_fails_is_a_failure_of_that_question_only(folder: Path) -> None:
    class Failing:
        name = "failing"

        def __init__(self) -> None:
            self.failures: Counter[str] = Counter()

        async def rewrite(self, qa: QA, web: Web) -> QA | None:
            if qa.id == "q1":
                raise ModelError("HTTP 500")
            return None

    stats = run(options(folder, rejects=str(folder / "rejects.jsonl")), Failing())
    assert [qa.id for qa in written(folder)] == ["q0", "q2"]
    assert stats.reasons == {"model_error": 1} and stats.exit_code == 1


class Deepening:
    """Rewrites by appending a word; fails at ``fails`` with an error, and cannot do the questions in ``flat``."""

    name = "deepening"

    def __init__(self, fails: dict[str, Exception] | None = None, flat: str = ""):
        self.failures: Counter[str] = Counter()
        self.asked: list[str] = []
        self._fails = fails or {}
        self._flat = flat

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        self.asked.append(qa.question)
        if qa.question in self._fails:
            raise self._fails[qa.question]
        if qa.question == self._flat:
            self.failures.update(["entity_left", "entity_left", "no_entity"])
            return None
        return QA(question=f"{qa.question} plus", answer=qa.answer, level=qa.level + 1, parent=qa.id)


FIRST, SECOND, THIRD = (str(line["question"]) for line in QUESTIONS)


def test_why_rounds_came_to_nothing_is_told(folder: Path) -> None:
    stats = run(options(folder), Deepening(flat=SECOND))
    assert stats.summary().endswith("3 failed attempts (entity_left 2, no_entity 1)") and stats.exit_code == 0


@pytest.mark.parametrize(
    ("error", "reason"), [(ModelError("HTTP 500"), "model_error"), (Unreadable("x"), "unreadable_reply")]
)
def test_a_chain_that_breaks_off_leaves_nothing_and_is_begun_anew(folder: Path, error: Exception, reason: str) -> None:
    kept = {"rounds": 2, "keep_chain": True, "rejects": str(folder / "rejects.jsonl")}
    stats = run(options(folder, **kept), Deepening({f"{SECOND} plus": error}))
    assert [qa.question for qa in written(folder)] == [
        FIRST,
        f"{FIRST} plus",
        f"{FIRST} plus plus",
        THIRD,
        f"{THIRD} plus",
        f"{THIRD} plus plus",
    ]
    assert stats.reasons == {reason: 1} and stats.exit_code == 1
    again = Deepening()
    run(options(folder, **kept, resume=True), again)
    assert {qa.question.split(" plus")[0] for qa in written(folder)} == {FIRST, SECOND, THIRD}
    assert len(written(folder)) == len({qa.id for qa in written(folder)}) == 9
    assert FIRST not in again.asked and SECOND in again.asked


def test_a_spent_budget_in_a_chain_ends_the_run_and_resume_does_the_rest(folder: Path) -> None:
    spent = Deepening({f"{SECOND} plus": BudgetSpent("--max-tokens"), THIRD: BudgetSpent("--max-tokens")})
    stats = run(options(folder, rounds=2, jobs=1), spent)
    assert [qa.question for qa in written(folder)] == [f"{FIRST} plus plus"]
    assert stats.stopped == "--max-tokens" and stats.exit_code == 1 and stats.counts["rejected"] == 0
    run(options(folder, rounds=2, resume=True), Deepening())
    assert [qa.question for qa in written(folder)] == [f"{each} plus plus" for each in (FIRST, SECOND, THIRD)]


class Restless(Deepening):
    """Writes other words each time, as a model does at a temperature."""

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        harder = await super().rewrite(qa, web)
        if harder:
            harder.question += f" {id(self)} {len(self.asked)}"
            harder = QA(question=harder.question, answer=harder.answer, level=harder.level)
        return harder


def test_a_finished_run_resumed_writes_nothing_and_asks_for_nothing(folder: Path) -> None:
    run(options(folder), Restless())
    before, again = (folder / "hard.jsonl").read_bytes(), Restless()
    stats = run(options(folder, resume=True), again)
    assert (folder / "hard.jsonl").read_bytes() == before and again.asked == []
    assert stats.counts["already done"] == 3


def test_with_keep_chain_the_last_chain_is_written_anew_and_not_beside_the_old_one(folder: Path) -> None:
    kept = {"rounds": 2, "keep_chain": True}
    run(options(folder, **kept), Restless())
    again = Restless()
    run(options(folder, **kept, resume=True), again)
    assert Counter(qa.parent for qa in written(folder)) == {"": 3, "q0": 2, "q1": 2, "q2": 2}
    assert {asked.split("?")[0] + "?" for asked in again.asked} == {THIRD}


@pytest.mark.parametrize("keep_chain", [False, True])
def test_what_passes_unchanged_does_not_pass_for_its_parent(folder: Path, keep_chain: bool) -> None:
    """The input holds a question and what it was made into before; only the first one fails."""
    child = {"question": "Who is child?", "answer": "x", "id": "q9", "parent": "q0", "level": 2, "mine": 8}
    (folder / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (QUESTIONS[0], child, QUESTIONS[1])))

    class Flat(Deepening):
        async def rewrite(self, qa: QA, web: Web) -> QA | None:
            await super().rewrite(qa, web)
            return None

    run(options(folder, keep_chain=keep_chain), Flat({FIRST: ModelError("HTTP 500")}))
    assert [qa.id for qa in written(folder)] == ["q9", "q1"]
    stats = run(options(folder, keep_chain=keep_chain, resume=True), Flat())
    assert sorted(qa.id for qa in written(folder)) == ["q0", "q1", "q9"]
    assert stats.counts["already done"] == (1 if keep_chain else 2)
    assert next(qa for qa in written(folder) if qa.id == "q9").extra == {"mine": 8, "unchanged": True}


def test_a_question_that_passed_unchanged_before_may_be_rewritten_now(folder: Path) -> None:
    passed = {"question": "Who is child?", "answer": "x", "id": "q9", "parent": "q0", "unchanged": True, "mine": 8}
    (folder / "qa.jsonl").write_text(json.dumps(passed) + "\n")
    run(options(folder), Rewordings())
    (qa,) = written(folder)
    assert (qa.parent, qa.extra) == ("q9", {"mine": 8})


@pytest.mark.parametrize("keep_chain", [False, True])
def test_the_usages_of_a_file_add_up_to_what_its_questions_took(folder: Path, keep_chain: bool) -> None:
    class Paid(Deepening):
        async def rewrite(self, qa: QA, web: Web) -> QA | None:
            harder = await super().rewrite(qa, web)
            if harder:
                harder.usage = Usage(calls=4, input_tokens=40, output_tokens=8)
            return harder

    line = {"question": "Who is Ada?", "answer": "x", "usage": {"calls": 1, "input_tokens": 7, "output_tokens": 3}}
    (folder / "qa.jsonl").write_text(json.dumps(line) + "\n")
    run(options(folder, rounds=2, keep_chain=keep_chain), Paid())
    usages = [qa.usage for qa in written(folder) if qa.usage]
    # One call wrote the question, and twice four made it harder.
    assert (len(usages), sum(usage.calls for usage in usages)) == (3 if keep_chain else 1, 9)
    assert sum(usage.input_tokens for usage in usages) == 7 + 2 * 40


class Rewordings(Deepening):
    """Keeps the columns of the question, as every rewriter does."""

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        harder = await super().rewrite(qa, web)
        if harder:
            harder.extra = qa.extra
        return harder


def test_a_question_that_stands_twice_is_rewritten_once(folder: Path) -> None:
    with open(folder / "qa.jsonl", "a") as stream:
        stream.write(json.dumps(QUESTIONS[0]) + "\n")
    stats = run(options(folder), Deepening())
    assert len(written(folder)) == 3 and stats.reasons == {"duplicate_question": 1}


def test_shards_are_disjoint_and_together_the_whole(folder: Path) -> None:
    found = []
    for shard in ("1/2", "2/2"):
        run(options(folder, shard=shard), Deepening())
        found += [qa.question for qa in written(folder)]
    assert sorted(found) == sorted(f"{each} plus" for each in (FIRST, SECOND, THIRD))


def test_limit_counts_questions_read(folder: Path) -> None:
    run(options(folder, limit=2))
    assert len(written(folder)) == 2


def test_the_corpus_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UsageError, match="that is the corpus"):
        run(options(folder, out=str(folder / "pages.jsonl")))


def test_a_judge_that_is_asked_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"--judge-model strict.*--model"):
        options(folder, judge_model="strict", judge_base_url=["http://127.0.0.1:9/v1"])
    run(options(folder, judge_model="strict", model="writer", base_url=["http://127.0.0.1:9/v1"]), Deepening())
    assert len(written(folder)) == 3


class Ladder:
    """Rewrites a question to the next letter: what one question is rewritten into may be another one of the input."""

    name = "ladder"

    def __init__(self) -> None:
        self.failures = Counter[str]()

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        name = qa.question[-2]
        harder = f"Who is {chr(ord(name) + 1)}?"
        return QA(question=harder, answer="x", level=qa.level + 1) if name < "D" else None


@pytest.mark.parametrize("keep_chain", [False, True])
def test_a_question_that_another_was_rewritten_into_is_written_once_and_still_made_harder(
    folder: Path, keep_chain: bool
) -> None:
    """A becomes B, B becomes C, the others stay; killed after any line, a resumed run ends with the same.

    B comes so late that the record of A has been written before it is read.
    """
    asked = [f'{{"question": "Who is {name}?", "answer": "x"}}\n' for name in "AEFGHIJKLMBD"]
    (folder / "qa.jsonl").write_text("".join(asked))
    given = options(folder, keep_chain=keep_chain, jobs=1)
    run(given, Ladder())
    whole = (folder / "hard.jsonl").read_text().splitlines(keepends=True)
    names = [json.loads(line)["question"][-2] for line in whole]
    assert names == list("ABEFGHIJKLMCD" if keep_chain else "BEFGHIJKLMCD")
    for kept in range(len(whole)):
        (folder / "hard.jsonl").write_text("".join(whole[:kept]))
        run(options(folder, keep_chain=keep_chain, jobs=1, resume=True), Ladder())
        assert (folder / "hard.jsonl").read_text().splitlines(keepends=True) == whole

"""Groups through checks, duplicates and mix: whatever the order in which the model answers, the same comes out."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.data.records import QA
from webdancer_cli.errors import BudgetSpent, Reject
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.mix import Mix, parse
from webdancer_cli.synthesis.model_checks import ModelChecks
from webdancer_cli.synthesis.protocols import Outcome, QuestionGroup, RefusedQuestion
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.synthesis.resume import Earlier, group_mark, mark_group
from webdancer_cli.synthesis.screening import Screen

WORDINGS = ("Who is the mayor of the town of number {}?", "WHO is the mayor of the town of number {}?",
            "Who is the mayor of the old town of number {}?")  # fmt: skip
"""The same question three times, the last one nearly."""


def qa(name: str, type: str = "single_hop", wording: int = 0) -> QA:
    return QA(question=WORDINGS[wording].format(name), answer=name, type=type)


def again(name: str, wording: int = 1) -> QA:
    """The same question in a record of its own."""
    return qa(name, wording=wording)


def refused(*, failed: bool = False) -> RefusedQuestion:
    return RefusedQuestion(Reject("outage" if failed else "unsound", failed=failed), qa("x"))


class Checking(ModelChecks):
    """Refuses the ids in ``refuses``, and is told how long to think about each; ``spent`` ends the run."""

    def __init__(self, refuses: Sequence[str] = (), spent: str = "", seconds: Sequence[float] = (0.0,)):
        super().__init__(Unasked(), load("default"), closed_book=False, verify=False)
        self.asked: list[str] = []
        self._refuses, self._spent, self._seconds = refuses, spent, seconds

    async def check(self, qa: QA) -> Outcome:
        self.asked.append(qa.id)
        await asyncio.sleep(self._seconds[len(self.asked) % len(self._seconds)])
        if qa.id == self._spent:
            raise BudgetSpent("--max-cost")
        return RefusedQuestion(Reject("closed_book", failed=False), qa) if qa.id in self._refuses else qa


class Unasked:
    """A model that nobody asks."""

    model = "unasked"

    async def complete(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise AssertionError


async def stream(groups: Sequence[QuestionGroup]) -> AsyncIterator[QuestionGroup]:
    for group in groups:
        yield group


async def screened(
    groups: Sequence[QuestionGroup],
    checks: ModelChecks | None = None,
    earlier: Sequence[QA] = (),
    mix: Mix | None = None,
    jobs: int = 2,
) -> list[QuestionGroup]:
    before, given = Earlier(), list[QuestionGroup]()
    with Repeats(0.7) as repeats:
        for question in earlier:
            before.add(question)
            repeats.recall(question)
        try:
            async for group in Screen(repeats, before, mix or Mix({}), checks, jobs).let_through(stream(groups)):
                given.append(group)
        except BudgetSpent:
            given.append(QuestionGroup([], "stopped"))
    return given


def shown(groups: Sequence[QuestionGroup]) -> list[list[str]]:
    """Of each group its questions, each with what its record says that the group holds, and the reasons."""

    def tell(outcome: Outcome) -> str:
        if isinstance(outcome, RefusedQuestion):
            return outcome.reject.reason
        mark = group_mark(outcome.extra)
        return outcome.answer + (f" of {mark.questions}" if mark else "")

    return [[tell(outcome) for outcome in group.outcomes] for group in groups]


async def test_a_group_says_how_many_of_its_questions_went_on() -> None:
    groups = [QuestionGroup([qa("1"), refused(), qa("2")], "k"), QuestionGroup([again("1"), qa("3")], "l")]
    assert shown(await screened(groups)) == [["1 of 2", "unsound", "2 of 2"], ["duplicate", "3 of 1"]]
    assert not any(
        group_mark(one.qa.extra) for group in groups for one in group.outcomes if isinstance(one, RefusedQuestion)
    )


async def test_a_group_with_a_failure_is_not_named_so_that_it_is_asked_about_again() -> None:
    assert shown(await screened([QuestionGroup([qa("1"), refused(failed=True)], "k")])) == [["1", "outage"]]
    assert shown(await screened([QuestionGroup([qa("1")])])) == [["1"]]  # nothing is saved by naming it


@pytest.mark.parametrize(("key", "of"), [("k", 2), ("l", 1), ("", 1)])
async def test_what_an_earlier_run_wrote_comes_once_and_counts_in_the_group_that_it_names(key: str, of: int) -> None:
    written = qa("1")
    if key:
        mark_group([written], key, 1)
    (group,) = await screened([QuestionGroup([qa("1"), qa("2"), qa("1")], "k")], earlier=[written])
    assert shown([group]) == [[f"2 of {of}", "duplicate"]] and group.already == 1


async def test_a_question_without_a_place_in_the_mix_makes_no_later_one_a_duplicate() -> None:
    surplus = qa("1", "temporal")
    groups = [QuestionGroup([surplus]), QuestionGroup([qa("1", "count", 1)])]
    mix = Mix(parse(["single_hop=1", "count=1"]))
    assert shown(await screened(groups, mix=mix)) == [["over_share"], ["1"]]


async def test_what_repeats_another_is_asked_about_only_if_that_was_refused() -> None:
    groups = [QuestionGroup([qa("1"), qa("2")]), QuestionGroup([again("1"), again("2"), again("1", 2)])]
    checks = Checking([qa("1").id])
    assert shown(await screened(groups, checks)) == [["closed_book", "2"], ["1", "duplicate", "near_duplicate"]]
    assert checks.asked == [qa("1").id, qa("2").id, again("1").id]


async def test_nothing_is_asked_about_what_an_earlier_run_wrote() -> None:
    checks = Checking()
    (group,) = await screened([QuestionGroup([qa("1"), qa("2")], "k")], checks, earlier=[qa("1")])
    assert (shown([group]), group.already, checks.asked) == ([["2 of 1"]], 1, [qa("2").id])


async def test_a_stop_in_the_middle_of_a_group_gives_what_was_checked_without_its_name() -> None:
    groups = [QuestionGroup([qa("1")], "k"), QuestionGroup([qa("2"), qa("3"), refused(), qa("4")], "l")]
    checks = Checking(spent=qa("3").id)
    assert shown(await screened(groups, checks, jobs=4)) == [["1 of 1"], ["2", "unsound", "4"], []]


@pytest.mark.virtual_clock
async def test_what_was_lost_to_a_stop_makes_no_later_one_a_duplicate() -> None:
    """The second group was begun beside the first: what it repeats of that one is asked about when that is lost."""
    groups = [QuestionGroup([qa("1")], "k"), QuestionGroup([qa("3"), again("1")], "l"), QuestionGroup([qa("4")], "m")]
    checks = Checking(spent=qa("1").id, seconds=[0.0, 0.02])
    assert shown(await screened(groups, checks)) == [[], ["3 of 2", "1 of 2"], []]
    assert checks.asked == [qa("1").id, qa("3").id, again("1").id]


@pytest.mark.virtual_clock
async def test_no_more_than_jobs_are_asked_about_at_once() -> None:
    class Counting(Checking):
        at_once, most = 0, 0

        async def check(self, qa: QA) -> Outcome:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            outcome = await super().check(qa)
            self.at_once -= 1
            return outcome

    checks = Counting(seconds=[0.0, 0.002])
    groups = [QuestionGroup([qa(f"{group}{number}") for number in range(3)], "k") for group in range(5)]
    assert len(await screened(groups, checks, jobs=2)) == 5 and checks.most == 2


QUESTIONS = st.builds(qa, st.sampled_from("123"), wording=st.integers(0, 2))


@settings(max_examples=40)
@given(st.lists(st.lists(QUESTIONS, max_size=3), max_size=6), st.sets(QUESTIONS.map(lambda qa: qa.id)), st.data())
def test_the_order_of_the_answers_decides_nothing(
    questions: list[list[QA]], refuses: set[str], data: st.DataObject
) -> None:
    """Beside one another, with waits drawn at random, as one after the other; and nothing more is asked."""
    seconds = data.draw(st.lists(st.sampled_from([0.0, 0.001]), min_size=1, max_size=4))

    def go(jobs: int, seconds: Sequence[float]) -> tuple[list[list[str]], list[str]]:
        groups = [
            QuestionGroup([QA(question=qa.question, answer=qa.answer) for qa in group], "k") for group in questions
        ]
        checks = Checking(sorted(refuses), seconds=seconds)
        return shown(asyncio.run(screened(groups, checks, jobs=jobs))), sorted(checks.asked)

    assert go(3, seconds) == go(1, [0.0])

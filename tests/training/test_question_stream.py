"""What is practised when: questions that rest, and a curriculum; as drawn without either."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.data.records import QA
from webdancer_cli.grading.pass_rates import PassCount
from webdancer_cli.training.question_stream import GroupOutcome, QuestionStream

QUESTIONS = [QA(question=f"{number}?", answer="x") for number in range(8)]
OPEN = PassCount(2, 4)


def outcomes(questions: Sequence[QA], alike: set[str]) -> list[GroupOutcome]:
    """Whose question is among ``alike`` is always wrong, all others are right half of the time."""
    return [
        GroupOutcome(qa.id, PassCount(0, 4) if qa.question in alike else OPEN, qa.question in alike) for qa in questions
    ]


def passes(stream: QuestionStream, count: int, alike: set[str]) -> list[list[str]]:
    """The questions of so many passes, drawn one by one."""
    found: list[list[str]] = [[] for _ in range(count)]
    while stream.epoch < count:
        (qa,) = stream.take(1)
        if stream.epoch < count:
            found[stream.epoch].append(qa.question)
        stream.hear(outcomes([qa], alike))
    return found


def test_without_options_the_order_is_the_drawn_one_whatever_is_heard():
    """Drawn by hand: a shuffle by seed and pass."""
    drawn = [random.Random(f"3:{epoch}").sample(QUESTIONS, 8) for epoch in (0, 1)]
    stream = QuestionStream(QUESTIONS, 3, least=4)
    for order in drawn:
        for at in range(0, 8, 4):
            questions = stream.take(4)
            assert questions == order[at : at + 4]
            stream.hear(outcomes(questions, {qa.question for qa in QUESTIONS}))
    assert stream.resting == 0 and "order" not in stream.state_dict()


def test_what_teaches_nothing_rests_for_so_many_passes_and_comes_back():
    found = passes(QuestionStream(QUESTIONS, 0, rest=2), 5, {"1?", "4?"})
    tired, others = {"1?", "4?"}, {qa.question for qa in QUESTIONS} - {"1?", "4?"}
    assert [set(one) - others for one in found] == [tired, set(), set(), tired, set()]
    assert all(sorted(set(one) & others) == sorted(others) for one in found)


def test_what_teaches_nothing_rests_as_long_if_its_round_reached_into_the_next_pass():
    """Rounds of 3 of 4 questions: the second holds the last one of pass 0 and the first ones of pass 1, which rests it.

    It is back in pass 2.
    """
    stream = QuestionStream(QUESTIONS[:4], 0, least=3, rest=1)
    stream.hear(outcomes(stream.take(3), set()))
    last, *others = stream.take(3)
    assert stream.epoch == 1
    stream.hear(outcomes([last, *others], {last.question}))
    played = []
    while stream.epoch < 3:
        (qa,) = stream.take(1)
        played += [qa.id] * (stream.epoch == 2)
        stream.hear(outcomes([qa], set()))
    assert last.id in played


def test_when_all_rest_those_that_rested_longest_come_back():
    everything = {qa.question for qa in QUESTIONS}
    stream = QuestionStream(QUESTIONS, 0, least=4, rest=50)
    rounds = []
    for _ in range(6):
        questions = stream.take(4)
        rounds.append({qa.question for qa in questions})
        stream.hear(outcomes(questions, everything))
    # Two rounds are a pass; from then on each pass is the four that have not been played for longest.
    assert rounds[0] | rounds[1] == everything
    assert rounds[2] == rounds[4] and rounds[3] == rounds[5] and rounds[2] | rounds[3] == everything


def test_a_question_that_waits_for_the_next_round_does_not_come_if_it_is_to_rest():
    stream = QuestionStream(QUESTIONS[:3], 1, least=2, rest=1)
    first = stream.take(2)
    stream.hear(outcomes(first, set()))
    second = stream.take(2)  # the third question, and one of the next pass; what came too soon waits
    stream.hear(outcomes(second, {qa.question for qa in second}))
    assert not {qa.id for qa in second} & {qa.id for qa in stream.take(1)}


def test_a_curriculum_goes_from_what_can_be_learned_most_from_to_the_hopeless_and_the_known():
    counts = [(8, 8), (0, 8), (4, 8), None, (1, 8), (6, 8), (2, 8), (7, 8)]
    measured = {qa.id: PassCount(*told) for qa, told in zip(QUESTIONS, counts, strict=True) if told}
    stream = QuestionStream(QUESTIONS, 0, measured=measured)
    # 4/8, then 2/8 before 6/8 (the harder of equals), the one that was not asked (1/6), 1/8 and 7/8 (16/110), 0/8, 8/8
    assert [qa.question[0] for qa in stream.take(8)] == ["2", "6", "5", "3", "4", "7", "1", "0"]


def test_what_the_run_hears_replaces_what_was_measured():
    stream = QuestionStream(QUESTIONS[:2], 0, measured={QUESTIONS[0].id: OPEN, QUESTIONS[1].id: PassCount(0, 8)})
    assert stream.take(2) == QUESTIONS[:2]
    heard = (PassCount(8, 8), PassCount(3, 8))
    stream.hear(GroupOutcome(qa.id, counts, False) for qa, counts in zip(QUESTIONS, heard, strict=False))
    assert stream.take(2) == [QUESTIONS[1], QUESTIONS[0]]


Rounds = list[tuple[int, set[str]]]


def played(stream: QuestionStream, rounds: Rounds, least: int) -> list[list[QA]]:
    """The questions of each round: so many, of which some teach nothing."""
    found = []
    for size, alike in rounds:
        found.append(stream.take(min(size, least)))
        stream.hear(outcomes(found[-1], alike))
    return found


@pytest.mark.parametrize("measured", [None, {QUESTIONS[1].id: OPEN, QUESTIONS[2].id: PassCount(0, 9)}])
@settings(max_examples=40)
@given(
    st.integers(1, 8),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(1, 8), st.sets(st.sampled_from([qa.question for qa in QUESTIONS]))), max_size=9),
    st.integers(0, 8),
)
def test_a_run_that_is_killed_in_a_round_plays_it_again_and_all_that_follows(
    measured: dict[str, PassCount] | None, least: int, rest: int, rounds: Rounds, kill: int
):
    def fresh() -> QuestionStream:
        return QuestionStream(QUESTIONS, 5, least=least, rest=rest, measured=measured)

    whole = played(fresh(), rounds, least)
    assert [len({qa.id for qa in questions}) for questions in whole] == [min(size, least) for size, _ in rounds]
    killed, again = fresh(), fresh()
    before = played(killed, rounds[:kill], least)
    killed.hold()
    played(killed, [(8, {"0?", "1?", "2?"})], least)
    again.load_state_dict(json.loads(json.dumps(killed.state_dict())))
    assert before + played(again, rounds[kill:], least) == whole

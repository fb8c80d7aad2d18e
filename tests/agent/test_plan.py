"""The plan of a question, and the thoughts that follow it: steps first, then what is left, nothing at last."""

import random
import re
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from velmora import FOUNDED, MAYOR, SITE, TEACHER, VELMORA_DESCRIBED, evidence

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.plan import PlanStep, answer_kind, chain_after, left_after, steps_of
from webdancer_cli.agent.recovery import draw_wrong_turn, is_namesake, misleading_result
from webdancer_cli.agent.thoughts import PlannedThinker, digit_by_digit
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Evidence, Page, Trajectory
from webdancer_cli.grading.format import well_formed
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.prompts.thoughts import SentenceDeck, load_thoughts
from webdancer_cli.transcript.grammar import parse_turn
from webdancer_cli.web.corpus import Corpus

CHAIN = QA(question="Who is the teacher of the mayor of Velmora?", answer="Brunda", evidence=[MAYOR, TEACHER])


def told(**changes: Any) -> list[tuple[str, str]]:
    values: dict[str, Any] = {"question": CHAIN.question, "answer": "Brunda", "evidence": [MAYOR, TEACHER], **changes}
    return [(step.label, step.gives) for step in steps_of(QA(**values))]


def test_a_step_is_named_in_words_of_the_question_and_gives_what_the_page_says() -> None:
    assert told() == [("mayor", "Dolvek"), ("teacher", "Brunda")]
    assert told(plan=["head", "tutor"]) == [("head", "Dolvek"), ("tutor", "Brunda")]


def test_what_is_no_noun_of_the_question_is_quoted_as_key_words() -> None:
    designed = evidence("Old Hall", "Old Hall was designed by Orla Venn.")
    steps = told(question="Who designed Old Hall?", answer="Orla Venn", evidence=[designed])
    assert steps == [("“designed”", "Orla Venn")]


def test_a_page_that_is_described_and_not_named_is_to_be_found_first() -> None:
    steps = told(
        question=VELMORA_DESCRIBED.after, answer="Dolvek", evidence=[FOUNDED, MAYOR], chain=[VELMORA_DESCRIBED]
    )
    assert steps == [("the town whose founding year is 1234", "Velmora"), ("mayor", "Dolvek")]


def test_what_is_compared_is_named_with_its_page_and_a_group_is_one_step() -> None:
    years = [evidence(name, f"The founding year of {name} is {year}.") for name, year in (("Aro", 1200), ("Bel", 1300))]
    question = "Which has the earlier founding year, Aro or Bel?"
    assert told(question=question, answer="Aro", evidence=years, type="comparison") == [
        ("founding year of Aro", ""),
        ("founding year of Bel", ""),
    ]
    homes = [evidence(name, f"The home of {name} is Velmora.") for name in ("Aro", "Bel", "Cam")]
    group = steps_of(QA(question="How many people have Velmora as the home?", answer="3", evidence=homes, type="count"))
    assert [len(left_after(group, done)) for done in range(4)] == [1, 1, 1, 0]


async def test_several_facts_of_one_page_are_read_at_once_and_told_by_their_names(corpus: Corpus) -> None:
    facts = [MAYOR, FOUNDED]
    qa = QA(question="What are the mayor and the founding year of Velmora?", answer="Dolvek and 1234", evidence=facts)
    qa = msgspec.structs.replace(qa, type="several", plan=["mayor", "founding year"])
    assert [(step.label, step.gives) for step in steps_of(qa)] == [("mayor", "Dolvek"), ("founding year", "1234")]
    trajectory = await demonstrate(qa, corpus, "small", recovery=0.0)
    assert trajectory.answer == "Dolvek and 1234"
    assert thoughts(trajectory) == [
        "Steps: 1 the mayor, 2 the founding year. I search for Velmora.",
        "I read Velmora for 1 the mayor, 2 the founding year.",
        "1 the mayor: Dolvek, 2 the founding year: 1234. Nothing is left. The answer: Dolvek and 1234.",
    ]


def test_what_is_left_of_a_chain_starts_at_the_name_that_is_known_by_then() -> None:
    steps = [PlanStep("mayor", "Dolvek"), PlanStep("teacher", "", passing=True), PlanStep("teacher", "Brunda")]
    assert chain_after(CHAIN, steps, 0) == ("Velmora", ["mayor", "teacher"])
    assert chain_after(CHAIN, steps, 1) == chain_after(CHAIN, steps, 2) == ("Dolvek", ["teacher"])
    assert chain_after(CHAIN, steps, 3) == ("Brunda", [])
    unnamed = [PlanStep("mayor", ""), PlanStep("teacher", "Brunda")]
    assert chain_after(CHAIN, unnamed, 1) == ("", [])
    assert chain_after(CHAIN, [PlanStep("“led by”", "Dolvek"), *steps[2:]], 0) == ("", [])
    assert chain_after(msgspec.structs.replace(CHAIN, type="comparison"), steps, 0) == ("", [])


def test_a_page_that_only_says_where_to_look_is_told_so() -> None:
    pointer = evidence("Velmora", "For the mayor, see the Register of Velmora.")
    register = msgspec.structs.replace(MAYOR, title="Register of Velmora", url=f"{SITE}/register.html")
    qa = msgspec.structs.replace(CHAIN, evidence=[pointer, register, TEACHER], plan=["", "mayor", "teacher"])
    thinker = PlannedThinker(qa, load_thoughts("small"), "short", random.Random(0))
    assert thinker.search("Velmora", [], 0, None, first=True).startswith("Asked: the teacher of the mayor of Velmora.")
    assert thinker.search("Register of Velmora", [pointer.quote], 1, None, first=False) == (
        'Where the mayor of Velmora is: "For the mayor, see the Register of Velmora." I search for Register of Velmora.'
    )
    assert thinker.search("Dolvek", [MAYOR.quote], 2, None, first=False) == (
        "The mayor of Velmora: Dolvek. Left: the teacher of Dolvek. I search for Dolvek."
    )


async def test_a_chain_that_begins_with_a_description_does_not_tell_the_name(corpus: Corpus) -> None:
    qa = QA(question=VELMORA_DESCRIBED.after, answer="Dolvek", evidence=[FOUNDED, MAYOR], chain=[VELMORA_DESCRIBED])
    said = thoughts(await demonstrate(qa, corpus, "small", recovery=0.0))
    assert said[0].startswith("Asked: the mayor of the town whose founding year is 1234. I search for")
    assert "Velmora" not in said[0]
    assert said[-1] == (
        "The town whose founding year is 1234: Velmora. The mayor of Velmora: Dolvek. "
        "Nothing is left. The answer: Dolvek."
    )


async def test_notes_are_taken_of_what_was_shown_of_a_page_and_of_nothing_else(corpus: Corpus) -> None:
    told = {"mayor": "Dolvek", "founding year": "1234", "anthem": "Song of the Quay"}
    noted = [msgspec.structs.replace(MAYOR, facts=told), TEACHER]
    qa = msgspec.structs.replace(CHAIN, evidence=noted, plan=["mayor", "teacher"])
    assert thoughts(await demonstrate(qa, corpus, "small", recovery=0.0)) == [
        "Asked: the teacher of the mayor of Velmora. I search for Velmora.",
        "I read Velmora for the mayor.",
        "Velmora tells: mayor: Dolvek; founding year: 1234. The mayor of Velmora: Dolvek. Left: the teacher of Dolvek. "
        "I search for Dolvek.",
        "I read Dolvek for the teacher.",
        "The teacher of Dolvek: Brunda. Nothing is left. The answer: Brunda.",
    ]
    assert "founding year" not in " ".join(thoughts(await demonstrate(qa, corpus, "default", recovery=0.0)))


def test_a_list_is_spoken_of_in_the_plural() -> None:
    deck = SentenceDeck(load_thoughts("default"), random.Random(0))
    assert deck.pairs(["children"], ["Aro and Bel"], ["are"]) == "the children are Aro and Bel"
    children = evidence("Velmora", "The districts of Velmora are Aro and Bel.")
    question = "Which are the districts of Velmora?"
    qa = QA(question=question, answer="Aro and Bel", evidence=[children], plan=["districts"])
    thinkers = [PlannedThinker(qa, load_thoughts("default"), "short", random.Random(seed)) for seed in range(40)]
    said = [thinker.answer([children.quote], 1, qa.answer) for thinker in thinkers]
    assert not [thought for thought in said if re.search(r"districts is|Bel is", thought)]
    assert [thought for thought in said if "districts are Aro and Bel" in thought]


@given(st.lists(st.sampled_from(["rival", "founder", "mayor"]), min_size=1, max_size=5))
def test_each_step_of_a_chain_is_left_until_its_page_was_read(labels: list[str]) -> None:
    steps = [PlanStep(label, f"Name{at}") for at, label in enumerate(labels)]
    assert [left_after(steps, done) for done in range(len(labels) + 1)] == [
        labels[done:] for done in range(len(labels) + 1)
    ]


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("When was Velmora founded?", "1234", "year"),
        ("How many children has the mayor since the year 1900?", "3", "number"),
        ("When was the Kemlo launched?", "3 May 1901", "date"),
        ("How long is the Kemlo?", "112.5 metres", "number"),
        ("Which ports does the Kemlo call at?", "Aro, Bel and Cam", "list"),
        ("Who is the mayor of Velmora?", "Dolvek", "person"),
        ("Which town is the birthplace of Dolvek?", "Kemlo", "name"),
        ("Is Kemlo a town?", "Yes.", "yes or no"),
    ],
)
def test_the_kind_of_an_answer(question: str, answer: str, kind: str) -> None:
    assert answer_kind(question, answer) == kind


async def demonstrate(
    qa: QA,
    corpus: Corpus,
    prompts: str = "default",
    style: Literal["planned", "plain"] = "planned",
    cot: Literal["short", "long"] = "short",
    **options: Any,
) -> Trajectory:
    own = load(prompts)
    policy = Demonstrator(config.SampleOptions(prompts=prompts, style=style, cot=cot, **options))
    return await play(qa, policy, Tools(corpus, own), own, Limits(), date="2025-01-01")


def thoughts(trajectory: Trajectory) -> list[str]:
    return [parse_turn(message.content).thought for message in trajectory.messages if message.role == "assistant"]


async def test_the_compact_form_says_steps_what_is_left_and_that_nothing_is(corpus: Corpus) -> None:
    assert thoughts(await demonstrate(CHAIN, corpus, "compact", recovery=0.0)) == [
        "Steps: mayor, teacher. Find Velmora.",
        "Read Velmora.",
        "The mayor of Velmora is Dolvek. Left: teacher. Find Dolvek.",
        "Read Dolvek.",
        "The teacher of Dolvek is Brunda. Left: nothing.",
    ]


@pytest.mark.parametrize("cot", ["short", "long"])
async def test_each_thought_names_what_is_left_and_nothing_that_is_done(
    cot: Literal["short", "long"], corpus: Corpus
) -> None:
    for seed in range(20):
        said = thoughts(await demonstrate(CHAIN, corpus, cot=cot, seed=seed, recovery=0.0))
        first, _, after_mayor, _, last = said
        assert first.index("the mayor") < first.rindex("the teacher")
        assert "the teacher" in after_mayor
        assert "Brunda" in last and not re.search(r"Left: the|Still|To do", last)


async def test_long_thoughts_are_longer_and_say_what_is_asked_and_of_which_kind_the_answer_is(corpus: Corpus) -> None:
    short = thoughts(await demonstrate(CHAIN, corpus, cot="short", recovery=0.0))
    long = thoughts(await demonstrate(CHAIN, corpus, cot="long", recovery=0.0))
    assert sum(map(len, long)) > 1.3 * sum(map(len, short))
    assert CHAIN.question in long[0] and re.search(r"name|somebody", long[0])
    assert CHAIN.question not in short[0]


async def test_no_thought_comes_more_than_three_times_in_twenty_episodes(corpus: Corpus) -> None:
    said = [text for seed in range(20) for text in thoughts(await demonstrate(CHAIN, corpus, seed=seed))]
    assert max(map(said.count, said)) <= 3


async def test_what_follows_from_several_pages_is_reckoned_before_the_answer(corpus: Corpus) -> None:
    years = [
        evidence("Velmora", "The founding year of Velmora is 1234."),
        evidence("Kemlo", "The founding year of Kemlo is 1350."),
    ]
    span = QA(
        question="How many years lie between the founding year of Velmora and that of Kemlo?",
        answer="116",
        type="temporal",
        evidence=years,
        plan=["founding year of Velmora", "founding year of Kemlo"],
    )
    first = QA(
        question="Which has the earlier founding year, Velmora or Kemlo?",
        answer="Velmora",
        type="comparison",
        evidence=years,
    )
    assert "1350 - 1234 = 116." in thoughts(await demonstrate(span, corpus, "compact", recovery=0.0))[-1]
    last = thoughts(await demonstrate(first, corpus, "compact", recovery=0.0))[-1]
    assert last.endswith("The founding year of Velmora is 1234; The founding year of Kemlo is 1350. Left: nothing.")


@pytest.mark.parametrize(
    ("kind", "question", "answer", "plan", "last"),
    [
        (
            "temporal",
            "How many years lie between the founding year of Velmora and that of Kemlo?",
            "116",
            "Steps: 1 the founding year of Velmora, 2 the founding year of Kemlo, 3 the years between.",
            # 1350 - 1000 = 350, - 200 = 150, - 30 = 120, - 4 = 116
            "2 the founding year of Kemlo: 1350. "
            "3 the years between: from 1234 to 1350, "
            "1350 - 1000 = 350, 350 - 200 = 150, 150 - 30 = 120, 120 - 4 = 116.",
        ),
        (
            "comparison",
            "Which has the earlier founding year, Velmora or Kemlo?",
            "Velmora",
            "Steps: 1 the founding year of Velmora, 2 the founding year of Kemlo, 3 which is earlier.",
            "1 the founding year of Velmora: 1234, 2 the founding year of Kemlo: 1350. 3 which is earlier: 1234.",
        ),
    ],
)
def test_a_small_model_plans_what_it_reckons_too(kind: str, question: str, answer: str, plan: str, last: str) -> None:
    years = [
        Evidence(
            url=f"{SITE}/{name}.html",
            title=name,
            quote=f"The founding year of {name} is {year}.",
            facts={"founding year": year},
        )
        for name, year in (("Velmora", "1234"), ("Kemlo", "1350"))
    ]
    labels = [f"founding year of {page.title}" for page in years]
    thinker = PlannedThinker(
        QA(question=question, answer=answer, type=kind, evidence=years, plan=labels),
        load_thoughts("small"),
        "short",
        random.Random(0),
    )
    assert thinker.search("Velmora", [], 0, None, first=True) == f"{plan} I search for Velmora."
    left = plan.partition(", ")[2]
    assert f"Left: {left}" in thinker.search("Kemlo", [years[0].quote], 1, None, first=False)
    said = thinker.answer([years[1].quote], 2, answer)
    assert said.endswith(f"{last} Nothing is left. The answer: {answer}.")


def test_a_small_model_counts_one_by_one() -> None:
    page = evidence("Velmora", "The districts of Velmora are Aro, Bel and Cam.")
    listed = msgspec.structs.replace(page, facts={"districts": "Aro, Bel and Cam"})
    qa = QA(question="How many districts?", answer="3", type="count", evidence=[listed], plan=["districts"])
    thinker = PlannedThinker(qa, load_thoughts("small"), "short", random.Random(0))
    assert thinker.search("Velmora", [], 0, None, first=True).startswith("Steps: 1 the districts, 2 how many.")
    assert thinker.answer([page.quote], 1, "3") == (
        "1 the districts: Aro, Bel and Cam. 2 how many: 1 Aro, 2 Bel, 3 Cam. Nothing is left. The answer: 3."
    )


@given(st.integers(1000, 2999), st.integers(0, 999))
def test_a_subtraction_goes_one_digit_at_a_time(smaller: int, between: int) -> None:
    lines = [
        re.fullmatch(r"(\d+) - (\d)0* = (\d+)", line) for line in digit_by_digit(smaller + between, smaller).split(", ")
    ]
    assert all(lines) and lines[-1] and lines[-1][3] == str(between)
    assert [line[3] for line in lines if line][:-1] == [line[1] for line in lines if line][1:]


@pytest.fixture
def harbour(tmp_path: Any) -> Corpus:
    """A ship and a river of one name, and a page that is longer than a view of 2,400 characters."""
    noise = " ".join(f"Kemlo and its captain were seen off pier {number} in fog." for number in range(80))
    pages = {
        "Kemlo (ship)": f"Kemlo is a ship. {noise} The captain of Kemlo is Dolvek.",
        "Kemlo (river)": "Kemlo is a river. It is long. Kemlo Kemlo captain.",
        "Dolvek": "Dolvek is a person. The teacher of Dolvek is Brunda.",
    }
    path = str(tmp_path / "pages.jsonl")
    written = [
        Page(url=f"{SITE}/{number}", title=title, text=text) for number, (title, text) in enumerate(pages.items())
    ]
    jsonl.write_records(path, written)
    return Corpus.load(path)


SHIP = QA(
    question="Who is the teacher of the captain of Kemlo (ship)?",
    answer="Brunda",
    evidence=[
        Evidence(url=f"{SITE}/0", title="Kemlo (ship)", quote="The captain of Kemlo is Dolvek."),
        Evidence(url=f"{SITE}/2", title="Dolvek", quote="The teacher of Dolvek is Brunda."),
    ],
)


async def test_a_wrong_turn_is_seen_taken_back_and_leads_to_the_answer(harbour: Corpus) -> None:
    clean = await demonstrate(SHIP, harbour, recovery=0.0, seed=1)
    played = [await demonstrate(SHIP, harbour, recovery=1.0, seed=seed) for seed in range(12)]
    assert {item.answer for item in (clean, *played)} == {"Brunda"}
    assert all(well_formed(item) for item in played)
    assert any(len(thoughts(item)) > len(thoughts(clean)) for item in played)
    said = " ".join(text for item in played for text in thoughts(item))
    assert "namesake" in said or "only shares the name" in said or "Same name" in said or "another Kemlo" in said
    assert any(len(set(calls)) == len(calls) for item in played if (calls := thoughts(item)))


async def test_an_old_page_that_says_otherwise_does_not_count(tmp_path: Any) -> None:
    pages = {
        "Old entry on Kemlo": "This entry has not been revised since 1931. The captain of Kemlo is Zilnak.",
        "Kemlo": "Kemlo is a ship. The captain of Kemlo is Dolvek.",
    }
    path = str(tmp_path / "pages.jsonl")
    jsonl.write_records(
        path, [Page(url=f"{SITE}/{title.replace(' ', '_')}", title=title, text=pages[title]) for title in pages]
    )
    proof = [Evidence(url=f"{SITE}/Kemlo", title="Kemlo", quote="The captain of Kemlo is Dolvek.")]
    qa = QA(question="Who is the captain of Kemlo?", answer="Dolvek", evidence=proof)
    played = [await demonstrate(qa, Corpus.load(path), "compact", recovery=1.0, seed=seed) for seed in range(9)]
    assert {item.answer for item in played} == {"Dolvek"}
    both = [said for said in map(thoughts, played) if "Old entry on Kemlo is old. Read Kemlo." in said]
    assert both and all(said[-1] == "The captain of Kemlo is Dolvek. This is newer. Left: nothing." for said in both)


async def test_without_room_for_it_no_wrong_turn_is_taken(harbour: Corpus) -> None:
    assert draw_wrong_turn(SHIP, 1.0, 6, random.Random(0)) is None
    assert draw_wrong_turn(SHIP, 0.0, 50, random.Random(0)) is None
    assert draw_wrong_turn(SHIP, 1.0, 7, random.Random(0)) is not None


def test_what_could_be_taken_for_the_page() -> None:
    results = [("Aro", "a"), ("Kemlo (ship)", "s"), ("Kemlo (river)", "r"), ("Zed", "z")]
    assert misleading_result(results, "s", "Kemlo (ship)", set()) == "a"
    assert misleading_result(results, "s", "Kemlo (ship)", {"a"}) == "r"
    assert misleading_result(results, "s", "Kemlo (ship)", {"a", "r"}) is None
    assert is_namesake("Kemlo (ship)", "kemlo") and not is_namesake("Kemlo", "Kemlo")


@given(st.integers())
def test_a_deck_repeats_a_wording_only_when_all_were_used(seed: int) -> None:
    wording = load_thoughts("default")
    deck = SentenceDeck(wording, random.Random(seed))
    forms = wording.sentences["left"]
    drawn = [re.sub(r"the X", "", deck.sentence("left", left="the X")) for _ in forms]
    assert len(set(drawn)) == len(forms)


@pytest.mark.parametrize("prompts", ["default", "compact", "small"])
def test_every_form_is_made_of_sentences_that_the_set_has(prompts: str) -> None:
    wording = load_thoughts(prompts)
    made = {"setback", "reckoned"}
    for forms in (wording.short, wording.long):
        for form in (getattr(forms, name) for name in forms.__struct_fields__):
            assert set(re.findall(r"\{(\w+)\}", form)) <= set(wording.sentences) | made

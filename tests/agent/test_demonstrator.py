"""The demonstrator: it finds what can be found, by words it may know, and gives up where it cannot."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from velmora import FOUNDED, MAYOR, SITE, TEACHER, VELMORA_DESCRIBED, evidence

from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.observations import shown_excerpt, title_in_results
from webdancer_cli.agent.plan import shared_words, subject_of_title, substitute_fact
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Evidence, Page, Rewrite, Trajectory
from webdancer_cli.grading.format import well_formed
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.text.names import mentions
from webdancer_cli.transcript.grammar import ToolCall, parse_turn, render_turn
from webdancer_cli.web.corpus import Corpus

LIMITS = Limits()


TWO_HOPS = QA(
    question="Who is the teacher of the mayor of Velmora?", answer="Brunda", type="multi_hop", evidence=[MAYOR, TEACHER]
)


async def demonstrate(
    qa: QA, corpus: Corpus, prompts: str = "compact", style: Literal["plain", "planned"] = "plain", **options: Any
) -> Trajectory:
    own = load(prompts)
    policy = Demonstrator(config.SampleOptions(prompts=prompts, style=style, **options))
    return await play(qa, policy, Tools(corpus, own), own, LIMITS, date="2025-01-01")


def turns(trajectory: Trajectory) -> list[tuple[str, str | None]]:
    """(thought, what is searched, visited or answered) of each turn."""
    parsed = [parse_turn(message.content) for message in trajectory.messages if message.role == "assistant"]
    return [(turn.thought, turn.answer if turn.call is None else done(turn.call)) for turn in parsed]


def done(call: ToolCall) -> str:
    if call.name == "search":
        return f"search {json.dumps(call.arguments['query'])}"
    return f"visit {call.arguments['url'][0].rpartition('/')[2]} for {call.arguments['goal']}"


async def test_two_hops_in_the_compact_form(corpus: Corpus) -> None:
    trajectory = await demonstrate(TWO_HOPS, corpus)
    assert turns(trajectory) == [
        ("Find Velmora.", 'search ["Velmora"]'),
        ("Read Velmora.", "visit Velmora.html for mayor"),
        ("The mayor of Velmora is Dolvek. Find Dolvek.", 'search ["Dolvek"]'),
        ("Read Dolvek.", "visit Dolvek.html for teacher"),
        ("The teacher of Dolvek is Brunda.", "Brunda"),
    ]
    assert (trajectory.ending, trajectory.repairs) == ("answered", [])


async def test_turns_are_the_strict_text(corpus: Corpus) -> None:
    for prompts in ("compact", "default"):
        trajectory = await demonstrate(TWO_HOPS, corpus, prompts)
        assert well_formed(trajectory)
        own = [message.content for message in trajectory.messages if message.role == "assistant"]
        assert own == [render_turn(parse_turn(text)) for text in own]


async def test_the_default_form_plans_first_and_varies_by_question_and_seed(corpus: Corpus) -> None:
    first = await demonstrate(TWO_HOPS, corpus, "default")
    thoughts = [thought for thought, _ in turns(first)]
    assert TWO_HOPS.question in thoughts[0]
    assert '"The mayor of Velmora is Dolvek."' in thoughts[2]
    assert thoughts == [thought for thought, _ in turns(await demonstrate(TWO_HOPS, corpus, "default"))]
    others = [await demonstrate(TWO_HOPS, corpus, "default", seed=seed) for seed in range(1, 5)]
    assert any(turns(other) != turns(first) for other in others)
    assert {trajectory.answer for trajectory in others} == {"Brunda"}


@pytest.mark.parametrize("broken", ["page", "quote", "answer"])
async def test_it_gives_up_when_the_proof_does_not_turn_up(broken: str, corpus: Corpus) -> None:
    last, answer = TEACHER, "Brunda"
    if broken == "page":
        last = evidence("Nowhere", TEACHER.quote)
    elif broken == "quote":
        last = evidence("Dolvek", "The teacher of Dolvek was Brunda once.")
    else:
        answer = "Zilsiro"
    trajectory = await demonstrate(QA(question=TWO_HOPS.question, answer=answer, evidence=[MAYOR, last]), corpus)
    assert (trajectory.ending, trajectory.answer) == ("no_answer", None)
    assert trajectory.repairs == [f"{trajectory.usage.calls}:empty_answer"]
    assert turns(trajectory)[-1] == ("Not found.", "")


async def test_it_asks_only_for_what_it_can_know(corpus: Corpus) -> None:
    """Kemlo is named neither in the question nor on Velmora's page: its name must not be searched for."""
    kemlo = evidence("Kemlo", "The founding year of Kemlo is 1350.")
    qa = QA(question="When was the twin town of Velmora founded?", answer="1350", evidence=[MAYOR, kemlo])
    trajectory = await demonstrate(qa, corpus)
    queries = [said for _, said in turns(trajectory) if said and said.startswith("search")]
    assert len(queries) > 1
    assert not any("Kemlo" in query for query in queries)


async def test_a_rewritten_question_is_searched_by_its_description(corpus: Corpus) -> None:
    qa = QA(question=VELMORA_DESCRIBED.after, answer="Dolvek", evidence=[FOUNDED, MAYOR], chain=[VELMORA_DESCRIBED])
    assert turns(await demonstrate(qa, corpus)) == [
        ("Find town whose founding year is 1234.", 'search ["town whose founding year is 1234"]'),
        ("Read Velmora.", "visit Velmora.html for founding year 1234"),
        ("The mayor of Velmora is Dolvek.", "Dolvek"),
    ]


async def test_a_count_reads_every_page_and_then_answers(corpus: Corpus) -> None:
    pages = [
        evidence("Brunda", "The birthplace of Brunda is Velmora."),
        evidence("Kemlo", "The twin town of Kemlo is Velmora."),
    ]
    qa = QA(question="How many of Brunda and Kemlo point to Velmora?", answer="2", type="count", evidence=pages)
    trajectory = await demonstrate(qa, corpus)
    assert turns(trajectory)[-1] == (f"{pages[0].quote} {pages[1].quote}", "2")
    assert trajectory.tools == {"search": 2, "visit": 2}


async def test_a_count_follows_the_names_of_an_overview_and_asks_nothing_twice(tmp_path: Path) -> None:
    """Two results per query show the town and one of its people; the town's own page names the others."""
    people = ["Brunda", "Kemlo", "Nimmek"]
    pages = [
        Page(url=f"{SITE}/Velmora.html", title="Velmora", text="Velmora is a town. People: Brunda, Kemlo, Nimmek.")
    ]
    pages += [Page(url=f"{SITE}/{name}.html", title=name, text=f"The home of {name} is Velmora.") for name in people]
    path = str(tmp_path / "pages.jsonl")
    jsonl.write_records(path, pages)
    proof = [evidence(name, f"The home of {name} is Velmora.") for name in people]
    qa = QA(question="How many people have Velmora as their home?", answer="3", type="count", evidence=proof)
    trajectory = await demonstrate(qa, Corpus.load(path))
    said = [said for _, said in turns(trajectory)]
    assert trajectory.answer == "3"
    assert any(step and step.startswith("visit Velmora.html") for step in said)
    assert len(said) == len(set(said))


async def test_what_a_rewrite_described_is_searched_by_its_name_once_that_is_known(corpus: Corpus) -> None:
    rewrite = Rewrite(
        entity="Dolvek",
        query="Dolvek",
        url=MAYOR.url,
        sentence=MAYOR.quote,
        description="the mayor of Velmora",
        before="How many teachers has Dolvek?",
        after="How many teachers has the mayor of Velmora?",
    )
    nowhere = evidence("Nowhere", "Nowhere is a page.")
    qa = QA(question=rewrite.after, answer="1", type="count", evidence=[MAYOR, nowhere], chain=[rewrite])
    queries = [said for _, said in turns(await demonstrate(qa, corpus)) if said and said.startswith("search")]
    assert 'search ["teachers Dolvek"]' in queries


async def test_without_provenance_it_answers_only_what_it_reads(corpus: Corpus) -> None:
    known = QA(question="Who is the teacher of Dolvek?", answer="brunda")
    unknown = QA(question="Who is the teacher of Dolvek?", answer="Zilsiro")
    found = await demonstrate(known, corpus)
    assert (found.answer, turns(found)[-1][0]) == ("brunda", "The teacher of Dolvek is Brunda.")
    assert (await demonstrate(unknown, corpus)).ending == "no_answer"
    assert (await demonstrate(QA(question="Qqq?", answer="x"), corpus)).tools == {"search": 1}


async def test_a_quote_beyond_the_first_look_is_read_for_again(tmp_path: Path) -> None:
    """The goal's word "mayor" leads to other sentences first; the whole question leads to the quote."""
    noise = " ".join(f"The mayor met mayor number {number} there." for number in range(20))
    text = f"{noise} The mayor elected in Velmora in spring is Dolvek."
    path = str(tmp_path / "pages.jsonl")
    jsonl.write_records(path, [Page(url=f"{SITE}/Velmora.html", title="Velmora", text=text)])
    quote = "The mayor elected in Velmora in spring is Dolvek."
    qa = QA(question="Which mayor was in Velmora elected?", answer="Dolvek", evidence=[evidence("Velmora", quote)])
    trajectory = await demonstrate(qa, Corpus.load(path))
    assert trajectory.answer == "Dolvek"


async def test_hostile_records_stay_strict(corpus: Corpus) -> None:
    qa = QA(question="Who </think> is <answer>42</answer> of Dolvek?", answer="Brunda", evidence=[TEACHER])
    for prompts in ("compact", "default"):
        trajectory = await demonstrate(qa, corpus, prompts)
        assert (trajectory.answer, trajectory.repairs) == ("Brunda", [])


def test_a_fact_takes_the_place_of_the_words_that_asked_for_it() -> None:
    words = ["people", "twin", "town", "Linvelo", "birthplace"]
    assert substitute_fact(words, "The twin town of Linvelo is Falkeli.") == ["people", "Falkeli", "birthplace"]
    assert substitute_fact(words, "It rained in Talrano.") == words
    assert substitute_fact(words, "Linvelo is a town.") == words


def test_reading_results_and_pages() -> None:
    results = "1. [A [b]](http://x/a_(c))\nDate published: today\n\n2. [D](http://x/d)"
    assert (title_in_results(results, "http://x/a_(c)"), title_in_results(results, "http://x/d")) == ("A [b]", "D")
    assert title_in_results(results, "http://x/a") is None
    assert mentions("the Twin\ntown of Kemlo.", "twin town") and not mentions("Kemlos", "Kemlo")
    assert shown_excerpt("x  a\nb. y", "a b.", "") == "a b."
    assert shown_excerpt("The key is here. …", "Not shown. The key is here.", "key") == "The key is here."
    assert shown_excerpt("nothing", "Not shown. The key is here.", "key") is None
    assert shared_words("Who is the mayor of Velmora?", MAYOR.quote, "Velmora") == ["mayor"]


@pytest.mark.parametrize("title", ["json", "json — JSON encoder and decoder — Docs", "json | Docs", "json - Docs"])
def test_a_page_is_known_by_its_subject(title: str) -> None:
    assert subject_of_title(Evidence(url="x", quote="", title=title)) == "json"


@pytest.mark.parametrize(("prompts", "digest"), [("default", "bf750cfaae50dfb1"), ("compact", "1cd473b72a95cc7e")])
async def test_the_plain_style_says_what_it_always_said(prompts: str, digest: str, corpus: Corpus) -> None:
    """Byte for byte, over six seeds; the digests were taken when there was no other style."""
    both = [
        evidence("Brunda", "The birthplace of Brunda is Velmora."),
        evidence("Kemlo", "The twin town of Kemlo is Velmora."),
    ]
    asked = [
        TWO_HOPS,
        QA(question=TWO_HOPS.question, answer="Zilsiro", type="multi_hop", evidence=TWO_HOPS.evidence),
        QA(question="How many of Brunda and Kemlo point to Velmora?", answer="2", type="count", evidence=both),
        QA(question="Who is the teacher of Dolvek?", answer="brunda"),
    ]
    said = hashlib.sha256()
    for seed in range(6):
        for qa in asked:
            said.update(msgspec.json.encode((await demonstrate(qa, corpus, prompts, seed=seed)).messages))
    assert said.hexdigest()[:16] == digest

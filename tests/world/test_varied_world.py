"""Worlds of many shapes: exact gold chains, values really held out, pages that a crawl reads as meant."""

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.data.records import QA, Page
from webdancer_cli.errors import UsageError
from webdancer_cli.synthesis.checks import support_fault
from webdancer_cli.text.words import raw_words
from webdancer_cli.web.extract.html_page import extract_page
from webdancer_cli.world.site import page_html
from webdancer_cli.world.syllables import Pool
from webdancer_cli.world.varied.axes import HELD_OUT, VALUES, Axes, Axis, held_out_values
from webdancer_cli.world.varied.domains import domain_plan
from webdancer_cli.world.varied.varied_pages import VariedPages, article_text
from webdancer_cli.world.varied.varied_questions import VariedQuestions, world_pages
from webdancer_cli.world.varied.varied_world import Thing, VariedWorld, date_forms

SITE = "http://127.0.0.1:8000"
ALL_HELD = held_out_values(["wording", "wording=verb", "layout", "domain"])
seeds = st.integers(0, 1 << 20)


@cache
def world(seed: int, names: Pool = "train", held: bool = False, pages: int = 170) -> VariedWorld:
    return VariedWorld(pages, seed, names, Axes(), ALL_HELD if held else {})


def written(made: VariedWorld, count: int = 120) -> tuple[dict[str, Page], list[QA]]:
    pages = VariedPages(made)
    return {page.url: page for page in world_pages(pages, SITE)}, list(VariedQuestions(made, pages, SITE).write(count))


def squeezed(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_every_quote_stands_on_its_page_and_the_last_one_proves_the_answer(seed: int) -> None:
    pages, questions = written(world(seed))
    assert len(questions) > 100
    for qa in questions:
        assert all(squeezed(proof.quote) in squeezed(pages[proof.url].text) for proof in qa.evidence), qa
        assert all(pages[proof.url].title == proof.title for proof in qa.evidence)
        assert support_fault(qa) is None or qa.type in ("inverse", "intersection", "count"), qa
        assert qa.level == len({proof.url for proof in qa.evidence})
        for proof in qa.evidence:
            text, told = pages[proof.url].text.casefold(), [value.casefold() for value in proof.facts.values()]
            assert all(value in text for value in told)
            assert any(value in proof.quote.casefold() for value in told) or proof.quote.startswith("For the")


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_families_make_sense(seed: int) -> None:
    """Mothers are women, fathers are men, and neither is a sibling of their child."""
    made = world(seed)
    members = [thing for thing in made.things if thing.entity.kind == "member"]
    assert len(members) > 10
    for thing in members:
        relatives = {name: [made.things[target or 0] for target in fact.targets] for name, fact in thing.facts.items()}
        assert {parent.pronoun for parent in relatives.get("mother", [])} <= {"her"}
        assert {parent.pronoun for parent in relatives.get("father", [])} <= {"his"}
        parents = [*relatives.get("mother", []), *relatives.get("father", [])]
        assert not any(parent in relatives.get("sibling", []) for parent in parents)
        for parent in parents:
            siblings = parent.facts["sibling"].targets if "sibling" in parent.facts else ()
            assert thing.entity.index not in siblings


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_gold_chains_follow_the_facts_from_the_first_name_to_the_answer(seed: int) -> None:
    made = world(seed)
    by_title = {thing.title: thing for thing in made.things}
    _, questions = written(made)
    for qa in (qa for qa in questions if qa.type in ("single_hop", "multi_hop")):
        here, last = by_title[qa.evidence[0].title], ""
        for label in filter(None, qa.plan):
            fact = next(fact for fact in here.facts.values() if fact.relation.label == label)
            last = fact.values[0]
            here = by_title.get(last, here)
        assert qa.answer.startswith(last), qa


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_what_is_looked_up_by_a_value_is_the_only_one_that_has_it(seed: int) -> None:
    made = world(seed)
    for qa in (qa for qa in written(made)[1] if qa.type == "inverse"):
        found = re.match(r"(.+) whose (.+) is (.+)$", qa.plan[0])
        assert found
        kind, relation, value = found.groups()
        told = [thing for thing in made.things if relation in thing.facts and value in thing.facts[relation].values]
        assert [(thing.entity.kind, thing.title) for thing in told] == [(kind, qa.evidence[0].title)]


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_counts_comparisons_spans_and_several_facts_at_once_follow_from_the_facts(seed: int) -> None:
    made = world(seed)
    by_title = {thing.title: thing for thing in made.things}
    for qa in written(made)[1]:
        if qa.type == "count":
            values = next(
                f.values for f in by_title[qa.evidence[0].title].facts.values() if f.relation.plural == qa.plan[-1]
            )
            assert qa.answer == str(len(values))
        if qa.type == "comparison":
            ranks = compared(qa, by_title)
            dated = bool(re.search(r"earli|first", qa.question))
            assert ranks[qa.answer] == (min if dated else max)(ranks.values()), qa
        if qa.type == "several":
            facts = by_title[qa.evidence[0].title].facts
            assert 2 <= len(qa.plan) <= 4 and qa.level == 1
            assert re.split(", | and ", qa.answer) == [*(fact for name in qa.plan for fact in facts[name].values)]
        if qa.type == "temporal":
            one, other = (rank // 10_000 for rank in compared(qa, by_title).values())
            assert qa.answer == str(abs(one - other))


def compared(qa: QA, by_title: dict[str, Thing]) -> dict[str, int]:
    """The ranks of what a question sets side by side, by the things' titles."""
    asked = [label.partition(" of ") for label in qa.plan if label and label.partition(" of ")[2] in by_title]
    asked += [
        longest_split(label, by_title) for label in qa.plan if label and label.partition(" of ")[2] not in by_title
    ]
    return {title: by_title[title].facts[name].rank for name, _, title in asked}


def longest_split(label: str, by_title: dict[str, Thing]) -> tuple[str, str, str]:
    """ "number of rooms of Kemlo" at the last "of"."""
    return label.rpartition(" of ")


@settings(max_examples=4, deadline=None)
@given(seeds)
def test_what_is_held_out_is_on_no_training_page_and_alone_in_its_part(seed: int) -> None:
    train = world(seed, "train", held=True)
    pages, _ = written(train, 0)
    texts = "\n".join(page.text for page in pages.values())
    assert not re.search(r"^- ", texts, re.MULTILINE)
    assert not re.search(r" has [^.]+ as (its|his|her) ", texts)
    verbs = [
        relation.verb.replace("{s}", "").replace("{v}", "").strip()
        for domain in VALUES["domain"]
        for kind in domain_plan(domain).kinds.values()
        for relation in kind.relations.values()
    ]
    assert not [verb for verb in verbs if len(verb) > 12 and verb in texts]
    assert not {thing.shape["domain"] for thing in train.things} & set(HELD_OUT["domain"])
    unseen = world(seed, "eval", held=True, pages=620)
    assert unseen.splits == ["seen", "wording", "layout", "domain"]
    assert held_out_values(["wording"]) == {"wording": ("having",)}
    for axis in ("layout", "domain"):
        assert {thing.shape[axis] for thing in unseen.things if thing.split == axis} == set(HELD_OUT[axis])  # type: ignore[index]
    assert {thing.wordings for thing in unseen.things if thing.split == "wording"} == {("having", "verb")}


def test_an_old_entry_says_otherwise_than_the_page_and_both_say_from_when_they_are() -> None:
    made = world(6, pages=400)
    pages = VariedPages(made)
    text = {page.title: page.text for page in world_pages(pages, SITE)}
    old = [thing for thing in made.things if thing.outdated]
    assert len(old) > 10
    for thing in old:
        assert thing.outdated
        claim, told = thing.outdated, thing.facts[thing.outdated.relation.name]
        assert claim.values != told.values
        assert claim.values[0] in text[f"Old entry on {thing.title}"] and told.values[0] in text[thing.title]
        assert "has not been revised since" in text[f"Old entry on {thing.title}"]
        assert "This page was last revised in 202" in text[thing.title]


def test_an_address_tells_nothing_of_its_page_and_belongs_to_no_other() -> None:
    made = world(7, pages=400)
    pages = VariedPages(made)
    paths = [pages.path(index) for kind in pages.plurals for index in pages.indices(kind)]
    assert len(set(paths)) == len(paths)
    people = [pages.path(thing.entity.index) for thing in made.things if thing.entity.kind == "person"]
    folders = [path.partition("/")[0] for path in people]
    for form in ("people", "wiki", "n"):
        assert 0.1 < folders.count(form) / len(folders) < 0.4
    assert sum(len(folder) == 1 and folder != "n" for folder in folders) > 0.1 * len(folders)


def test_the_split_is_in_the_records_and_no_chain_leaves_its_part() -> None:
    made = world(1, "eval", held=True, pages=700)
    by_title = {thing.title: thing for thing in made.things}
    questions = written(made, 200)[1]
    assert {qa.extra["split"] for qa in questions} == {"seen", "wording", "layout", "domain"}
    for qa in questions:
        titles = (proof.title.removeprefix("Register of ") for proof in qa.evidence)
        assert {by_title[title].split for title in titles} == {qa.extra["split"]}


def test_chains_of_one_to_five_facts_and_every_type_are_asked() -> None:
    questions = written(world(2, pages=400), 400)[1]
    assert {len([label for label in qa.plan if label]) for qa in questions if qa.type.endswith("hop")} == {
        1,
        2,
        3,
        4,
        5,
    }
    asked = {"single_hop", "multi_hop", "inverse", "count", "comparison", "intersection", "temporal", "several"}
    assert {qa.type for qa in questions} == asked
    assert len({qa.question for qa in questions}) == len(questions)


def test_pages_are_of_thirty_to_three_thousand_words() -> None:
    lengths = sorted(len(raw_words(page.text)) for page in written(world(3, pages=400), 0)[0].values())
    assert lengths[len(lengths) // 10] <= 60 and 1_000 < lengths[-1] <= 3_000


@pytest.mark.parametrize("layout", VALUES["layout"])
def test_a_crawl_reads_the_text_that_the_questions_quote(layout: str) -> None:
    """Pages without links: extraction leaves out some short passages that are mostly links, as menus are."""
    made = VariedWorld(170, 4, "train", Axes().only("layout", [layout]).only("linking", ["names"]), {})
    pages = VariedPages(made)
    for kind in pages.plurals:
        index = pages.indices(kind)[0]
        article = pages.article(index)
        read = extract_page(page_html(pages, article), f"{SITE}/{article.path}")
        assert (squeezed(read.text), read.title) == (squeezed(article_text(article)), article.title)


def test_dates_are_written_in_five_forms_that_are_one_day() -> None:
    assert date_forms(1901, 4, 3) == ["3 May 1901", "May 3, 1901", "1901-05-03", "3rd May 1901", "3 May 1901"]
    assert date_forms(1999, 0, 21)[3:] == ["21st January 1999", "21 Jan 1999"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["colour"], "--hold-out colour: choose from domain, wording, layout"),
        (["layout=scroll"], "--hold-out layout=scroll: the values of layout are prose"),
        (["length"], "--hold-out length: choose from"),
    ],
)
def test_what_is_no_axis_or_value_is_refused(asked: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        held_out_values(asked)


def test_an_axis_of_which_nothing_would_be_left_and_a_world_too_small_are_refused() -> None:
    held: dict[Axis, tuple[str, ...]] = {"layout": ("list",)}
    with pytest.raises(UsageError, match="nothing would be left"):
        VariedWorld(200, 0, "train", Axes().only("layout", ["list"]), held)
    with pytest.raises(UsageError, match="too few for 7 domains: 168 at least"):
        VariedWorld(60, 0, "train", Axes(), {})

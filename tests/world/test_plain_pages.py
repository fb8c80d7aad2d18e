import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webdancer_cli.world import PlainWorld, plain_pages
from webdancer_cli.world.plain_world import KINDS

worlds = st.builds(
    PlainWorld, pages=st.integers(50, 400), seed=st.integers(0, 10**9), names=st.sampled_from(["train", "eval"])
)


def numbers(world: PlainWorld) -> dict[int, int]:
    """The one number of each entity: its year."""
    return {
        fact.subject_index: int(fact.value)
        for index in range(len(world))
        for fact in world.facts(index)
        if fact.target_index is None
    }


def test_a_page_says_what_the_entity_is_and_then_its_facts() -> None:
    world = PlainWorld(60, 0)
    written = plain_pages.plain_page(world, 0)
    name = written.title
    lead, *said = written.sentences
    assert lead.text == f"{name} is a town." and lead.links == []
    facts = {f"The {fact.relation} of {name} is {fact.value}.": fact for fact in world.facts(0)}
    assert {sentence.text for sentence in said} == set(facts)
    for sentence in said:
        fact = facts[sentence.text]
        assert sentence.links == (
            [] if fact.target_index is None else [(fact.value, world.entity(fact.target_index).slug)]
        )
    assert written.text == " ".join(sentence.text for sentence in written.sentences)


def test_the_order_of_the_sentences_varies_from_page_to_page() -> None:
    world = PlainWorld(200, 0)
    orders = {
        tuple(sentence.text.split(" of ")[0] for sentence in plain_pages.plain_page(world, index).sentences[1:])
        for index in world.indices("book")
    }
    assert len(orders) > 10


@given(worlds)
@settings(max_examples=25, deadline=None)
def test_names_are_distinct_and_targets_are_of_the_right_kind_and_never_the_subject(world: PlainWorld) -> None:
    assert len({world.entity(index).name for index in range(len(world))}) == len(world)
    kinds = {
        **{
            "mayor": "person",
            "twin town": "town",
            "main company": "company",
            "teacher": "person",
            "employer": "company",
        },
        **{"birthplace": "town", "founder": "person", "headquarters": "town", "rival": "company", "author": "person"},
        **{"setting": "town", "publisher": "company", "host": "town", "sponsor": "company"},
    }
    for index in range(len(world)):
        facts = world.facts(index)
        assert 3 <= len(facts) <= 5
        for fact in facts:
            assert fact.subject_index == index
            if fact.target_index is not None:
                target = world.entity(fact.target_index)
                assert (target.kind, target.name) == (kinds[fact.relation], fact.value)
                assert fact.target_index != index


@given(worlds)
@example(PlainWorld(pages=76, seed=49806, names="train"))  # a book a year older than its publisher
@settings(max_examples=25, deadline=None)
def test_nobody_founds_writes_or_teaches_before_growing_up(world: PlainWorld) -> None:
    years = numbers(world)
    for index in range(len(world)):
        for fact in world.facts(index):
            if fact.target_index is None:
                continue
            gap = years[index] - years[fact.target_index]
            assert fact.relation not in ("founder", "author") or 25 <= gap <= 65, fact
            assert fact.relation != "publisher" or gap >= 0, fact
            assert fact.relation != "teacher" or 20 <= gap <= 60, fact
            assert fact.relation != "employer" or gap >= -60, fact


def test_the_kinds_have_their_shares() -> None:
    world = PlainWorld(1000, 0)
    assert {kind: len(world.indices(kind)) / 1000 for kind in KINDS} == KINDS
    assert [world.kind(index) for index in (0, 249, 250, 999)] == ["town", "town", "person", "festival"]


@pytest.mark.parametrize("index", [-1, 60])
def test_there_is_no_entity_outside_the_world(index: int) -> None:
    with pytest.raises(IndexError, match=f"no entity {index} in a world of 60"):
        PlainWorld(60, 0).entity(index)


def test_the_same_seed_gives_the_same_pages_and_another_one_others() -> None:
    def pages(seed: int) -> list[plain_pages.PageText]:
        world = PlainWorld(50, seed)
        return [plain_pages.plain_page(world, index) for index in range(50)]

    assert pages(4) == pages(4)
    assert not {page.text for page in pages(4)} & {page.text for page in pages(5)}


def peak_bytes(pages: int) -> int:
    """The most memory held at once while every page of a world is made and thrown away."""
    tracemalloc.start()
    world = PlainWorld(pages, 1)
    for index in range(pages):
        plain_pages.plain_page(world, index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_memory_is_flat() -> None:
    peak_bytes(50)  # fills the caches of the word lists
    # Less than a pointer for each further page: 8 bytes × 19,950.
    assert peak_bytes(20_000) < peak_bytes(50) + 8 * 19_950


def test_memory_does_not_grow_with_the_world() -> None:
    def made(pages: int) -> int:
        tracemalloc.start()
        world = PlainWorld(pages, 1)
        for index in range(0, pages, pages // 50):
            plain_pages.plain_page(world, index)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    made(50)
    assert made(1_000_000) < made(50) + 20_000

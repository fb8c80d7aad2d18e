import re
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import PRESENT, SHORTEST_LIFE, Atlas
from webdancer_cli.world.document import Article, TextRun
from webdancer_cli.world.plain_world import WorldFact
from webdancer_cli.world.prose import Dice, PageWriter, SubjectWording, article, fillers, needed, phrases
from webdancer_cli.world.rich_pages import RichPages

atlases = st.builds(Atlas, pages=st.integers(50, 500), seed=st.integers(0, 10**9), names=st.just("train"))


def prose(page: Article) -> str:
    """Everything the page says outside its table and its lists."""
    paragraphs = (paragraph for section in page.sections for paragraph in section.paragraphs)
    return "\n".join(" ".join(sentence.text for sentence in paragraph) for paragraph in paragraphs)


def runs(page: Article) -> Iterator[TextRun]:
    for section in page.sections:
        for sentence in [*section.items, *(said for paragraph in section.paragraphs for said in paragraph)]:
            yield from sentence.runs
    for _, value in page.table:
        yield from value.runs


def facts_by_relation(almanac: Almanac, index: int) -> dict[str, WorldFact]:
    return {fact.relation: fact for fact in almanac.facts(index)}


@given(atlases)
@settings(max_examples=15, deadline=None)
def test_relations_are_the_same_from_both_sides(atlas: Atlas) -> None:
    people, cities = range(atlas.counts["person"]), range(atlas.counts["city"])
    for of, owner, kind in (
        (atlas.works_of, atlas.creator, "work"),
        (atlas.companies_of, atlas.founder, "company"),
        (atlas.designs_of, atlas.architect, "building"),
    ):
        assert sorted((item, person) for person in people for item in of(person)) == [
            (item, owner(item)) for item in range(atlas.counts[kind])
        ]
    for person in people:
        spouse, expedition, city = atlas.spouse(person), atlas.expedition_of(person), atlas.city_governed(person)
        assert spouse is None or (spouse != person and atlas.spouse(spouse) == person)
        assert expedition is None or atlas.leader(expedition) == person
        assert city is None or atlas.first_mayor(city) == person
    for city in cities:
        twin = atlas.twin(city)
        assert twin is None or (twin != city and atlas.twin(twin) == city)
        assert all(atlas.city_of("person", person) == city for person in atlas.in_city("person", city))
    assert sum(len(atlas.in_city("person", city)) for city in cities) == len(people)


@given(atlases)
@settings(max_examples=15, deadline=None)
def test_years_never_contradict_each_other(atlas: Atlas) -> None:
    almanac = Almanac(atlas)
    for index in range(atlas.pages):
        facts = facts_by_relation(almanac, index)
        year = next(
            (int(facts[name].value) for name in ("founding year", "opening year", "year") if name in facts), None
        )
        assert year is None or year <= PRESENT
        if "death year" in facts:
            assert SHORTEST_LIFE <= int(facts["death year"].value) - int(facts["birth year"].value) < 100
        for relation in ("founder", "author", "painter", "composer", "architect", "leader"):
            if relation in facts and year is not None:
                life = facts_by_relation(almanac, facts[relation].target_index or 0)
                assert int(life["birth year"].value) + 25 <= year
                assert "death year" not in life or year <= int(life["death year"].value)
        for relation in ("publisher", "sponsor") if almanac.rank(index)[0] in ("work", "expedition") else ():
            if relation in facts and year is not None:
                company = facts_by_relation(almanac, facts[relation].target_index or 0)
                assert int(company["founding year"].value) <= year
        if "teacher" in facts:
            teacher = facts_by_relation(almanac, facts["teacher"].target_index or 0)
            assert 20 <= int(facts["birth year"].value) - int(teacher["birth year"].value) <= 45
            assert teacher["occupation"].value == facts["occupation"].value


@given(atlases)
@settings(max_examples=8, deadline=None)
def test_every_fact_stands_in_the_prose_of_its_page_with_its_link(atlas: Atlas) -> None:
    almanac = Almanac(atlas)
    pages = RichPages(almanac)
    for index in range(0, atlas.pages, 3):
        page = pages.article(index)
        said, linked = prose(page).lower(), {(run.text, run.target) for run in runs(page)}
        for fact in almanac.facts(index):
            assert fact.value.lower() in said, (page.title, fact)
            if fact.target_index is not None:
                assert (fact.value, pages.path(fact.target_index)) in linked


@given(atlases)
@example(Atlas(50, seed=125899))  # a novel whose title drew one word twice
@example(Atlas(150, seed=991800))  # so did a festival: "Salt Salt Fair"
@settings(max_examples=8, deadline=None)
def test_prose_is_well_formed(atlas: Atlas) -> None:
    pages = RichPages(Almanac(atlas))
    for index in range(0, atlas.pages, 3):
        page = pages.article(index)
        assert page.sections[0].heading is None and page.sections[0].paragraphs[0][0].text.lower().count(
            page.title.lower()
        )
        for section in page.sections:
            for paragraph in section.paragraphs:
                assert not re.match(r"(She|He|Her|His) ", paragraph[0].text), paragraph[0].text
                for sentence in paragraph:
                    text = sentence.text
                    assert re.fullmatch(r"[A-Z0-9].*[a-z0-9)]\.", text), text
                    assert not re.search(r"[{}]|  | ,|None|\b[Aa] [aeioAEIO]|\ban [bcdfgjklmnpqrstvwxyz]", text), text
                    assert not re.search(r"\b(\w+) \1\b", text), text


def test_articles_follow_the_sound() -> None:
    assert [article(word) for word in ("opera", "novel", "university", "1874", "1974", "instrument", "institute")] == [
        *("an", "a", "a", "an", "a", "an", "an")
    ]


def test_every_phrase_has_only_places_that_some_page_can_fill() -> None:
    """A misspelt place would silently leave out its phrase for ever."""
    pages = {kind: set() for kind in phrases() if kind != "fillers"}
    almanac = Almanac(Atlas(1500, 1))
    rich = RichPages(almanac)
    for index in range(1500):
        pages[almanac.entity(index).kind].add(
            frozenset(rich.known(index, dict.fromkeys(facts_by_relation(almanac, index), TextRun(""))))
        )
    for kind, groups in phrases().items():
        for group, templates in groups.items() if kind != "fillers" else ():
            for template in templates if group != "sections" else ():
                assert any(needed(template) <= known for known in pages[kind]), (kind, group, template)


def test_every_group_that_a_section_names_is_there_and_every_group_is_named() -> None:
    for kind, groups in phrases().items():
        if kind != "fillers":
            named = {group.rstrip("?") for _, paragraphs in groups["sections"] for line in paragraphs for group in line}
            assert named == set(groups) - {"sections"}
    assert all(fillers().values())


@pytest.mark.parametrize("roll", range(20))
def test_only_what_can_be_said_is_said(roll: int) -> None:
    subject = SubjectWording("Vanterre", "Vanterre", ("she", "her", "her", "hers"))
    known = {
        "name": TextRun("Orla Vanterre"),
        "home": TextRun("Mirrowen", "cities/mirrowen.html"),
        "living": TextRun(""),
    }
    written = {section.heading: section for section in PageWriter(subject, known, Dice(roll)).sections("person")}
    # No birthplace, no school, no teacher: no early life. Neither a lead, which needs the years.
    assert set(written) == {"Career", "Personal life"}
    home = written["Personal life"].paragraphs[0][0]
    assert home.links == [("Mirrowen", "mirrowen")]
    assert re.match(r"(For many years |)Vanterre('s)? (lived|made her home|home was) in Mirrowen", home.text)


def test_the_same_seed_gives_the_same_pages_and_another_one_others() -> None:
    def pages(seed: int) -> list[Article]:
        rich = RichPages(Almanac(Atlas(60, seed)))
        return [rich.article(index) for index in range(60)]

    assert pages(4) == pages(4)
    assert not {page.title for page in pages(4)} & {page.title for page in pages(5)}


def test_pages_lie_in_a_folder_of_their_kind_and_huge_kinds_in_many() -> None:
    small, huge = RichPages(Almanac(Atlas(100, 0))), RichPages(Almanac(Atlas(100_000, 0)))
    person = small.indices("person")[0]
    assert re.fullmatch(r"people/[a-z-]+\.html", small.path(person))
    folders = {huge.path(index).split("/")[1] for index in huge.indices("person")[:3000]}
    assert len(folders) == 256 and all(re.fullmatch("[0-9a-f]{2}", folder) for folder in folders)


@pytest.mark.parametrize("index", [-1, 60])
def test_there_is_no_entity_outside_the_world(index: int) -> None:
    with pytest.raises(IndexError, match=f"no entity {index} in a world of 60"):
        Almanac(Atlas(60, 0)).entity(index)


def test_memory_does_not_grow_with_the_world() -> None:
    def peak_bytes(pages: int) -> int:
        tracemalloc.start()
        rich = RichPages(Almanac(Atlas(pages, 1)))
        for index in range(0, pages, pages // 50):
            rich.article(index)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(500)  # fills the caches of words and phrases
    assert peak_bytes(1_000_000) < peak_bytes(500) + 100_000

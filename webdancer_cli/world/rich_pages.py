"""The rich style: pages that read like an encyclopaedia's, with tables, lists and some irrelevant talk."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from webdancer_cli.text.months import MONTHS
from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.arithmetic import mix, tag
from webdancer_cli.world.document import Article, Section, Sentence, TextRun, sentence
from webdancer_cli.world.plain_world import Entity, WorldFact
from webdancer_cli.world.prose import Dice, PageWriter, SubjectWording

PLURALS = {
    "region": "regions",
    "city": "cities",
    "river": "rivers",
    "school": "schools",
    "company": "companies",
    "work": "works",
    "building": "buildings",
    "festival": "festivals",
    "expedition": "expeditions",
    "person": "people",
}
WITH_ARTICLE = ("river", "building", "festival", "expedition")
LARGE_FOLDER = 10_000
"""A kind with more pages than this is spread over 256 folders."""


class RichPages:
    """The rich world as a site: a folder for each kind, ``people/orla-vanterre.html``."""

    def __init__(self, almanac: Almanac):
        self._almanac = almanac
        self._atlas = almanac.atlas
        self._extras: dict[str, Callable[[int], dict[str, TextRun]]] = {
            "person": self._person,
            "river": self._river,
            "work": self._work,
        }

    @property
    def plurals(self) -> dict[str, str]:
        return {kind: PLURALS[kind] for kind in self._atlas.counts}

    def indices(self, kind: str) -> range:
        return self._almanac.indices(kind)

    def entity(self, index: int) -> Entity:
        return self._almanac.entity(index)

    def facts(self, index: int) -> list[WorldFact]:
        return self._almanac.facts(index)

    def path(self, index: int) -> str:
        entity = self.entity(index)
        many = self._atlas.counts[entity.kind] > LARGE_FOLDER
        return f"{PLURALS[entity.kind]}/{f'{mix(index) % 256:02x}/' if many else ''}{entity.slug}.html"

    def article(self, index: int) -> Article:
        kind, rank = self._almanac.rank(index)
        entity = self.entity(index)
        dice = Dice(self._atlas.seed, tag("prose"), index)
        facts = {fact.relation: self._link_value(fact) for fact in self.facts(index)}
        writer = PageWriter(self._subject(entity, rank), self.known(index, facts), dice)
        sections = [*writer.sections(kind), *self._lists(kind, rank)]
        table = [(_label(relation), Sentence((value,))) for relation, value in facts.items()]
        return Article(entity.name, self.path(index), sections, table)

    def known(self, index: int, facts: dict[str, TextRun]) -> dict[str, TextRun]:
        """What the phrases can say of an entity: its name, its facts, and some of what others' facts say of it."""
        kind, rank = self._almanac.rank(index)
        extras = self._extras[kind](rank) if kind in self._extras else {}
        return {"name": TextRun(self._atlas.name(kind, rank)), **facts, **extras}

    def _link_value(self, fact: WorldFact) -> TextRun:
        return TextRun(fact.value, None if fact.target_index is None else self.path(fact.target_index))

    def _link(self, kind: str, rank: int) -> TextRun:
        return TextRun(self._atlas.name(kind, rank), self.path(self._almanac.index(kind, rank)))

    def _subject(self, entity: Entity, rank: int) -> SubjectWording:
        if entity.kind == "person":
            life = self._atlas.life(rank)
            pronouns = ("she", "her", "her", "hers") if life.woman else ("he", "his", "him", "his")
            return SubjectWording(life.surname, life.surname, pronouns)
        short = f"the {entity.name}" if entity.kind in WITH_ARTICLE else entity.name
        return SubjectWording(short, f"the {self._noun(entity.kind, rank)}")

    def _noun(self, kind: str, rank: int) -> str:
        if kind == "work":
            return self._atlas.form(rank).name.replace("poetry ", "")
        return self._atlas.lexicon.typed(kind, rank)[1] if kind in ("building", "school") else kind

    # What the phrases of some kinds need beside the facts

    def _person(self, rank: int) -> dict[str, TextRun]:
        life = self._atlas.life(rank)
        span = f"born {life.born}" if life.died is None else f"{life.born}–{life.died}"
        lived = f"was born in {life.born}" if life.died is None else f"lived from {life.born} to {life.died}"
        known = {"lifespan": span, "lived": lived, "is": "is" if life.died is None else "was"}
        known["living" if life.died is None else "late"] = ""
        known["birthday"] = self._day(rank, "birthday", life.born)
        if life.died is not None:
            known["deathday"] = self._day(rank, "deathday", life.died)
        return {**_plain(known), **self._creation_values(rank), **self._did(rank)}

    def _day(self, rank: int, purpose: str, year: int) -> str:
        day, month = 1 + self._atlas.draw(rank, purpose, 28), MONTHS[self._atlas.draw(rank, purpose + " month", 12)]
        return f"{day} {month} {year}"

    def _creation_values(self, rank: int) -> dict[str, TextRun]:
        atlas, works = self._atlas, sorted(self._atlas.works_of(rank), key=self._atlas.work_year)
        known: dict[str, TextRun] = {}
        for when, work in zip(("first", "last"), (works[:1] + works[1:][-1:]), strict=False):
            known[f"{when} work"] = self._link("work", work)
            known |= _plain({f"{when} work form": atlas.form(work).name, f"{when} work year": atlas.work_year(work)})
        for company in atlas.companies_of(rank)[:1]:
            known["company"] = self._link("company", company)
            industry = atlas.industry(company)[0]
            known |= _plain({"company year": atlas.founding_year(company), "company industry": industry})
        for building in atlas.designs_of(rank)[:1]:
            known["building"] = self._link("building", building)
            known["building city"] = self._link("city", atlas.city_of("building", building))
            known["building year"] = TextRun(str(atlas.opening_year(building)))
        return known

    def _did(self, rank: int) -> dict[str, TextRun]:
        known: dict[str, TextRun] = {}
        expedition, city = self._atlas.expedition_of(rank), self._atlas.city_governed(rank)
        if expedition is not None:
            facts = {fact.relation: fact for fact in self.facts(self._almanac.index("expedition", expedition))}
            known["expedition"] = self._link("expedition", expedition)
            known["expedition year"] = self._link_value(facts["year"])
            known["expedition destination"] = self._link_value(facts["destination"])
        if city is not None:
            known["city governed"] = self._link("city", city)
            known["election year"] = TextRun(str(self._atlas.election_year(rank)))
        return known

    def _work(self, rank: int) -> dict[str, TextRun]:
        return {
            {"poetry collection": "verse", "painting": "image"}.get(self._atlas.form(rank).name, "story"): TextRun("")
        }

    def _river(self, rank: int) -> dict[str, TextRun]:
        """A river flows into "the" other river, but the seas have their article in their name."""
        facts = {fact.relation: fact for fact in self.facts(self._almanac.index("river", rank))}
        into = "mouth sea" if facts["mouth"].target_index is None else "mouth river"
        return {into: self._link_value(facts["mouth"])}

    # Lists of what belongs to an entity

    def _lists(self, kind: str, rank: int) -> Iterator[Section]:
        for heading, items in self._item_lists(kind, rank):
            section = Section(heading, [], items)
            if section:
                yield section

    def _item_lists(self, kind: str, rank: int) -> list[tuple[str, list[Sentence]]]:
        atlas = self._atlas
        if kind == "person":
            return [
                ("Works", [self._work_item(work) for work in sorted(atlas.works_of(rank), key=atlas.work_year)]),
                ("Companies founded", [self._company_item(company) for company in atlas.companies_of(rank)]),
                ("Buildings", self._items("building", atlas.designs_of(rank))),
            ]
        if kind == "city":
            born = [self._person_item(person) for person in atlas.in_city("person", rank)]
            standing = ("company", "building", "school", "festival")
            return [("Notable people", born)] + [
                (PLURALS[other].capitalize(), self._items(other, atlas.in_city(other, rank))) for other in standing
            ]
        if kind == "region":
            return [("Cities", self._items("city", atlas.cities_in(rank)))]
        if kind == "river":
            return [("Cities on the river", self._items("city", atlas.cities_on(rank)))]
        if kind == "school":
            return [("Notable alumni", [self._person_item(person) for person in atlas.alumni_of(rank)])]
        return []

    def _items(self, kind: str, ranks: Sequence[int]) -> list[Sentence]:
        return [sentence(self._link(kind, rank)) for rank in ranks]

    def _person_item(self, rank: int) -> Sentence:
        life = self._atlas.life(rank)
        years = f"born {life.born}" if life.died is None else f"{life.born}–{life.died}"
        return sentence(self._link("person", rank), f" ({years}), {life.occupation}")

    def _work_item(self, rank: int) -> Sentence:
        return sentence(self._link("work", rank), f" ({self._atlas.form(rank).name}, {self._atlas.work_year(rank)})")

    def _company_item(self, rank: int) -> Sentence:
        return sentence(self._link("company", rank), f" ({self._atlas.founding_year(rank)})")


def _plain(values: Mapping[str, object]) -> dict[str, TextRun]:
    return {name: TextRun(str(value)) for name, value in values.items()}


def _label(relation: str) -> str:
    return relation[0].upper() + relation[1:]

"""The facts of the rich world: for each kind, what is said of one, as rows (relation, kind of the value, value)."""

from collections.abc import Callable

from webdancer_cli.text.months import MONTHS
from webdancer_cli.world.atlas import OCCUPATIONS, Atlas
from webdancer_cli.world.plain_world import Entity, WorldFact

Row = tuple[str, str | None, str | int | None]
"""(relation, kind, rank in that kind), or (relation, None, the value itself). A value of None: not for this one."""

SEAS = "the Grey Sea", "the Sea of Larks", "the Outer Sound", "the Amber Gulf", "the Long Strait"


class Almanac:
    """A rich world by index: kinds lie in blocks, in the order of the atlas."""

    def __init__(self, atlas: Atlas):
        self.atlas = atlas
        self._start: dict[str, int] = {}
        used = 0
        for kind, count in atlas.counts.items():
            self._start[kind] = used
            used += count

    def indices(self, kind: str) -> range:
        return range(self._start[kind], self._start[kind] + self.atlas.counts[kind])

    def index(self, kind: str, rank: int) -> int:
        return self._start[kind] + rank

    def rank(self, index: int) -> tuple[str, int]:
        """(kind, rank within the kind)."""
        if not 0 <= index < self.atlas.pages:
            raise IndexError(f"no entity {index} in a world of {self.atlas.pages}")
        kind = next(kind for kind in reversed(self._start) if index >= self._start[kind])
        return kind, index - self._start[kind]

    def entity(self, index: int) -> Entity:
        kind, rank = self.rank(index)
        name = self.atlas.name(kind, rank)
        return Entity(index, kind, name, name.lower().replace(" ", "-"))

    def facts(self, index: int) -> list[WorldFact]:
        kind, rank = self.rank(index)
        rows = _ROWS[kind](self.atlas, rank)
        return [self._fact(index, *row) for row in rows if row[2] is not None]

    def _fact(self, index: int, relation: str, kind: str | None, value: str | int | None) -> WorldFact:
        if kind is None or not isinstance(value, int):
            return WorldFact(index, relation, str(value), None)
        return WorldFact(index, relation, self.atlas.name(kind, value), self.index(kind, value))


def _region(atlas: Atlas, rank: int) -> list[Row]:
    cities = atlas.cities_in(rank)
    people = sum(atlas.population(city) for city in cities) * (150 + atlas.draw(rank, "rural", 60)) // 100
    neighbour = rank ^ 1 if rank ^ 1 < atlas.counts["region"] else None
    return [
        ("capital", "city", cities[0] if cities else None),
        ("neighbouring region", "region", neighbour),
        ("population", None, f"{people:,}" if people else None),
        ("area in square kilometres", None, f"{1_200 * len(cities) + 700 + atlas.draw(rank, 'area', 4_000):,}"),
        ("height of its highest point in metres", None, f"{600 + atlas.draw(rank, 'peak', 2_400):,}"),
    ]


def _city(atlas: Atlas, rank: int) -> list[Row]:
    mayor = atlas.first_mayor(rank)
    return [
        ("region", "region", atlas.region_of(rank)),
        ("river", "river", atlas.river_of(rank)),
        ("first elected mayor", "person", mayor),
        ("year of the first mayoral election", None, None if mayor is None else str(atlas.election_year(mayor))),
        ("twin city", "city", atlas.twin(rank)),
        ("population", None, f"{atlas.population(rank):,}"),
        ("founding year", None, str(1020 + atlas.draw(rank, "city founding", 620))),
        ("elevation in metres", None, str(4 + atlas.draw(rank, "elevation", 560))),
    ]


def _river(atlas: Atlas, rank: int) -> list[Row]:
    flows_on = rank > 0 and atlas.draw(rank, "tributary", 5) > 0
    sea = SEAS[atlas.draw(rank, "sea", len(SEAS))]
    mouth: Row = ("mouth", "river", atlas.draw(rank, "mouth", rank)) if flows_on else ("mouth", None, sea)
    return [
        ("source region", "region", atlas.draw(rank, "source", atlas.counts["region"])),
        mouth,
        ("length in kilometres", None, str(38 + atlas.draw(rank, "length", 700))),
        ("number of bridges", None, str(6 + atlas.draw(rank, "bridges", 70))),
    ]


def _school(atlas: Atlas, rank: int) -> list[Row]:
    return [
        ("type", None, atlas.lexicon.typed("school", rank)[1]),
        ("city", "city", atlas.city_of("school", rank)),
        ("founding year", None, str(1640 + atlas.draw(rank, "school founding", 150))),
        ("number of students", None, f"{600 + atlas.draw(rank, 'students', 21_000):,}"),
    ]


def _company(atlas: Atlas, rank: int) -> list[Row]:
    rival = rank ^ 1 if rank ^ 1 < atlas.counts["company"] else None
    return [
        ("industry", None, atlas.industry(rank)[0]),
        ("founder", "person", atlas.founder(rank)),
        ("headquarters", "city", atlas.city_of("company", rank)),
        ("founding year", None, str(atlas.founding_year(rank))),
        ("rival", "company", rival),
        ("number of employees", None, f"{40 + atlas.draw(rank, 'employees', 4_000):,}"),
    ]


def _work(atlas: Atlas, rank: int) -> list[Row]:
    form, year = atlas.form(rank), atlas.work_year(rank)
    place = atlas.draw(rank, "place", atlas.counts["city"])
    printed = form.name in ("novel", "poetry collection")
    return [
        ("form", None, form.name),
        (form.creator, "person", atlas.creator(rank)),
        ("year", None, str(year)),
        ("publisher", "company", atlas.press_in(year, rank) if printed else None),
        ("dedicatee", "person", atlas.dedicatee(rank) if printed else None),
        *_by_form(atlas, rank, form.name, place),
    ]


def _by_form(atlas: Atlas, rank: int, form: str, place: int) -> list[Row]:
    amount = atlas.draw(rank, "amount", 1_000)
    rows: dict[str, list[Row]] = {
        "novel": [("setting", "city", place), ("number of pages", None, str(170 + amount // 2))],
        "poetry collection": [("number of poems", None, str(21 + amount % 80))],
        "painting": [("depicted city", "city", place), ("width in centimetres", None, str(40 + amount % 260))],
        "opera": [("city of the premiere", "city", place), ("number of scenes", None, str(6 + amount % 18))],
    }
    return rows[form]


def _building(atlas: Atlas, rank: int) -> list[Row]:
    return [
        ("type", None, atlas.lexicon.typed("building", rank)[1]),
        ("city", "city", atlas.city_of("building", rank)),
        ("architect", "person", atlas.architect(rank)),
        ("opening year", None, str(atlas.opening_year(rank))),
        ("height in metres", None, str(9 + atlas.draw(rank, "height", 70))),
    ]


def _festival(atlas: Atlas, rank: int) -> list[Row]:
    founder = atlas.draw(rank, "festival founder", atlas.born_before(1960))
    return [
        ("type", None, atlas.lexicon.typed("festival", rank)[1]),
        ("host city", "city", atlas.city_of("festival", rank)),
        ("founder", "person", founder),
        ("founding year", None, str(atlas.born(founder) + 27 + atlas.draw(rank, "festival founding", 28))),
        ("sponsor", "company", atlas.draw(rank, "sponsor", atlas.counts["company"])),
        ("month", None, MONTHS[atlas.draw(rank, "month", len(MONTHS))]),
        ("number of visitors", None, f"{900 + atlas.draw(rank, 'visitors', 60_000):,}"),
    ]


def _expedition(atlas: Atlas, rank: int) -> list[Row]:
    year = atlas.expedition_year(rank)
    return [
        ("type", None, atlas.lexicon.typed("expedition", rank)[1]),
        ("leader", "person", atlas.leader(rank)),
        ("year", None, str(year)),
        ("destination", "river", atlas.draw(rank, "destination", atlas.counts["river"])),
        ("point of departure", "city", atlas.draw(rank, "departure", atlas.counts["city"])),
        ("sponsor", "company", atlas.company_in(year, rank, "expedition sponsor")),
        ("number of members", None, str(5 + atlas.draw(rank, "members", 60))),
    ]


def _person(atlas: Atlas, rank: int) -> list[Row]:
    life, cities = atlas.life(rank), atlas.counts["city"]
    engineer, spouse = life.occupation == "engineer", atlas.spouse(rank)
    return [
        ("occupation", None, OCCUPATIONS[rank % len(OCCUPATIONS)]),
        ("birth year", None, str(life.born)),
        ("death year", None, life.died if life.died is None else str(life.died)),
        ("birthplace", "city", atlas.city_of("person", rank)),
        ("place of death", "city", None if life.died is None else atlas.draw(rank, "deathbed", cities)),
        ("alma mater", "school", atlas.school_of(rank)),
        ("teacher", "person", atlas.teacher(rank)),
        ("spouse", "person", spouse),
        ("year of marriage", None, None if spouse is None else str(atlas.wedding_year(rank))),
        ("employer", "company", atlas.company_in(life.born + 24, rank, "employer") if engineer else None),
        ("home", "city", atlas.draw(rank, "home", cities) if atlas.draw(rank, "settled", 2) else None),
    ]


_ROWS: dict[str, Callable[[Atlas, int], list[Row]]] = {
    "region": _region,
    "city": _city,
    "river": _river,
    "school": _school,
    "company": _company,
    "work": _work,
    "building": _building,
    "festival": _festival,
    "expedition": _expedition,
    "person": _person,
}

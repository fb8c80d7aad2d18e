"""The rich world: who and what there is, and how it hangs together, computed from (seed, rank) alone.

Nothing is stored. A person's rank is the order of birth; what a person made or founded is dealt in shares, so that both
directions ("the author of …", "the works of …") are a few divisions; a company's rank follows its founder's, so that
"a company that existed in 1890" is a binary search. Entities lie in blocks of kinds; all methods here take and give
ranks within a kind.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from webdancer_cli.world.arithmetic import Shares, Shuffle, mix, tag
from webdancer_cli.world.lexicon import Lexicon, industries
from webdancer_cli.world.shares import Appointed, Dealt, Roster, paired
from webdancer_cli.world.syllables import Pool

KINDS = {
    "region": 0.01,
    "city": 0.09,
    "river": 0.02,
    "school": 0.03,
    "company": 0.12,
    "work": 0.18,
    "building": 0.08,
    "festival": 0.05,
    "expedition": 0.02,
    "person": 0.40,
}
"""The share of each kind among the pages; people take what rounding leaves."""

OCCUPATIONS = (
    *("novelist", "entrepreneur", "painter", "architect", "engineer", "composer"),
    *("botanist", "politician", "poet", "explorer", "industrialist", "lawyer"),
)
"""An occupation follows from the rank, so that the n-th architect is found by division."""

FIRST_BIRTH, LAST_BIRTH, LAST_ACTIVE_BIRTH, PRESENT = 1790, 1990, 1960, 2020
"""People born after LAST_ACTIVE_BIRTH have not made anything yet: all deeds lie before PRESENT."""

SHORTEST_LIFE, LONGEST_LIFE = 62, 94
FOUNDING_AGES = 25, 54
WORKING_YEARS = 34

RECENT_NAMES = 4_096
"""How many names are kept at a time: a page says each of its own several times over."""

CITY_WEIGHTS = (1, 3, 2, 5, 1, 2, 8, 1)
EVEN_WEIGHTS = (2, 1, 3, 2)


@dataclass(frozen=True)
class Form:
    """What a creator makes: its name, the creator's relation to it, the shape of its title."""

    name: str
    creator: str
    shape: str


FORMS = {
    "novelist": Form("novel", "author", "The {}"),
    "poet": Form("poetry collection", "author", "{} and Other Poems"),
    "painter": Form("painting", "painter", "Before the {}"),
    "composer": Form("opera", "composer", "Song of the {}"),
}


@dataclass(frozen=True)
class Life:
    given: str
    surname: str
    woman: bool
    occupation: str
    born: int
    died: int | None
    """Year; None for the living."""


class Atlas:
    def __init__(self, pages: int, seed: int, names: Pool = "train"):
        self.pages = pages
        self.seed = seed
        self.counts = _counts(pages)
        self.lexicon = Lexicon(self.counts, seed, names)
        active = self.born_before(LAST_ACTIVE_BIRTH)
        self._peers = {name: _roster(active, name) for name in OCCUPATIONS}
        self._creators = _roster(active, *FORMS)
        self._founders = _roster(active, "entrepreneur", "industrialist")
        self._leaders = _roster(active, "explorer", "botanist")
        self._politicians = _roster(active, "politician", "lawyer")
        self._deal()
        self.name = lru_cache(maxsize=RECENT_NAMES)(self._name)

    def _deal(self) -> None:
        cities, peers = self.counts["city"], self._peers
        self._works = self._dealt("work", len(self._creators), (1, 2, 1, 3, 2))
        self._designs = self._dealt("building", len(peers["architect"]), (3, 1, 2, 4))
        self._companies = Shares(self.counts["company"], len(self._founders), (4, 3, 2, 2))
        self._alumni = self._dealt("person", self.counts["school"], EVEN_WEIGHTS)
        self._regions = self._dealt("city", self.counts["region"], EVEN_WEIGHTS)
        self._rivers = self._dealt("city", self.counts["river"], EVEN_WEIGHTS)
        self._located = {
            kind: self._dealt(kind, cities, CITY_WEIGHTS)
            for kind in ("person", "company", "building", "school", "festival")
        }
        self._led = Appointed(self.counts["expedition"], len(self._leaders), self._key("leaders"))
        self._governed = Appointed(len(self._politicians), cities, self._key("mayors"))
        self._twins = Shuffle(cities, self._key("twins"))

    def _dealt(self, kind: str, owners: int, weights: tuple[int, ...]) -> Dealt:
        return Dealt(self.counts[kind], owners, weights, mix(self.seed, tag(kind), owners))

    def _key(self, purpose: str) -> int:
        return mix(self.seed, tag(purpose))

    def draw(self, rank: int, purpose: str, size: int) -> int:
        return mix(self.seed, tag(purpose), rank) % size

    # Names, and what others need to know

    def _name(self, kind: str, rank: int) -> str:
        if kind == "person":
            return " ".join(self.lexicon.person(rank)[:2])
        if kind == "company":
            return self.lexicon.company(rank, self.industry(rank)[1])
        if kind == "work":
            return self.lexicon.work(rank, self.form(rank).shape)
        if kind in ("region", "city", "river"):
            return self.lexicon.place(kind, rank)
        return self.lexicon.typed(kind, rank)[0]

    def life(self, person: int) -> Life:
        given, surname, woman = self.lexicon.person(person)
        born = self.born(person)
        died = born + SHORTEST_LIFE + self.draw(person, "life", LONGEST_LIFE - SHORTEST_LIFE)
        occupation = OCCUPATIONS[person % len(OCCUPATIONS)]
        return Life(given, surname, woman, occupation, born, died if died < PRESENT else None)

    def born(self, person: int) -> int:
        return FIRST_BIRTH + person * (LAST_BIRTH - FIRST_BIRTH) // self.counts["person"]

    def born_before(self, year: int) -> int:
        """How many people were born before ``year``."""
        elapsed = min(max(0, year - FIRST_BIRTH), LAST_BIRTH - FIRST_BIRTH)
        return -(-elapsed * self.counts["person"] // (LAST_BIRTH - FIRST_BIRTH))

    def industry(self, company: int) -> tuple[str, str]:
        """(industry, its word in the name): rivals, the pairs (0, 1), (2, 3), …, share it."""
        return industries()[company // 2 % len(industries())]

    def form(self, work: int) -> Form:
        return FORMS[OCCUPATIONS[self.creator(work) % len(OCCUPATIONS)]]

    def population(self, city: int) -> int:
        weight = CITY_WEIGHTS[city % len(CITY_WEIGHTS)]
        return weight * 9_000 + self.draw(city, "population", weight * 8_000) + 1_200

    # Where things are

    def city_of(self, kind: str, rank: int) -> int:
        """Where a person was born; where anything else stands."""
        return self._located[kind].owner(rank)

    def in_city(self, kind: str, city: int) -> list[int]:
        return self._located[kind].items(city)

    def region_of(self, city: int) -> int:
        return self._regions.owner(city)

    def cities_in(self, region: int) -> list[int]:
        return self._regions.items(region)

    def river_of(self, city: int) -> int:
        return self._rivers.owner(city)

    def cities_on(self, river: int) -> list[int]:
        return self._rivers.items(river)

    def twin(self, city: int) -> int | None:
        other = paired(self._twins(city), self.counts["city"])
        return None if other is None else self._twins.inverse(other)

    # Who did what

    def creator(self, work: int) -> int:
        return self._creators.rank(self._works.owner(work))

    def works_of(self, person: int) -> list[int]:
        return _owned_by(self._creators, self._works, person)

    def work_year(self, work: int) -> int:
        return self.born(self.creator(work)) + 26 + self.draw(work, "work year", WORKING_YEARS)

    def founder(self, company: int) -> int:
        return self._founders.rank(self._companies.owner(company))

    def companies_of(self, person: int) -> list[int]:
        number = self._founders.number(person)
        return [] if number is None else list(self._companies.items_of(number))

    def founding_year(self, company: int) -> int:
        """A founder founds one company after the other, all of them at one of the FOUNDING_AGES."""
        founder = self.founder(company)
        earlier = self.companies_of(founder).index(company)
        return self.born(founder) + FOUNDING_AGES[0] + 8 * earlier + self.draw(company, "founding", 6)

    def architect(self, building: int) -> int:
        return self._peers["architect"].rank(self._designs.owner(building))

    def designs_of(self, person: int) -> list[int]:
        return _owned_by(self._peers["architect"], self._designs, person)

    def opening_year(self, building: int) -> int:
        return self.born(self.architect(building)) + 30 + self.draw(building, "opening", 25)

    def leader(self, expedition: int) -> int:
        chosen = self._led.chosen(expedition)
        assert chosen is not None, "a world has more explorers and botanists than expeditions"
        return self._leaders.rank(chosen)

    def expedition_of(self, person: int) -> int | None:
        number = self._leaders.number(person)
        return None if number is None else self._led.chooser(number)

    def expedition_year(self, expedition: int) -> int:
        return self.born(self.leader(expedition)) + 28 + self.draw(expedition, "setting out", 20)

    def first_mayor(self, city: int) -> int | None:
        number = self._governed.chooser(city)
        return None if number is None else self._politicians.rank(number)

    def city_governed(self, person: int) -> int | None:
        number = self._politicians.number(person)
        return None if number is None else self._governed.chosen(number)

    def election_year(self, mayor: int) -> int:
        return self.born(mayor) + 38 + self.draw(mayor, "election", 10)

    # Who knew whom

    def school_of(self, person: int) -> int | None:
        return self._alumni.owner(person) if self.draw(person, "studied", 10) < 7 else None

    def alumni_of(self, school: int) -> list[int]:
        return [person for person in self._alumni.items(school) if self.school_of(person) is not None]

    def spouse(self, person: int) -> int | None:
        """Neighbours in age; every third pair is married."""
        other = paired(person, self.counts["person"])
        if other is None or max(person, other) >= self.born_before(LAST_ACTIVE_BIRTH):
            return None
        return other if self.draw(person // 2, "married", 3) == 0 else None

    def wedding_year(self, person: int) -> int:
        return max(self.born(person), self.born(person ^ 1)) + 23 + self.draw(person // 2, "wedding", 12)

    def teacher(self, person: int) -> int | None:
        """For half of the people: somebody of the same occupation, 20 to 45 years older, where there is one."""
        peers = self._peers[OCCUPATIONS[person % len(OCCUPATIONS)]]
        oldest, youngest = (peers.before(self.born_before(self.born(person) - gap)) for gap in (45, 20))
        if youngest <= oldest or self.draw(person, "taught", 2):
            return None
        return peers.rank(oldest + self.draw(person, "teacher", youngest - oldest))

    def dedicatee(self, work: int) -> int | None:
        """Somebody between 20 and 70 when the work appeared, and not its creator."""
        first, end = (self.born_before(self.work_year(work) - age) for age in (70, 20))
        others = [rank for rank in range(first, min(end, first + 2)) if rank != self.creator(work)]
        if not others or self.draw(work, "dedicated", 2):
            return None
        chosen = first + self.draw(work, "dedicatee", end - first)
        return others[0] if chosen == self.creator(work) else chosen

    def company_in(self, year: int, rank: int, purpose: str) -> int | None:
        """One of the companies that existed in ``year``."""
        number = self._companies_in(year)
        return self.draw(rank, purpose, number) if number else None

    def press_in(self, year: int, work: int) -> int | None:
        """One of the presses that existed in ``year``."""
        cycle = 2 * len(industries())
        first = 2 * [industry for industry, _ in industries()].index("publishing")
        presses = Roster(self.counts["company"], cycle, (first, first + 1))
        number = presses.before(self._companies_in(year))
        return presses.rank(self.draw(work, "press", number)) if number else None

    def _companies_in(self, year: int) -> int:
        """How many companies, from rank 0 on, surely existed in ``year``: their founders were past the founding age."""
        latest = year - FOUNDING_AGES[1]
        return bisect_right(range(self.counts["company"]), latest, key=lambda company: self.born(self.founder(company)))


def _owned_by(roster: Roster, dealt: Dealt, person: int) -> list[int]:
    number = roster.number(person)
    return [] if number is None else dealt.items(number)


def _roster(size: int, *occupations: str) -> Roster:
    places = [place for place, name in enumerate(OCCUPATIONS) if name in occupations]
    return Roster(size, len(OCCUPATIONS), places)


def _counts(pages: int) -> dict[str, int]:
    counts = {kind: max(2, round(pages * share)) for kind, share in KINDS.items()}
    counts["person"] += pages - sum(counts.values())
    return counts

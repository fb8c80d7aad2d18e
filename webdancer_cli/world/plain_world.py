"""The plain world: who and what there is, and how they are related, computed from (seed, index) alone.

Nothing is stored: an entity's name is a shuffled place in the name space, its relations are hashes and shuffles, its
years follow from its rank, so that a million pages take the memory of one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from webdancer_cli.world.arithmetic import Shuffle, mix, tag
from webdancer_cli.world.syllables import Pool, pool_words

KINDS = {"town": 0.25, "person": 0.35, "company": 0.15, "book": 0.15, "festival": 0.10}
"""The share of each kind among the pages."""

FIRST_BIRTH, LAST_BIRTH = 1800, 1980


@dataclass(frozen=True)
class Entity:
    index: int
    kind: str
    name: str
    slug: str


@dataclass(frozen=True)
class WorldFact:
    """The ``relation`` of the subject is ``value``, the name of entity ``target_index`` (None: a plain number)."""

    subject_index: int
    relation: str
    value: str
    target_index: int | None


class Names:
    """Distinct names for ``count`` entities: single words of the pool; pairs of them where those are too few."""

    def __init__(self, count: int, seed: int, pool: Pool):
        self._words = pool_words(pool)
        self._paired = count > len(self._words)
        size = len(self._words) * (len(self._words) - 1) if self._paired else len(self._words)
        self._shuffle = Shuffle(size, mix(seed, tag("names")))

    def __call__(self, index: int) -> str:
        place = self._shuffle(index)
        if not self._paired:
            return self._words[place]
        first, second = divmod(place, len(self._words) - 1)
        return f"{self._words[first]} {self._words[second + (second >= first)]}"


class PlainWorld:
    """``pages`` entities; kinds lie in blocks of indices, a person's rank in its block is the order of birth."""

    def __init__(self, pages: int, seed: int, names: Pool = "train"):
        self.pages = pages
        self.seed = seed
        self.names = names
        self._name = Names(pages, seed, names)
        self._start, self._count = _blocks(pages)
        self._mayor = Shuffle(self._count["person"], mix(seed, tag("mayor")))
        self._facts: dict[str, Callable[[int, int], list[WorldFact]]] = {
            "town": self._town,
            "person": self._person,
            "company": self._company,
            "book": self._book,
            "festival": self._festival,
        }

    def __len__(self) -> int:
        return self.pages

    def kind(self, index: int) -> str:
        if not 0 <= index < self.pages:
            raise IndexError(f"no entity {index} in a world of {self.pages}")
        return next(kind for kind, start in self._start.items() if index < start + self._count[kind])

    def indices(self, kind: str) -> range:
        return range(self._start[kind], self._start[kind] + self._count[kind])

    def entity(self, index: int) -> Entity:
        kind, name = self.kind(index), self._name(index)
        return Entity(index, kind, name, name.replace(" ", "_"))

    def facts(self, index: int) -> list[WorldFact]:
        kind = self.kind(index)
        return self._facts[kind](index, index - self._start[kind])

    def _town(self, index: int, rank: int) -> list[WorldFact]:
        return [
            self._link_fact(index, "mayor", "person", self._mayor(rank)),
            self._link_fact(index, "twin town", "town", self._other("town", rank, "twin town")),
            self._link_fact(index, "main company", "company", self._any("company", rank, "main company")),
            _number(index, "founding year", 900 + self._draw(rank, "town year", 600)),
        ]

    def _person(self, index: int, rank: int) -> list[WorldFact]:
        facts = [
            self._link_fact(index, "birthplace", "town", self._any("town", rank, "birthplace")),
            self._link_fact(index, "employer", "company", self._draw(rank, "employer", self._companies_by(rank))),
            _number(index, "birth year", self._birth_year(rank)),
        ]
        youngest, oldest = self._rank_born(self._birth_year(rank) - 20), self._rank_born(self._birth_year(rank) - 60)
        if youngest > oldest:
            teacher = oldest + self._draw(rank, "teacher", youngest - oldest)
            facts.insert(0, self._link_fact(index, "teacher", "person", teacher))
        return facts

    def _company(self, index: int, rank: int) -> list[WorldFact]:
        founder = self._company_founder(rank)
        return [
            self._link_fact(index, "founder", "person", founder),
            self._link_fact(index, "headquarters", "town", self._any("town", rank, "headquarters")),
            self._link_fact(index, "rival", "company", self._other("company", rank, "rival")),
            _number(index, "founding year", self._company_year(rank)),
        ]

    def _book(self, index: int, rank: int) -> list[WorldFact]:
        author = self._later_person(rank, "author")
        publisher = self._draw(rank, "publisher", self._companies_before(author))
        year = self._birth_year(author) + 25 + self._draw(rank, "book year", 40)
        return [
            self._link_fact(index, "author", "person", author),
            self._link_fact(index, "setting", "town", self._any("town", rank, "setting")),
            self._link_fact(index, "publisher", "company", publisher),
            _number(index, "publication year", max(year, self._company_year(publisher))),
        ]

    def _festival(self, index: int, rank: int) -> list[WorldFact]:
        founder = self._later_person(rank, "festival founder")
        return [
            self._link_fact(index, "host", "town", self._any("town", rank, "host")),
            self._link_fact(index, "founder", "person", founder),
            self._link_fact(index, "sponsor", "company", self._any("company", rank, "sponsor")),
            _number(index, "founding year", self._birth_year(founder) + 25 + self._draw(rank, "festival year", 40)),
        ]

    def _birth_year(self, rank: int) -> int:
        return FIRST_BIRTH + rank * (LAST_BIRTH - FIRST_BIRTH) // self._count["person"]

    def _rank_born(self, year: int) -> int:
        """The number of persons born before ``year``, which is also the rank of the first one born in it."""
        elapsed = max(0, year - FIRST_BIRTH)
        return -(-elapsed * self._count["person"] // (LAST_BIRTH - FIRST_BIRTH))

    def _company_founder(self, rank: int) -> int:
        """Companies are ranked by their founders, who come from the first 60 % of the persons."""
        return rank * self._count["person"] * 6 // (self._count["company"] * 10)

    def _company_year(self, rank: int) -> int:
        return self._birth_year(self._company_founder(rank)) + 25 + self._draw(rank, "company year", 30)

    def _companies_by(self, person: int) -> int:
        """How many companies have a founder no younger than this person: they existed when the person could work."""
        founded = (person + 1) * self._count["company"] * 10 - 1
        return min(self._count["company"], founded // (self._count["person"] * 6) + 1)

    def _companies_before(self, author: int) -> int:
        """How many companies were founded before the author's first book, the last one perhaps a little later."""
        return self._companies_by(max(0, self._rank_born(self._birth_year(author) - 30)))

    def _later_person(self, rank: int, relation: str) -> int:
        """Not one of the first fifth, so that somebody has founded a company before."""
        first = self._count["person"] // 5
        return first + self._draw(rank, relation, self._count["person"] - first)

    def _any(self, kind: str, rank: int, relation: str) -> int:
        return self._draw(rank, relation, self._count[kind])

    def _other(self, kind: str, rank: int, relation: str) -> int:
        """Any of the kind except ``rank`` itself."""
        return (rank + 1 + self._draw(rank, relation, self._count[kind] - 1)) % self._count[kind]

    def _draw(self, rank: int, purpose: str, size: int) -> int:
        return mix(self.seed, tag(purpose), rank) % size

    def _link_fact(self, index: int, relation: str, kind: str, rank: int) -> WorldFact:
        target = self._start[kind] + rank
        return WorldFact(index, relation, self._name(target), target)


def _number(index: int, relation: str, value: int) -> WorldFact:
    return WorldFact(index, relation, str(value), None)


def _blocks(pages: int) -> tuple[dict[str, int], dict[str, int]]:
    """Where each kind's indices start, and how many there are; rounding goes to the last kind."""
    start, count, used = {}, {}, 0
    for kind, share in KINDS.items():
        start[kind], count[kind] = used, round(pages * share)
        used += count[kind]
    count[kind] += pages - used
    return start, count

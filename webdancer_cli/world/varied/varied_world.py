"""A varied world: parts whose axes may take different values, the things in them, and what is told of each."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from webdancer_cli.errors import UsageError
from webdancer_cli.text.months import MONTHS
from webdancer_cli.world.arithmetic import mix, tag
from webdancer_cli.world.plain_world import Entity, Names
from webdancer_cli.world.syllables import Pool
from webdancer_cli.world.varied.axes import Axes, Axis
from webdancer_cli.world.varied.domains import Kind, WorldRelation, domain_plan

SEEN = "seen"
"""The part of a world in which nothing is held out."""
LEAST_THINGS = 24
"""Things of one domain in a part: with fewer, relations have nowhere to lead."""
OUTDATED = 0.08
"""Share of the things on which there is an old entry, too, that says otherwise of one relation."""
NAMESAKES = 0.06
"""Share of the things that bear the name of another one, of another kind."""


@dataclass(frozen=True)
class VariedFact:
    """What is told of one thing. ``values`` are as its page writes them, ``targets`` the things that they name."""

    relation: WorldRelation
    values: tuple[str, ...]
    targets: tuple[int | None, ...]
    rank: int = 0
    """A date or a number as an integer, by which it is compared."""
    aliases: tuple[str, ...] = ()


@dataclass
class Thing:
    """An entity with its page. ``shape`` has the value of each axis that its page was drawn with."""

    entity: Entity
    title: str
    kind: Kind
    split: str
    shape: dict[Axis, str]
    wordings: tuple[str, ...]
    """Those from which each of its facts draws its own; the shape has no value of this axis."""
    facts: dict[str, VariedFact] = field(default_factory=dict)
    in_register: frozenset[str] = frozenset()
    """Relations that the register page tells, and this page does not."""
    outdated: VariedFact | None = None
    """What the old entry says, which was never revised; the page itself was."""

    @property
    def pronoun(self) -> str:
        return ("his", "her")[self.entity.index % 2] if self.kind.human else "its"


class VariedWorld:
    """``pages`` things in all. The evaluation pool has a part for each axis that something is held out of.

    Raises UsageError for fewer pages than the parts and domains need.
    """

    def __init__(self, pages: int, seed: int, names: Pool, axes: Axes, held_out: dict[Axis, tuple[str, ...]]):
        self.seed = seed
        self.things: list[Thing] = []
        self._of: dict[tuple[str, str], list[Thing]] = {}
        self._named: dict[str, list[Thing]] = {}
        self._pairs: dict[tuple[str, str, str], dict[int, list[Thing]]] = {}
        parts = _parts(names, axes, held_out)
        self._name = Names(2 * pages, seed, names)
        for number, (split, part) in enumerate(parts):
            first, last = number * pages // len(parts), (number + 1) * pages // len(parts)
            self._add_part(split, part, last - first)
        for thing in self.things:
            self._link(thing)

    def of(self, split: str, kind: str) -> list[Thing]:
        return list(self._of.get((split, kind), []))

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(thing.split for thing in self.things))

    def _add_part(self, split: str, axes: Axes, size: int) -> None:
        domains = axes.allowed["domain"]
        if size < LEAST_THINGS * len(domains):
            least = LEAST_THINGS * len(domains)
            raise UsageError(f"--pages: {size} for {split} is too few for {len(domains)} domains: {least} at least")
        for number, domain in enumerate(domains):
            count = (number + 1) * size // len(domains) - number * size // len(domains)
            for kind, own in _shared(domain_plan(domain).kinds, count):
                self._add_thing(split, axes.only("domain", [domain]), kind, own)

    def _add_thing(self, split: str, axes: Axes, kind: str, own: Kind) -> None:
        index = len(self.things)
        choice = random.Random(mix(self.seed, tag("shape"), index))
        shape: dict[Axis, str] = {axis: axes.draw(axis, choice) for axis in axes.allowed if axis != "wording"}
        name = self._name(index)
        near = (thing for thing in self.things[-40:] if thing.split == split and "(" not in thing.title)
        others = [thing for thing in near if thing.entity.kind != kind]
        if others and choice.random() < NAMESAKES:
            name = choice.choice(others).entity.name
        title = name
        for other in self._named.get(name, []):
            title, other.title = f"{name} ({kind})", f"{name} ({other.entity.kind})"
        slug = title.lower().replace(" ", "-").replace("(", "").replace(")", "")
        thing = Thing(Entity(index, kind, name, slug), title, own, split, shape, axes.allowed["wording"])
        self.things.append(thing)
        self._named.setdefault(name, []).append(thing)
        self._of.setdefault((split, kind), []).append(thing)

    def _link(self, thing: Thing) -> None:
        choice = random.Random(mix(self.seed, tag("facts"), thing.entity.index))
        for relation in thing.kind.relations.values():
            fact = self._fact(thing, relation, choice)
            if fact is not None:
                thing.facts[relation.name] = fact
        if thing.shape["linking"] == "register":
            names = sorted(thing.facts)
            thing.in_register = frozenset(choice.sample(names, len(names) // 2))
        if choice.random() < OUTDATED:
            thing.outdated = self._outdated(thing, choice)

    def _outdated(self, thing: Thing, choice: random.Random) -> VariedFact | None:
        """Another value of one of the relations that the page itself tells."""
        told = [fact for fact in thing.facts.values() if fact.relation.name not in thing.in_register]
        ways = [fact.relation for fact in told if len(fact.values) == 1 and (fact.relation.to or fact.relation.number)]
        relation = choice.choice(ways) if ways else None
        free = None if relation is None else replace(relation, symmetric=False, earlier=False)
        other = None if free is None else self._fact(thing, free, choice)
        return other if relation and other and other.values != thing.facts[relation.name].values else None

    def _fact(self, thing: Thing, relation: WorldRelation, choice: random.Random) -> VariedFact | None:
        if relation.to:
            return self._linking_fact(thing, relation, choice)
        if relation.date:
            return _date_fact(relation, choice)
        if relation.number:
            return _number_fact(relation, choice)
        return VariedFact(relation, (choice.choice(relation.words),), (None,))

    def _linking_fact(self, thing: Thing, relation: WorldRelation, choice: random.Random) -> VariedFact | None:
        """Other things of the part, of the kind that the relation leads to."""
        others = [other for other in self.of(thing.split, relation.to) if other is not thing]
        least, most = relation.many or (1, 1)
        if relation.symmetric:
            others = self._partner(thing, relation)
        elif relation.earlier:
            others = [other for other in others if other.entity.index < thing.entity.index]
            others = [other for other in others if not _names(other, thing)]  # nobody's sibling is their child
        if relation.pronoun:
            others = [other for other in others if other.pronoun == relation.pronoun]
        named = {target for fact in thing.facts.values() for target in fact.targets}
        others = others if relation.symmetric else _preferred(others, named, most)
        if len(others) < least:
            return None
        drawn = choice.sample(others, choice.randint(least, min(most, len(others))))
        return VariedFact(relation, tuple(other.title for other in drawn), tuple(other.entity.index for other in drawn))

    def _partner(self, thing: Thing, relation: WorldRelation) -> list[Thing]:
        """The things of a kind in pairs, in an order of the relation's own; nobody for one that is left over."""
        key = thing.split, thing.entity.kind, relation.name
        if key not in self._pairs:
            order = self.of(thing.split, thing.entity.kind)
            random.Random(mix(self.seed, tag(relation.name), tag(thing.split))).shuffle(order)
            self._pairs[key] = {each.entity.index: order[at ^ 1 : (at ^ 1) + 1] for at, each in enumerate(order)}
        return self._pairs[key][thing.entity.index]


def _names(other: Thing, thing: Thing) -> bool:
    return any(thing.entity.index in fact.targets for fact in other.facts.values())


def _preferred(others: list[Thing], named: set[int | None], count: int) -> list[Thing]:
    """Those that no other fact of the page names (nobody's mother is a sibling, too), if they are enough."""
    free = [other for other in others if other.entity.index not in named]
    return free if len(free) >= count else others


def _parts(names: Pool, axes: Axes, held_out: dict[Axis, tuple[str, ...]]) -> list[tuple[str, Axes]]:
    seen = axes.without(held_out)
    parts = [(SEEN, seen)]
    if names == "eval":
        for axis, values in held_out.items():
            part = seen.only(axis, values)
            if axis == "wording":  # where a page tells its facts in sentences
                part = part.only(
                    "layout", [value for value in ("prose", "sections") if value in seen.allowed["layout"]]
                )
            parts.append((axis, part))
    return parts


def _shared(kinds: dict[str, Kind], count: int) -> Iterator[tuple[str, Kind]]:
    """``count`` kinds, each as often as its share says."""
    total, used, before = sum(own.share for own in kinds.values()), 0, 0
    for kind, own in kinds.items():
        used += own.share
        upto = used * count // total
        yield from [(kind, own)] * (upto - before)
        before = upto


def _date_fact(relation: WorldRelation, choice: random.Random) -> VariedFact:
    first, last = relation.date or (0, 0)
    year, month, day = choice.randint(first, last), choice.randrange(12), choice.randint(1, 28)
    forms = date_forms(year, month, day)
    shown = choice.choice(forms)
    return VariedFact(relation, (shown,), (None,), year * 10_000 + month * 100 + day, _others(forms, shown))


def date_forms(year: int, month: int, day: int) -> list[str]:
    """A day (``month`` from 0) as pages may write it."""
    name = MONTHS[month]
    ordinal = f"{day}{'th' if 4 <= day <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
    return [
        f"{day} {name} {year}",
        f"{name} {day}, {year}",
        f"{year}-{month + 1:02}-{day:02}",
        f"{ordinal} {name} {year}",
        f"{day} {name[:3]} {year}",
    ]


def _number_fact(relation: WorldRelation, choice: random.Random) -> VariedFact:
    least, most = relation.number or (0, 0)
    number = choice.randint(least, most)
    unit = f" {relation.unit}" if relation.unit else ""
    forms = list(dict.fromkeys([f"{number}{unit}", f"{number:,}{unit}", str(number), f"{number:,}"]))
    shown = choice.choice([form for form in forms if form.endswith(unit)])
    return VariedFact(relation, (shown,), (None,), number, _others(forms, shown))


def _others(forms: Sequence[str], shown: str) -> tuple[str, ...]:
    return tuple(form for form in forms if form != shown)

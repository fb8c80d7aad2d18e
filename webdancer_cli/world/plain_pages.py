"""The plain style: a page is one paragraph of simple sentences, so that a very small model can read it."""

from collections.abc import Sequence
from dataclasses import dataclass

from webdancer_cli.world.arithmetic import mix, tag
from webdancer_cli.world.document import Article, Section, Sentence, TextRun, paragraph_text, sentence
from webdancer_cli.world.plain_world import KINDS, Entity, PlainWorld, WorldFact


@dataclass(frozen=True)
class PageText:
    title: str
    slug: str
    sentences: list[Sentence]

    @property
    def text(self) -> str:
        return paragraph_text(self.sentences)


def plain_page(world: PlainWorld, index: int) -> PageText:
    """What the entity is, then its facts in an order of the page's own."""
    entity = world.entity(index)
    facts = _shuffle(world.facts(index), world.seed, index)
    said = [_say(world, entity, fact) for fact in facts]
    return PageText(entity.name, entity.slug, [sentence(f"{entity.name} is a {entity.kind}."), *said])


class PlainPages:
    """The plain world as a site: all pages in one folder, ``Velmora.html``."""

    def __init__(self, world: PlainWorld):
        self._world = world

    @property
    def plurals(self) -> dict[str, str]:
        irregular = {"person": "people", "company": "companies"}
        return {kind: irregular.get(kind, kind + "s") for kind in KINDS}

    def indices(self, kind: str) -> range:
        return self._world.indices(kind)

    def entity(self, index: int) -> Entity:
        return self._world.entity(index)

    def path(self, index: int) -> str:
        return _path(self.entity(index))

    def facts(self, index: int) -> list[WorldFact]:
        return self._world.facts(index)

    def article(self, index: int) -> Article:
        written = plain_page(self._world, index)
        section = Section(None, [written.sentences])
        return Article(written.title, self.path(index), [section], heading=False)


def _say(world: PlainWorld, entity: Entity, fact: WorldFact) -> Sentence:
    target = None if fact.target_index is None else _path(world.entity(fact.target_index))
    return sentence(f"The {fact.relation} of {entity.name} is ", TextRun(fact.value, target), ".")


def _path(entity: Entity) -> str:
    return f"{entity.slug}.html"


def _shuffle(facts: Sequence[WorldFact], seed: int, index: int) -> list[WorldFact]:
    order = {fact.relation: mix(seed, tag("order"), index, tag(fact.relation)) for fact in facts}
    return sorted(facts, key=lambda fact: order[fact.relation])

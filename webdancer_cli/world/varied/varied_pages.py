"""The pages of a varied world: each in the shape that was drawn for it, with the passage that proves each fact."""

import random
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from webdancer_cli.world.arithmetic import mix, tag
from webdancer_cli.world.document import Article, Section, Sentence, TextRun, paragraph_text, sentence
from webdancer_cli.world.plain_world import Entity, WorldFact
from webdancer_cli.world.varied.varied_world import Thing, VariedFact, VariedWorld
from webdancer_cli.world.varied.wordings import Told, list_text

TALK = {"short": (0, 1), "medium": (6, 16), "long": (50, 180)}
"""Sentences that tell nothing, by the length of a page: 30 to 3,000 words in all."""
REGISTER = "register"
"""The kind of the pages that hold what the page of a thing leaves out."""
OLD_ENTRY = "old entry"
"""The kind of the pages that say what is no longer so."""
FIRST_NUMBER = 1000
"""Of the pages whose addresses are numbers."""


class VariedPages:
    """A varied world as a site. Past the last thing come the register pages of some, then the old entries on some."""

    def __init__(self, world: VariedWorld):
        self._world = world
        self._registered = [thing for thing in world.things if thing.in_register]
        self._outdated = [thing for thing in world.things if thing.outdated]
        first = len(world.things)
        self._registers = {thing.entity.index: first + at for at, thing in enumerate(self._registered)}
        self.plurals = {thing.entity.kind: thing.kind.plural for thing in world.things}
        if self._registered:
            self.plurals[REGISTER] = "registers"
        if self._outdated:
            self.plurals[OLD_ENTRY] = "old-entries"

    def indices(self, kind: str) -> Sequence[int]:
        things, registers = len(self._world.things), len(self._world.things) + len(self._registered)
        if kind == REGISTER:
            return range(things, registers)
        if kind == OLD_ENTRY:
            return range(registers, registers + len(self._outdated))
        return [thing.entity.index for thing in self._world.things if thing.entity.kind == kind]

    def entity(self, index: int) -> Entity:
        thing, kind = self._thing(index)
        if kind == REGISTER:
            return Entity(index, REGISTER, register_title(thing), f"register-of-{thing.entity.slug}")
        if kind == OLD_ENTRY:
            return Entity(index, OLD_ENTRY, f"Old entry on {thing.title}", f"old-entry-on-{thing.entity.slug}")
        return Entity(index, kind, thing.title, thing.entity.slug)

    def path(self, index: int) -> str:
        """One of four forms, drawn for each page: an address has to be read, it cannot be made up from a name."""
        entity = self.entity(index)
        folders = (self.plurals[entity.kind], "wiki", entity.slug[0], "n")
        folder = folders[mix(self._world.seed, tag("address"), index) % len(folders)]
        return f"{folder}/{FIRST_NUMBER + index if folder == 'n' else entity.slug}.html"

    def facts(self, index: int) -> list[WorldFact]:
        """None for a register, which tells facts of the thing, nor for an old entry, which tells none."""
        thing, kind = self._thing(index)
        told = thing.facts.values() if kind == thing.entity.kind else ()
        return [
            WorldFact(index, fact.relation.name, value, target)
            for fact in told
            for value, target in zip(fact.values, fact.targets, strict=True)
        ]

    def article(self, index: int) -> Article:
        return self._drawn(index)[0]

    def page_of(self, thing: Thing, relation: str) -> tuple[int, str]:
        """The index of the page that tells a fact, and the passage that does."""
        index = self.register_index(thing) if relation in thing.in_register else thing.entity.index
        return index, self._drawn(index)[1][relation]

    def named_facts(self, index: int) -> dict[str, str]:
        """All facts of a page by their names, in the page's order."""
        article, passages = self._drawn(index)
        text, facts = article_text(article), self._thing(index)[0].facts
        values = {name: list_text(facts[name].values) for name in passages}
        order = sorted(passages, key=lambda name: (text.find(passages[name]), passages[name].rfind(values[name])))
        return {facts[name].relation.label: values[name] for name in order}

    def register_index(self, thing: Thing) -> int:
        return self._registers[thing.entity.index]

    def pointer(self, thing: Thing) -> str:
        """The sentence by which a page sends the reader to its register."""
        return self._pointer(thing).text

    def _thing(self, index: int) -> tuple[Thing, str]:
        """The thing that a page is about, and the kind of the page."""
        things, registers = len(self._world.things), len(self._registered)
        if index < things:
            return self._world.things[index], self._world.things[index].entity.kind
        past = index - things
        return (self._registered[past], REGISTER) if past < registers else (self._outdated[past - registers], OLD_ENTRY)

    @cache  # noqa: B019 (a world's pages live as long as the run)
    def _drawn(self, index: int) -> tuple[Article, dict[str, str]]:
        thing, kind = self._thing(index)
        choice = random.Random(mix(self._world.seed, tag("page"), index))
        if kind == OLD_ENTRY and thing.outdated:
            return self._old_entry(index, thing, thing.outdated, choice), {}
        facts = [fact for name, fact in thing.facts.items() if (name in thing.in_register) is (kind == REGISTER)]
        choice.shuffle(facts)
        page = _PageDraft(thing, choice, [self._told(thing, fact, choice) for fact in facts])
        return page.article(self.entity(index).name, self.path(index), self._lead(index, choice)), page.passages

    def _lead(self, index: int, choice: random.Random) -> list[Sentence]:
        thing, kind = self._thing(index)
        if kind == REGISTER:
            return [sentence(f"{register_title(thing)} holds what is on file about {thing.title}.")]
        lead = [sentence(f"{thing.title} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}.")]
        lead += [self._pointer(thing)] if thing.in_register else []
        revised = sentence(f"This page was last revised in {choice.randint(2021, 2025)}.")
        return [*lead, revised] if thing.outdated else lead

    def _old_entry(self, index: int, thing: Thing, fact: VariedFact, choice: random.Random) -> Article:
        year = choice.randint(1925, 1999)
        lead = [sentence(f"This entry on {thing.title} was written in {year} and has not been revised since.")]
        said = self._told(thing, fact, choice)[1].sentence(thing.wordings[0])
        return Article(self.entity(index).name, self.path(index), [Section(None, [[*lead, said]])])

    def _pointer(self, thing: Thing) -> Sentence:
        labels = [thing.facts[name].relation.label for name in sorted(thing.in_register)]
        listed = ", ".join(labels[:-1]) + f" and {labels[-1]}" if labels[1:] else labels[0]
        register = TextRun(register_title(thing), self.path(self.register_index(thing)))
        return sentence(f"For the {listed}, see the ", register, ".")

    def _told(self, thing: Thing, fact: VariedFact, choice: random.Random) -> tuple[VariedFact, Told]:
        links = thing.shape["linking"] != "names"
        targets = [self.path(target) if links and target is not None else None for target in fact.targets]
        values = tuple(TextRun(value, target) for value, target in zip(fact.values, targets, strict=True))
        plural = fact.relation.many is not None and len(values) > 1
        label = fact.relation.plural if plural else fact.relation.name
        return fact, Told(TextRun(thing.title), thing.pronoun, label, plural, values, fact.relation.verb)


class _PageDraft:
    """Facts laid out as the shape says; ``passages`` has by relation what proves each."""

    def __init__(self, thing: Thing, choice: random.Random, told: list[tuple[VariedFact, Told]]):
        self._thing = thing
        self._choice = choice
        self._told = told
        self.passages: dict[str, str] = {}

    def article(self, title: str, path: str, lead: list[Sentence]) -> Article:
        layout, table, sections = self._thing.shape["layout"], [], []
        in_table = {"table": len(self._told), "infobox": (len(self._told) + 1) // 2}.get(layout, 0)
        table = [
            (told.row_label, self._noted(fact, told.row(), told.row_label)) for fact, told in self._told[:in_table]
        ]
        if layout == "list":
            heading = self._choice.choice(talk()["headings"])
            sections.append(Section(heading, [], [self._noted(fact, told.item()) for fact, told in self._told]))
            said: list[tuple[Sentence, str]] = []
        else:
            said = list(self._sentences(self._told[in_table:]))
        early = [one for one, wording in said if wording == "verb"]
        later = [one for one, wording in said if wording != "verb"]
        blocks = self._paragraphs(early, later, 3 if layout == "sections" else 6)
        if layout == "sections":
            headings = self._choice.sample(talk()["headings"], min(len(blocks), len(talk()["headings"])))
            sections += [Section(heading, [block]) for heading, block in zip(headings, blocks, strict=False)]
            sections += [Section(None, [block]) for block in blocks[len(headings) :]]
        else:
            sections.append(Section(None, blocks))
        return Article(title, path, [Section(None, [lead]), *(section for section in sections if section)], table)

    def _noted(self, fact: VariedFact, said: Sentence, label: str = "") -> Sentence:
        self.passages[fact.relation.name] = f"{label} | {said.text}" if label else said.text
        return said

    def _sentences(self, told: list[tuple[VariedFact, Told]]) -> Iterator[tuple[Sentence, str]]:
        """Each fact in a wording that is drawn anew, with the wording; a joined one takes the next with it."""
        waiting = list(told)
        while waiting:
            fact, first = waiting.pop(0)
            wording = self._choice.choice(self._thing.wordings)
            joins = wording == "joined" and waiting and not (fact.rank or waiting[0][0].rank)
            other = waiting.pop(0) if joins else None
            said = first.sentence(wording, other[1] if other else None)
            for noted in (fact, other[0] if other else None):
                if noted is not None:
                    self._noted(noted, said)
            yield said, wording

    def _paragraphs(self, early: list[Sentence], later: list[Sentence], size: int) -> list[list[Sentence]]:
        """The sentences among those that tell nothing, in paragraphs.

        What does not name its relation comes first: on a long page nobody could find it by what is asked.
        """
        count = self._choice.randint(*TALK[self._thing.shape["length"]])
        forms: list[str] = []
        while len(forms) < count:
            forms += self._choice.sample(talk()["sentences"], len(talk()["sentences"]))
        mixed = [sentence(self._filled(form)) for form in forms[:count]] + later
        self._choice.shuffle(mixed)
        mixed = early + mixed
        return [mixed[start : start + size] for start in range(0, len(mixed), size)]

    def _filled(self, form: str) -> str:
        year, number = self._choice.randint(1800, 2015), self._choice.randint(2, 900)
        return form.replace("{s}", self._thing.title).replace("{year}", str(year)).replace("{n}", str(number))


@cache
def talk() -> dict[str, list[str]]:
    return tomllib.loads((resources.files(__package__) / "talk.toml").read_text("utf-8"))


def register_title(thing: Thing) -> str:
    return f"Register of {thing.title}"


def article_text(article: Article) -> str:
    """What a main text extraction shows of a page: its title, then a line for each paragraph, row, heading and item."""
    lines, (lead, *sections) = [article.title], article.sections
    for section in (lead, *sections):
        lines += [section.heading] if section.heading else []
        lines += [paragraph_text(block) for block in section.paragraphs]
        lines += [f"- {item.text}" for item in section.items]
        if section is lead:
            lines += [f"| {label} | {value.text} |" for label, value in article.table]
    return "\n".join(lines)

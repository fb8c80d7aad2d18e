"""Questions over a varied world, with their gold chains: which pages are read, for what, and what proves each step."""

import random
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources

from webdancer_cli.data.records import QA, Evidence, Page, text_sha256
from webdancer_cli.world.arithmetic import mix, tag
from webdancer_cli.world.site import page_url
from webdancer_cli.world.varied.domains import domain_plan
from webdancer_cli.world.varied.varied_pages import VariedPages, article_text
from webdancer_cli.world.varied.varied_world import Thing, VariedFact, VariedWorld
from webdancer_cli.world.varied.wordings import list_text

AUTHOR = "world"
LONGEST_CHAIN = 5
MOST_MENTIONS = 2
"""Pages that may name the value by which a thing is looked up: with more, a short list of results may miss it."""
TRIES = 60
"""Draws of one question before its type is given up for this turn."""


class VariedQuestions:
    """Writes questions in turn for each split, type and domain; none twice."""

    def __init__(self, world: VariedWorld, pages: VariedPages, site_url: str):
        self._world = world
        self._pages = pages
        self._site_url = site_url
        self._choice = random.Random(mix(world.seed, tag("questions")))
        self._by_split = {split: [thing for thing in world.things if thing.split == split] for split in world.splits}
        self._mentions = _mentions(world)
        self._makers: list[Callable[[Thing], QA | None]] = [
            *(lambda thing, hops=hops: self._chain(thing, hops) for hops in (1, 1, 2, 2, 3, 3, 4, 5)),
            self._derived,
            self._several,
            self._inverse,
            self._inverse_chain,
            self._count,
            self._comparison,
            self._superlative,
            self._intersection,
            self._years,
        ]

    def write(self, count: int) -> Iterator[QA]:
        """At most ``count`` questions; fewer where nothing new can be asked."""
        asked: set[str] = set()
        for turn in range(count):
            split = self._world.splits[turn % len(self._world.splits)]
            make = self._makers[turn // len(self._world.splits) % len(self._makers)]
            for _ in range(TRIES):
                qa = make(self._choice.choice(self._by_split[split]))
                if qa is not None and qa.question not in asked:
                    asked.add(qa.question)
                    yield qa
                    break

    # Chains

    def _chain(self, thing: Thing, hops: int) -> QA | None:
        """``hops`` facts in a row, each of the thing that the one before names; the last may be of any sort."""
        facts: list[tuple[Thing, VariedFact]] = []
        here, seen = thing, {thing.entity.index}
        for hop in range(hops):
            last = hop == hops - 1
            ways = [fact for fact in here.facts.values() if last or self._leads_on(fact, seen)]
            if not ways:
                return None
            fact = self._choice.choice(ways)
            if [other.relation for _, other in facts].count(fact.relation) > 1:
                return None
            facts.append((here, fact))
            if not last:
                here = self._world.things[fact.targets[0] or 0]
                seen.add(here.entity.index)
        if facts[-1][1].targets[0] in seen:
            return None
        return self._asked(facts, self._nested(thing.title, [fact.relation.label for _, fact in facts]))

    def _derived(self, thing: Thing) -> QA | None:
        """A relation that is two in one word, at the end of a chain of one or two facts more."""
        plan = domain_plan(thing.shape["domain"]).derived
        for noun, (kind, first, second) in self._choice.sample(sorted(plan.items()), len(plan)):
            facts = self._along(thing, [first, second]) if thing.entity.kind == kind else None
            if facts:
                owned = "'s " in noun  # "the captain's first mate of Kemlo" would be no English
                return self._asked(facts, f"{thing.title}'s {noun}" if owned else f"the {noun} of {thing.title}")
        return None

    def _along(self, thing: Thing, relations: list[str]) -> list[tuple[Thing, VariedFact]] | None:
        facts = []
        for name in relations:
            fact = thing.facts.get(name)
            if fact is None or fact.targets[0] is None:
                return None
            facts.append((thing, fact))
            thing = self._world.things[fact.targets[0]]
        names = {fact.targets[0] for _, fact in facts} | {facts[0][0].entity.index}
        return facts if len(names) == len(facts) + 1 else None

    def _leads_on(self, fact: VariedFact, seen: set[int]) -> bool:
        return len(fact.targets) == 1 and fact.targets[0] is not None and fact.targets[0] not in seen

    def _asked(self, facts: list[tuple[Thing, VariedFact]], phrase: str) -> QA:
        """The question for the last value of a chain."""
        fact = facts[-1][1]
        kind = fact.relation.to
        form = _form(fact, self._is_human(fact))
        question = self._put(form, x=phrase, k=kind)
        return self._qa(question, list_text(fact.values), facts, "multi_hop" if len(facts) > 1 else "single_hop")

    def _nested(self, title: str, labels: list[str]) -> str:
        """ "the captain of the sister ship of Kemlo", or "the captain of Kemlo's sister ship"."""
        first, *others = labels
        phrase = f"{title}'s {first}" if self._choice.random() < 0.35 else f"the {first} of {title}"
        for label in others:
            phrase = f"the {label} of {phrase}"
        return phrase

    def _is_human(self, fact: VariedFact) -> bool:
        target = fact.targets[0]
        return target is not None and self._world.things[target].kind.human

    def _several(self, thing: Thing) -> QA | None:
        """Two to four facts of one thing, all of them on its own page."""
        own = [fact for name, fact in thing.facts.items() if name not in thing.in_register]
        told = [fact for fact in own if len(fact.values) == 1 and "," not in fact.values[0]]
        if len(told) < 2:
            return None
        facts = self._choice.sample(told, min(len(told), self._choice.randint(2, 4)))
        asked = list_text([f"the {fact.relation.label}" for fact in facts])
        question = self._put("several", list=asked, s=thing.title)
        answer = list_text([fact.values[0] for fact in facts])
        return self._qa(question, answer, [(thing, fact) for fact in facts], "several")

    # Look-ups by a value

    def _inverse(self, thing: Thing) -> QA | None:
        fact = self._telling(thing)
        if fact is None:
            return None
        question = self._put("inverse", k=thing.entity.kind, r=fact.relation.name, v=fact.values[0], its=_its(thing))
        return self._qa(question, thing.title, [(thing, fact)], "inverse", labels=[_whose(thing, fact)])

    def _inverse_chain(self, thing: Thing) -> QA | None:
        """A further fact of a thing that has to be found by a value."""
        fact = self._telling(thing)
        ways = [other for other in thing.facts.values() if fact is not None and other is not fact]
        if fact is None or not ways:
            return None
        other = self._choice.choice(ways)
        found = f"the {thing.entity.kind} whose {fact.relation.name} is {fact.values[0]}"
        question = self._put(
            _form(other, self._is_human(other)), x=f"the {other.relation.label} of {found}", k=other.relation.to
        )
        if list_text(other.values) in question:
            return None
        labels = [_whose(thing, fact), other.relation.label]
        return self._qa(question, list_text(other.values), [(thing, fact), (thing, other)], "inverse", labels=labels)

    def _telling(self, thing: Thing) -> VariedFact | None:
        """A fact that is true of this thing alone, and whose value hardly any other page names."""
        told = [fact for fact in thing.facts.values() if fact.targets[0] is not None and not fact.relation.many]
        told = [fact for fact in told if fact.relation.name not in thing.in_register and not fact.relation.symmetric]
        told = [fact for fact in told if "(" not in thing.title + fact.values[0]]
        rare = [fact for fact in told if self._is_telling(thing, fact)]
        return self._choice.choice(rare) if rare else None

    def _is_telling(self, thing: Thing, fact: VariedFact) -> bool:
        target = fact.targets[0] or 0
        names_it = [self._world.things[index] for index in self._mentions[target]]
        same = [other for other in names_it if self._tells(other, fact)]
        claimed = any(other.outdated and target in other.outdated.targets for other in self._by_split[thing.split])
        return not claimed and len(set(self._mentions[target])) <= MOST_MENTIONS and same == [thing]

    def _tells(self, thing: Thing, fact: VariedFact) -> bool:
        own = thing.facts.get(fact.relation.name)
        return own is not None and own.targets[0] == fact.targets[0]

    # Several things or values

    def _count(self, thing: Thing) -> QA | None:
        several = [fact for fact in thing.facts.values() if len(fact.values) > 1]
        if not several:
            return None
        fact = self._choice.choice(several)
        question = self._put("count", rs=fact.relation.plural, s=thing.title)
        return self._qa(question, str(len(fact.values)), [(thing, fact)], "count", labels=[fact.relation.plural])

    def _comparison(self, thing: Thing, size: int = 2) -> QA | None:
        ranked = [fact for fact in thing.facts.values() if fact.rank]
        if not ranked:
            return None
        name = self._choice.choice(ranked).relation.name
        facts = self._with_fact(thing, name, size)
        if facts is None:
            return None
        dated = facts[0][1].relation.date is not None
        best = (min if dated else max)(facts, key=lambda item: item[1].rank)[0]
        titles = [other.title for other, _ in facts]
        listed = ", ".join(titles[:-1]) + f" or {titles[-1]}"
        form, degree = "earlier" if dated else "greater", "er" if size == 2 else "est"
        words = {"earlier": f"earli{degree}", "greater": f"great{degree}"}
        question = self._put(form, r=name, list=listed, all=list_text(titles), **words)
        return self._qa(question, best.title, facts, "comparison", labels=[f"{name} of {title}" for title in titles])

    def _superlative(self, thing: Thing) -> QA | None:
        return self._comparison(thing, 3)

    def _years(self, thing: Thing) -> QA | None:
        dated = [fact for fact in thing.facts.values() if fact.relation.date]
        facts = self._with_fact(thing, self._choice.choice(dated).relation.name, 2) if dated else None
        if facts is None:
            return None
        (one, first), (other, second) = facts
        years = abs(first.rank // 10_000 - second.rank // 10_000)
        if not years:
            return None
        name = first.relation.name
        question = self._put("temporal", r=name, a=one.title, b=other.title)
        labels = [f"{name} of {one.title}", f"{name} of {other.title}"]
        return self._qa(question, str(years), facts, "temporal", labels=labels)

    def _with_fact(self, thing: Thing, name: str, size: int) -> list[tuple[Thing, VariedFact]] | None:
        """This thing and others of its kind, each with the fact, no two of them equal."""
        alike = [other for other in self._by_split[thing.split] if other.entity.kind == thing.entity.kind]
        others = [other for other in alike if other is not thing and name in other.facts]
        if len(others) < size - 1:
            return None
        drawn = [thing, *self._choice.sample(others, size - 1)]
        self._choice.shuffle(drawn)
        facts = [(other, other.facts[name]) for other in drawn]
        return facts if len({fact.rank for _, fact in facts}) == size else None

    def _intersection(self, thing: Thing) -> QA | None:
        one = self._telling(thing)
        linking = [fact for fact in thing.facts.values() if fact.targets[0] is not None and not fact.relation.many]
        ways = [fact for fact in linking if one is not None and fact is not one and fact.values != one.values]
        if one is None or not ways:
            return None
        two = self._choice.choice(ways)
        question = self._put(
            "intersection",
            k=thing.entity.kind,
            v=one.values[0],
            r=one.relation.name,
            w=two.values[0],
            q=two.relation.name,
            its=_its(thing),
        )
        labels = [_whose(thing, one), two.relation.name]
        return self._qa(question, thing.title, [(thing, one), (thing, two)], "intersection", labels=labels)

    # The record

    def _put(self, form: str, **values: str) -> str:
        text = self._choice.choice(_forms()[form])
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text[0].upper() + text[1:]

    def _qa(
        self,
        question: str,
        answer: str,
        facts: list[tuple[Thing, VariedFact]],
        asked: str,
        labels: list[str] | None = None,
    ) -> QA:
        labels = labels or [fact.relation.label for _, fact in facts]
        evidence, plan = [], []
        for (thing, fact), label in zip(facts, labels, strict=True):
            for proof, what in self._proof(thing, fact, label):
                evidence.append(proof)
                plan.append(what)
        last = facts[-1][1]
        thing = facts[0][0]
        qa = QA(
            question=question,
            answer=answer,
            type=asked,
            level=len({proof.url for proof in evidence}),
            aliases=list(last.aliases) if answer == list_text(last.values) else [],
            evidence=evidence,
            plan=plan,
            author=AUTHOR,
        )
        qa.extra = {
            "split": thing.split,
            **{axis: thing.shape[axis] for axis in ("domain", "layout", "length", "linking")},
        }
        return qa

    def _proof(self, thing: Thing, fact: VariedFact, label: str) -> Iterator[tuple[Evidence, str]]:
        """The passage that tells a fact; in passing, that of the page which names the register, if it stands there."""
        index, passage = self._pages.page_of(thing, fact.relation.name)
        if fact.relation.name in thing.in_register:
            yield self._evidence(thing.entity.index, self._pages.pointer(thing)), ""
        yield self._evidence(index, passage), label

    def _evidence(self, index: int, quote: str) -> Evidence:
        url, title = page_url(self._site_url, self._pages.path(index)), self._pages.entity(index).name
        return Evidence(url=url, quote=quote, title=title, facts=self._pages.named_facts(index))


def world_pages(pages: VariedPages, site_url: str) -> Iterator[Page]:
    """The pages as a crawl of the site would keep them."""
    for kind in pages.plurals:
        for index in pages.indices(kind):
            article = pages.article(index)
            text = article_text(article)
            yield Page(url=page_url(site_url, article.path), title=article.title, text=text, sha256=text_sha256(text))


def _mentions(world: VariedWorld) -> dict[int, list[int]]:
    """For each thing the things whose facts name it."""
    found: dict[int, list[int]] = {thing.entity.index: [] for thing in world.things}
    for thing in world.things:
        for fact in thing.facts.values():
            for target in fact.targets:
                if target is not None:
                    found[target].append(thing.entity.index)
    return found


def _form(fact: VariedFact, is_human: bool) -> str:
    if len(fact.values) > 1:
        return "list"
    if fact.relation.to:
        return "who" if is_human else "which"
    return "when" if fact.relation.date else "number" if fact.relation.number else "word"


def _its(thing: Thing) -> str:
    """Of somebody who is not known yet."""
    return "their" if thing.kind.human else "its"


def _whose(thing: Thing, fact: VariedFact) -> str:
    return f"{thing.entity.kind} whose {fact.relation.name} is {fact.values[0]}"


@cache
def _forms() -> dict[str, list[str]]:
    return tomllib.loads((resources.files(__package__) / "questions.toml").read_text("utf-8"))

"""Questions that need the whole graph: how many things share a relation, and which one thing has two.

Both are closed-world: they hold for the pages that were crawled, which are the pages that will be searched.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from webdancer_cli.records import QA, Evidence
from webdancer_cli.synthesis.builtin import wording
from webdancer_cli.synthesis.builtin.facts import Fact, Relation
from webdancer_cli.synthesis.builtin.graph import Graph, Node
from webdancer_cli.synthesis.builtin.rosters import Entry, Roster
from webdancer_cli.synthesis.builtin.statements import Statement
from webdancer_cli.synthesis.signing import sign
from webdancer_cli.synthesis.things import Thing
from webdancer_cli.web.words import content_words

MIN_COUNT, MAX_COUNT = 2, 6
"""A count that takes more pages to prove is not asked."""
MAX_LISTED = 12


class Crossings:
    """The graph by relation and value: who has ``relation`` with ``target``."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._holders: dict[tuple[Relation, str], list[tuple[Node, Fact]]] = defaultdict(list)
        self._speakers: dict[str, set[str]] = defaultdict(set)
        self._relations: dict[str, list[Relation]] = defaultdict(list)
        self._listed: dict[str, list[tuple[Node, Roster, Entry]]] = defaultdict(list)
        self._stated: dict[str, list[tuple[Node, Statement]]] = defaultdict(list)
        for node in graph.nodes.values():
            for fact, target in graph.functional_facts(node):
                self._add(node, fact, target)
            for roster in node.rosters:
                for entry in roster.entries:
                    self._listed[entry.target].append((node, roster, entry))
            for statement in node.statements:
                if statement.description and statement.form == "about":
                    self._stated[statement.target].append((node, statement))

    def _add(self, node: Node, fact: Fact, target: Node) -> None:
        self._speakers[target.key].add(node.key)
        holders = self._holders[fact.relation, target.key]
        if not holders:
            self._relations[target.key].append(fact.relation)
        holders.append((node, fact))

    def counts(self, node: Node) -> Iterator[QA]:
        """How many have the page's subject as their mayor; how many links a list of the page has."""
        for relation, holders in self.groups(node):
            question = wording.ask_count(relation, in_common(holders), node.thing.called)
            proofs = [holder.proof(fact.quote) for holder, fact in holders]
            yield sign(question, str(len(holders)), "count", proofs)
        for roster in node.rosters:
            if MIN_COUNT <= len(roster.entries) <= MAX_LISTED:
                question = roster.question(node.thing.called)
                proofs = [node.proof(entry.quote) for entry in roster.entries]
                yield sign(question, str(len(roster.entries)), "count", proofs)

    def listed(self, node: Node) -> Iterator[QA]:
        """How many entries a list of the page has that says what it lists."""
        for listing in node.listings if self._graph.is_called(node) else ():
            question = f"According to the page “{node.name}”, {listing.question}?"
            yield sign(question, str(len(listing.items)), "count", [node.proof(item) for item in listing.items])

    def groups(self, node: Node) -> Iterator[tuple[Relation, list[tuple[Node, Fact]]]]:
        """All that have a relation to the page's subject, where these are known to be all, and few."""
        for relation in sorted(self._relations[node.key]):
            holders = sorted(self._holders[relation, node.key], key=_by_page)
            if MIN_COUNT <= len(holders) <= MAX_COUNT and self._is_complete(relation, node):
                yield relation, holders

    def _is_complete(self, relation: Relation, node: Node) -> bool:
        """Whether all that have the relation are of one kind, and nobody of that kind may have it in other words.

        Who speaks of the same page in another way and says nothing by this relation might mean the same.
        """
        holders = {holder.key for holder, _ in self._holders[relation, node.key]}
        things = [self._graph.nodes[key].thing for key in sorted(holders)]
        others = (self._graph.nodes[key] for key in self._speakers[node.key] - holders)
        unsure = (
            other.thing.may_be_like(things[0])
            for other in others
            if all(fact.relation != relation for fact in other.facts)
        )
        return len({thing.sort for thing in things}) == 1 and not any(unsure)

    def intersections(self, node: Node) -> Iterator[QA]:
        """The one thing for which two relations hold, each of which holds for others too."""
        facts = self._graph.functional_facts(node)
        for (first, one), (second, other) in combinations(facts, 2):
            if one is not other and self._crosses(node, (first.relation, one.key), (second.relation, other.key)):
                question = wording.ask_subject(
                    node.thing, [(first.relation, one.thing.called), (second.relation, other.thing.called)]
                )
                yield sign(question, node.name, "intersection", [node.proof(first.quote), node.proof(second.quote)])
        yield from self._listed_twice(node)
        yield from self._stated_twice(node)

    def _crosses(self, node: Node, first: tuple[Relation, str], second: tuple[Relation, str]) -> bool:
        """Whether both conditions leave several things, together one, and nothing else of its kind may meet both."""
        these, those = ({holder.key for holder, _ in self._holders[pair]} for pair in (first, second))
        if len(these) < 2 or len(those) < 2 or these & those != {node.key}:
            return False
        both = self._speakers[first[1]] & self._speakers[second[1]]
        return not any(key != node.key and self._graph.nodes[key].thing.may_be_like(node.thing) for key in both)

    def _listed_twice(self, node: Node) -> Iterator[QA]:
        """The one thing that two pages list."""
        for (one, first, entry), (other, second, again) in combinations(
            sorted(self._listed[node.key], key=_by_page), 2
        ):
            both = {entry.target for entry in first.entries} & {entry.target for entry in second.entries}
            if one is not other and both == {node.key} and entry.anchor == again.anchor == node.name:
                asked = "Who" if node.thing.person else f"Which {node.thing.kind}" if node.thing.kind else "What"
                question = (
                    f"{asked} is listed both among the {first.heading} of {one.thing.called} "
                    f"and among the {second.heading} of {other.thing.called}?"
                )
                yield sign(question, node.name, "intersection", [one.proof(entry.quote), other.proof(again.quote)])

    def _stated_twice(self, node: Node) -> Iterator[QA]:
        """What two pages say of the page's subject: "Which module offers … and also provides …?" """
        stated = sorted(self._stated[node.key], key=_by_page)
        known = [(source, said) for source, said in stated if said.answer == node.name]
        for (source, first), (other, second) in combinations(known, 2):
            joined = join_questions(first.question, second.question)
            if source is not other and joined:
                proofs: list[Evidence] = [source.proof(first.quote), other.proof(second.quote)]
                yield sign(joined, node.name, "intersection", proofs)


def in_common(holders: list[tuple[Node, Fact]]) -> Thing:
    """What all holders of a relation are: firms and companies are companies."""
    first = holders[0][0].thing
    alike = all(holder.thing.kind == first.kind for holder, _ in holders)
    return first if alike else replace(first, kind=first.sort)


def _by_page(entry: tuple[Any, ...]) -> str:
    """The order of pages that does not depend on when they came."""
    key: str = entry[0].key
    return key


def join_questions(first: str, second: str) -> str:
    """ "which module offers A" and "which module provides B" as one question; "" unless they ask for
    the same kind of thing by different features."""
    asked, _, predicate = first.partition(" ")[2].partition(" ")
    other, _, more = second.partition(" ")[2].partition(" ")
    same = first.startswith("which ") and second.startswith("which ") and asked == other
    words, more_words = content_words(predicate), content_words(more)
    if 2 * len(words & more_words) > min(len(words), len(more_words)):
        return ""
    return f"Which {asked} {predicate}, and also {more}?" if same else ""

"""Questions that need the whole graph: how many things share a relation, and which one thing has two.

Both are closed-world: they hold for the pages that were crawled, which are the pages that will be searched.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.facts import Fact, Relation
from webdancer_cli.synthesis.builtin.read.link_lists import LinkList, LinkListEntry
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, PageNode
from webdancer_cli.synthesis.builtin.read.statements import Statement
from webdancer_cli.synthesis.page_topic import Topic
from webdancer_cli.synthesis.provenance import signed_question
from webdancer_cli.text.words import content_stems

MIN_COUNT, MAX_COUNT = 2, 6
"""A count that takes more pages to prove is not asked."""
MAX_LISTED = 12


class RelationQuestions:
    """The graph by relation and value: who has ``relation`` with ``target``."""

    def __init__(self, graph: PageGraph):
        self._graph = graph
        self._holders: dict[tuple[Relation, str], list[tuple[PageNode, Fact]]] = defaultdict(list)
        self._speakers: dict[str, set[str]] = defaultdict(set)
        self._relations: dict[str, list[Relation]] = defaultdict(list)
        self._listed: dict[str, list[tuple[PageNode, LinkList, LinkListEntry]]] = defaultdict(list)
        self._stated: dict[str, list[tuple[PageNode, Statement]]] = defaultdict(list)
        for node in graph.nodes.values():
            for fact, target in graph.functional_facts(node):
                self._add(node, fact, target)
            for link_list in node.link_lists:
                for entry in link_list.entries:
                    self._listed[entry.target].append((node, link_list, entry))
            for statement in node.statements:
                if statement.description and statement.form == "about":
                    self._stated[statement.target].append((node, statement))

    def _add(self, node: PageNode, fact: Fact, target: PageNode) -> None:
        self._speakers[target.key].add(node.key)
        holders = self._holders[fact.relation, target.key]
        if not holders:
            self._relations[target.key].append(fact.relation)
        holders.append((node, fact))

    def counts(self, node: PageNode) -> Iterator[QA]:
        """How many have the page's subject as their mayor; how many links a list of the page has."""
        for relation, holders in self.groups(node):
            question = wording.ask_count(relation, common_kind(holders), node.topic.called)
            proofs = [holder.proof(fact.quote) for holder, fact in holders]
            yield signed_question(question, str(len(holders)), "count", proofs)
        for link_list in node.link_lists:
            if MIN_COUNT <= len(link_list.entries) <= MAX_LISTED:
                question = link_list.question(node.topic.called)
                proofs = [node.proof(entry.quote) for entry in link_list.entries]
                yield signed_question(question, str(len(link_list.entries)), "count", proofs)

    def listed(self, node: PageNode) -> Iterator[QA]:
        """How many entries a list of the page has that says what it lists."""
        for bullet_list in node.bullet_lists if self._graph.is_called(node) else ():
            question = f"According to the page “{node.name}”, {bullet_list.question}?"
            yield signed_question(
                question, str(len(bullet_list.items)), "count", [node.proof(item) for item in bullet_list.items]
            )

    def groups(self, node: PageNode) -> Iterator[tuple[Relation, list[tuple[PageNode, Fact]]]]:
        """All that have a relation to the page's subject, where these are known to be all, and few."""
        for relation in sorted(self._relations[node.key]):
            holders = sorted(self._holders[relation, node.key], key=_by_page)
            if MIN_COUNT <= len(holders) <= MAX_COUNT and self._is_complete(relation, node):
                yield relation, holders

    def _is_complete(self, relation: Relation, node: PageNode) -> bool:
        """Whether all that have the relation are of one kind, and nobody of that kind may have it in other words.

        Who speaks of the same page in another way and says nothing by this relation might mean the same.
        """
        holders = {holder.key for holder, _ in self._holders[relation, node.key]}
        things = [self._graph.nodes[key].topic for key in sorted(holders)]
        others = (self._graph.nodes[key] for key in self._speakers[node.key] - holders)
        unsure = (
            other.topic.may_be_like(things[0])
            for other in others
            if all(fact.relation != relation for fact in other.facts)
        )
        return len({topic.sort for topic in things}) == 1 and not any(unsure)

    def intersections(self, node: PageNode) -> Iterator[QA]:
        """The one thing for which two relations hold, each of which holds for others too."""
        facts = self._graph.functional_facts(node)
        for (first, one), (second, other) in combinations(facts, 2):
            if one is not other and self._crosses(node, (first.relation, one.key), (second.relation, other.key)):
                question = wording.ask_subject(
                    node.topic, [(first.relation, one.topic.called), (second.relation, other.topic.called)]
                )
                yield signed_question(
                    question, node.name, "intersection", [node.proof(first.quote), node.proof(second.quote)]
                )
        yield from self._listed_twice(node)
        yield from self._stated_twice(node)

    def _crosses(self, node: PageNode, first: tuple[Relation, str], second: tuple[Relation, str]) -> bool:
        """Whether both conditions leave several things, together one, and nothing else of its kind may meet both."""
        these, those = ({holder.key for holder, _ in self._holders[pair]} for pair in (first, second))
        if len(these) < 2 or len(those) < 2 or these & those != {node.key}:
            return False
        both = self._speakers[first[1]] & self._speakers[second[1]]
        return not any(key != node.key and self._graph.nodes[key].topic.may_be_like(node.topic) for key in both)

    def _listed_twice(self, node: PageNode) -> Iterator[QA]:
        """The one thing that two pages list."""
        for (one, first, entry), (other, second, again) in combinations(
            sorted(self._listed[node.key], key=_by_page), 2
        ):
            both = {entry.target for entry in first.entries} & {entry.target for entry in second.entries}
            if one is not other and both == {node.key} and entry.anchor == again.anchor == node.name:
                asked = "Who" if node.topic.person else f"Which {node.topic.kind}" if node.topic.kind else "What"
                question = (
                    f"{asked} is listed both among the {first.heading} of {one.topic.called} "
                    f"and among the {second.heading} of {other.topic.called}?"
                )
                yield signed_question(
                    question, node.name, "intersection", [one.proof(entry.quote), other.proof(again.quote)]
                )

    def _stated_twice(self, node: PageNode) -> Iterator[QA]:
        """What two pages say of the page's subject: "Which module offers … and also provides …?" """
        stated = sorted(self._stated[node.key], key=_by_page)
        known = [(source, said) for source, said in stated if said.answer == node.name]
        for (source, first), (other, second) in combinations(known, 2):
            joined = conjoin_questions(first.question, second.question)
            if source is not other and joined:
                proofs: list[Evidence] = [source.proof(first.quote), other.proof(second.quote)]
                yield signed_question(joined, node.name, "intersection", proofs)


def common_kind(holders: list[tuple[PageNode, Fact]]) -> Topic:
    """What all holders of a relation are: firms and companies are companies."""
    first = holders[0][0].topic
    alike = all(holder.topic.kind == first.kind for holder, _ in holders)
    return first if alike else replace(first, kind=first.sort)


def _by_page(entry: tuple[Any, ...]) -> str:
    """The order of pages that does not depend on when they came."""
    key: str = entry[0].key
    return key


def conjoin_questions(first: str, second: str) -> str:
    """ "which module offers A" and "which module provides B" as one question; "" unless they ask for
    the same kind of thing by different features."""
    asked, _, predicate = first.partition(" ")[2].partition(" ")
    other, _, more = second.partition(" ")[2].partition(" ")
    same = first.startswith("which ") and second.startswith("which ") and asked == other
    words, more_words = content_stems(predicate), content_stems(more)
    if 2 * len(words & more_words) > min(len(words), len(more_words)):
        return ""
    return f"Which {asked} {predicate}, and also {more}?" if same else ""

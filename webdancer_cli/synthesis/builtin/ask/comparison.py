"""Questions that compare: two things of one kind, whose pages state the same attribute, and which has more of it."""

import random
from collections import defaultdict
from collections.abc import Iterator

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.builtin.read.measures import Attribute, Measure
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, PageNode
from webdancer_cli.synthesis.provenance import signed_question


class ComparisonQuestions:
    """Who is compared with whom: all of one kind that state an attribute stand in a ring, drawn by the seed.

    Each is compared with the next one only, so no pair is asked about twice.
    """

    def __init__(self, graph: PageGraph, seed: int):
        self._seed = seed
        self._rings: dict[tuple[str, Attribute], list[tuple[PageNode, Measure]]] = defaultdict(list)
        for node in sorted(graph.nodes.values(), key=lambda node: node.key):
            for measure in node.measures:
                self._rings[node.topic.sort, measure.attribute].append((node, measure))
        for (sort, attribute), ring in sorted(self._rings.items()):
            random.Random(f"{seed} {sort} {attribute.more}").shuffle(ring)
        self._next = {
            (node.key, attribute): ring[(place + 1) % len(ring)]
            for (_, attribute), ring in self._rings.items()
            for place, (node, _) in enumerate(ring)
        }

    def of(self, node: PageNode) -> Iterator[QA]:
        """The page's subject beside its neighbour of each ring: "Which city has more inhabitants, A or B?" """
        for measure in node.measures:
            other, its = self._next[node.key, measure.attribute]
            if its.value != measure.value and other.name != node.name:
                yield self._compared([(node, measure), (other, its)])

    def _compared(self, pair: list[tuple[PageNode, Measure]]) -> QA:
        draw = random.Random(f"{self._seed} {pair[0][0].title} {pair[1][0].title}")
        attribute = pair[0][1].attribute
        rising = sorted(pair, key=lambda entry: entry[1].value)
        (winner, _), predicate = draw.choice([(rising[-1], attribute.more), (rising[0], attribute.less)])
        draw.shuffle(pair)
        (one, _), (other, _) = pair
        kind = one.topic.kind if one.topic.kind == other.topic.kind else one.topic.sort
        asked = "Who" if one.topic.person else f"Which {kind}"
        question = f"{asked} {predicate}, {one.topic.called} or {other.topic.called}?"
        proofs = [node.proof(quote) for node, measure in pair for quote in measure.quotes]
        return signed_question(question, winner.name, "comparison", proofs)

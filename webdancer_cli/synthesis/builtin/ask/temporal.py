"""Questions that time decides: the years between two events, what happened in a given year, and what came first."""

from collections.abc import Iterator

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.builtin.ask.count_and_intersection import RelationQuestions, common_kind
from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.facts import Fact, Relation
from webdancer_cli.synthesis.builtin.read.measures import Attribute, Measure
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, PageNode
from webdancer_cli.synthesis.provenance import signed_question

MAX_YEARS = 150
"""Events that lie further apart have nothing to do with each other."""

Dated = tuple[PageNode, Fact, Measure]
"""A page with the fact that puts it into a group, and the event that dates it."""


class TemporalQuestions:
    """Events of pages that are tied to each other, or that share a relation."""

    def __init__(self, graph: PageGraph, crossings: RelationQuestions):
        self._graph = graph
        self._crossings = crossings

    def of(self, node: PageNode) -> Iterator[QA]:
        yield from self._spans(node)
        for relation, holders in self._crossings.groups(node):
            events = {measure.attribute for holder, _ in holders for measure in _events(holder)}
            for event in sorted(events):
                dated = [(holder, fact, measure) for holder, fact in holders if (measure := _event(holder, event))]
                if len(dated) == len(holders):
                    yield from _in_their_years(node, relation, dated)
                    yield from _extremes(node, relation, event, dated)

    def _spans(self, node: PageNode) -> Iterator[QA]:
        """The years between an event of the page's subject and one of a thing that the page ties it to."""
        for _, target in self._graph.functional_facts(node):
            for own in _events(node):
                for other in _events(target):
                    yield from _span((node, own), (target, other))


def _event(node: PageNode, event: Attribute) -> Measure | None:
    return next((measure for measure in node.measures if measure.attribute == event), None)


def _events(node: PageNode) -> list[Measure]:
    return [measure for measure in node.measures if measure.attribute.verb]


def _span(one: tuple[PageNode, Measure], other: tuple[PageNode, Measure]) -> Iterator[QA]:
    (first, before), (last, after) = sorted((one, other), key=lambda event: event[1].value)
    if 0 < (years := after.value - before.value) <= MAX_YEARS:
        question = (
            f"How many years passed between the {before.attribute.noun} of {first.topic.called} "
            f"and the {after.attribute.noun} of {last.topic.called}?"
        )
        proofs = [node.proof(quote) for node, measure in (one, other) for quote in measure.quotes]
        yield signed_question(question, str(years), "temporal", proofs)


def _in_their_years(node: PageNode, relation: Relation, dated: list[Dated]) -> Iterator[QA]:
    """The only one of a group with an event in its year: "Which company is owned by A and was founded in 1927?" """
    years = [measure.value for _, _, measure in dated]
    for holder, fact, measure in dated:
        if years.count(measure.value) == 1:
            in_year = Relation(verb=f"{measure.attribute.verb} in")
            known = [(relation, node.topic.called), (in_year, str(measure.value))]
            yield signed_question(
                wording.ask_subject(holder.topic, known), holder.name, "temporal", _proofs(holder, fact, measure)
            )


def _extremes(node: PageNode, relation: Relation, event: Attribute, dated: list[Dated]) -> Iterator[QA]:
    """What came first in a group, and what came last: all of its pages have to be read."""
    years = [measure.value for _, _, measure in dated]
    for place, year in (("first", min(years)), ("last", max(years))):
        if years.count(year) == 1 and len(years) > 1:
            answer = next(holder for holder, _, measure in dated if measure.value == year)
            kind = common_kind([(holder, fact) for holder, fact, _ in dated])
            group = wording.describe_group(relation, kind, node.topic.called)
            proofs = [proof for entry in dated for proof in _proofs(*entry)]
            yield signed_question(f"Which of the {group} {event.verb} {place}?", answer.name, "temporal", proofs)


def _proofs(holder: PageNode, fact: Fact, measure: Measure) -> list[Evidence]:
    return [holder.proof(quote) for quote in dict.fromkeys((fact.quote, *measure.quotes))]

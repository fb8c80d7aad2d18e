"""The built-in author: questions from hyperlinks, without a language model.

Where pages state facts ("The mayor of Velmora is Dolvek", ``facts``), relations are asked for, chained and crossed; on
other pages single sentences are turned into questions (``statements``). An answer is always the name behind a link or a
count of what is listed, and every question carries the sentences that prove it.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

from webdancer_cli import config
from webdancer_cli.records import QA, Page
from webdancer_cli.synthesis import wording
from webdancer_cli.synthesis.checks import mentions, support_fault, wording_fault
from webdancer_cli.synthesis.crossings import Crossings
from webdancer_cli.synthesis.facts import Fact
from webdancer_cli.synthesis.graph import Graph, Node, Waiting
from webdancer_cli.synthesis.roles import Refused, question_types
from webdancer_cli.synthesis.signing import sign
from webdancer_cli.synthesis.standing import is_name
from webdancer_cli.synthesis.statements import FORMS, Statement


class Author:
    """Writes questions while pages arrive: from a page once all it links to is there, from the whole at the end."""

    name = config.BUILTIN

    def __init__(self, options: config.Crawlqa):
        self._types = question_types(options.types)
        self._per_page = options.per_page
        self._seed = options.seed
        self._graph = Graph()
        self._for_pages: Waiting[Node] = Waiting()
        self._for_settled: Waiting[Node] = Waiting()
        self._asked: set[int] = set()

    async def write(self, pages: AsyncIterator[Page]) -> AsyncGenerator[QA | Refused, None]:
        """The questions of a stream of pages, each as soon as it can be known to be right."""
        async for page in pages:
            for qa in self.read(page):
                yield qa
        for qa in self.finish():
            yield qa

    def read(self, page: Page) -> Iterator[QA]:
        """Take a page in; the questions that it completes."""
        node = self._graph.add(page)
        if node is None:
            return
        if self._for_pages.wait(node, node.targets):
            yield from self._settled(node)
        for waiting in self._for_pages.arrive(node.key):
            yield from self._settled(waiting)

    def finish(self) -> Iterator[QA]:
        """No more pages: the questions that were held back, and those that need the whole graph."""
        for node in self._for_pages.rest():
            yield from self._settled(node)
        for node in self._for_settled.rest():
            yield from self._ask("multi_hop", node, self._chains)
        crossing = Crossings(self._graph)
        for node in self._graph.nodes.values():
            yield from self._ask("count", node, crossing.counts)
            yield from self._ask("intersection", node, crossing.intersections)

    def _settled(self, node: Node) -> Iterator[QA]:
        yield from self._ask("single_hop", node, self._singles)
        present = [target for target in node.targets if target in self._graph.nodes]
        if self._for_settled.wait(node, present):
            yield from self._ask("multi_hop", node, self._chains)
        for waiting in self._for_settled.arrive(node.key):
            yield from self._ask("multi_hop", waiting, self._chains)

    def _ask(self, type_: str, node: Node, write: Callable[[Node], Iterator[QA]]) -> Iterator[QA]:
        """Up to ``per_page`` sound questions of a type about a page, drawn by the seed, in the order of the page."""
        if type_ not in self._types:
            return
        sound = [(place, qa) for place, qa in enumerate(write(node)) if self._is_sound(qa)]
        drawn = random.Random(f"{self._seed} {type_} {node.title}").sample(sound, min(self._per_page, len(sound)))
        for _, qa in sorted(drawn, key=lambda entry: entry[0]):
            if self._is_new(qa.question):
                yield qa

    def _is_sound(self, qa: QA) -> bool:
        return wording_fault(qa) is None and support_fault(qa) is None

    def _is_new(self, question: str) -> bool:
        digest = hash(question)
        if digest in self._asked:
            return False
        self._asked.add(digest)
        return True

    def _singles(self, node: Node) -> Iterator[QA]:
        for fact, target in self._one_per_target(node):
            question = wording.ask_object(fact.relation, node.thing.called, target.thing)
            yield sign(question, target.name, "single_hop", [node.proof(fact.quote)])
        for statement in _best_form(self._usable(node)):
            if question := in_context(node, statement):
                yield sign(question, statement.answer, "single_hop", [node.proof(statement.quote)])

    def _usable(self, node: Node) -> list[Statement]:
        """Statements about pages that are there. What fills a mere blank must be the name of its page."""
        known = ((said, self._graph.nodes.get(said.target)) for said in node.statements)
        return [said for said, target in known if target and (said.form != "blank" or said.answer == target.name)]

    def _one_per_target(self, node: Node) -> Iterator[tuple[Fact, Node]]:
        """One fact about each page: what a table and a sentence say of it is mostly the same."""
        by_target: dict[str, list[tuple[Fact, Node]]] = {}
        for fact, target in self._graph.functional_facts(node):
            by_target.setdefault(target.key, []).append((fact, target))
        draw = random.Random(f"{self._seed} {node.title}")
        return (draw.choice(facts) for facts in by_target.values())

    def _chains(self, node: Node) -> Iterator[QA]:
        """Two pages in a row: the relation of a relation, or a statement on a page that another page describes."""
        for first, middle in self._graph.functional_facts(node):
            known = wording.describe_object(first.relation, node.thing.called, middle.thing)
            for second, target in self._graph.functional_facts(middle):
                if len({node.name, middle.name, target.name}) == 3:
                    question = wording.ask_object(second.relation, known, target.thing)
                    proofs = [node.proof(first.quote), middle.proof(second.quote)]
                    yield sign(question, target.name, "multi_hop", proofs)
        for statement in node.statements:
            middle_node = self._graph.nodes.get(statement.target)
            if statement.description and middle_node and middle_node is not node:
                yield from _chained_statements(node, statement, middle_node)


def _best_form(statements: list[Statement]) -> list[Statement]:
    """The statements about their answers; clozes, blanks or glosses only if there is nothing better."""
    best = min((FORMS.index(statement.form) for statement in statements), default=0)
    return [statement for statement in statements if statement.form == FORMS[best]]


def _chained_statements(node: Node, first: Statement, middle: Node) -> Iterator[QA]:
    """Statements of ``middle``, a page that ``first`` describes and names."""
    if first.answer != middle.name:
        return
    for second in _best_form(
        [said for said in middle.statements if said.target != middle.key and said.form != "blank"]
    ):
        if not mentions(second.answer, middle.name):
            question = f"According to the page on {first.description}, {second.question}?"
            if not mentions(question, middle.name):
                proofs = [node.proof(first.quote), middle.proof(second.quote)]
                yield sign(question, second.answer, "multi_hop", proofs)


def in_context(node: Node, statement: Statement) -> str:
    """The question of a statement, naming its page unless that is the answer; "" if the page has no good name."""
    if statement.target == node.key:
        return f"{statement.question[0].upper()}{statement.question[1:]}?"
    if not is_name(node.name.replace(",", "")) and len(node.name) <= 50:
        return ""
    return f"According to the page “{node.name}”, {statement.question}?"

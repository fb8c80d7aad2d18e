"""The built-in author: questions from hyperlinks, without a language model.

Where pages state facts ("The mayor of Velmora is Dolvek", ``facts``) and numbers (``measures``), relations are asked
for, chained, crossed, compared and dated. On other sites single sentences are turned into questions: what is said of
a link (``statements``), since when there is something (``dated``), what a sentence claims (``claims``: there
``antecedents`` say who is meant, ``clauses`` what a verb has around it, ``asking`` how to ask for that), what serves
for what (``means``), and what terms and tables say (``terms``, ``described``). An answer is the name behind a link, a
count of what is listed, what a sentence states, or the years between two dates, and every question carries the
sentences that prove it.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

from webdancer_cli.data.records import QA, Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin.ask.comparison import ComparisonQuestions
from webdancer_cli.synthesis.builtin.ask.count_and_intersection import RelationQuestions
from webdancer_cli.synthesis.builtin.ask.sentence_questions import SentenceQuestions
from webdancer_cli.synthesis.builtin.ask.temporal import TemporalQuestions
from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.facts import Fact
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, PageNode, WaitList
from webdancer_cli.synthesis.checks import support_fault, wording_fault
from webdancer_cli.synthesis.protocols import QuestionGroup, question_types
from webdancer_cli.synthesis.provenance import signed_question
from webdancer_cli.synthesis.resume import Earlier


class BuiltinAuthor:
    """Writes questions while pages arrive: from a page once all it links to is there, from the whole at the end."""

    name = config.BUILTIN

    def __init__(self, options: config.CrawlqaOptions):
        self._types = question_types(options.types)
        self._asks_for_lists = "count" in options.types  # how long a list is, nobody asks unless told to
        self._per_page = options.per_page
        self._seed = options.seed
        self._graph = PageGraph()
        self._for_pages: WaitList[PageNode] = WaitList()
        self._for_settled: WaitList[PageNode] = WaitList()
        self._asked: set[int] = set()

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        """The questions of a stream of pages, each as soon as it can be known to be right. They cost nothing, so that
        each is a group by itself, and those that an earlier run wrote are written again."""
        async for page in pages:
            for qa in self.read(page):
                yield QuestionGroup([qa])
        for qa in self.finish():
            yield QuestionGroup([qa])

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
        relation_questions, comparisons = RelationQuestions(self._graph), ComparisonQuestions(self._graph, self._seed)
        chronology, sentence_questions = (
            TemporalQuestions(self._graph, relation_questions),
            SentenceQuestions(self._graph, self._seed),
        )
        for node in self._graph.nodes.values():
            yield from self._ask("single_hop", node, sentence_questions.singles)
            yield from self._ask("multi_hop", node, sentence_questions.chains)
            yield from self._ask("count", node, relation_questions.counts)
            yield from self._ask("intersection", node, relation_questions.intersections)
            yield from self._ask("comparison", node, comparisons.of)
            yield from self._ask("comparison", node, sentence_questions.compared)
            yield from self._ask("temporal", node, chronology.of)
            yield from self._ask("temporal", node, sentence_questions.dated)
            yield from self._ask("single_hop", node, sentence_questions.claimed)
            yield from self._ask("temporal", node, sentence_questions.timed)
            yield from self._ask("multi_hop", node, sentence_questions.claim_chains)
            if self._asks_for_lists:
                yield from self._ask("count", node, relation_questions.listed)
                yield from self._ask("multi_hop", node, sentence_questions.listed)

    def _settled(self, node: PageNode) -> Iterator[QA]:
        yield from self._ask("single_hop", node, self._singles)
        present = [target for target in node.targets if target in self._graph.nodes]
        if self._for_settled.wait(node, present):
            yield from self._ask("multi_hop", node, self._chains)
        for waiting in self._for_settled.arrive(node.key):
            yield from self._ask("multi_hop", waiting, self._chains)

    def _ask(self, type_: str, node: PageNode, write: Callable[[PageNode], Iterator[QA]]) -> Iterator[QA]:
        """Up to ``per_page`` sound questions of a type about a page, drawn by the seed, in the order of the page."""
        if type_ not in self._types:
            return
        sound = [(place, qa) for place, qa in enumerate(write(node)) if self._is_sound(qa)]
        drawn = random.Random(f"{self._seed} {type_} {node.title}").sample(sound, min(self._per_page, len(sound)))
        for _, qa in sorted(drawn, key=lambda entry: entry[0]):
            if self._note(qa.question):
                yield qa

    def _is_sound(self, qa: QA) -> bool:
        return wording_fault(qa) is None and support_fault(qa) is None and not wording.is_clumsy(qa.question)

    def _note(self, question: str) -> bool:
        """Note that a question was asked; False if it had been."""
        digest = hash(question)
        if digest in self._asked:
            return False
        self._asked.add(digest)
        return True

    def _singles(self, node: PageNode) -> Iterator[QA]:
        for fact, target in self._one_per_target(node):
            question = wording.ask_object(fact.relation, node.topic.called, target.topic)
            yield signed_question(question, target.name, "single_hop", [node.proof(fact.quote)])

    def _one_per_target(self, node: PageNode) -> Iterator[tuple[Fact, PageNode]]:
        """One fact about each page: what a table and a sentence say of it is mostly the same."""
        by_target: dict[str, list[tuple[Fact, PageNode]]] = {}
        for fact, target in self._graph.functional_facts(node):
            by_target.setdefault(target.key, []).append((fact, target))
        draw = random.Random(f"{self._seed} {node.title}")
        return (draw.choice(facts) for facts in by_target.values())

    def _chains(self, node: PageNode) -> Iterator[QA]:
        """Two pages in a row: the relation of a relation."""
        for first, middle in self._graph.functional_facts(node):
            known = wording.describe_object(first.relation, node.topic.called, middle.topic)
            for second, target in self._graph.functional_facts(middle):
                if len({node.name, middle.name, target.name}) == 3:
                    question = wording.ask_object(second.relation, known, target.topic)
                    proofs = [node.proof(first.quote), middle.proof(second.quote)]
                    yield signed_question(question, target.name, "multi_hop", proofs)

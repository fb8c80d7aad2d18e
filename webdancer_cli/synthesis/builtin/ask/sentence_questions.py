"""Questions from single sentences of any site, asked when the whole site is known.

Only then is it clear which page names are unique, so that a page can be called by its name, and which names so many
pages bring up that a reader would guess them.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.claims import Claim
from webdancer_cli.synthesis.builtin.read.dated_statements import DatedStatement
from webdancer_cli.synthesis.builtin.read.facts import SUBJECT
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, PageNode
from webdancer_cli.synthesis.builtin.read.statements import Statement
from webdancer_cli.synthesis.page_topic import is_on
from webdancer_cli.synthesis.provenance import signed_question
from webdancer_cli.synthesis.standalone import shares_telling_word
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import fold

AskedOf = Callable[[PageNode, Statement], Iterator[tuple[str, str, tuple[str, ...]]]]
"""Question, answer and quotes of what can be asked of a page that a statement describes."""

MIN_MARKED, PAGES_PER_MARK = 30, 20
"""Versions that mark whole pages make questions all alike: these are written about so many pages, or one in twenty."""
COMMON = 6
"""A name that so many pages bring up is guessed, and not searched for."""

_WINDING = re.compile(r"\bthe\b|\b(?:has|have|had) been\b")
"""Relations that make no handy description: "designed the town hall of", "has been led by"."""
_BY_DEED = re.compile(r"what (?!(?:is|was|are|were) (?:an?|the) |does |did |do )(?!\S+ \x01)")
_IS_SPELLED = re.compile(r"“?(?=\S*(?:^[a-z]{4}|“[a-z]{4}|[a-z._][._\dA-Z]|[A-Z]_[A-Z]|\d{3}))[^\s”]+”?$")
"""A name that tells by its spelling that it is one: argparse, email.policy; not TESTS, and no heading."""
COMMON_SUBJECT = 3
"""What so many pages say something of is what the site is about: "what supports …" would be guessed."""


class SentenceQuestions:
    """The statements of a graph: what each page says of others, and by whom each page is described."""

    def __init__(self, graph: PageGraph, seed: int):
        self._graph = graph
        self._seed = seed
        nodes = list(graph.nodes.values())
        self._pages_with = Counter(
            answer for node in nodes for answer in {fold(said.answer) for said in node.statements}
        )
        self._glosses = Counter(said.question for node in nodes for said in node.statements if said.form == "gloss")
        self._glossed: dict[str, list[tuple[PageNode, Statement]]] = defaultdict(list)
        self._descriptions: dict[str, list[tuple[PageNode, Statement]]] = defaultdict(list)
        for node in sorted(nodes, key=lambda node: node.key):
            for said in node.statements:
                if said.form == "about" and said.description and said.target != node.key:
                    self._descriptions[said.target].append((node, said))
                elif said.form == "gloss" and self._is_askable(said):
                    self._glossed[said.target].append((node, said))
        self._answered = Counter(
            answer for node in nodes for answer in {fold(claim.answer) for claim in node.claims if claim.is_name}
        )
        self._first_to_say = {
            claim.question: node.key
            for node in sorted(nodes, key=lambda node: node.key, reverse=True)
            for claim in node.claims
            if not claim.own
        }
        self._first_said = {
            said.question: node.key
            for node in sorted(nodes, key=lambda node: node.key, reverse=True)
            for said in node.statements
        }
        self._tied = graph.is_tied()
        self._marked = self._drawn_marks(nodes)
        self._next = self._neighbours()

    def _drawn_marks(self, nodes: list[PageNode]) -> set[str]:
        """Some of the pages with a version under their title, where a site marks every page so."""
        marked = sorted(node.key for node in nodes if any(dated.own for dated in node.dated))
        most = max(MIN_MARKED, len(nodes) // PAGES_PER_MARK)
        return set(random.Random(f"{self._seed} marks").sample(marked, min(most, len(marked))))

    def _dates(self, node: PageNode) -> list[DatedStatement]:
        if not self._graph.is_called(node):
            return []
        return [dated for dated in node.dated if not dated.own or node.key in self._marked]

    def _neighbours(self) -> dict[tuple[str, str], tuple[PageNode, DatedStatement]]:
        """For each dated subject one that came about in the same way, on another page: a ring drawn by the seed."""
        rings: dict[tuple[str, str, bool], list[tuple[PageNode, DatedStatement]]] = defaultdict(list)
        for node in sorted(self._graph.nodes.values(), key=lambda node: node.key):
            for dated in self._dates(node):
                rings[dated.happened, dated.sort, dated.own].append((node, dated))
        for (happened, sort, _), ring in rings.items():
            random.Random(f"{self._seed} {happened} {sort}").shuffle(ring)
        return {
            (node.key, dated.subject): ring[(place + 1) % len(ring)]
            for ring in rings.values()
            for place, (node, dated) in enumerate(ring)
        }

    def singles(self, node: PageNode) -> Iterator[QA]:
        """What the page says of another one, or of itself."""
        told = [said for said in self._askable(node) if said.form != "gloss"]
        for said in told:
            if self._first_said[said.question] == node.key and (question := self._in_context(node, said)):
                yield signed_question(question, said.answer, "single_hop", [node.proof(said.quote)])
        if not any(said.target == node.key for said in told):
            for source, said in sorted(self._glossed[node.key], key=lambda entry: entry[0] is not node)[:1]:
                question = f"{said.question[0].upper()}{said.question[1:]}?"
                yield signed_question(question, said.answer, "single_hop", [source.proof(said.quote)])

    def chains(self, node: PageNode) -> Iterator[QA]:
        """What the page says, when it is not named but described as another page does."""
        yield from self._of_described(node, self._asked_of)

    def listed(self, node: PageNode) -> Iterator[QA]:
        """How long a list is on a page that is not named but described."""
        yield from self._of_described(node, self._lists_of)

    def _of_described(self, node: PageNode, asked_of: AskedOf) -> Iterator[QA]:
        glosses = [entry for entry in self._glossed[node.key] if not mentions(node.opening, entry[1].gloss)]
        for source, described in [*self._descriptions[node.key], *glosses]:
            if source is node or not self._describes(described, node):
                continue
            for question, answer, quotes in asked_of(node, described):
                if not _circular(answer, described, node):
                    proofs = [source.proof(described.quote), *map(node.proof, quotes)]
                    yield signed_question(question, answer, "multi_hop", proofs)

    def _asked_of(self, node: PageNode, described: Statement) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Question, answer and quotes of all that can be asked about a page that is described."""
        opening = f"According to the page on {described.description}, "
        told = [said for said in self._askable(node) if said.target != node.key and said.form != "gloss"]
        for said in told:
            yield f"{opening}{said.question}?", said.answer, (said.quote,)
        for dated in node.dated:
            if dated.own and not described.gloss:
                yield dated.question.replace(dated.subject, described.description), dated.when, (dated.quote,)
            elif not dated.own:
                yield f"{opening}{dated.question[0].lower()}{dated.question[1:]}", dated.when, (dated.quote,)

    def _lists_of(self, node: PageNode, described: Statement) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for bullet_list in node.bullet_lists:
            question = f"According to the page on {described.description}, {bullet_list.question}?"
            yield question, str(len(bullet_list.items)), bullet_list.items

    def claimed(self, node: PageNode) -> Iterator[QA]:
        """What single sentences of the page state, but no time."""
        yield from self._claims(node, "single_hop", by_time=False)

    def timed(self, node: PageNode) -> Iterator[QA]:
        """When it was, as single sentences of the page state."""
        yield from self._claims(node, "temporal", by_time=True)

    def _claims(self, node: PageNode, type_: str, *, by_time: bool) -> Iterator[QA]:
        if self._tied:
            return
        asked = {(fact.quote, fact.anchor) for fact, _ in self._graph.known_facts(node)}
        asked |= {(dated.quote, dated.when) for dated in node.dated}
        for claim in node.claims:
            new = claim.by_time == by_time and (claim.quotes[-1], claim.answer) not in asked
            if claim.is_name and node.title != self._graph.home and mentions(self._graph.home, claim.answer):
                continue  # what the whole site is about
            if claim.is_name and self._answered[fold(claim.answer)] >= COMMON_SUBJECT:
                continue
            if self._first_to_say.get(claim.question, node.key) != node.key:
                continue
            if new and (question := self._claim_in_context(node, claim)):
                qa = signed_question(question, claim.answer, type_, [node.proof(quote) for quote in claim.quotes])
                qa.aliases = list(claim.aliases)
                yield qa

    def claim_chains(self, node: PageNode) -> Iterator[QA]:
        """What another page claims of its subject, which is described by its relation to this page's."""
        for fact, middle in () if self._tied else self._graph.functional_facts(node):
            if _WINDING.search(fact.relation.verb):
                continue
            known = wording.describe_object(fact.relation, node.topic.called, middle.topic)
            for claim in middle.claims:
                question = f"{claim.question.replace(SUBJECT, known)}?"
                names = (node.name, middle.name)
                told = any(mentions(question, middle.name) or mentions(claim.answer, name) for name in names)
                leads_back = mentions(claim.question, node.name) or shares_telling_word(known, claim.answer)
                if claim.own and not claim.is_name and not told and not leads_back:
                    said = (fact.quote,) if node.name in fact.quote or not node.lead else (node.lead, fact.quote)
                    proofs = [*map(node.proof, said), *map(middle.proof, claim.quotes)]
                    yield signed_question(question[0].upper() + question[1:], claim.answer, "multi_hop", proofs)

    def _claim_in_context(self, node: PageNode, claim: Claim) -> str:
        """The question of a claim, naming its page unless it is about that page's subject; "" without a good name."""
        spelled = _spelled(node, claim)
        question = f"{claim.question.replace(SUBJECT, spelled)}?"
        if claim.own:
            is_heading = spelled.islower() and (node.topic.guessed or not node.topic.kind)
            if is_heading or _floats(claim.question, claim.answer):
                return ""
            return question[0].upper() + question[1:] if self._graph.is_called(node) else ""
        cited = self._graph.cited_as(node)
        return f"According to the page “{cited}”, {question}" if cited else ""

    def dated(self, node: PageNode) -> Iterator[QA]:
        """Since when there is what the page tells of."""
        for dated in self._dates(node):
            question = dated.question
            if dated.own and self._graph.product:
                question = question.replace("which version ", f"which version of {self._graph.product} ", 1)
            elif dated.own and not _IS_SPELLED.search(dated.subject):
                continue  # a version of what?
            if not dated.own:
                question = f"According to the page “{node.name}”, {question[0].lower()}{question[1:]}"
            yield signed_question(question, dated.when, "temporal", [node.proof(dated.quote)])

    def compared(self, node: PageNode) -> Iterator[QA]:
        """Which of two things is older, of which the pages say when they came about."""
        for dated in node.dated:
            other, its = self._next.get((node.key, dated.subject), (node, dated))
            if its.moment != dated.moment and (self._graph.product or _IS_SPELLED.search(dated.subject)):
                yield self._compared([(node, dated), (other, its)])

    def _compared(self, pair: list[tuple[PageNode, DatedStatement]]) -> QA:
        draw = random.Random(f"{self._seed} {pair[0][0].title} {pair[1][0].title}")
        rising = sorted(pair, key=lambda entry: entry[1].moment)
        (_, answer), word = draw.choice([(rising[0], "an earlier"), (rising[1], "a later")])
        draw.shuffle(pair)
        (_, one), (_, other) = pair
        sort = f"{one.sort} of {self._graph.product}" if one.own and self._graph.product else one.sort
        question = f"Which {one.happened} in {word} {sort}, {one.subject} or {other.subject}?"
        proofs = [node.proof(dated.quote) for node, dated in pair]
        return signed_question(question, answer.subject.strip("“”"), "comparison", proofs)

    def _describes(self, said: Statement, node: PageNode) -> bool:
        return said.target == node.key and is_on(node.opening, node.name, said.answer)

    def _askable(self, node: PageNode) -> list[Statement]:
        """Statements about pages that are there, whose answers are worth a search and whose glosses are unique."""
        return [said for said in node.statements if self._is_askable(said)]

    def _is_askable(self, said: Statement) -> bool:
        target = self._graph.nodes.get(said.target)
        if target is None:
            return False
        if said.form == "gloss":
            return self._glosses[said.question] == 1 and said.answer == target.name
        asks_for_more = said.form == "about" and not said.question.startswith("which exception ")
        return asks_for_more or self._pages_with[fold(said.answer)] < COMMON

    def _in_context(self, node: PageNode, said: Statement) -> str:
        """The question of a statement, naming its page unless that is the answer; "" if the page has no good name."""
        if said.target == node.key:
            return "" if _floats(said.question, said.answer) else f"{said.question[0].upper()}{said.question[1:]}?"
        cited = self._graph.cited_as(node)
        return f"According to the page “{cited}”, {said.question}?" if cited else ""


def _floats(question: str, answer: str) -> bool:
    """Whether a question that names no page asks for a plain word by what much else does: "What protects data?" """
    return _BY_DEED.match(question) is not None and re.search(r"(?:^| )[A-Z][a-z]+$", answer) is not None


def _spelled(node: PageNode, claim: Claim) -> str:
    """The page's name as the quotes have it: "the grey-crested warbler", and "the Kestrel Protocol" for Kestrel."""
    quoted = " ".join(claim.quotes)
    found = re.search(re.escape(node.name), quoted, re.IGNORECASE)
    if found is None:
        short, _, last = node.name.rpartition(" ")
        shortened = short and last.isalpha() and re.search(rf"\b{re.escape(short)}\b", quoted)
        return f"the {node.name}" if shortened else node.name
    if found.group().startswith("The ") and found.group().split()[-1].islower():
        return f"the {found.group()[4:]}"
    with_article = re.search(rf"\bthe {re.escape(found.group())}", quoted, re.IGNORECASE)
    return f"the {found.group()}" if with_article else found.group()


def _circular(answer: str, described: Statement, node: PageNode) -> bool:
    """Whether a chain leads back to where it began: its answer is the page that is described, or describes it."""
    named = any(mentions(name, answer) or mentions(answer, name) for name in (node.name, described.answer))
    return named or mentions(described.description, answer)

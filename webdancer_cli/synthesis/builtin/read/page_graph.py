"""The link graph of a crawl, as far as it has come: what each page is about and what it says, without its text.

A page is *settled* when every page it speaks of has arrived. Questions are written from settled pages, so they appear
while the crawl goes on, and do not depend on which page happened to come first.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from webdancer_cli.data.records import Evidence, Page
from webdancer_cli.synthesis.builtin.read.bullet_lists import BulletList, read_bullet_lists
from webdancer_cli.synthesis.builtin.read.claims import Claim, read_claims
from webdancer_cli.synthesis.builtin.read.dated_statements import DatedStatement, read_dated
from webdancer_cli.synthesis.builtin.read.facts import Fact, Relation, read_facts
from webdancer_cli.synthesis.builtin.read.link_lists import LinkList, read_link_lists
from webdancer_cli.synthesis.builtin.read.measures import Measure, read_measures
from webdancer_cli.synthesis.builtin.read.statements import Statement, read_statements
from webdancer_cli.synthesis.page_topic import OPENING_CHARS, Topic, lead_of, lead_sentences, topic_of
from webdancer_cli.synthesis.standalone import is_generic, is_title
from webdancer_cli.text.language import SAMPLE_CHARS, language_of
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.web import urls

MAX_HEADING_WORDS = 10
MANY_TIES = 1.5
"""Pages with relations to so many others on average give questions enough. Two pages can never have so many."""

Waiter = TypeVar("Waiter", bound=Hashable)

FOREIGN_SHARE = 0.01
"""Letters beyond ASCII of which English has fewer."""
_PRODUCT = re.compile(
    r"(?:The |MIT )?(?P<name>[A-Z][\w+.-]*(?: [A-Z][\w+-]*)?) (?:v?\d[\w.]* )?(?:[Rr]eference |[Uu]ser )?"
    r"(?:[Dd]ocumentation|[Mm]anual|[Rr]eference|[Hh]andbook|[Gg]uide)$"
)


@dataclass(slots=True, eq=False)
class PageNode:
    """A page without its text. ``statements``, ``listings`` and ``dated`` are read only where no fact could be."""

    key: str
    url: str
    title: str
    sha256: str
    fetched_at: str
    topic: Topic
    facts: list[Fact] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    bullet_lists: list[BulletList] = field(default_factory=list)
    dated: list[DatedStatement] = field(default_factory=list)
    link_lists: list[LinkList] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    lead: str = ""
    """The first sentence that names its subject, if there are claims."""
    heading: str = ""
    """The first line of its text, if that is no sentence."""
    opening: str = ""
    """The first words of its text, where statements may describe it."""
    linked: set[str] = field(default_factory=set)
    """All that the page links to; kept only where it decides whether a fact is the only one of its sort."""

    @property
    def name(self) -> str:
        return self.topic.name

    @property
    def targets(self) -> set[str]:
        """The pages that it ties its subject to."""
        return {fact.target for fact in self.facts} - {self.key}

    def proof(self, quote: str) -> Evidence:
        return Evidence(url=self.url, quote=quote, title=self.title, sha256=self.sha256, fetched_at=self.fetched_at)


def read_node(page: Page) -> PageNode:
    topic = topic_of(page)
    node = PageNode(urls.page_key(page.url), page.url, page.title, page.sha256, page.fetched_at, topic)
    if _is_foreign(page.text):
        return node
    node.facts = read_facts(page, topic) if topic.kind else []
    node.link_lists = read_link_lists(page) if topic.kind else []
    node.measures = read_measures(page, topic) if topic.kind else []
    node.claims = read_claims(page, topic)
    node.heading = _heading(page.text)
    node.lead = lead_of(lead_sentences(page.text), topic.name) if node.claims and topic.name else ""
    node.linked = (
        {urls.page_key(link.url) for link in page.links}
        if any(fact.relation.takes_many for fact in node.facts)
        else set()
    )
    if not node.facts and not node.link_lists:
        node.opening = squeeze(page.text[:OPENING_CHARS])
        node.statements = read_statements(page, topic.name)
        node.bullet_lists = read_bullet_lists(page)
        node.dated = read_dated(page, topic.name)
    return node


def _is_foreign(text: str) -> bool:
    """Whether a text is in another language than the questions; only one with letters beyond ASCII is looked at."""
    sample = text[:SAMPLE_CHARS]
    beyond = sum(char > "\x7f" and char.isalpha() for char in sample)
    return beyond > FOREIGN_SHARE * len(sample) and language_of(text) not in ("en", "")


def _heading(text: str) -> str:
    first = squeeze(text.lstrip().partition("\n")[0])
    if (
        len(first.split()) > MAX_HEADING_WORDS
        or first[-1:] in ".:;"
        or is_generic(re.split(r"[\d.]+ | - ", first)[-1].strip("- "))
    ):
        return ""
    return first


class WaitList(Generic[Waiter]):
    """Who waits for which keys; tells who is ready when a key arrives."""

    def __init__(self) -> None:
        self._arrived: set[str] = set()
        self._missing: dict[Waiter, int] = {}
        self._waiters: dict[str, list[Waiter]] = {}

    def wait(self, waiter: Waiter, keys: Iterable[str]) -> bool:
        """Whether there is nothing to wait for."""
        missing = [key for key in sorted(keys) if key not in self._arrived]
        for key in missing:
            self._waiters.setdefault(key, []).append(waiter)
        if missing:
            self._missing[waiter] = len(missing)
        return not missing

    def arrive(self, key: str) -> Iterator[Waiter]:
        """Those for whom ``key`` was the last one missing, in the order in which they began to wait."""
        self._arrived.add(key)
        for waiter in self._waiters.pop(key, ()):
            if waiter not in self._missing:
                continue
            self._missing[waiter] -= 1
            if not self._missing[waiter]:
                del self._missing[waiter]
                yield waiter

    def rest(self) -> list[Waiter]:
        """Those who will wait for ever."""
        return list(self._missing)


class PageGraph:
    """The nodes of the pages seen so far, by URL key."""

    def __init__(self) -> None:
        self.nodes: dict[str, PageNode] = {}
        self._names: Counter[str] = Counter()
        self._titles: Counter[str] = Counter()
        self._headings: Counter[str] = Counter()
        self._roots: list[str] = []

    def add(self, page: Page) -> PageNode | None:
        """The page's node; None if the page is known already."""
        node = read_node(page)
        if self.nodes.setdefault(node.key, node) is not node:
            return None
        self._names[node.name] += 1
        self._titles[squeeze(node.title)] += 1
        self._headings[node.heading] += 1
        if page.depth == 0:
            self._roots.append(squeeze(page.title))
        return node

    @property
    def home(self) -> str:
        """The title of the page with which the crawl of one site began; "" if there were several."""
        return self._roots[0] if len(self._roots) == 1 else ""

    @property
    def product(self) -> str:
        """What the site documents, as the page says with which the crawl began; "" if it does not."""
        found = _PRODUCT.match(self.home)
        return found["name"] if found else ""

    def is_called(self, node: PageNode) -> bool:
        """Whether a question can call a page by its name: no other page has it, and it says something."""
        return self._names[node.name] == 1 and is_title(node.name)

    def cited_as(self, node: PageNode) -> str:
        """What a question calls the page by: name, whole title or heading; "" if other pages share them."""
        if self.is_called(node):
            return node.name
        title = squeeze(node.title)
        if self._titles[title] == 1 and is_title(title) and is_title(node.name):
            return title
        return node.heading if self._headings[node.heading] == 1 and is_title(node.heading) else ""

    def is_tied(self) -> bool:
        """Whether pages are tied to each other by so many relations that no single sentence need be asked about."""
        ties = sum(len({target.key for _, target in self.functional_facts(node)}) for node in self.nodes.values())
        return ties >= MANY_TIES * len(self.nodes)

    def known_facts(self, node: PageNode) -> Iterator[tuple[Fact, PageNode]]:
        """A page's facts about pages that are there and are called what the sentence calls them.

        A verb needs the kind of its object: "on which river does Velmora lie".
        """
        for fact in node.facts:
            target = self.nodes.get(fact.target)
            if target is not None and target.name == fact.anchor and (target.topic.kind or fact.relation.noun):
                yield fact, target

    def functional_facts(self, node: PageNode) -> list[tuple[Fact, PageNode]]:
        """Those whose relation has one value on the page: "the mayor of Velmora" means one person."""
        values: dict[Relation, set[str]] = {}
        for fact in node.facts:
            values.setdefault(fact.relation, set()).add(fact.target)
        return [
            (fact, target)
            for fact, target in self.known_facts(node)
            if len(values[fact.relation]) == 1 and not (fact.relation.takes_many and self._has_peers(node, target))
        ]

    def _has_peers(self, node: PageNode, target: PageNode) -> bool:
        """Whether the page links to another thing of the target's sort, or lists it among others."""
        others = (self.nodes.get(key) for key in node.linked if key != target.key)
        lists = ([entry.target for entry in link_list.entries] for link_list in node.link_lists)
        return any(other is not None and other.topic.may_be_like(target.topic) for other in others) or any(
            target.key in listed for listed in lists
        )

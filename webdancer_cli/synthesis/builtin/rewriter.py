"""The built-in rewriter (E2HQA, paper section 2): an entity gives way to a description found through search.

R_n = π(S(C_n)) without a language model: the search is BM25 over the corpus, π takes a sentence that some other page
says of the entity and turns it into a noun phrase. A question becomes one page longer: that page has to be found and
read first, to learn who is meant. Where no other page says anything, the lead of the entity's own page has to do; the
name is gone, but if that page was needed anyway the level stays. The answer is never touched.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from webdancer_cli.data.records import QA, Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin import question_entities
from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.facts import Relation, read_facts
from webdancer_cli.synthesis.builtin.read.link_lists import read_link_lists
from webdancer_cli.synthesis.builtin.read.statements import KINDS, read_statements, statement_about
from webdancer_cli.synthesis.page_topic import Topic, is_on, topic_of
from webdancer_cli.synthesis.rewrite_checks import Description, harder_question, is_found_again, page_at
from webdancer_cli.synthesis.standalone import is_name, stands_alone
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import fold, squeeze
from webdancer_cli.text.words import sentence_spans
from webdancer_cli.web import urls
from webdancer_cli.web.protocols import Web

RESULTS = 10
"""Pages looked at for one entity."""
MOST_WORDS_COMPARED = 15
"""A longer description on one side of "or" hides the other side."""


class BuiltinRewriter:
    """Replaces entities by descriptions that relations and lead sentences give."""

    name = config.BUILTIN

    def __init__(self, options: config.E2hqaOptions):
        self.failures: Counter[str] = Counter()
        self._seed = options.seed

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        """The question one level up; None if no entity in it has a description that holds."""
        for entity in question_entities.replaceable_names(qa):
            home = await _home(entity, web)
            if home is None:
                continue
            found = [found async for found in self._descriptions(entity, home, qa, web)]
            random.Random(f"{self._seed} {qa.id} {entity}").shuffle(found)
            found.sort(key=lambda description: description.is_gloss)
            for description in found:
                harder = replace_entity(qa, entity, description)
                if harder is not None and await is_found_again(description, [home], web):
                    return harder
        return None

    async def _descriptions(self, entity: str, home: Page, qa: QA, web: Web) -> AsyncIterator[Description]:
        """What other pages say of the entity; failing that, what its own lead says."""
        used = {urls.page_key(proof.url) for proof in qa.evidence} | {urls.page_key(home.url)}
        topic, none_yet = topic_of(home), True
        for hit in await web.search(entity, RESULTS):
            if urls.page_key(hit.url) not in used and (page := await page_at(hit.url, web)):
                for description in descriptions_from(entity, topic, home, page):
                    none_yet = False
                    yield description
        if none_yet:
            for description in descriptions_from(entity, topic, home, home):
                yield description


async def _home(entity: str, web: Web) -> Page | None:
    """The page that is about the entity: the first result that bears its name."""
    for hit in await web.search(entity, RESULTS):
        if entity in hit.title and (page := await page_at(hit.url, web)) and fold(topic_of(page).name) == fold(entity):
            return page
    return None


def descriptions_from(entity: str, topic: Topic, home: Page, page: Page) -> Iterator[Description]:
    """What a page says of the entity and of nothing else: one value of a relation, or a statement about it.

    A thing of which relations are known is told from others by these; a statement might hold for several.
    """
    if page is not home:
        yield from _related(entity, topic, urls.page_key(home.url), page)
    if not (topic.kind and read_facts(home, topic)):
        yield from _stated(entity, home, page)


def _related(entity: str, topic: Topic, target: str, page: Page) -> Iterator[Description]:
    source = topic_of(page)
    if not source.kind or all(urls.page_key(link.url) != target for link in page.links):
        return
    listed = {entry.target for link_list in read_link_lists(page) for entry in link_list.entries}
    facts = read_facts(page, source)
    for fact in facts:
        values = {other.target for other in facts if other.relation == fact.relation}
        of_many = fact.relation.takes_many and target in listed
        if fact.target == target and fact.anchor == entity and len(values) == 1 and not of_many:
            yield Description(_phrase(fact.relation, source, topic), fact.quote, page, entity)


def _stated(entity: str, home: Page, page: Page) -> Iterator[Description]:
    target = urls.page_key(home.url)
    for statement in read_statements(page, topic_of(page).name, about=target):
        if statement.gloss and page is not home and mentions(home.text, statement.gloss):
            continue  # the page says so itself: no other one has to be read for it
        about_it = statement.form == "about" and page is not home and is_on(home.text, entity, statement.answer)
        if statement.description and (statement.answer == entity or about_it):
            yield Description(statement.description, statement.quote, page, entity)
    if page is not home:
        yield from _told(entity, target, page)


def _told(entity: str, target: str, page: Page) -> Iterator[Description]:
    """What a page says of the entity without a link: only where its kind shows that no common word is meant."""
    for start, end in sentence_spans(page.text) if is_name(entity) else ():
        sentence = squeeze(page.text[start:end])
        said = (
            statement_about(sentence, entity, target) if entity in sentence and stands_alone(sentence, entity) else None
        )
        if said and said.description.startswith(tuple(f"the {kind} that " for kind in KINDS.split("|"))):
            yield Description(said.description, said.quote, page, entity)


def _phrase(relation: Relation, source: Topic, topic: Topic) -> str:
    return wording.describe_object(relation, source.called, topic)


def replace_entity(qa: QA, entity: str, description: Description) -> QA | None:
    """The question with the description in the entity's place; None unless that is sound English and no circle."""
    if description.is_gloss and f"the page “{entity}”" not in qa.question:
        return None
    if qa.type == "comparison" and ("," in description.text or len(description.text.split()) > MOST_WORDS_COMPARED):
        return None
    source = topic_of(description.page).name
    if source != entity and mentions(qa.question, source):
        return None
    question = question_entities.replace_name(qa.question, entity, description.text)
    return harder_question(qa, entity, description, question) if question and not wording.is_clumsy(question) else None

"""The author for small models: one sentence a call, where ``ChatAuthor`` shows pages.

A model of half a billion parameters cannot find in pages what is worth asking, nor copy a quote from them; asked for
several things at once, it does none. Here rules choose a sentence, which is the quote; the model asks about it and
answers, and is then shown sentence and question alone. A question is kept if both answers agree (round-trip
consistency: Alberti et al., 2019, "Synthetic QA Corpora Generation with Roundtrip Consistency").
"""

import re
from collections.abc import Iterator

import msgspec

from webdancer_cli.data.records import QA, Evidence, Page, Usage
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.llm import structured_output
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet
from webdancer_cli.synthesis import mix, standalone
from webdancer_cli.synthesis.chat.author import ChatAuthor
from webdancer_cli.synthesis.chat.quotes import QuoteFinder
from webdancer_cli.synthesis.checks import QuestionFault
from webdancer_cli.synthesis.protocols import Outcome, RefusedQuestion
from webdancer_cli.synthesis.provenance import signed_question
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import content_stems, sentences

TYPE = "single_hop"
"""What one sentence can prove."""
WRITE, READ_BACK = "sentence.md", "read_back.md"
MIN_WORDS = 8
"""A shorter sentence has little beside its subject to ask for."""
SENTENCES_A_QUESTION = 3
"""Sentences that are tried for each question that a page may give."""
MAX_ANSWER_WORDS = 8
"""Of a longer answer, most of the sentence is the answer."""
MIN_LETTERS = 4
"""A shorter word of a title stands inside others by chance."""

_TELLING = re.compile(r"(?<=[\w,)(“\"] )[(“\"]?(?:[A-Z]\w+|\d)|\w@\w|\w[./]\w")
"""What can be asked for by name, inside a sentence: names, numbers, addresses."""


class SentenceAuthorReply(msgspec.Struct):
    question: str
    answer: structured_output.TextOrNumber


class ReadBack(msgspec.Struct):
    answer: structured_output.TextOrNumber


class SentenceAuthor(ChatAuthor):
    """Writes ``per_page`` questions on each page, a sentence each.

    Raises UsageError where only questions of other types are wanted.
    """

    def __init__(self, options: config.CrawlqaOptions, chat: structured_output.ChatModel, prompts: PromptSet):
        super().__init__(options, chat, prompts)
        if TYPE not in self._quotas:
            raise UsageError(f"--ask sentences: writes {TYPE} only, which --types leaves out; name it, or ask pages")
        self._quotas = {TYPE: mix.quotas(options)[TYPE]}
        self._prompts = prompts.id_of(WRITE, READ_BACK)
        self._files = prompts.files

    async def _written(self, group: list[Page]) -> list[Outcome]:
        page, most = group[0], self._quotas[TYPE]
        written: list[Outcome] = []
        for sentence in telling_sentences(page, SENTENCES_A_QUESTION * most):
            written.append(await self._about(sentence, page))
            if sum(isinstance(outcome, QA) for outcome in written) == most:
                break
        return written

    async def _about(self, sentence: str, page: Page) -> Outcome:
        """The question on a sentence, or why there is none. Raises ModelError, but for what cannot be read."""
        try:
            asked, usage = await structured_output.ask_for_json(
                self._chat, SentenceAuthorReply, self._files[WRITE], title=squeeze(page.title), sentence=sentence
            )
        except structured_output.Unreadable as error:
            return RefusedQuestion(Reject("unreadable_reply", str(error), failed=False), url=page.url)
        answer = QuoteFinder(sentence).find(asked.answer) or asked.answer.strip()
        qa = signed_question(asked.question.strip(), answer, TYPE, [Evidence.of(page, sentence)], author=self.name)
        qa.prompts, qa.usage = self._prompts, usage
        fault = self._fault(qa, [page]) or _off_the_sentence(qa) or await self._read_back(qa, sentence)
        return RefusedQuestion(Reject(fault.reason, fault.detail, failed=False), qa) if fault else qa

    async def _read_back(self, qa: QA, sentence: str) -> QuestionFault | None:
        """Whether the model, shown the question, does not find its answer in the sentence again."""
        try:
            again, usage = await structured_output.ask_for_json(
                self._chat, ReadBack, self._files[READ_BACK], sentence=sentence, question=qa.question
            )
        except structured_output.Unreadable as error:
            return QuestionFault("answered_otherwise", str(error))
        qa.usage = add_usage(qa.usage or Usage(), usage)
        agree = mentions(again.answer, qa.answer) or mentions(qa.answer, again.answer)
        return None if agree else QuestionFault("answered_otherwise", again.answer)


def _off_the_sentence(qa: QA) -> QuestionFault | None:
    """What rules can tell of a question that is about more, or less, than its sentence."""
    if len(qa.answer.split()) > MAX_ANSWER_WORDS:
        return QuestionFault("long_answer", qa.answer)
    (proof,) = qa.evidence
    if not content_stems(qa.question) & content_stems(proof.quote) - content_stems(qa.answer):
        return QuestionFault("not_about_quote", qa.question)
    return None if _names_something(qa.question, proof.title) else QuestionFault("names_nothing", qa.question)


def _names_something(question: str, title: str) -> bool:
    """Whether a question has a name or a number in it, or a word of the title, also inside another (rsyslogd)."""
    asked = question.casefold()
    return bool(_TELLING.search(question)) or any(
        word in asked for word in content_stems(title) if len(word) >= MIN_LETTERS
    )


def telling_sentences(page: Page, most: int) -> list[str]:
    """Sentences of a page that can be understood with its title alone: those with most names and numbers first."""
    told = sorted(_standing(page), key=lambda sentence: -len(_TELLING.findall(sentence)))
    return told[:most]


def _standing(page: Page) -> Iterator[str]:
    for sentence in dict.fromkeys(map(squeeze, sentences(page.text))):
        if len(sentence.split()) < MIN_WORDS or standalone.leans_on_context(sentence):
            continue
        if standalone.stands_alone(sentence) and standalone.is_complete_sentence(sentence):
            yield sentence

"""The built-in demonstrator: an expert who knows where the proof of an answer lies, and shows how to get there.

A question's provenance names the pages to read, in order, with the quotes that prove the answer. The demonstrator
really calls the tools and reads what comes back. It asks only for what a person could know at that moment (the words of
the question, and of pages read so far), opens a page only if it turned up, believes a quote only if it was shown, and
answers only then. Otherwise it gives up: an empty answer, which ends the episode as ``no_answer``. How it puts its
thoughts in words is its thinker's; now and then it takes a wrong turn on purpose, and shows how to come back. Where its
context is rewritten it goes by what is left to see: a result that it no longer sees it looks for again.
"""

import math
import random
import re
from collections.abc import Collection, Generator, Sequence
from typing import Literal

from webdancer_cli.agent.context_keeper import in_words
from webdancer_cli.agent.episode import Completion
from webdancer_cli.agent.observations import parse_results, shown_excerpt, title_in_results
from webdancer_cli.agent.plan import (
    DERIVED,
    left_after,
    search_words,
    shared_words,
    steps_of,
    subject_of_title,
    substitute_fact,
    targets_of,
)
from webdancer_cli.agent.recovery import WrongTurn, draw_wrong_turn, is_namesake, is_old, misleading_result
from webdancer_cli.agent.thoughts import PlainThinker, PlannedThinker, Setback, Thinker
from webdancer_cli.agent.truncation import estimate_tokens
from webdancer_cli.data.records import QA, Evidence, Message
from webdancer_cli.options import config
from webdancer_cli.prompts import fill, load
from webdancer_cli.prompts.thoughts import load_thoughts
from webdancer_cli.synthesis.checks import years_passed
from webdancer_cli.text.names import mentions
from webdancer_cli.text.words import content_stems, sentences
from webdancer_cli.transcript.contexts import SeenExchange
from webdancer_cli.transcript.grammar import ToolCall, Turn, escape_tags, render_turn, response_text

Script = Generator[Turn, str, None]
"""Yields turns, is sent observations."""

Step = Generator[Turn, str, bool]
"""Part of a script: whether it found what it was after."""

NOTES = ""
"""Among the pages that were read, in place of an address: the expert's own words."""

GROUPS = ("count", "temporal")
"""Question types that may be about all things of a kind: how many, or which came first."""


class Demonstrator:
    """The policy ``builtin``. Its phrasings depend on the seed, the question and the rollout alone."""

    name = config.BUILTIN

    def __init__(self, options: config.SampleOptions | config.EvalOptions):
        self._options = options
        prompts = load(options.prompts)
        self._wording, self._summary = prompts.settings.demonstrator, prompts.context.summary
        self._thoughts = load_thoughts(options.prompts)
        self._recovery = options.recovery if isinstance(options, config.SampleOptions) else 0.0

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "ScriptedSession":
        choice = random.Random(f"{self._options.seed}:{qa.id}:{rollout}")
        if self._options.style == "plain":
            return self._session(Expert(qa, PlainThinker(qa, self._wording, choice), self._wording.goal), messages)
        turn = draw_wrong_turn(qa, self._recovery, self._options.max_calls, choice)
        planned = PlannedThinker(qa, self._thoughts, "long" if self._options.cot == "long" else "short", choice)
        return self._session(Expert(qa, planned, self._wording.goal, turn), messages)

    def _session(self, expert: "Expert", messages: Sequence[Message]) -> "ScriptedSession":
        folds = self._options.context.startswith("fold")
        room = self._options.max_context_tokens if folds else math.inf
        return ScriptedSession(expert, self._summary, room - sum(estimate_tokens(each.content) for each in messages))


class ScriptedSession:
    """An expert's script as a session: each turn is written strictly. ``room`` bounds its context, in tokens; only who
    is to fold it has to know of a bound."""

    def __init__(self, expert: "Expert", summary: str, room: float):
        self._expert = expert
        self._script = expert.script()
        self._summary = summary
        self._room = room
        self._turns: list[str] = []
        self._tokens = 0
        self._heard: str | None = None

    @property
    def remaining_tokens(self) -> float:
        return self._room - self._tokens

    async def act(self) -> Completion:
        return self._said(render_turn(next(self._script) if self._heard is None else self._script.send(self._heard)))

    async def summarise(self) -> Completion:
        return self._said(self._expert.summary(self._summary))

    def count(self, content: str) -> int:
        return estimate_tokens(content)

    def observe(self, content: str) -> None:
        self._heard = response_text(content) or ""
        self._tokens += self.count(content)

    def rewrite(self, exchanges: Sequence[SeenExchange]) -> None:
        shown = [exchange.answered for exchange in exchanges]
        self._expert.forget_all_but({response_text(content) or "" for content in shown})
        texts = [self._turns[exchange.turn] for exchange in exchanges] + self._turns[-1:] + shown
        self._tokens = sum(map(self.count, texts))

    def _said(self, text: str) -> Completion:
        self._turns.append(text)
        self._tokens += self.count(text)
        return Completion(text=text, finish="stop")


class Expert:
    """What the expert has read so far, and how that leads to the next turn."""

    def __init__(self, qa: QA, thinker: Thinker, goal: str, wrong_turn: WrongTurn | None = None):
        self._qa = qa
        self._thinker = thinker
        self._goal_wording = goal
        self._wrong_turn = wrong_turn
        self._setback: Setback | None = None
        self._question = escape_tags(qa.question)
        self._results = ""
        self._asked: dict[str, str] = {}
        self._pages: dict[str, str] = {}
        self._facts: list[str] = []
        self._notes: list[str] = []
        self._told = 0
        self._done = 0
        self._call = ToolCall("search", {})

    def summary(self, wording: str) -> str:
        """What it goes on from when the rest is taken away: its notes, what is left, and its latest call."""
        left = ", ".join(left_after(steps_of(self._qa), self._done)) or self._question
        return fill(wording, facts=" ".join(self._notes) or "-", left=left, call=in_words(self._call))

    def forget_all_but(self, shown: Collection[str]) -> None:
        """Only these observations are still to be seen, beside what it noted, which its own words hold."""
        self._results = self._results if self._results in shown else ""
        self._asked = {query: results for query, results in self._asked.items() if results in shown}
        self._pages = {url: text for url, text in self._pages.items() if text in shown}
        self._pages[NOTES] = " ".join(self._notes)

    def script(self) -> Script:
        found = yield from self._follow() if self._qa.evidence else self._look_around()
        if not found:
            yield Turn(thought=self._thinker.give_up(), answer="")
            return
        answer = escape_tags(self._qa.answer)
        yield Turn(thought=self._thinker.answer(self._take_news(), self._done, answer), answer=answer)

    def _follow(self) -> Step:
        """Learn from each page of the provenance in turn."""
        for evidence, key in zip(self._qa.evidence, targets_of(self._qa), strict=True):
            if not (yield from self._learn(evidence, key)):
                return False
            self._done += 1
        return self._follows() or any(
            mentions(text, escape_tags(answer))
            for text in (*self._facts, *self._pages.values())
            for answer in (self._qa.answer, *self._qa.aliases)
        )

    def _follows(self) -> bool:
        """Whether the answer stands nowhere and follows from what was read: a number, or several facts in a row."""
        if self._qa.type == "temporal" and self._qa.answer.isdigit():
            return years_passed(int(self._qa.answer), self._facts)
        return self._qa.type in ("count", "several")

    def _learn(self, evidence: Evidence, key: str) -> Step:
        """Find a page, read it, and note its quote if it was really shown."""
        if self._note(evidence, key):
            return True
        if evidence.url not in self._pages and not (yield from self._reach(evidence)):
            return False
        yield from self._read_another(evidence)
        if not self._sees(evidence.url) and not (yield from self._reach(evidence)):
            return False
        goals = [self._goal(evidence), self._question]
        if self._turns_wrong("view"):
            goals.insert(0, f"{subject_of_title(evidence)} in general")
        for at, goal in enumerate(goals):
            yield from self._read(evidence, goal, again=at > 0)
            if self._note(evidence, key):
                return True
            self._setback = Setback("not_shown", subject_of_title(evidence))
        return False

    def _sees(self, url: str) -> bool:
        """Whether an address is still to be seen: it was among results, or read."""
        return url in self._pages or any(title_in_results(shown, url) is not None for shown in self._asked.values())

    def _turns_wrong(self, kind: str) -> bool:
        """Whether the wrong turn is to be taken here; it is taken once."""
        here = self._wrong_turn is not None and (self._wrong_turn.page, self._wrong_turn.kind) == (self._done, kind)
        self._wrong_turn = None if here else self._wrong_turn
        return here

    def _read_another(self, evidence: Evidence) -> Generator[Turn, str, None]:
        """As a wrong turn: open a result that could be taken for the page, and see that it is not."""
        known = {*self._pages, *(page.url for page in self._qa.evidence)}
        title = title_in_results(self._results, evidence.url) or evidence.title
        results = [(escape_tags(other), url) for other, url in parse_results(self._results)]
        url = misleading_result(results, evidence.url, title, known)
        if url is None or not self._turns_wrong("result"):
            return
        other = next(other for other, found in results if found == url)
        yield from self._read(Evidence(url=url, quote="", title=other), self._goal(evidence))
        kind: Literal["outdated", "namesake", "lacking"] = "namesake" if is_namesake(other, title) else "lacking"
        self._setback = Setback("outdated" if is_old(self._pages[url]) else kind, other)

    def _reach(self, evidence: Evidence) -> Step:
        """Search until the page is among the results; failing that, read an overview that may give its name."""
        if (yield from self._find(evidence)):
            return True
        return (yield from self._read_overview()) and (yield from self._find(evidence))

    def _find(self, evidence: Evidence) -> Step:
        """Make the page turn up in search results: two queries at most, none of them twice.

        Without a name to look up, older results do.
        """
        if not self._knows(subject_of_title(evidence)) and title_in_results(self._results, evidence.url) is not None:
            return True
        for query in self._queries_to_try(evidence):
            self._results = self._asked.get(query) or (yield self._search(query))
            self._asked[query] = self._results
            if title_in_results(self._results, evidence.url) is not None:
                return True
            self._setback = Setback("not_listed" if parse_results(self._results) else "no_results")
        return False

    def _read_overview(self) -> Step:
        """For a question about a group: read what turned up under a name that it gives, which may list its members."""
        turned_up = (title_and_url for results in self._asked.values() for title_and_url in parse_results(results))
        about = ((title, url) for title, url in turned_up if url not in self._pages and self._asks_for(title))
        title, url = next(about, ("", ""))
        if self._qa.type not in GROUPS or not url:
            return False
        yield from self._read(Evidence(url=url, quote="", title=title), self._question)
        return True

    def _asks_for(self, title: str) -> bool:
        name = subject_of_title(Evidence(url="", quote="", title=title))
        return mentions(self._question, name) or mentions(self._resolved_question(), name)

    def _look_around(self) -> Step:
        """A question without provenance: search it, open the first result, and see whether the answer is there."""
        self._results = yield self._search(self._question.rstrip(" ?!."))
        first = re.search(r"\]\((\S+)\)", self._results)
        if not first:
            return False
        page = Evidence(url=first[1], quote="")
        yield from self._read(page, self._question)
        about = content_stems(self._question)
        telling = (text for text in sentences(self._pages[page.url]) if mentions(text, escape_tags(self._qa.answer)))
        self._facts += [text for text in telling if about & content_stems(text)][:1]
        self._notes += self._facts
        return bool(self._facts)

    def _search(self, query: str) -> Turn:
        first = not self._told and not self._results and NOTES not in self._pages
        thought = self._thinker.search(query, self._take_news(), self._done, self._take_setback(), first=first)
        self._call = ToolCall("search", {"query": [query]})
        return Turn(thought=thought, call=self._call)

    def _read(self, evidence: Evidence, goal: str, *, again: bool = False) -> Generator[Turn, str, None]:
        title = title_in_results(self._results, evidence.url) or subject_of_title(evidence)
        thought = self._thinker.read(title, self._take_news(), self._done, self._take_setback(), again=again)
        self._call = ToolCall("visit", {"url": [evidence.url], "goal": goal})
        shown = self._pages[evidence.url] = yield Turn(thought=thought, call=self._call)
        self._thinker.take_notes(title, {name: told for name, told in evidence.facts.items() if mentions(shown, told)})

    def _note(self, evidence: Evidence, key: str) -> bool:
        fact = shown_excerpt(self._pages.get(evidence.url, ""), escape_tags(evidence.quote), key)
        if fact and (not self._facts or self._facts[-1] != fact):
            self._facts.append(fact)
            name = subject_of_title(evidence)
            self._notes.append(fact if mentions(fact, name) else f"{name}: {fact}")
        return bool(fact)

    @property
    def _news(self) -> list[str]:
        """Facts that no thought has stated yet."""
        return self._facts[self._told :]

    def _take_news(self) -> list[str]:
        news = self._news
        self._told = len(self._facts)
        return news

    def _take_setback(self) -> Setback | None:
        setback, self._setback = self._setback, None
        return setback

    def _goal(self, evidence: Evidence) -> str:
        return fill(self._goal_wording, topic=self._topic(evidence), question=self._question)

    def _topic(self, evidence: Evidence) -> str:
        """What this page is read for: as the question's plan says, or the question's words that its quote has, too."""
        if planned := self._planned(evidence):
            return next((planned.removesuffix(f" of {name}") for name in self._named(planned)), planned)
        shared = shared_words(self._question, evidence.quote, subject_of_title(evidence))
        return " ".join(shared or search_words(self._question))

    def _named(self, label: str) -> list[str]:
        """Subjects of the evidence with which a label ends: "number of rooms of Kemlo"."""
        names = (subject_of_title(evidence) for evidence in self._qa.evidence)
        return [name for name in names if label.endswith(f" of {name}")]

    def _planned(self, evidence: Evidence) -> str:
        """What the plan says of a page, if the question has one; of a page in passing what it says of the next."""
        if len(self._qa.plan) != len(self._qa.evidence):
            return ""
        if self._qa.type == "several":
            return escape_tags(", ".join(self._qa.plan))
        labels = self._qa.plan[self._qa.evidence.index(evidence) :] if evidence in self._qa.evidence else []
        return escape_tags(next(filter(None, labels), ""))

    def _knows(self, name: str) -> bool:
        """Whether a person could know a name by now: from the question, or from a page that was read."""
        return bool(name) and any(mentions(text, name) for text in (self._question, *self._pages.values()))

    def _queries_to_try(self, evidence: Evidence) -> list[str]:
        """The best two or, of what is only described, three; before them a vague one where the wrong turn is taken."""
        described = " whose " in self._planned(evidence)
        queries, vague = self._queries(evidence)[: 3 if described else 2], self._topic(evidence)
        if vague in queries or not self._turns_wrong("query"):
            return queries
        return [vague, *queries]

    def _queries(self, evidence: Evidence) -> list[str]:
        """What to search for, best first, in words that a person has by now."""
        name, queries = subject_of_title(evidence), []
        if self._knows(name):
            queries = [name, f"{name} {self._topic(evidence)}"]
        if " whose " in (described := self._planned(evidence)):
            queries += [described.rpartition(" is ")[2], " ".join(search_words(described))]
        queries += [said for said in self._descriptions(evidence.url) if mentions(self._question, said)]
        queries += [self._resolved_question(), " ".join(search_words(self._question)), self._topic(evidence)]
        return list(dict.fromkeys(query for query in queries if query))

    def _resolved_question(self) -> str:
        """The question's words, with what the facts that lead on have told put in place of its descriptions."""
        question, facts = self._question, self._facts
        if self._qa.type in DERIVED:
            facts = facts[: len(self._qa.chain)]
        for rewrite in reversed(self._qa.chain):
            name, description = escape_tags(rewrite.entity), escape_tags(rewrite.description)
            if description in question and any(mentions(fact, name) for fact in facts):
                question = question.replace(description, name)
                facts = [fact for fact in facts if not mentions(fact, name)]
        words = search_words(question)
        for fact in facts:
            words = substitute_fact(words, fact)
        return " ".join(words)

    def _descriptions(self, url: str) -> list[str]:
        """How the question describes the entity of a page, where a rewrite put that in place of its name."""
        said = (escape_tags(rewrite.description) for rewrite in self._qa.chain if rewrite.url == url)
        return [re.sub(r"^(the|an?)\s+", "", text, flags=re.IGNORECASE) for text in said]

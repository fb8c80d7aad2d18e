"""What the demonstrator thinks before each turn: in one plain sentence, or with the plan and what is left of it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from webdancer_cli.agent.plan import DERIVED, PlanStep, answer_kind, chain_after, left_after, ranking_word, steps_of
from webdancer_cli.data.records import QA
from webdancer_cli.prompts import DemonstratorWording, fill
from webdancer_cli.prompts.thoughts import SentenceDeck, ThoughtLength, ThoughtWording
from webdancer_cli.synthesis.checks import list_items, parse_count, years_apart
from webdancer_cli.transcript.grammar import escape_tags


@dataclass(frozen=True)
class Setback:
    """What did not lead on: a search, or a page (``title``) that was opened or shown in part."""

    kind: Literal["no_results", "not_listed", "lacking", "namesake", "outdated", "not_shown"]
    title: str = ""


class Thinker(Protocol):
    """Puts a turn's thought in words. ``facts`` are quotes noted since the last thought, ``done`` the steps behind."""

    def take_notes(self, title: str, told: Mapping[str, str]) -> None:
        """What a page that was read tells, by the names of the facts: for the next thought."""

    def search(self, query: str, facts: Sequence[str], done: int, setback: Setback | None, *, first: bool) -> str: ...

    def read(self, title: str, facts: Sequence[str], done: int, setback: Setback | None, *, again: bool) -> str: ...

    def answer(self, facts: Sequence[str], done: int, answer: str) -> str: ...

    def give_up(self) -> str: ...


class PlainThinker:
    """``--style plain``: what was read and what comes next, without a plan."""

    def __init__(self, qa: QA, wording: DemonstratorWording, choice: random.Random):
        self._question = escape_tags(qa.question)
        self._wording = wording
        self._choice = choice
        self._all: list[str] = []
        self._derived = qa.type in DERIVED

    def take_notes(self, title: str, told: Mapping[str, str]) -> None:
        pass

    def search(self, query: str, facts: Sequence[str], done: int, setback: Setback | None, *, first: bool) -> str:
        phrasings = self._wording.start if first else self._wording.next if facts else self._wording.again
        return self._say(phrasings, facts, target=query)

    def read(self, title: str, facts: Sequence[str], done: int, setback: Setback | None, *, again: bool) -> str:
        phrasings = self._wording.onward if facts else self._wording.reread if again else self._wording.visit
        return self._say(phrasings, facts, title=title)

    def answer(self, facts: Sequence[str], done: int, answer: str) -> str:
        told = [*self._all, *facts]
        return self._say(self._wording.answer, told if self._derived else told[-1:], answer=answer)

    def give_up(self) -> str:
        return self._say(self._wording.give_up, [])

    def _say(self, phrasings: Sequence[str], facts: Sequence[str], **values: str) -> str:
        self._all += facts
        return fill(self._choice.choice(phrasings), question=self._question, facts=" ".join(facts), **values)


class PlannedThinker:
    """``--style planned``: the steps first, then what each page gave and what is left, at last that nothing is."""

    def __init__(self, qa: QA, wording: ThoughtWording, length: ThoughtLength, choice: random.Random):
        self._qa = qa
        self._question = escape_tags(qa.question)
        self._forms = wording.forms(length)
        self._deck = SentenceDeck(wording, choice)
        self._steps = steps_of(qa)
        self._reckoning = self._deck.reckoning(qa.type, ranking_word(self._question))
        self._told = 0
        self._all: list[str] = []
        self._old = ""
        self._notes = ""

    def take_notes(self, title: str, told: Mapping[str, str]) -> None:
        notes = "; ".join(f"{name}: {escape_tags(value)}" for name, value in told.items())
        self._notes = self._deck.sentence("notes", title=title, notes=notes) if notes else ""

    def search(self, query: str, facts: Sequence[str], done: int, setback: Setback | None, *, first: bool) -> str:
        form = self._forms.start if first else self._forms.setback_search if setback else self._forms.search
        return self._thought(form, facts, done, setback, target=query)

    def read(self, title: str, facts: Sequence[str], done: int, setback: Setback | None, *, again: bool) -> str:
        form = self._forms.setback_visit if setback else self._forms.open if facts else self._forms.visit
        return self._thought(form, facts, done, setback, title=title)

    def answer(self, facts: Sequence[str], done: int, answer: str) -> str:
        return self._thought(self._forms.answer, facts, done, None, answer=answer)

    def give_up(self) -> str:
        return self._deck.sentence("give_up")

    def _thought(self, form: str, facts: Sequence[str], done: int, setback: Setback | None, **values: str) -> str:
        """The sentences of a form, one after another; what has nothing to say is left out."""
        self._all += facts
        label = self._deck.named(self._steps[done].label if done < len(self._steps) else "answer")
        if self._qa.type == "several" and done < len(self._steps):
            label = self._list(done)
        sentences = {
            "asked": lambda: self._deck.sentence("asked", question=self._question),
            "kind": lambda: self._deck.sentence("kind", kind=self._kind()),
            "steps": self._plan,
            "notes": lambda: self._notes,
            "gave": lambda: self._gave(facts, done),
            "found": lambda: self._found(facts, done),
            "newer": lambda: self._newer(facts),
            "recap": self._recap,
            "reckoned": self._reckoned,
            "begin": lambda: self._deck.sentence("begin") if len(left_after(self._steps, 0)) > 1 else "",
            "left": lambda: self._left(done),
            "setback": lambda: self._setback(setback, label),
            "done": lambda: self._deck.sentence("done", **values),
        }
        said = []
        for name in form.replace("{", " ").replace("}", " ").split():
            said.append(sentences[name]() if name in sentences else self._deck.sentence(name, label=label, **values))
        self._told, self._notes = done, ""
        return " ".join(part for part in said if part)

    def _left(self, done: int) -> str:
        """Nothing where the last page was one in passing: what is left is what it was before."""
        if done == len(self._steps) or (done > self._told and self._steps[done - 1].passing):
            return ""
        return self._deck.sentence("left", left=self._list(done))

    def _kind(self) -> str:
        return self._deck.kind_of_answer(answer_kind(self._qa.question, self._qa.answer))

    def _plan(self) -> str:
        kind = "chain" if self._chain(0) else "steps" if len(left_after(self._steps, 0)) > 1 else "only_step"
        return self._deck.sentence(kind, steps=self._list(0)) if self._steps else ""

    def _list(self, done: int) -> str:
        left, first = left_after(self._steps, done), self._number(done)
        return self._chain(done) or self._deck.listed(left, first, self._reckoning)

    def _chain(self, done: int) -> str:
        """What is left, as one phrase, where the steps are a chain and the set says chains so; else ""."""
        return self._deck.chained(*chain_after(self._qa, self._steps, done))

    def _gave(self, facts: Sequence[str], done: int) -> str:
        """What the pages gave since the last thought: by its name, or as they put it."""
        if not facts:
            return ""
        news, quoted = self._steps[self._told : done], " ".join(facts)
        if self._chain(self._told) and (told := self._chain_gave(done)):
            return told
        first = self._number(self._told)
        if len(news) > 1 and (told := self._told_by(news, first)):
            return self._deck.sentence("recap", recap=told)
        if len(news) != 1 or news[0].passing:
            return self._passed(quoted, done) or self._deck.sentence("noted", facts=quoted)
        kind = "gave_words" if news[0].label.startswith("“") or not news[0].gives else "gave"
        label, value = self._deck.named(news[0].label), news[0].gives
        return self._deck.sentence(kind, facts=quoted, label=label, value=value, be=_verb(value), number=str(first))

    def _chain_gave(self, done: int) -> str:
        """Each step of a chain since the last thought, named by what it was asked of, with what it gave; "" where one
        gave nothing that could be named."""
        news = [at for at in range(self._told, done) if not self._steps[at].passing]
        said = []
        for at in news if all(self._steps[at].gives for at in news) else ():
            said.append(self._deck.sentence("chain_gave", label=self._next_of_chain(at), value=self._steps[at].gives))
        return " ".join(said)

    def _next_of_chain(self, done: int) -> str:
        """The next step, named by what it is asked of: "the teacher of Dolvek"; "" where ``_chain`` is."""
        known, labels = chain_after(self._qa, self._steps, done)
        return self._deck.chained(known, labels[:1])

    def _passed(self, quoted: str, done: int) -> str:
        """That a page told where to find the next step, not what it asks; "" in a set that has no words for it."""
        if done == len(self._steps):
            return ""
        label = self._next_of_chain(done) or self._deck.named(self._steps[done].label)
        return self._deck.sentence("passed", label=label, facts=quoted)

    def _number(self, done: int) -> int:
        """The number of the step that comes after so many, of those that are said."""
        return len(left_after(self._steps, 0)) - len(left_after(self._steps, done)) + 1

    def _found(self, facts: Sequence[str], done: int) -> str:
        news = self._steps[self._told : done]
        if len(news) != 1 or news[0].passing or not news[0].gives or not facts or done == len(self._steps):
            return ""
        return self._deck.sentence("found", label=self._deck.named(news[0].label), value=news[0].gives)

    def _newer(self, facts: Sequence[str]) -> str:
        """After an old page was read before this one: which of the two counts."""
        old, self._old = self._old, "" if facts else self._old
        return self._deck.sentence("newer", title=old) if old and facts else ""

    def _recap(self) -> str:
        """All steps with what they gave, where there are several."""
        steps = [step for step in self._steps if not step.passing]
        told = self._told_by(steps, 1) if len(steps) > 1 else ""
        return self._deck.sentence("recap", recap=told) if told else ""

    def _told_by(self, steps: Sequence[PlanStep], first: int) -> str:
        """Steps with what they gave, "" where one of them gave nothing that could be named."""
        values = [step.gives for step in steps if not step.passing]
        if not all(values) or len(values) < len(steps):
            return ""
        return self._deck.pairs([step.label for step in steps], values, [_verb(value) for value in values], first)

    def _reckoned(self) -> str:
        """How the answer follows from all quotes together: by a difference, a comparison, a count."""
        answer = escape_tags(self._qa.answer)
        step = self._deck.numbered(len(left_after(self._steps, 0)) + 1, self._reckoning)
        if self._qa.type == "temporal" and answer.isdigit() and (span := years_apart(int(answer), self._all)):
            earlier, later = min(span), max(span)
            values = {"later": str(later), "earlier": str(earlier), "working": digit_by_digit(later, earlier)}
            return self._deck.sentence("difference", step=step, answer=answer, **values)
        if self._qa.type == "comparison" and len(self._all) > 1:
            quoted = "; ".join(fact.rstrip(".") for fact in self._all)
            steps = [step for step in self._steps if not step.passing]
            values = {"facts": self._told_by(steps, 1) or quoted, "value": self._told_of(answer) or answer}
            return self._deck.sentence("ranked" if self._reckoning else "side_by_side", step=step, **values)
        return self._counted(answer, step) if self._qa.type == "count" else ""

    def _told_of(self, name: str) -> str:
        """What the step about this thing gave."""
        return next((step.gives for step in self._steps if step.label.endswith(f" of {name}")), "")

    def _counted(self, answer: str, step: str) -> str:
        """One by one, where a page lists them and the set has the words; else their number alone."""
        items = list_items(self._steps[-1].gives) if self._steps else []
        if len(items) == parse_count(answer):
            values = {"step": step, "items": self._deck.counted(items)}
            if said := self._deck.sentence("counted_items", **values):
                return said
        return self._deck.sentence("counted", answer=answer)

    def _setback(self, setback: Setback | None, label: str) -> str:
        if setback is None:
            return ""
        self._old = setback.title if setback.kind == "outdated" else self._old
        name = setback.title.partition(" (")[0]
        return self._deck.sentence(setback.kind, title=setback.title, name=name, label=label)


def digit_by_digit(larger: int, smaller: int) -> str:
    """A subtraction as on paper, one digit after the other: "1974 - 400 = 1574, 1574 - 5 = 1569" for 405."""
    said = []
    for at, digit in enumerate(str(smaller), 1 - len(str(smaller))):
        part = int(digit) * 10**-at
        if part:
            said.append(f"{larger} - {part} = {larger - part}")
            larger -= part
    return ", ".join(said)


def _verb(value: str) -> str:
    """Between a step and what it gave."""
    return "are" if answer_kind("", value) == "list" else "is"

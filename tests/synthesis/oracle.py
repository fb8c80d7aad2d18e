"""Answers the questions of a world from its facts alone, word by word, knowing no page: both styles, all types.

A phrase may be read in several ways ("the mayor of the home of A or B"): the first that the facts bear out counts.
"""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

Reading = tuple[str, list[str]]
"""A name, and the pages to read for it, in order."""

PASSIVE = {  # "S was born in O": relation of S to O; "~" where it is O's page that has it
    "was born in": "birthplace",
    "was educated at": "alma mater",
    "is twinned with": "twin city",
    "is located in": "city|region",
    "was published by": "publisher",
    "is sponsored by": "sponsor",
    "is dedicated to": "dedicatee",
    "was employed by": "employer",
    "was first performed in": "city of the premiere",
    "was the leader of": "~leader",
}
ACTIVE = {  # verb, base of its first word: relation
    ("died in", "die"): "place of death",
    ("studied at", "study"): "alma mater",
    ("competes with", "compete"): "rival",
    ("lies on", "lie"): "river",
    ("learned the profession from", "learn"): "teacher",
    ("goes back to", "go"): "founder",
    ("flows into", "flow"): "mouth",
    ("rises in", "rise"): "source region",
    ("borders on", "border"): "neighbouring region",
    ("depicts", "depict"): "depicted city",
    ("married", "marry"): "spouse",
    ("completed", "complete"): "~author|~painter|~composer",
    ("founded", "found"): "~founder",
    ("designed", "design"): "~architect",
    ("became the first elected mayor of", "become"): "~first elected mayor",
}
VERBS = [*PASSIVE.items(), *((verb, relation) for (verb, _), relation in ACTIVE.items())]
AGENT = {"designed": "architect", "founded": "founder", "led": "leader"}  # "Who founded S?"
SYNONYMS = {"place of birth": "birthplace", "main rival": "rival", "neighbour": "neighbouring region"}
EVENTS = {
    "was born": "birth year",
    "died": "death year",
    "was founded": "founding year",
    "was published": "publication year",
    "opened": "opening year",
    "was completed": "year",
}
HAPPENINGS = {
    "birth": "birth year",
    "death": "death year",
    "founding": "founding year",
    "publication": "publication year",
    "opening": "opening year",
    "completion": "year",
}
SIZES = {  # predicate: (relation, which one of the sorted values)
    "has more inhabitants": ("population", -1),
    "has fewer inhabitants": ("population", 0),
    "is longer": ("length in kilometres", -1),
    "is shorter": ("length in kilometres|height in metres", 0),
    "is taller": ("height in metres", -1),
    "is wider": ("width in centimetres", -1),
    "is narrower": ("width in centimetres", 0),
    "has the larger area": ("area in square kilometres", -1),
    "has the smaller area": ("area in square kilometres", 0),
    "has the higher elevation": ("elevation in metres", -1),
    "has the lower elevation": ("elevation in metres", 0),
}
LISTS = {
    "notable people": "~birthplace",
    "notable alumni": "~alma mater",
    "works": "~author|~painter|~composer",
    "companies": "~founder|~headquarters",
    "founded companies": "~founder",
    "buildings": "~architect|~city",
    "schools": "~city",
    "festivals": "~host city",
    "cities": "~region",
    "cities on the river": "~river",
}
LISTED_KINDS = {"companies": "company", "founded companies": "company", "buildings": "building", "schools": "school"}
PREPOSITIONS = ("in", "at", "with", "by", "to", "of", "on", "from", "into")


class Oracle:
    """Facts of a world: (subject, relation) to value."""

    def __init__(self, path: Path):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.values = {(row["subject"], row["relation"]): row["value"] for row in rows}
        self.kinds = {row["subject"]: row["kind"] for row in rows}

    def answers(self, question: str) -> tuple[set[str], list[str]]:
        """All right answers to a question, and the pages to read for the names that it describes."""
        readings = (
            *(self._nouns, self._verbs, self._agents, self._listed, self._counts, self._compared, self._spans),
            *(self._extremes, self._conditions),
        )
        for read in readings:
            for answers, pages in read(question):
                return answers, pages
        raise AssertionError(f"not understood: {question}")

    # Phrases

    def resolve(self, phrase: str) -> Iterator[Reading]:
        """Whom a name or a description means."""
        if (name := phrase if phrase in self.kinds else phrase.removeprefix("the ")) in self.kinds:
            yield name, []
        for relation, inner, kind in self._described(phrase):
            for subject, pages in self.resolve(inner):
                values = self._of_kind(self._related(subject, relation), kind)
                if len(values) == 1:
                    yield values.pop(), [*pages, subject]

    def _described(self, phrase: str) -> Iterator[tuple[str, str, str]]:
        """Relation, subject and kind of "the mayor of S", "the city in which S was born", "the man who founded S"."""
        for place in re.finditer(" of ", phrase):
            noun = phrase[: place.start()].removeprefix("the ")
            yield SYNONYMS.get(noun, noun), phrase[place.end() :], ""
        for verb, relation in VERBS:
            rest, preposition = _split(verb)
            joint = rf"{preposition} (?:which|whom)" if preposition else r"(?:that|whom)"
            if found := re.fullmatch(rf"the ([a-z ]+?) {joint} (.+) {rest}", phrase):
                yield relation, found[2], found[1]
        for verb, relation in AGENT.items():
            if found := re.fullmatch(rf"the \w+ who {verb} (.+)", phrase):
                yield relation, found[1], "person"

    def _related(self, subject: str, relations: str) -> set[str]:
        """The values of a relation for a subject."""
        if found := re.fullmatch("best-known (.+)", relations):
            works = [
                w for w in self._related(subject, "~author|~painter|~composer") if self.values[w, "form"] == found[1]
            ]
            return {min(works, key=lambda work: int(self.values[work, "year"]))} if works else set()
        values: set[str] = set()
        for relation in relations.split("|"):
            if relation.startswith("~"):
                values |= self._holders(relation[1:], subject)
            elif (subject, relation) in self.values:
                values.add(self.values[subject, relation])
        return values

    def _holders(self, relations: str, value: str) -> set[str]:
        if relations.startswith("~"):
            return self._related(value, relations.replace("~", ""))
        names = relations.split("|")
        return {subject for (subject, name), held in self.values.items() if name in names and held == value}

    def _is(self, subject: str, kind: str) -> bool:
        """Whether a subject is of a kind, as a question calls it."""
        if subject not in self.kinds:
            return False
        if kind in ("person", "people"):
            return self.kinds[subject] == "person"
        own = [self.kinds[subject], *(self.values.get((subject, name), "") for name in ("type", "form"))]
        return kind in own or kind in own[-1].split() or (kind == "firm" and "company" in own)

    def _of_kind(self, names: set[str], kind: str | None) -> set[str]:
        return {name for name in names if not kind or self._is(name, kind)}

    def _number(self, subject: str, relations: str) -> int | None:
        found = [self.values[subject, name] for name in relations.split("|") if (subject, name) in self.values]
        return int(found[0].replace(",", "")) if found else None

    # Questions

    def _nouns(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        if found := re.fullmatch(r"(?:Who|What|Which \w+) is (the .+)\?", question):
            for value, pages in self.resolve(found[1]):
                if pages:
                    yield {value}, pages

    def _verbs(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        asked = r"what|whom?|which (?P<kind>[\w ]+?)"
        for verb, relation in PASSIVE.items():
            rest, preposition = _split(verb)
            auxiliary, _, participle = rest.partition(" ")
            yield from self._asked(
                question, rf"{preposition} (?:{asked}) {auxiliary} (?P<subject>.+?) ?{participle}\?", relation
            )
            if participle == "located":
                yield from self._asked(question, rf"{preposition} (?:{asked}) {auxiliary} (?P<subject>.+)\?", relation)
        for (verb, base), relation in ACTIVE.items():
            rest, preposition = _split(verb)
            tail = " ".join([base, *rest.split()[1:]])
            yield from self._asked(
                question, rf"{preposition} ?(?:{asked}) (?:did|does) (?P<subject>.+) {tail}\?", relation
            )

    def _asked(self, question: str, pattern: str, relation: str) -> Iterator[tuple[set[str], list[str]]]:
        if found := re.fullmatch(pattern, question, re.IGNORECASE):
            kind = found.groupdict().get("kind")
            for subject, pages in self.resolve(found["subject"]):
                if values := self._of_kind(self._related(subject, relation), kind):
                    yield values, [*pages, subject]

    def _agents(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        for verb, relation in AGENT.items():
            yield from self._asked(question, rf"Who {verb} (?P<subject>.+)\?", relation)

    def _listed(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        heading = "|".join(sorted(LISTS, key=len, reverse=True))
        if found := re.fullmatch(rf"How many ({heading}) are listed (?:under “[^”]+” )?for (.+)\?", question):
            for subject, pages in self.resolve(found[2]):
                yield {str(len(self._entries(found[1], subject)))}, pages
        both = re.fullmatch(
            rf".+? is listed both among the ({heading}) of (.+) and among the ({heading}) of (.+)\?", question
        )
        for (one, first), (other, second) in product(*map(self.resolve, (both[2], both[4]))) if both else ():
            yield self._entries(both[1], one) & self._entries(both[3], other), [*first, *second]

    def _entries(self, heading: str, subject: str) -> set[str]:
        kind = LISTED_KINDS.get(heading)
        return {entry for entry in self._related(subject, LISTS[heading]) if not kind or self.kinds[entry] == kind}

    def _counts(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        if found := re.fullmatch(r"How many ([\w ]+?) ((?:have|are|were|[a-z]+) .+)\?", question):
            for holders, pages in self._group(found[2]):
                yield {str(len(holders))}, pages

    def _group(self, predicate: str) -> Iterator[tuple[set[str], list[str]]]:
        """All that "have X as their mayor", or "were born in X"."""
        pairs = [(SYNONYMS.get(found[2], found[2]), found[1])] if (found := _HAVE.fullmatch(predicate)) else []
        plurals = {"is": "are", "was": "were"}
        verbs = [(verb, plurals[verb.split()[0]], relation) for verb, relation in PASSIVE.items()]
        for verb, plural, relation in [*verbs, *((verb, base, relation) for (verb, base), relation in ACTIVE.items())]:
            first, *rest = verb.split()
            if found := re.fullmatch(" ".join([f"(?:{plural}|{first})", *rest, "(.+)"]), predicate):
                pairs.append((relation, found[1]))
        for relation, phrase in pairs:
            for value, pages in self.resolve(phrase):
                if holders := self._holders(relation, value):
                    yield holders, pages

    def _compared(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        found = re.fullmatch(
            r"(?:Who|Which [\w ]+?) ((?:is|has|was|died|opened) .+?|died \w+|opened \w+), (.+)\?", question
        )
        stated = _stated(found[1]) if found else None
        for place in re.finditer(" or ", found[2]) if stated else ():
            sides = found[2][: place.start()], found[2][place.end() :]
            for (one, first), (other, second) in product(*map(self.resolve, sides)):
                ranked = sorted(((self._number(name, stated[0]), name) for name in (one, other)), key=str)
                values = [value for value, _ in ranked]
                if None not in values and values[0] != values[1]:
                    ranked.sort()
                    yield {ranked[stated[1]][1]}, [*first, *second, one, other]

    def _spans(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        event = "|".join(HAPPENINGS)
        found = re.fullmatch(
            rf"How many years passed between the ({event}) of (.+) and the ({event}) of (.+)\?", question
        )
        for (one, first), (other, second) in product(*map(self.resolve, (found[2], found[4]))) if found else ():
            before, after = self._number(one, HAPPENINGS[found[1]]), self._number(other, HAPPENINGS[found[3]])
            if before is not None and after is not None:
                yield {str(after - before)}, [*first, *second, one, other]

    def _extremes(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        event = "|".join(EVENTS)
        found = re.fullmatch(rf"Which of the [\w ]+? (?:who|that) (.+) ({event}) (first|last)\?", question)
        for holders, pages in self._group(found[1]) if found else ():
            years = {name: self._number(name, EVENTS[found[2]]) for name in holders}
            assert None not in years.values(), question
            wanted = (min if found[3] == "first" else max)(years.values())
            yield {name for name, year in years.items() if year == wanted}, pages

    def _conditions(self, question: str) -> Iterator[tuple[set[str], list[str]]]:
        """ "What is the name of the K whose R is X and who …", "Which K was designed by X and is located in Y?" """
        found = re.fullmatch(r"(?:What is the name of the|Which) (\w+) (?:who |that )?(.+)\?", question)
        for place in re.finditer(r" and (?:who |that )?", found[2]) if found else ():
            sides = found[2][: place.start()], found[2][place.end() :]
            for (these, first), (those, second) in product(*map(self._meeting, sides)):
                yield {name for name in these & those if self._is(name, found[1])}, [*first, *second]

    def _meeting(self, condition: str) -> Iterator[tuple[set[str], list[str]]]:
        """All that meet a condition, and the pages to read for the name in it."""
        for verb, relation in EVENTS.items():
            if found := re.fullmatch(rf"{verb} in (\d{{4}})", condition):
                yield self._holders(relation, found[1]), []
        pairs = []
        for found in re.finditer(" is ", condition) if condition.startswith("whose ") else ():
            noun = condition[len("whose ") : found.start()]
            pairs.append((SYNONYMS.get(noun, noun), condition[found.end() :]))
        for verb, relation in VERBS:
            if condition.startswith(f"{verb} "):
                pairs.append((relation, condition.removeprefix(f"{verb} ")))
        for by, relation in (("designed", "architect"), ("founded", "founder"), ("led", "leader")):
            if condition.startswith(f"was {by} by "):
                pairs.append((relation, condition.removeprefix(f"was {by} by ")))
        for relation, phrase in pairs:
            for value, pages in self.resolve(phrase):
                yield self._holders(relation, value), pages


_HAVE = re.compile(r"have (.+) as their (.+)")


def _split(verb: str) -> tuple[str, str]:
    """A verb without its last preposition, and that."""
    rest, _, last = verb.rpartition(" ")
    return (rest, last) if last in PREPOSITIONS else (verb, "")


def _stated(predicate: str) -> tuple[str, int] | None:
    """The relation that a comparison is about, and the place of the answer among the sorted values."""
    for event, relation in EVENTS.items():
        if predicate in (f"{event} earlier", f"{event} later"):
            return relation, -1 if predicate.endswith("later") else 0
    if found := re.fullmatch("has (more|fewer) (.+)", predicate):
        known = SIZES.get(predicate)
        return known or (f"number of {found[2]}", -1 if found[1] == "more" else 0)
    return SIZES.get(predicate)

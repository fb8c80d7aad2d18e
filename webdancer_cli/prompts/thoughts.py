"""The words in which the demonstrator thinks aloud: ``thoughts.toml`` of a prompt set.

They are no part of what an episode is played under (a policy never sees the file), so a set's id does not cover them.
"""

import random
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from webdancer_cli.errors import UsageError
from webdancer_cli.prompts import Phrasings, built_in_folder, fill, merged, prompt_folder, read_tables

FILE = "thoughts.toml"
ThoughtLength = Literal["short", "long"]

_CHOICE = re.compile(r"\[\[([^\[\]]*)\]\]")


class ThoughtForms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sentences make up a thought, by what it is for. ``{names}`` are kinds of sentences."""

    start: str
    search: str
    visit: str
    open: str
    setback_search: str
    setback_visit: str
    answer: str
    give_up: str


class ListForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How several steps are said: "the birthplace, the rival and the rival of that", which is ``again`` the same.

    ``item`` is a step of a list, by its number, and ``pair`` one with what it gave. A set with ``chain`` says steps
    that build on each other as one phrase, "the rival of the birthplace of Falkeli", in which a name takes the place of
    each step that is done.
    """

    article: str
    item: str
    again: str
    last: str
    pair: str
    chain: str = ""


class ThoughtWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``sentences`` has wordings of each kind of sentence; ``[[a|b]]`` in one stands for either.

    A set with ``reckonings`` plans how the answer follows from all pages: a last step, by the type of the question.
    """

    list: ListForm
    short: ThoughtForms
    long: ThoughtForms
    kinds: dict[str, Phrasings]
    reckonings: dict[str, str] = {}
    sentences: dict[str, Phrasings]

    def forms(self, length: ThoughtLength) -> ThoughtForms:
        return self.long if length == "long" else self.short


class SentenceDeck:
    """Draws wordings at random: one of a kind comes again only when all others have been used."""

    def __init__(self, wording: ThoughtWording, choice: random.Random):
        self._wording = wording
        self._choice = choice
        self._decks: dict[str, list[str]] = {}

    def sentence(self, kind: str, /, **values: str) -> str:
        """One sentence, "" where the set has none of this kind."""
        said = fill(self._drawn(kind, self._wording.sentences.get(kind, [])), **values)
        return said[:1].upper() + said[1:]

    def named(self, label: str) -> str:
        """A step as it is named within a sentence."""
        return label if label.startswith(("“", "the ", "The ")) else f"{self._wording.list.article}{label}"

    def named_in_turn(self, labels: Sequence[str]) -> list[str]:
        """Several steps as they are named one after another; one like the one before says so."""
        again = self._wording.list.again
        return [
            fill(again, label=label) if before == label else self.named(label)
            for before, label in zip(["", *labels], labels, strict=False)
        ]

    def listed(self, labels: Sequence[str], first: int = 1, reckoning: str = "") -> str:
        """Several steps within a sentence, and what is reckoned from them; ``first`` is the first one's number."""
        named = self._numbered([*self.named_in_turn(labels), *filter(None, [reckoning])], first)
        return self._wording.list.last.join([", ".join(named[:-1]), named[-1]] if named[1:] else named)

    def reckoning(self, kind: str, word: str) -> str:
        """The last step of a question of this type, "" where the set plans none; ``word`` is how things are ranked."""
        return fill(self._wording.reckonings.get(kind, ""), word=word) if kind != "comparison" or word else ""

    def numbered(self, number: int, text: str) -> str:
        return fill(self._wording.list.item, number=number, label=text)

    def counted(self, items: Sequence[str]) -> str:
        """Things one after another, each with its number where the set's lists have numbers."""
        return ", ".join(self._numbered(items, 1))

    def _numbered(self, items: Sequence[str], first: int) -> list[str]:
        return [self.numbered(number, item) for number, item in enumerate(items, first)]

    def chained(self, known: str, labels: Sequence[str]) -> str:
        """Steps that build on each other, from a name on or from what the first describes; "" without ``chain``."""
        phrase = known
        for label in labels if self._wording.list.chain else ():
            named = self.named(label)
            phrase = fill(self._wording.list.chain, label=named, what=phrase) if phrase else named
        return phrase if phrase != known else ""

    def pairs(self, labels: Sequence[str], values: Sequence[str], verbs: Sequence[str], first: int = 1) -> str:
        """Several steps with what they gave, and "is" or "are" between the two."""
        told = enumerate(zip(self.named_in_turn(labels), values, verbs, strict=True), first)
        pair = self._wording.list.pair
        return ", ".join(
            fill(pair, number=number, label=label, value=value, be=be) for number, (label, value, be) in told
        )

    def kind_of_answer(self, kind: str) -> str:
        return self._choice.choice(self._wording.kinds.get(kind, [kind]))

    def _drawn(self, kind: str, wordings: Sequence[str]) -> str:
        if not self._decks.get(kind):
            self._decks[kind] = self._choice.sample(wordings, len(wordings))
        picked = self._decks[kind].pop() if self._decks[kind] else ""
        return _CHOICE.sub(lambda found: self._choice.choice(found[1].split("|")), picked)


def load_thoughts(name_or_dir: str) -> ThoughtWording:
    """The default set's, with what another set says otherwise. Raises UsageError for a file that cannot be read."""
    tables = read_tables("default", built_in_folder("default") / FILE)
    if name_or_dir != "default":
        own = read_tables(name_or_dir, prompt_folder(name_or_dir) / FILE)
        tables = own | {table: merged(values, own.get(table, {})) for table, values in tables.items()}
    try:
        return msgspec.convert(tables, ThoughtWording)
    except msgspec.ValidationError as error:
        raise UsageError(f"--prompts {name_or_dir}: {FILE}: {error}") from None

"""The same question again, or nearly: told exactly, in memory that stays flat whatever the number of questions.

What was met stands in a private temporary database of SQLite, which goes to disk beyond a small cache and is gone when
it is closed. Two questions are nearly the same when they have a pair of neighbouring words in common, the share of such
pairs (Jaccard) reaches ``similarity``, and answer, level, names and numbers are equal: templates make many questions
that differ in a name alone, and a rewrite may add a few words only; these are different questions.

Of a set with n elements, every other whose Jaccard with it is t or more has at least ⌈t·n⌉: so it has one of any
``n - ⌈t·n⌉ + 1`` (after the prefix filter of Chaudhuri, Ganti, Kaushik 2006). The rarest are looked up.
"""

import re
import sqlite3
from array import array
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import ceil
from typing import Literal, NamedTuple

from webdancer_cli.data.records import QA
from webdancer_cli.errors import WebdancerError
from webdancer_cli.synthesis.checks import QuestionFault
from webdancer_cli.text.spacing import fold, squeeze
from webdancer_cli.text.words import raw_words

CACHE_KIB = 8192
COUNTERS = 1 << 16
"""How often pairs were met, roughly: some share a counter. It decides what is looked up first, not what is found."""

_SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{CACHE_KIB};
    CREATE TABLE met (
        place INTEGER PRIMARY KEY, wording INTEGER, id TEXT, pairs BLOB, awaited INTEGER, offered INTEGER, kept INTEGER
    );
    CREATE INDEX by_wording ON met (wording);
    CREATE TABLE holders (pair INTEGER, place INTEGER, PRIMARY KEY (pair, place)) WITHOUT ROWID;
"""
Among = Literal["offered", "kept"]
"""Which questions are looked through."""

_NAME = re.compile(r"(?<!^)(?<![.!?]\s)\b[A-Z][\w'’-]*|\d[\d.,]*\d|\d")
_LOWER = (1 << 40) - 1
_ROUNDING = 1e-9
"""Taken off before rounding up: in floating point, 0.07 · 100 is a little more than 7."""


class Repeats:
    """Remembers questions. Add those that are good on their own: a refused one makes no later one a duplicate.

    Each has a place in the order of their coming, and repeats only what stands before it. To be used in the thread that
    made it. Raises WebdancerError when the folder for temporary files is full.
    """

    def __init__(self, similarity: float):
        self._similarity = similarity
        self._counts = array("L", [0]) * COUNTERS
        self._last_place = 0
        with _telling():
            self._database = sqlite3.connect("")
            self._database.executescript(_SCHEMA)

    def next_place(self) -> int:
        """A place behind all that were given."""
        self._last_place += 1
        return self._last_place

    def recall(self, qa: QA) -> None:
        """Add what an earlier run wrote: it may come once again, as itself."""
        with _telling():
            form = _form(qa)
            if not self._same(form, self._last_place + 1, "kept"):
                self._insert(form, self.next_place(), awaited=True, offered=True)

    def find(self, qa: QA, place: int | None = None) -> QuestionFault | None:
        """``duplicate`` or ``near_duplicate`` if a question before a ``place`` (before now) is the same, or nearly."""
        with _telling():
            form, place = _form(qa), self._last_place + 1 if place is None else place
            return self._fault(form, self._same(form, place, "kept"), place, "kept")

    def add(self, qa: QA, place: int | None = None) -> None:
        """Remember a question at its ``place`` (behind all others)."""
        with _telling():
            form, place = _form(qa), self.next_place() if place is None else place
            self._add(form, self._same(form, place, "kept"), place)

    def add_unless_found(self, qa: QA) -> QuestionFault | None:
        """Remember a question unless it repeats one; then say which."""
        with _telling():
            form, place = _form(qa), self.next_place()
            same = self._same(form, place, "kept")
            if fault := self._fault(form, same, place, "kept"):
                return fault
            self._add(form, same, place)
            return None

    def offer(self, qa: QA, place: int) -> bool:
        """Remember a question of which it is not known yet whether it will be kept, unless it repeats another that was
        offered, kept or not; whether it was new."""
        with _telling():
            form = _form(qa)
            is_new = not self._fault(form, self._same(form, place, "offered"), place, "offered")
            if is_new:
                self._insert(form, place, offered=True)
            return is_new

    def refuse(self, place: int) -> None:
        """The question that was offered at a place is not kept."""
        with _telling():
            self._database.execute("UPDATE met SET kept = FALSE WHERE place = ?", (place,))

    def _same(self, form: "_Form", place: int, among: Among) -> tuple[str, bool] | None:
        """The id of the first question before a place in the same words, and whether it may come again as itself."""
        query = f"SELECT id, awaited FROM met WHERE wording = ? AND place < ? AND {among} ORDER BY place LIMIT 1"
        found: tuple[str, bool] | None = self._database.execute(query, (form.wording, place)).fetchone()
        return found

    def _fault(self, form: "_Form", same: tuple[str, bool] | None, place: int, among: Among) -> QuestionFault | None:
        if same:
            comes_again = same == (form.qa.id, True)
            return None if comes_again else QuestionFault("duplicate", f"of {same[0]}: {form.qa.question}")
        alike = self._alike(form.pairs, place, among)
        return QuestionFault("near_duplicate", f"of {alike}: {form.qa.question}") if alike else None

    def _alike(self, pairs: set[int], place: int, among: Among) -> str | None:
        """The id of the first question before a place that is nearly the same."""
        telling = self._telling(pairs)
        holders = f"SELECT place FROM holders WHERE pair IN ({','.join('?' * len(telling))}) AND place < {place}"
        candidates = self._database.execute(
            f"SELECT id, pairs FROM met WHERE place IN ({holders}) AND {among} ORDER BY place", telling
        )
        return next((id for id, packed in candidates if jaccard(pairs, array("q", packed)) >= self._similarity), None)

    def _add(self, form: "_Form", same: tuple[str, bool] | None, place: int) -> None:
        if same == (form.qa.id, True):
            row = (form.wording, form.qa.id)
            self._database.execute("UPDATE met SET awaited = FALSE WHERE wording = ? AND id = ?", row)
        else:
            self._insert(form, place)

    def _insert(self, form: "_Form", place: int, *, awaited: bool = False, offered: bool = False) -> None:
        row = (place, form.wording, form.qa.id, array("q", form.pairs).tobytes(), awaited, offered, True)
        self._database.execute(f"INSERT INTO met VALUES ({','.join('?' * len(row))})", row)
        self._database.executemany("INSERT INTO holders VALUES (?, ?)", [(pair, place) for pair in sorted(form.pairs)])
        for pair in form.pairs:
            self._counts[pair % COUNTERS] += 1

    def _telling(self, pairs: set[int]) -> list[int]:
        """The rarest pairs, as many as every question that is nearly the same must have one of."""
        enough = len(pairs) - ceil(self._similarity * len(pairs) - _ROUNDING) + 1
        return sorted(pairs, key=lambda pair: self._counts[pair % COUNTERS])[:enough]

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Repeats":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = "let TMPDIR name a folder with room"
        raise WebdancerError(f"the temporary database of questions: {error}: {remedy}") from None


def jaccard(one: set[int], other: Collection[int]) -> float:
    """The share of the elements of two sets that both have; no element stands twice in ``other``."""
    common = sum(element in one for element in other)
    return common / (len(one) + len(other) - common)


class _Form(NamedTuple):
    """A question as it is compared: its wording up to case, punctuation and spaces, and its pairs of neighbouring words
    under its label, each as 64 bits. The upper bits of the pairs are the label's, so that the pairs of a question stand
    together in the index."""

    qa: QA
    wording: int
    pairs: set[int]


def _form(qa: QA) -> _Form:
    names = sorted({name.casefold() for name in _NAME.findall(squeeze(qa.question))})
    label = "|".join([fold(qa.answer), str(qa.level), *names])
    upper = hash(label) & ~_LOWER
    pairs = {upper | hash((label, *pair)) & _LOWER for pair in pairwise(raw_words(qa.question))} or {upper}
    return _Form(qa, hash(question_wording(qa.question)), pairs)


def question_wording(question: str) -> str:
    """The same for questions that are duplicates: up to case, punctuation and spaces."""
    return " ".join(raw_words(question)) or question

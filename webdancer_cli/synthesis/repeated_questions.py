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

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.errors import WebdancerError
from webdancer_cli.synthesis.checks import QuestionFault, fold_case
from webdancer_cli.text.words import raw_words

CACHE_KIB = 8192
COUNTERS = 1 << 16
"""How often pairs were met, roughly: some share a counter. It decides what is looked up first, not what is found."""

_SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{CACHE_KIB};
    CREATE TABLE met (nth INTEGER PRIMARY KEY, wording INTEGER UNIQUE, id TEXT, pairs BLOB, awaited INTEGER);
    CREATE TABLE holders (pair INTEGER, nth INTEGER, PRIMARY KEY (pair, nth)) WITHOUT ROWID;
"""
_NAME = re.compile(r"(?<!^)(?<![.!?]\s)\b[A-Z][\w'’-]*|\d[\d.,]*\d|\d")
_LOWER = (1 << 40) - 1
_ROUNDING = 1e-9
"""Taken off before rounding up: in floating point, 0.07 · 100 is a little more than 7."""


class Repeats:
    """Remembers questions. Ask about those that are good on their own: a refused one makes no later one a duplicate.

    To be used in the thread that made it. Raises WebdancerError when the folder for temporary files is full.
    """

    def __init__(self, similarity: float):
        self._similarity = similarity
        self._counts = array("L", [0]) * COUNTERS
        with _telling():
            self._database = sqlite3.connect("")
            self._database.executescript(_SCHEMA)

    def recall(self, path: str) -> None:
        """Count what an earlier run wrote to ``path`` as met. Each of its records may come once again, as itself."""
        for qa in jsonl.read_records(path, QA):
            with _telling():
                self._keep(qa, _wording(qa), _pairs(qa), awaited=True)

    def fault(self, qa: QA) -> QuestionFault | None:
        """``duplicate`` or ``near_duplicate`` if the question was met before; if not, it is from now on."""
        with _telling():
            wording = _wording(qa)
            found = self._database.execute("SELECT id, awaited FROM met WHERE wording = ?", (wording,)).fetchone()
            if found and found == (qa.id, True):
                self._database.execute("UPDATE met SET awaited = FALSE WHERE wording = ?", (wording,))
                return None
            if found:
                return QuestionFault("duplicate", f"of {found[0]}: {qa.question}")
            pairs = _pairs(qa)
            if alike := self._alike(pairs):
                return QuestionFault("near_duplicate", f"of {alike}: {qa.question}")
            self._keep(qa, wording, pairs, awaited=False)
            return None

    def forget(self, qa: QA) -> None:
        """As if a question had not been met: it was refused after all."""
        with _telling():
            row = (_wording(qa), qa.id)
            found = self._database.execute("SELECT nth FROM met WHERE wording = ? AND id = ?", row).fetchone()
            if found:
                holders = [(pair, *found) for pair in _pairs(qa)]
                self._database.executemany("DELETE FROM holders WHERE pair = ? AND nth = ?", holders)
                self._database.execute("DELETE FROM met WHERE nth = ?", found)

    def _alike(self, pairs: set[int]) -> str | None:
        """The id of the earliest question that is nearly the same."""
        telling = self._telling(pairs)
        holders = f"SELECT nth FROM holders WHERE pair IN ({','.join('?' * len(telling))})"
        candidates = self._database.execute(f"SELECT id, pairs FROM met WHERE nth IN ({holders}) ORDER BY nth", telling)
        return next((id for id, packed in candidates if jaccard(pairs, array("q", packed)) >= self._similarity), None)

    def _telling(self, pairs: set[int]) -> list[int]:
        """The rarest pairs, as many as every question that is nearly the same must have one of."""
        enough = len(pairs) - ceil(self._similarity * len(pairs) - _ROUNDING) + 1
        return sorted(pairs, key=lambda pair: self._counts[pair % COUNTERS])[:enough]

    def _keep(self, qa: QA, wording: int, pairs: set[int], *, awaited: bool) -> None:
        row = (wording, qa.id, array("q", pairs).tobytes(), awaited)
        kept = self._database.execute("INSERT OR IGNORE INTO met VALUES (NULL, ?, ?, ?, ?)", row)
        if kept.rowcount:
            self._database.executemany(
                "INSERT INTO holders VALUES (?, ?)", [(pair, kept.lastrowid) for pair in sorted(pairs)]
            )
            for pair in pairs:
                self._counts[pair % COUNTERS] += 1

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


def _wording(qa: QA) -> int:
    """A question up to case, punctuation and spaces, as 64 bits."""
    return hash(" ".join(raw_words(qa.question)) or qa.question)


def _pairs(qa: QA) -> set[int]:
    """The pairs of neighbouring words of a question, under its label.

    The upper bits are those of the label, so that the pairs of a question stand together in the index.
    """
    names = sorted({name.casefold() for name in _NAME.findall(" ".join(qa.question.split()))})
    label = "|".join([fold_case(qa.answer), str(qa.level), *names])
    upper = hash(label) & ~_LOWER
    return {upper | hash((label, *pair)) & _LOWER for pair in pairwise(raw_words(qa.question))} or {upper}

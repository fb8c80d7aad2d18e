"""The rich world's names: shaped by kind, distinct in a world, and of one pool of roots."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from webdancer_cli.world.arithmetic import Shuffle, mix, tag
from webdancer_cli.world.syllables import Pool, pool_of


@cache
def _lexicon() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8"))


@cache
def name_parts(group: str, part: str) -> tuple[str, ...]:
    return tuple(_lexicon()[group][part].split())


@cache
def industries() -> tuple[tuple[str, str], ...]:
    """(industry, the word that its companies bear in their names)."""
    return tuple(_lexicon()["industry"].items())


@cache
def roots(group: str, pool: Pool, joint: str = "") -> tuple[str, ...]:
    """First and last parts of a group joined, those of one pool. Groups without first parts take those of "work"."""
    firsts = name_parts(group if "first" in _lexicon()[group] else "work", "first")
    both = dict.fromkeys(first + joint + last for first in firsts for last in name_parts(group, "last"))
    return tuple(root for root in both if pool_of(root) == pool)


@dataclass(frozen=True)
class Drawn:
    """A root, which of the ``variants`` of it, and how often root and variant were used up before (0: never)."""

    root: str
    variant: int
    again: int


class Roots:
    """Distinct (root, variant, again) for ``count`` entities, shuffled; ``again`` rises only where roots run out."""

    def __init__(self, words: tuple[str, ...], count: int, key: int, variants: int = 1):
        self._words = words
        self._variants = variants
        rounds = -(-count // (len(words) * variants))
        self._shuffle = Shuffle(len(words) * variants * rounds, key)

    def __call__(self, rank: int) -> Drawn:
        rest, word = divmod(self._shuffle(rank), len(self._words))
        again, variant = divmod(rest, self._variants)
        return Drawn(self._words[word], variant, again)


class Lexicon:
    """Names by kind and rank, for a world with ``counts`` entities of each kind."""

    def __init__(self, counts: dict[str, int], seed: int, pool: Pool):
        self._women, self._men = roots("woman", pool), roots("man", pool)
        self._brands = roots("brand", pool)
        words = {
            "person": (roots("surname", pool), len(self._women) + len(self._men)),
            "company": (self._brands, 1),
            "school": (roots("surname", pool), len(name_parts("school", "type"))),
            "building": (roots("surname", pool), len(name_parts("building", "type"))),
            "work": (roots("work", pool, " "), 1),
            "festival": (roots("festival", pool, " "), len(name_parts("festival", "type"))),
            "expedition": (roots("expedition", pool, " "), len(name_parts("expedition", "type"))),
            **{place: (roots(place, pool), 1) for place in ("region", "city", "river")},
        }
        self._drawn = {
            kind: Roots(found, counts[kind], mix(seed, tag("name of"), tag(kind)), variants)
            for kind, (found, variants) in words.items()
        }

    def place(self, kind: str, rank: int) -> str:
        drawn = self._drawn[kind](rank)
        name = _again("place", drawn) + drawn.root
        return f"River {name}" if kind == "river" else name

    def person(self, rank: int) -> tuple[str, str, bool]:
        """Given name, surname, and whether it is a woman."""
        drawn = self._drawn["person"](rank)
        woman = drawn.variant < len(self._women)
        given = self._women[drawn.variant] if woman else self._men[drawn.variant - len(self._women)]
        return given, drawn.root, woman

    def company(self, rank: int, word: str) -> str:
        """Brand and industry word; a second brand joins in where brands run out."""
        drawn = self._drawn["company"](rank)
        if not drawn.again:
            return f"{drawn.root} {word}"
        place = self._brands.index(drawn.root) + drawn.again
        return f"{drawn.root} and {self._brands[place % len(self._brands)]} {word}"

    def typed(self, kind: str, rank: int) -> tuple[str, str]:
        """(name, type) of a school, building, festival or expedition: the name ends in its type."""
        drawn = self._drawn[kind](rank)
        type_ = name_parts(kind, "type")[drawn.variant]
        return f"{_again('thing', drawn)}{_without_echo(drawn.root)} {type_}", type_.lower()

    def work(self, rank: int, shape: str) -> str:
        """A title in the shape of its form, e.g. "The {}" or "{} and Other Poems"."""
        drawn = self._drawn["work"](rank)
        more = f" of {name_parts('work', 'of')[drawn.again - 1]}" if drawn.again else ""
        return shape.format(_without_echo(drawn.root) + more)


def _without_echo(root: str) -> str:
    """A root whose two words are the same as that one word: all others have two, so the name stays unique."""
    return " ".join(dict.fromkeys(root.split()))


def _again(group: str, drawn: Drawn) -> str:
    return f"{name_parts('again', group)[drawn.again - 1]} " if drawn.again else ""

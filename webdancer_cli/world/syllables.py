"""Invented words: an onset syllable and a coda syllable, in two pools that share no word."""

from functools import cache
from hashlib import blake2b
from typing import Literal, get_args

Pool = Literal["train", "eval"]
POOLS: tuple[Pool, ...] = get_args(Pool)

ONSETS = (
    *("Bel", "Bor", "Bav", "Bim", "Bul", "Dal", "Dor", "Dev", "Dim", "Dul", "Fal", "Fen", "Fir", "Fol", "Fum"),
    *("Gal", "Gor", "Gev", "Gim", "Gul", "Hal", "Hev", "Hir", "Hol", "Hun", "Jal", "Jor", "Jev", "Jin", "Jum"),
    *("Kal", "Kor", "Kev", "Kil", "Kun", "Lav", "Lor", "Lem", "Lin", "Lur", "Mal", "Mor", "Mev", "Mir", "Mul"),
    *("Nal", "Nor", "Nev", "Nim", "Nur", "Pal", "Por", "Pel", "Pim", "Pur", "Ral", "Rov", "Ren", "Rim", "Rul"),
    *("Sal", "Sor", "Sev", "Sil", "Sur", "Tal", "Tor", "Tev", "Tir", "Tum", "Val", "Vor", "Vel", "Vin", "Vul"),
    *("Wal", "Wor", "Wen", "Wim", "Wur", "Yal", "Yor", "Yev", "Yil", "Yun", "Zal", "Zor", "Zev", "Zil", "Zun"),
    *("Dol", "Kav", "Mav", "Rav", "Tol", "Zam"),
)
"""First syllables: all of three letters, so that a word splits in one way only."""

CODAS = (
    *("bak", "bek", "dik", "dok", "fek", "fik", "gak", "gim", "hek", "jak", "kem", "kos", "lak", "lom", "mek", "mus"),
    *("nak", "nis", "pek", "pos", "rak", "rus", "sek", "sum", "tak", "tis", "vak", "vek", "wek", "wim", "zak", "zem"),
    *("bara", "bemi", "bilo", "bonu", "dara", "demi", "dilu", "doba", "duri", "fano", "feli", "fira", "foma", "gari"),
    *("geno", "gilo", "gora", "hani", "hela", "hiru", "holo", "jari", "jeno", "kano", "keli", "kira", "komu", "lani"),
    *("lema", "liro", "luna", "maru", "meno", "mira", "mora", "nari", "nelo", "niva", "nolu", "paro", "peli", "piru"),
    *("pola", "rano", "relu", "rima", "rova", "sani", "seli", "siro", "solu", "tani", "teru", "tilo", "tora", "vani"),
    *("velo", "vira", "volu", "wani", "zari", "zelo", "zira", "zola"),
)
"""Second syllables, of three or four letters."""

REAL = frozenset(
    (
        *("Beltis", "Bulgari", "Bullom", "Dorsum", "Lemmus", "Multani", "Palmus", "Porrima", "Sornari", "Tumbak"),
        *("Walrus", "Wurrus", "Belmira", "Holzem", "Korbak", "Morsum", "Mulsum", "Palmira", "Palzem", "Sorbara"),
        *("Talparo", "Tormeno", "Tortora", "Waldara", "Zamfira"),
    )
)
"""Combinations left out because a dictionary or a gazetteer has them."""


def pool_of(word: str) -> Pool:
    """The pool that a word always belongs to: the first bit of its BLAKE2b hash (0: train, 1: eval)."""
    return POOLS[blake2b(word.encode(), digest_size=1).digest()[0] & 1]


@cache
def pool_words(pool: Pool) -> tuple[str, ...]:
    """All words of a pool (about half of |ONSETS| × |CODAS|), in the order of the syllables."""
    invented = (onset + coda for onset in ONSETS for coda in CODAS)
    return tuple(word for word in invented if word not in REAL and pool_of(word) == pool)

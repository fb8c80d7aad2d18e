"""Questions of encrypted evaluation sets: opened in memory, sealed again in every record that is written.

Such sets encrypt their texts so that no crawl, and no training set, picks them up in the clear: a text is XORed with a
key that its canary gives, and written in base64. The canary stands in a column of the row (BrowseComp, xbench), or in
the card of the set (BrowseComp-Plus). What was opened keeps its ``canary`` and a mark, ``sealed``; by it
``records.to_object`` seals and ``records.from_object`` opens, and so no stage has to know.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from itertools import cycle
from typing import Any, NamedTuple

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config

CANARY = "canary"
SEALED = "sealed"
"""The field that marks an opened record: {"scheme": ..., "fields": [...]}."""

KEYS: dict[str, Callable[[str], bytes]] = {
    "sha256": lambda canary: hashlib.sha256(canary.encode()).digest(),
    "plain": lambda canary: canary.encode(),
}
"""By scheme, the key that a canary gives: repeated to the length of the text."""

TEXTS = frozenset(
    [
        "question",
        "answer",
        "answers",
        "gold",
        "aliases",
        "evidence",
        "chain",
        "messages",
        "verdict",
        "verdicts",
        "opinions",
        "detail",
    ]
)
"""The fields of any record that tell of a question."""
_NO_TEXTS = frozenset(["role", "outcome", "method", "criterion"])
"""Words of our own inside those fields."""

SHORTEST_COLUMN = 24
"""Characters of base64. What is shorter may be an ordinary word, and is opened in a question and its answers alone."""
SHORTEST_CIPHER = 40
SHORTEST_CIPHER_BESIDE_CANARY = 16
SHORTEST_TELLING = 12
MOST_MARKS = 0.2
"""The share of marks in a question; even with formulas in it, it has fewer."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class CannotOpen(ValueError):
    """What is marked as sealed is not what its canary opens."""


class SealTerms(NamedTuple):
    """What the user allows for an encrypted set: its ``canary`` if no column has it, to ``reveal`` it in records, and
    whether a tape would record what is asked."""

    reveal: bool = False
    canary: str | None = None
    taped: bool = False


NO_SEAL_TERMS = SealTerms()


def terms_of(options: config.EncryptedOptions) -> SealTerms:
    """What the options of a command allow; only a command that calls models has a tape."""
    return SealTerms(options.reveal, options.canary, isinstance(options, config.CallOptions) and bool(options.tape))


class Seal(NamedTuple):
    """What opens a record, and seals it."""

    canary: str
    scheme: str
    fields: tuple[str, ...] = ()

    def mark(self) -> dict[str, Any]:
        """The fields that an opened record carries."""
        return {CANARY: self.canary, SEALED: {"scheme": self.scheme, "fields": list(self.fields)}}

    def close(self, text: str) -> str:
        return base64.b64encode(_xored(text.encode("utf-8", "replace"), KEYS[self.scheme](self.canary))).decode()

    def open(self, text: str) -> str:
        """Raises CannotOpen."""
        try:
            plain = _xored(base64.b64decode(text, validate=True), KEYS[self.scheme](self.canary))
            return plain.decode("utf-8")
        except (binascii.Error, ValueError):
            raise CannotOpen(f"{text[:20]!r} is not what its canary encrypts") from None


def _xored(data: bytes, key: bytes) -> bytes:
    return bytes(byte ^ other for byte, other in zip(data, cycle(key), strict=False))


def seal_for(text: object, canary: str) -> Seal | None:
    """How a question is encrypted with a canary, told by what comes out; None if it is not."""
    if isinstance(text, str) and canary:
        for scheme in KEYS:
            seal = Seal(canary, scheme)
            if is_sealed_with(seal, text) and _reads_as_text(seal.open(text.strip())):
                return seal
    return None


def _reads_as_text(plain: str) -> bool:
    """Text XORed with one text and then with another is often printable, but a third of it are marks."""
    marks = sum(not (char.isalnum() or char.isspace()) for char in plain)
    return len(plain) < SHORTEST_TELLING or marks <= MOST_MARKS * len(plain)


def is_sealed_with(seal: Seal, text: str, shortest: int = 1) -> bool:
    """Whether a text is encrypted: in base64, and what comes out is text."""
    if len(text) < shortest or not _BASE64.fullmatch(text.strip()):
        return False
    try:
        plain = seal.open(text.strip())
    except CannotOpen:
        return False
    return bool(plain.strip()) and all(char.isprintable() or char in "\n\r\t" for char in plain)


def looks_encrypted(text: str, *, has_canary: bool = False) -> bool:
    """Whether a question is base64 and nothing else: no question is one word of that length."""
    text = text.strip()
    shortest = SHORTEST_CIPHER_BESIDE_CANARY if has_canary else SHORTEST_CIPHER
    return len(text) >= shortest and len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None


def unseal_columns(fields: dict[str, Any], seal: Seal, certain: Collection[str]) -> dict[str, Any]:
    """A row with its encrypted columns opened: the ``certain`` ones if they open, the others if that is no accident."""

    def opened(value: Any, shortest: int) -> Any:
        if isinstance(value, str):
            return seal.open(value.strip()) if is_sealed_with(seal, value, shortest) else value
        return _each(value, lambda part: opened(part, shortest))

    return {
        name: opened(value, 1 if name in certain else SHORTEST_COLUMN) if value != seal.canary else value
        for name, value in fields.items()
    }


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with its parts changed; what is no list and no object stays."""
    if isinstance(value, list | tuple):
        return [change(part) for part in value]
    if isinstance(value, dict):
        return {name: part if name in _NO_TEXTS else change(part) for name, part in value.items()}
    return value


def seal_of(value: Mapping[str, Any]) -> Seal | None:
    """The seal of an object: its own, that of its unknown fields, or that of its question."""
    inner = value if SEALED in value else value.get("extra")
    if isinstance(inner, dict) and isinstance(mark := inner.get(SEALED), dict):
        scheme, canary, fields = mark.get("scheme"), inner.get(CANARY), mark.get("fields", [])
        if scheme in KEYS and isinstance(canary, str) and canary and isinstance(fields, list):
            return Seal(canary, scheme, tuple(map(str, fields)))
    qa = value.get("qa")
    return seal_of(qa) if isinstance(qa, dict) else None


def seal_object(value: dict[str, Any]) -> dict[str, Any]:
    """An object as it may be written: all that tells of a sealed question is encrypted."""
    seal = seal_of(value)
    return _changed(value, seal, seal.close) if seal else value


def unseal_object(value: dict[str, Any]) -> dict[str, Any]:
    """The same object as it is worked on. Raises CannotOpen."""
    seal = seal_of(value)
    return _changed(value, seal, seal.open) if seal else value


def _changed(value: dict[str, Any], seal: Seal, change: Callable[[str], str]) -> dict[str, Any]:
    texts = TEXTS | set(seal.fields)

    def every(part: Any) -> Any:
        return change(part) if isinstance(part, str) else _each(part, every)

    def of(name: str, part: Any) -> Any:
        if name in texts:
            return every(part)
        if name in ("qa", "extra") and isinstance(part, dict):
            return {inner: of(inner, item) for inner, item in part.items()}
        return part

    return {name: of(name, part) for name, part in value.items()}


def refuse_taping(place: str, extra: Mapping[str, Any]) -> None:
    """Raises UsageError for a sealed question: a tape would hold what is asked in the clear."""
    if SEALED in extra:
        raise UsageError(f"{place}: from an encrypted set, and a tape records in the clear: no --tape without --reveal")


def seal_marks(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a record made from a question has to carry of its unknown fields."""
    return {name: extra[name] for name in (CANARY, SEALED) if name in extra}

"""The run card: one JSON file that says what a score was made with, so that anybody can verify it.

Every field has a digest, every record of the attempts and every exchange of the tape, too: a byte that was changed is
named by its field, its line or its exchange. A card tells of accidents and of edits; it is no signature.
"""

import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli import __version__
from webdancer_cli.errors import UsageError

VERSION = 1
DIGESTS = "digests"
PACKAGES = ("numpy", "msgspec", "bm25s", "tantivy", "httpx", "trafilatura", "torch", "transformers", "peft", "vllm")
"""Whose versions can move a score."""


def made_with() -> dict[str, Any]:
    return {"webdancer": __version__, "python": platform.python_version(), "packages": dict(_versions())}


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


# ---- files ---------------------------------------------------------------------------------------------------------


def described(path: str) -> dict[str, Any]:
    """A file by its size and hash; a folder by those of its files."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.is_file())
        return {"path": path, "files": {file.name: _sha256(file) for file in files}}
    return {"path": path, "bytes": place.stat().st_size, "sha256": _sha256(place)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_faults(name: str, card: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was about a file or a folder that a card describes."""
    path = str(card.get("path", ""))
    if not Path(path).exists():
        yield f"{name}: {path}: is not there any more"
        return
    now = dict(flat(described(path)))
    for field, value in flat(card):
        if field != "path" and now.get(field) != value:
            yield f"{name}: {path}: {field} is not the card's"


def line_digests(path: str) -> str:
    """Eight hexadecimal digits for each line, in one text."""
    with Path(path).open("rb") as lines:
        return " ".join(hashlib.sha256(line).hexdigest()[:8] for line in lines)


def line_faults(path: str, known: str) -> Iterator[str]:
    """The lines of a file that are not as they were."""
    if not Path(path).is_file():
        yield f"{path}: is not there any more"
        return
    before, now = known.split(), line_digests(path).split()
    for number, (one, other) in enumerate(zip(before, now, strict=False), 1):
        if one != other:
            yield f"{path}:{number}: is not the line that was scored"
    if len(before) != len(now):
        yield f"{path}: has {len(now)} lines, and had {len(before)}"


def exchange_digests(exchanges: Iterable[tuple[str, str]]) -> str:
    """The key of each exchange of a tape and the digest of all its fields, in one text."""
    return " ".join(f"{key}:{digest[:8]}" for key, digest in exchanges)


def exchange_faults(path: str, exchanges: Iterable[tuple[str, str]], known: str) -> Iterator[str]:
    """The exchanges that are not as they were. What other runs have recorded since is no matter."""
    now = {key: digest[:8] for key, digest in exchanges}
    for pair in known.split():
        key, _, digest = pair.partition(":")
        if key not in now:
            yield f"{path}: exchange {key}: is not on the tape any more"
        elif now[key] != digest:
            yield f"{path}: exchange {key}: is not what was recorded"


# ---- fields --------------------------------------------------------------------------------------------------------


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON value, each with its dotted path."""
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from flat(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value:
        for at, part in enumerate(value):
            yield from flat(part, f"{path}.{at}")
    else:
        yield path, value


def with_digests(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card that can tell which of its fields was changed."""
    plain = msgspec.to_builtins(card)
    return plain | {DIGESTS: {path: _digest(leaf) for path, leaf in flat(plain)}}


def _digest(leaf: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(leaf)).hexdigest()[:12]


def field_faults(card: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a card that were changed, added or taken away since it was made."""
    digests = card.get(DIGESTS)
    known = digests if isinstance(digests, dict) else {}
    now = {path: _digest(leaf) for path, leaf in flat({name: part for name, part in card.items() if name != DIGESTS})}
    for path in sorted(known.keys() | now.keys()):
        if path not in now:
            yield f"card: {path}: was taken away"
        elif path not in known:
            yield f"card: {path}: was added, or its digest was taken away"
        elif known[path] != now[path]:
            yield f"card: {path}: is not what it was when the card was made"


def score_faults(card: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[str]:
    """The numbers of a card that do not come out again."""
    told, found = dict(flat(card)), dict(flat(msgspec.to_builtins(scores)))
    for path in sorted(told.keys() | found.keys()):
        if told.get(path) != found.get(path):
            yield f"scores: {path}: the card has {told.get(path)!r}, and {found.get(path)!r} comes out"


def part(card: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object inside a card; empty if somebody made something else of it, which ``field_faults`` tells."""
    value = card.get(name)
    return value if isinstance(value, dict) else {}


def read(path: str) -> dict[str, Any]:
    """Raises UsageError for what is no card."""
    try:
        card = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: name the file that `webdancer eval --card` wrote") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(card, dict) or "attempts" not in card or "options" not in card:
        raise UsageError(f"{path}: no run card: name the file that `webdancer eval --card` wrote")
    return card

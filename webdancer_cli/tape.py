"""A tape: one SQLite file that records what was asked of models and of the web, so that a run can be replayed.

An exchange is found by the hash of everything that was asked, the rollout included. Only answers are recorded. A page
that is not there, or not allowed, is an answer, too (``TapedAnswer``); what may pass, like silence or a server's
error, is none. In replay nothing is asked: what the tape lacks is a TapeMiss.

What one process was given is what all are given: a value is read back from the tape after it was recorded, so that a
replay repeats exactly what the run saw. The file is in WAL mode: several processes may record at once, and a kill loses
nothing that was recorded.
"""

import hashlib
import json
import os
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from webdancer_cli.data.key_set import KeySet
from webdancer_cli.errors import UsageError, WebdancerError
from webdancer_cli.services.keys import SHORTEST_SECRET, Redactor

Kind = Literal["llm", "web"]
Mode = Literal["auto", "record", "replay"]
Value = TypeVar("Value")

APPLICATION_ID = 0x77646E63
FORMAT = 2
BUSY_SECONDS = 30.0

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"([?&][^=&#]*(?:key|token|secret|password|signature)[^=&#]*=)[^&#]*", re.IGNORECASE)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS exchanges (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, recorded_at TEXT NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class TapeMiss(WebdancerError):
    """In replay, something was asked that the tape does not have."""


class TapedAnswer(msgspec.Struct, Generic[Value]):
    """What the web said: a value, or a no that lasts, as its text."""

    value: Value | None = None
    no: str = ""


class Exchange(msgspec.Struct, kw_only=True):
    """An entry as ``webdancer tape`` lists it. ``label`` is the model, or the URL; ``bytes`` is the stored size."""

    key: str
    kind: str
    label: str
    recorded_at: str
    bytes: int


class Tape:
    """An open tape. Raises UsageError if the file cannot serve, WebdancerError when it can no longer be written."""

    def __init__(self, path: str, mode: Mode = "auto"):
        self.path = path
        self.mode = mode
        self.counts: Counter[str] = Counter(replayed=0, recorded=0, missed=0)
        self._fresh = KeySet()
        """What this run has recorded anew; only in mode ``record``."""
        self._redactor = Redactor(_secrets())
        self._database = _opened(path, mode)

    async def record_or_replay(
        self, kind: Kind, asked: Sequence[Any], label: str, shape: type[Value], live: Callable[[], Awaitable[Value]]
    ) -> Value:
        """The answer to what was ``asked``: from the tape, or ``live`` and then recorded.

        Whatever ``live`` raises passes through and is not recorded. Raises TapeMiss in replay.
        """
        key = exchange_key(kind, asked)
        if self.mode != "record" or key in self._fresh:
            found = self._find(key)
            if found is not None:
                self.counts["replayed"] += 1
                return self._decoded(found, shape)
        if self.mode == "replay":
            self.counts["missed"] += 1
            raise TapeMiss(f"{self.path}: {mask_url(label)} is not on the tape; record it with --tape-mode auto")
        value = self._encoded(await live())
        self._record(key, kind, label, value)
        self.counts["recorded"] += 1
        return self._decoded(self._find(key) or value, shape)

    @property
    def date(self) -> str:
        """The day of the recording, YYYY-MM-DD: a replay tells the policy the same date."""
        with self._telling():
            row = self._database.execute("SELECT value FROM facts WHERE name = 'date'").fetchone()
            if row is None or (self.mode == "record" and not self._fresh):
                row = (date.today().isoformat(),)
                if self.mode != "replay":
                    self._database.execute("INSERT OR REPLACE INTO facts VALUES ('date', ?)", row)
        return str(row[0])

    def exchanges(self) -> Iterator[Exchange]:
        """All entries, oldest first."""
        with self._telling():
            rows = self._database.execute(
                "SELECT key, kind, label, recorded_at, length(value) FROM exchanges ORDER BY recorded_at, key"
            )
            for key, kind, label, recorded_at, size in rows:
                yield Exchange(key=key, kind=kind, label=label, recorded_at=recorded_at, bytes=size)

    def digests(self) -> Iterator[tuple[str, str]]:
        """The key of every entry, and a digest of all that it holds."""
        with self._telling():
            rows = self._database.execute("SELECT key, kind, label, recorded_at, value FROM exchanges ORDER BY key")
            for row in rows:
                parts = (part if isinstance(part, bytes) else str(part).encode() for part in row)
                yield row[0], hashlib.sha256(b"\x1f".join(parts)).hexdigest()

    def merge(self, path: str) -> int:
        """Copy what another tape has and this one lacks; the number of copies."""
        if Path(path).resolve() == Path(self.path).resolve():
            raise UsageError(f"--merge {path}: that is the tape itself; name another")
        _opened(path, "replay").close()
        with self._telling():
            self._database.execute("ATTACH ? AS other", (path,))
            copied = self._database.execute("INSERT OR IGNORE INTO exchanges SELECT * FROM other.exchanges").rowcount
            self._database.execute("INSERT OR IGNORE INTO facts SELECT * FROM other.facts")
            self._database.execute("DETACH other")
        return copied

    def prune(self, *, kinds: Sequence[str] = (), labels: Sequence[str] = (), before: datetime | None = None) -> int:
        """Remove the entries of these kinds, with these texts in their labels, recorded before; the number removed."""
        with self._telling():
            removed = sum(
                self._database.execute(f"DELETE FROM exchanges WHERE {condition}", (value,)).rowcount
                for condition, value in _conditions(kinds, labels, before)
            )
            if removed:
                self._database.execute("VACUUM")
        return removed

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Tape":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def summary(self) -> str:
        """One line for stderr: ``3 replayed, 2 recorded, 0 missed``."""
        return ", ".join(f"{count} {name}" for name, count in self.counts.items())

    def _find(self, key: str) -> bytes | None:
        with self._telling():
            row = self._database.execute("SELECT value FROM exchanges WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _record(self, key: str, kind: str, label: str, value: bytes) -> None:
        """Record, unless somebody was faster; asking anew, only what this run has not recorded yet gives way."""
        verb = "REPLACE" if self.mode == "record" and key not in self._fresh else "IGNORE"
        row = (
            key,
            kind,
            self._redactor.text(mask_url(label)),
            datetime.now(UTC).isoformat(timespec="seconds"),
            value,
        )
        with self._telling():
            self._database.execute(f"INSERT OR {verb} INTO exchanges VALUES (?, ?, ?, ?, ?)", row)
        if self.mode == "record":
            self._fresh.add(key)

    def _encoded(self, value: object) -> bytes:
        return zlib.compress(self._redactor.content(msgspec.msgpack.encode(value), same_length=True))

    def _decoded(self, value: bytes, shape: type[Value]) -> Value:
        try:
            return msgspec.msgpack.decode(zlib.decompress(value), type=shape)
        except (zlib.error, msgspec.DecodeError) as error:
            raise WebdancerError(f"{self.path}: an entry cannot be read: {error}: record a new tape") from None

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise WebdancerError(f"{self.path}: {error}: the tape cannot be used") from None


def exchange_key(kind: str, asked: Sequence[Any]) -> str:
    """The hash of all that was asked."""
    try:
        said = msgspec.json.encode([kind, *asked], order="sorted")
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        said = json.dumps(msgspec.to_builtins([kind, *asked]), sort_keys=True).encode()
    return hashlib.sha256(said).hexdigest()


def mask_url(text: str) -> str:
    """A URL without its password and the values of parameters that carry keys; other text as it is."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return _SECRET_PARAMETER.sub(r"\1***", bare)


def _secrets() -> Iterator[str]:
    """What may be on no tape: the values of the environment's key variables."""
    values = (value.strip() for name, value in os.environ.items() if _SECRET_NAME.search(name))
    return (value for value in values if len(value) >= SHORTEST_SECRET)


def _conditions(kinds: Sequence[str], labels: Sequence[str], before: datetime | None) -> Iterator[tuple[str, str]]:
    yield from (("kind = ?", kind) for kind in kinds)
    yield from (("instr(label, ?)", label) for label in labels)
    if before:
        yield "recorded_at < ?", before.isoformat(timespec="seconds")


def _opened(path: str, mode: Mode) -> sqlite3.Connection:
    if mode == "replay" and not Path(path).is_file():
        raise UsageError(f"{path}: no such tape: record one with --tape {path} --tape-mode auto")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"--tape {path}: {error}: name a file that can be written") from None
    try:
        _prepare(database, path)
    except sqlite3.Error as error:
        database.close()
        raise UsageError(f"--tape {path}: {error}: this is no tape; name another file") from None
    except UsageError:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: str) -> None:
    """Make an empty file a tape; refuse any other database. Another process may be doing the same."""
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if tables and (application, version) != (APPLICATION_ID, FORMAT):
        raise UsageError(f"--tape {path}: this is no tape of this version; name another file")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.execute("COMMIT")

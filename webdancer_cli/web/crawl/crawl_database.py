"""What a crawl has to remember, in a database of SQLite: memory stays flat, and a killed crawl goes on where it was.

A crawl begins with a database of its own, which goes to disk beyond a small cache and is gone when it is closed: a
small crawl is rebuilt from its pages in seconds. When it has grown, it is put beside the pages, and from then on each
``commit`` stays: what was fetched before it is not fetched again, whatever kills the crawl; what was under way is.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from webdancer_cli.errors import WebdancerError

CACHE_KIB = 16384
SAVE_AFTER_PAGES = 1000
SUFFIX = ".crawl"
"""What is added to the name of a file of pages."""
VERSION = 3
"""Of what follows; a database that another version wrote is made anew."""

_SCHEMA = """
    CREATE TABLE notes (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE sites (site TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE hosts (host TEXT PRIMARY KEY, pace REAL, turn REAL, given INTEGER) WITHOUT ROWID;
    CREATE TABLE seen (key INTEGER PRIMARY KEY);
    CREATE TABLE waiting (
        host TEXT, number INTEGER, url TEXT, depth INTEGER, root INTEGER, PRIMARY KEY (host, number)
    ) WITHOUT ROWID;
    CREATE TABLE taken (url TEXT PRIMARY KEY, number INTEGER, depth INTEGER, root INTEGER);
    CREATE TABLE failed (url TEXT PRIMARY KEY, depth INTEGER, root INTEGER);
    CREATE TABLE counts (key INTEGER PRIMARY KEY, count INTEGER);
    CREATE TABLE texts (key INTEGER PRIMARY KEY);
    CREATE TABLE signatures (page INTEGER PRIMARY KEY, signature BLOB);
    CREATE TABLE bands (key INTEGER, page INTEGER, PRIMARY KEY (key, page)) WITHOUT ROWID;
    CREATE TABLE known (key INTEGER PRIMARY KEY, page BLOB);
    CREATE TABLE archives (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class CrawlDatabase:
    """The tables of one crawl. To be used in the thread that made it.

    ``path`` is where it is put when it has grown. With ``resume`` a file that is there already is gone on with if it
    is about the same (``identity``): then ``is_resumed``. ``at_once``: it is put there by the first
    commit. Raises WebdancerError when the disk is full.
    """

    def __init__(self, path: Path | None = None, identity: str = "", *, resume: bool = False, at_once: bool = False):
        identity = f"{VERSION} {identity}"
        earlier = _earlier(path, identity) if path and resume else None
        self.is_resumed = self.is_saved = earlier is not None
        self._path = path
        self._at_once = at_once
        self._connection = earlier or _fresh()
        self._connection.execute("BEGIN")
        self.note("identity", identity)

    def execute(self, query: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        with _naming_a_full_disk():
            return self._connection.execute(query, tuple(values))

    def executemany(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with _naming_a_full_disk():
            self._connection.executemany(query, rows)

    def note(self, name: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str, default: Any) -> Any:
        row = self.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def add(self, table: str, key: int) -> bool:
        """Put a key into a table of keys; whether it was new."""
        return self.execute(f"INSERT OR IGNORE INTO {table} VALUES (?)", (key,)).rowcount > 0

    def count(self, key: int) -> int:
        row = self.execute("SELECT count FROM counts WHERE key = ?", (key,)).fetchone()
        return row[0] if row else 0

    def set_count(self, key: int, count: int) -> None:
        self.execute("INSERT OR REPLACE INTO counts VALUES (?, ?)", (key, count))

    def commit(self, pages: int) -> None:
        """All that was noted so far stays, whatever becomes of this process, if there are ``pages`` enough."""
        if self._at_once or pages >= SAVE_AFTER_PAGES:
            self._save()
        with _naming_a_full_disk():
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")

    def _save(self) -> None:
        """Put the database where it is to stay, if it has a place, and is not there yet."""
        if self.is_saved or self._path is None:
            return
        part = self._path.with_name(self._path.name + ".part")
        with _naming_a_full_disk():
            self._connection.execute("COMMIT")
            for stale in (part, self._path):
                discard(stale)
            copy = sqlite3.connect(part)
            self._connection.backup(copy)
            copy.close()
            self._connection.close()
            part.replace(self._path)
            self._connection, self.is_saved = _opened(self._path), True
            self._connection.execute("BEGIN")

    def close(self) -> None:
        """What was not committed is lost."""
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        self._connection.close()

    def __enter__(self) -> "CrawlDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def discard(path: Path) -> None:
    """Remove a database, with what it keeps beside itself."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def key_of(*parts: str) -> int:
    """64 bits of what is remembered. Two of a hundred million are the same with odds of 1:3700."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _fresh() -> sqlite3.Connection:
    with _naming_a_full_disk():
        connection = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{CACHE_KIB}"):
            connection.execute(f"PRAGMA {setting}")
        connection.executescript(_SCHEMA)
    return connection


def _opened(path: Path) -> sqlite3.Connection:
    """Nobody else has it open, so no shared memory is needed: it may stand on a network file system."""
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def _earlier(path: Path, identity: str) -> sqlite3.Connection | None:
    """The database that an earlier run left, if it is about the same, and whole."""
    if not path.exists():
        return None
    connection = None
    try:
        connection = _opened(path)
        if connection.execute("SELECT value FROM notes WHERE name = 'identity'").fetchone() == (identity,):
            return connection
    except sqlite3.DatabaseError:
        pass
    if connection:
        connection.close()
    return None


@contextmanager
def _naming_a_full_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = "let TMPDIR, and the folder of --pages, have room"
        raise WebdancerError(f"what the crawl remembers could not be written: {error}: {remedy}") from None

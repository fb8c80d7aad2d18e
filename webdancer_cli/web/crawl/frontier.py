"""Which URL a crawl visits next: breadth first, the hosts in turn, each URL once, no endless paths.

URLs, met or waiting, stand in the database of the crawl; in memory there is what is known of each host.
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from webdancer_cli.errors import Reject
from webdancer_cli.web import urls
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase, key_of


@dataclass(frozen=True)
class CrawlTarget:
    """A URL of the frontier."""

    url: str
    depth: int
    root: bool = False


LONGEST_URL = 2000
DEEPEST_PATH = 20
MOST_QUERIES = 200
"""How many query strings of one path are followed."""
MOST_DATES = 400
"""How many days, weeks and months of one calendar are followed: of paths that end in a date, and differ only there."""
TURN_SECONDS = 0.02
"""The least that a host's turn costs, so that hosts without a pace do not crowd out those with one."""
AHEAD_PER_REQUEST = 4
"""URLs of a host taken ahead for each request to it at once: pages leave in order, and some answer late."""
AHEAD_SECONDS = 1.0
"""For a host with a pace, no more URLs are taken ahead than it can serve in this time, or other hosts would wait."""
_FILE_NAME = re.compile(
    r"[^/]*\.(7z|avi|bin|bmp|bz2|css|csv|dmg|docx?|epub|exe|flac|gif|gz|ico|iso|jar|jpe?g|js|json|m4a|mkv|mov|mp3|mp4|"
    r"mpe?g|msi|odt|ogg|pdf|png|pptx?|rar|rpm|deb|svg|tar|tgz|tiff?|ttf|txt|wav|webm|webp|whl|wmv|woff2?|xlsx?|xml|xz|"
    r"zip)$",
    re.IGNORECASE,
)
"""Names that a file may have, or a page about it: "Node.js", "File:Map.png"."""
MOST_FILES = 20
"""After so many files in a row, and no page, the others of this folder with this ending are not asked for."""


class FileNames:
    """Learns, by folder and ending, whether URLs that look like files are files or pages.

    Only a server can tell whether a name is a page's, but a gallery of ten thousand pictures need not be asked for.
    """

    def __init__(self, database: CrawlDatabase) -> None:
        self._database = database

    def check(self, url: str) -> None:
        """Raises Reject ``not_html`` for a URL among those that have all been files so far."""
        kind = self._kind(url)
        if kind and self._database.count(kind) >= MOST_FILES:
            raise Reject("not_html", f"{url}: by its name a file, as were {MOST_FILES} before it")

    def note(self, url: str, *, is_file: bool) -> None:
        """Record what a URL was. A decision, once made, stays: the order of answers must not matter."""
        kind = self._kind(url)
        if kind and (files := self._database.count(kind)) < MOST_FILES:
            self._database.set_count(kind, files + 1 if is_file else 0)

    def _kind(self, url: str) -> int | None:
        head = url.partition("?")[0]
        found = _FILE_NAME.search(head)
        return key_of("files", head[: found.start()], found.group(1).lower()) if found else None


_DATE_AT_END = re.compile(r"/(?:19|20)\d\d(?:(?:[/-]\d{1,2}){1,2}|[/-]w\d{1,2})/?$", re.IGNORECASE)


class Frontier:
    """URLs to visit: breadth first within a host, the hosts in turn, each URL once, only on the roots' sites.

    A host that wants to be asked seldom has its turn so much less often. Turns follow a clock of their own, not that
    on the wall, or the order of pages would depend on which host answers first.
    """

    def __init__(
        self,
        max_depth: int,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        per_host: int = 4,
        database: CrawlDatabase | None = None,
    ):
        self._max_depth = max_depth
        self._allow = allow
        self._deny = deny
        self._database = database or CrawlDatabase()
        self._ahead = AHEAD_PER_REQUEST * per_host
        self._waiting: Counter[str] = Counter()
        self._turns: list[tuple[float, int, str]] = []
        """As a heap: when a host's turn is, a number that keeps the order, and the host."""
        self._turn_of: dict[str, tuple[float, int]] = {}
        self._changed: set[str] = set()
        """Hosts whose turn or pace has changed since the last ``save``."""
        self.under_way: Counter[str] = Counter()
        self._paces: dict[str, float] = {}
        self._load()

    def _load(self) -> None:
        """Go on where an earlier run was at its last commit."""
        self._now = float(self._database.noted("now", 0.0))
        self._given = int(self._database.noted("given", 0))
        self._numbered = int(self._database.noted("numbered", 0))
        self._sites = {site for (site,) in self._database.execute("SELECT site FROM sites")}
        self._waiting.update(dict(self._database.execute("SELECT host, COUNT(*) FROM waiting GROUP BY host")))
        for host, pace, turn, given in self._database.execute("SELECT host, pace, turn, given FROM hosts"):
            if pace is not None:
                self._paces[host] = pace
            if turn is not None:
                self._turns.append((turn, given, host))
                self._turn_of[host] = turn, given
        heapq.heapify(self._turns)

    def save(self) -> None:
        """Let the database have what is in memory only; to be called before each commit."""
        for name, value in (("now", self._now), ("given", self._given), ("numbered", self._numbered)):
            self._database.note(name, value)
        rows = [(host, self._paces.get(host), *self._turn_of.get(host, (None, None))) for host in self._changed]
        self._database.executemany("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)", rows)
        self._changed.clear()

    def taken_before(self) -> list[CrawlTarget]:
        """What was under way at the last commit, in the order in which it was taken; it is under way again."""
        rows = self._database.execute("SELECT url, depth, root FROM taken ORDER BY number")
        targets = [CrawlTarget(url, depth, bool(root)) for url, depth, root in rows]
        self.under_way.update(map(host_of, targets))
        return targets

    def pace(self, url: str, seconds: float) -> None:
        """The host of a URL is asked once in so many seconds."""
        host = urlsplit(url).netloc
        if self._paces.get(host) != seconds:
            self._paces[host] = seconds
            self._changed.add(host)

    def add_root(self, url: str) -> None:
        self.allow(url)
        if self.note(url):
            self._put(CrawlTarget(url, 0, root=True))

    def allow(self, url: str) -> None:
        """Count the site of a URL among the sites to crawl."""
        site = urls.site_of(url)
        self._sites.add(site)
        self._database.execute("INSERT OR IGNORE INTO sites VALUES (?)", (site,))

    def on_site(self, url: str) -> bool:
        return urls.site_of(url) in self._sites

    def wanted(self, url: str) -> bool:
        """Whether the user's patterns let a URL in."""
        allowed = not self._allow or any(fnmatchcase(url, pattern) for pattern in self._allow)
        return allowed and not any(fnmatchcase(url, pattern) for pattern in self._deny)

    def note(self, url: str) -> bool:
        """Count a URL as met; whether it was new."""
        return self._database.add("seen", key_of(urls.fingerprint(url)))

    def add(self, url: str, depth: int, given_up: str = "") -> None:
        """Queue a link, unless it is too deep, leads elsewhere, or was met. Raises Reject: denied, trap; host_silent
        where its host was ``given_up``, which says why."""
        if depth > self._max_depth or not self.on_site(url) or not self.note(url):
            return
        if not self.wanted(url):
            raise Reject("denied", f"{url}: left out by --allow or --deny")
        self._check_trap(url)
        if given_up:
            raise Reject("host_silent", given_up)
        self._put(CrawlTarget(url, depth))

    def _check_trap(self, url: str) -> None:
        path, mark, _ = url.partition("?")
        segments = path.split("/")[3:]
        if len(url) > LONGEST_URL or len(segments) > DEEPEST_PATH or _repeats(segments):
            raise Reject("trap", f"{url[:200]}: an endless path")
        if mark and self._one_more("query", path) > MOST_QUERIES:
            raise Reject("trap", f"{url}: more than {MOST_QUERIES} query strings of one path")
        if (date := _DATE_AT_END.search(path)) and self._one_more("date", path[: date.start()]) > MOST_DATES:
            raise Reject("trap", f"{url}: more than {MOST_DATES} dates of one calendar")

    def _one_more(self, kind: str, path: str) -> int:
        """How often something was met, with this time."""
        key = key_of(kind, path)
        met = self._database.count(key) + 1
        self._database.set_count(key, met)
        return met

    def _put(self, target: CrawlTarget) -> None:
        host = host_of(target)
        self._numbered += 1
        row = (host, self._numbered, target.url, target.depth, target.root)
        self._database.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", row)
        self._waiting[host] += 1
        self._give_turn(host)

    def _pop(self, host: str) -> CrawlTarget:
        """The first that waits for a host, no more among those."""
        first = "SELECT number, url, depth, root FROM waiting WHERE host = ? ORDER BY number LIMIT 1"
        number, url, depth, root = self._database.execute(first, (host,)).fetchone()
        self._database.execute("DELETE FROM waiting WHERE host = ? AND number = ?", (host, number))
        self._waiting[host] -= 1
        return CrawlTarget(url, depth, bool(root))

    def _give_turn(self, host: str) -> None:
        """Unless it has one, or has nothing waiting."""
        if host in self._turn_of or not self._waiting[host]:
            return
        self._changed.add(host)
        self._given += 1
        turn = self._now + max(self._paces.get(host, 0.0), TURN_SECONDS)
        self._turn_of[host] = turn, self._given
        heapq.heappush(self._turns, (turn, self._given, host))

    def _is_full(self, host: str) -> bool:
        return self.under_way[host] >= self._room(host)

    def _room(self, host: str) -> int:
        """How many URLs of a host may be under way."""
        pace = self._paces.get(host, 0.0)
        return max(1, min(self._ahead, int(AHEAD_SECONDS / pace))) if pace else self._ahead

    def take(self) -> CrawlTarget | None:
        """The next URL; None when there is none, or none before others have ``arrived``."""
        if not self._turns or self._is_full(self._turns[0][2]):
            return None
        self._now, _, host = heapq.heappop(self._turns)
        del self._turn_of[host]
        self._changed.add(host)
        self.under_way[host] += 1
        target = self._pop(host)
        self._numbered += 1
        row = (target.url, self._numbered, target.depth, target.root)
        self._database.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?)", row)
        self._give_turn(host)
        return target

    def arrived(self, target: CrawlTarget) -> None:
        """A URL that was taken is dealt with."""
        self.under_way[host_of(target)] -= 1
        self._database.execute("DELETE FROM taken WHERE url = ?", (target.url,))

    def drop(self, host: str) -> Iterator[CrawlTarget]:
        """Ask no more for what waits for a host: each is forgotten as it is given."""
        self._turns = [turn for turn in self._turns if turn[2] != host]
        heapq.heapify(self._turns)
        self._turn_of.pop(host, None)
        self._changed.add(host)
        while self._waiting[host]:
            yield self._pop(host)

    def note_failed(self, target: CrawlTarget) -> None:
        """What came of a URL may pass: whoever goes on with the crawl later is to try it again."""
        row = (target.url, target.depth, target.root)
        self._database.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?)", row)

    def try_again(self) -> None:
        """Queue what has failed in an earlier run."""
        for url, depth, root in self._database.execute("SELECT url, depth, root FROM failed ORDER BY rowid"):
            self._put(CrawlTarget(url, depth, bool(root)))
        self._database.execute("DELETE FROM failed")


def host_of(target: CrawlTarget) -> str:
    return urlsplit(target.url).netloc


def _repeats(segments: Sequence[str]) -> bool:
    """Whether a path goes round in circles: one named segment four times, as in ``/a/b/a/b/a/b/a/``."""
    counts = Counter(segment for segment in segments if segment)
    return any(count >= 4 for count in counts.values())

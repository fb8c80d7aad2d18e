"""``--shard i/n``: one part of the input, so that any scheduler can spread a stage over processes and machines.

A record belongs to a part by the hash of its key, not by its place: the parts are the same whatever order the lines
come in, and what belongs together (all trajectories of a question, all roots of a host) goes into one part.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from webdancer_cli.errors import UsageError

Item = TypeVar("Item")


class Shard(NamedTuple):
    """The part ``number`` of ``of``, counted from 1."""

    number: int = 1
    of: int = 1

    def holds(self, key: str) -> bool:
        return part_number(key, self.of) == self.number - 1


def part_number(key: str, parts: int) -> int:
    """The part that a key belongs to, counted from 0."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % parts


def parse_shard(text: str | None) -> Shard:
    """Read "2/8"; None is the whole. Raises UsageError."""
    if text is None:
        return Shard()
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: needs the form 2/8, the second of eight, counted from 1")
    return Shard(int(found[1]), int(found[2]))


def take_shard(
    items: Iterable[Item], shard: str | None, limit: int | None, key: Callable[[Item], str]
) -> Iterator[Item]:
    """The first ``limit`` items of a part."""
    part = parse_shard(shard)
    held = items if part.of == 1 else (item for item in items if part.holds(key(item)))
    return islice(held, limit)

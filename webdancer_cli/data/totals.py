"""How many items a run has before it, so that it can tell how long it will take."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from webdancer_cli.data.compression import is_compressed
from webdancer_cli.data.input_streams import HEAD_BYTES, STDIN, decompressed
from webdancer_cli.data.shards import parse_shard
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config

BLOCK_BYTES = 1 << 20
MOST_PARSED_BYTES = 64_000_000
"""A larger table or JSON document is not read twice to be counted."""


def items_in(
    options: config.DataOptions | config.TrainingOptions, rows: Callable[[], Iterable[object]], each: int = 1
) -> int | None:
    """About how many items ``--data`` has for this run, ``each`` of them several times; None for stdin.

    JSON lines are counted by their line breaks; anything else by ``rows``, which reads it.
    """
    if options.data == STDIN or not Path(options.data).is_file():
        return None
    parts = parse_shard(options.shard).of if isinstance(options, config.DataOptions) else 1
    most = options.limit * parts if options.limit else None
    count = count_lines(options.data, most=most) if _is_json_lines(options.data) else _rows(options.data, rows)
    if count is None:
        return None
    count //= parts
    return each * min(count, options.limit or count)


def _is_json_lines(path: str) -> bool:
    """By the beginning of the file: an object that ends where the line ends."""
    with open(path, "rb") as stream:
        first = stream.readline(BLOCK_BYTES).strip()
    return first.startswith(b"{") and (first.endswith(b"}") or len(first) == BLOCK_BYTES)


def count_lines(*paths: str, most: int | None = None) -> int | None:
    """Lines of the files together, of each the first ``most``; None where a large one is compressed: it is not read
    twice to be counted."""
    total = 0
    for path in paths:
        count = _lines_of(path, most)
        if count is None:
            return None
        total += count if most is None else min(count, most)
    return total


def _lines_of(path: str, most: int | None) -> int | None:
    with open(path, "rb", buffering=0) as stream:
        if is_compressed(stream.read(HEAD_BYTES)):
            return _compressed_lines(path, most) if Path(path).stat().st_size <= MOST_PARSED_BYTES else None
        stream.seek(0)
        count, last = 0, b"\n"
        while block := stream.read(BLOCK_BYTES):
            count, last = count + block.count(b"\n"), block
            if most is not None and count >= most:
                return count
    return count + (not last.endswith(b"\n"))


def _compressed_lines(path: str, most: int | None) -> int | None:
    """None for a file that is damaged: whoever reads it says so."""
    count = 0
    with suppress(UsageError), decompressed(path) as lines:
        while lines.readline():
            count += 1
            if count == most:
                break
        return count
    return None


def _rows(path: str, rows: Callable[[], Iterable[object]]) -> int | None:
    return sum(1 for _ in rows()) if Path(path).stat().st_size <= MOST_PARSED_BYTES else None

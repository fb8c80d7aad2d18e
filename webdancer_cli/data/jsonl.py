"""Reading and writing JSON lines: errors that name file and line, a flush per record, torn lines mended.

The lines are ``jsonlines``', the codec is ``msgspec``. Whatever is opened here is read as UTF-8: a byte-order mark is
left out, UTF-16 and UTF-32 are converted on the way.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISFIFO, S_ISREG
from typing import IO, Any, NamedTuple, TypeVar

import jsonlines
import msgspec

from webdancer_cli.data.input_streams import HEAD_BYTES, STDIN, Begun, Lines, open_input
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.records import AnyRecord, Record, Rejected, WrongShape, from_object, to_object
from webdancer_cli.errors import ClosedPipe, UsageError, WebdancerError
from webdancer_cli.text import encoding
from webdancer_cli.text.surrogates import mend_surrogates

MAX_LINE_BYTES = 1 << 28
"""A longer line is refused rather than read into memory: it is no record, but a file without line breaks."""

BadLine = Callable[[Rejected], None]
"""Is told of every line that cannot be read. Without one, the first bad line raises UsageError."""

Key = Callable[[dict[str, Any]], str]
"""The key of the item that a record, as a JSON object, was made from."""

Value = TypeVar("Value")


class Line(NamedTuple):
    """A decoded line: its name ``file:line``, the byte offset where it starts, and its JSON value."""

    name: str
    offset: int
    value: object


def skip_line(_: Rejected) -> None:
    """For a reading beside the one in which lines that cannot be read are told."""


def read_values(source: str, on_bad: BadLine | None = None) -> Iterator[Line]:
    """The non-empty lines of a file or of stdin ("-"), decoded. A line that is not JSON goes to ``on_bad``.

    Raises UsageError when the file cannot be opened, and when stdin is a terminal (nobody is piping).
    """
    with open_input(source) as (name, stream):
        yield from stream_values(stream, name, on_bad)


def stream_values(stream: Lines, name: str, on_bad: BadLine | None = None) -> Iterator[Line]:
    """Like ``read_values``, from a stream that is open already."""
    lines = _Lines(stream)
    reader = jsonlines.Reader(lines, loads=_loads)
    while True:
        try:
            value = reader.read(allow_none=True, skip_empty=True)
        except EOFError:
            return
        except (jsonlines.InvalidLineError, _TooLong) as error:
            why = why_not_json(lines.text(), error.__cause__ or error)
            detail = f"{name}:{lines.number}: not valid JSON: {why}"
            report_bad_line(on_bad, Rejected(reason="broken_line", detail=detail, record=lines.text()))
            continue
        yield Line(f"{name}:{lines.number}", lines.offset, value)


def why_not_json(line: str, error: BaseException) -> str:
    """What is wrong with a line, for whoever has to act on it."""
    if line.lstrip("\ufeff \t").startswith("<"):
        return "it is HTML or XML; `webdancer crawlqa` reads saved pages and writes them as JSON lines"
    return str(error)


class _TooLong(ValueError):
    pass


class _Lines:
    """Hands a stream to the reader line by line, and knows which line that was."""

    def __init__(self, stream: Lines):
        self.number = 0
        self.offset = stream.skipped_bytes if isinstance(stream, Begun) else 0
        self._line = b""
        self._stream = stream

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> bytes:
        self.offset += len(self._line)
        self.number += 1
        self._line = self._stream.readline(MAX_LINE_BYTES)
        if not self._line:
            raise StopIteration
        if len(self._line) == MAX_LINE_BYTES and not self._line.endswith(b"\n"):
            self._skip_rest()
            raise _TooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
        return self._line

    def _skip_rest(self) -> None:
        self._line = self._line[:1000]
        while (part := self._stream.readline(MAX_LINE_BYTES)) and not part.endswith(b"\n"):
            pass

    def text(self) -> str:
        """The current line for a person to read."""
        return self._line.decode("utf-8", "replace").rstrip("\r\n")


def _loads(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def report_bad_line(on_bad: BadLine | None, rejected: Rejected) -> None:
    """Hand on what cannot be read. Raises UsageError where nobody listens."""
    if on_bad is None:
        raise UsageError(rejected.detail)
    on_bad(rejected)


def goes_to_a_pipe(target: str) -> bool:
    """Whether another process reads what is written to ``target`` while we write it."""
    try:
        return target == STDIN and S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def read_records(source: str, kind: type[AnyRecord], on_bad: BadLine | None = None) -> Iterator[AnyRecord]:
    """Stream the records of a file or of stdin.

    A line that is not JSON, or not this kind of record, goes to ``on_bad`` as a Rejected with the reason
    ``broken_line`` or ``wrong_shape``; reading goes on. A first line that is clearly another kind of record raises
    UsageError: the user took the wrong file.
    """
    return read_records_as(source, kind, lambda value: from_object(kind, value), on_bad)


def read_records_as(
    source: str, kind: type[Record], convert: Callable[[object], Value], on_bad: BadLine | None = None
) -> Iterator[Value]:
    """Like ``read_records``, with a reading of one's own: ``convert`` raises WrongShape for what is not a ``kind``."""
    first = True
    for name, _, value in read_values(source, on_bad):
        if first:
            refuse_other_kind(name, kind, value)
        first = False
        try:
            record = convert(value)
        except WrongShape as error:
            report_bad_line(on_bad, Rejected(reason="wrong_shape", detail=f"{name}: {error}", record=value))
            continue
        yield record


_MARKS = {
    "Trajectory": ("messages", "a trajectory (made by `webdancer sample`)"),
    "QA": ("question", "a question (made by `webdancer crawlqa`)"),
    "Page": ("text", "a page (made by `webdancer crawlqa --pages`)"),
}


def refuse_other_kind(name: str, kind: type[Record], value: object) -> None:
    """Raises UsageError for a value that is clearly another kind of record."""
    mark, wanted = _MARKS.get(kind.__name__, ("", ""))
    if not mark or not isinstance(value, dict) or mark in value:
        return
    other = next((said for field, said in _MARKS.values() if field in value), None)
    if other:
        raise UsageError(f"{name}: this is {other}, but the stage takes {wanted}")


class LineWriter:
    """Appends records to a file or stdout, one line and one flush each.

    Without ``append``, what the file held before goes with the first line, or when an empty result is closed: a run
    that fails before it has anything to write loses nothing.
    Raises UsageError when the file cannot be opened, ClosedPipe when the reader of stdout has gone, and WebdancerError
    when a line cannot be written (a full disk).
    """

    def __init__(self, target: str = STDIN, *, append: bool = False):
        self.target = target
        self.count = 0
        self._stream: IO[bytes] = sys.stdout.buffer if target == STDIN else _open_output(target)
        self._stale = not append and target != STDIN and S_ISREG(os.fstat(self._stream.fileno()).st_mode)
        self._lines = jsonlines.Writer(self._stream, dumps=_dumps, flush=True)

    def write(self, record: msgspec.Struct | dict[str, Any]) -> None:
        self.write_line(encode(record if isinstance(record, dict) else to_object(record)))

    def write_line(self, line: bytes) -> None:
        """Write a line that is encoded already, without its line break."""
        with self._telling():
            self._begin()
            self._lines.write(line)
        self.count += 1

    def _begin(self) -> None:
        if self._stale:
            self._stream.truncate(0)
            self._stale = False

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise ClosedPipe from None
        except OSError as error:
            raise WebdancerError(f"{self.target}: {error.strerror}: nothing more could be written") from None

    def close(self, *, failed: bool = False) -> None:
        if self.target != STDIN:
            with self._telling():
                if not failed:
                    self._begin()
                self._stream.close()

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(failed=kind is not None)


def _dumps(line: Any) -> bytes:
    """Lines reach ``jsonlines`` encoded, since some must keep their bytes (the authors' own lines)."""
    return line if isinstance(line, bytes) else encode(line)


def encode(value: Any) -> bytes:
    """UTF-8 JSON; half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return mend_surrogates(json.dumps(msgspec.to_builtins(value), ensure_ascii=False)).encode()


def _open_output(target: str) -> IO[bytes]:
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        return open(target, "ab")
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}: name a file that can be written") from None


def cut_torn_line(path: str) -> None:
    """Cut off a last line that a kill tore; what comes before it is kept."""
    if not Path(path).is_file():
        return
    with open(path, "r+b") as stream:
        if encoding.byte_order_mark(stream.read(HEAD_BYTES))[0] not in ("", "utf-8"):
            raise UsageError(f"{path}: written in UTF-16, which cannot be gone on with: convert it to UTF-8")
        stream.seek(0, os.SEEK_END)
        stream.truncate(_last_line_end(stream, stream.tell()))


def _last_line_end(stream: IO[bytes], end: int, block: int = 65536) -> int:
    while end > 0:
        start = max(0, end - block)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def prepare_resume(path: str, key: Key | None = None) -> None:
    """Make the file of an earlier run fit to be gone on with: a last line that a kill tore is cut off.

    A ``key`` of one's own names the item that a record was made from. An item may have made several records, and the
    last item may not have made all of its own when it was stopped: its records are cut off, too. Raises UsageError.
    """
    if path == STDIN:
        raise UsageError("--resume needs --out FILE: what went to stdout cannot be read back")
    cut_torn_line(path)
    if key and Path(path).is_file():
        with open(path, "r+b") as stream:
            stream.truncate(_last_item_start(stream, key))


def _last_item_start(stream: IO[bytes], key: Key) -> int:
    """Where the records begin that have the key of the last one; read from the end."""
    head_bytes = encoding.byte_order_mark(stream.read(HEAD_BYTES))[1]
    start = stream.seek(0, os.SEEK_END)
    last: str | None = None
    while start > head_bytes:
        line_start = max(head_bytes, _last_line_end(stream, start - 1))
        stream.seek(line_start)
        line = stream.read(start - line_start)
        try:
            this = last if not line.strip() else _key_of(_loads(line), key)
        except ValueError:  # damaged: whoever reads the file names the line
            break
        if this != last and last is not None:
            break
        last, start = this, line_start
    return start


def _key_of(value: object, key: Key | None) -> str:
    return (key or _id)(value) if isinstance(value, dict) else ""


def earlier_keys(path: str, key: Key | None = None) -> KeySet:
    """The keys of what an earlier run left in ``path``: by default the ids of its records. Raises UsageError."""
    lines = read_values(path, _refuse_damaged) if Path(path).is_file() else ()
    return KeySet(_key_of(line.value, key) for line in lines)


def resume(path: str, kind: type[AnyRecord], key: Key | None = None) -> Iterator[AnyRecord]:
    """``prepare_resume``, and then the records that an earlier run left in ``path``. Raises UsageError."""
    prepare_resume(path, key)
    return read_records(path, kind, _refuse_damaged) if Path(path).is_file() else iter(())


def _refuse_damaged(rejected: Rejected) -> None:
    raise UsageError(f"{rejected.detail}: remove this line, or run without --resume")


def _id(value: dict[str, Any]) -> str:
    return str(value.get("id", ""))


def write_records(path: str, records: Iterable[msgspec.Struct]) -> int:
    """Write all records to a file; the number written."""
    with LineWriter(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count

"""``webdancer split``: one file of records into many, so that each of them can be worked on elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from webdancer_cli.data.input_streams import STDIN, Lines, open_input
from webdancer_cli.data.locks import FOLDER_LOCK
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import text_sha256
from webdancer_cli.data.shards import part_number
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.synthesis.repeated_questions import question_wording
from webdancer_cli.text.spacing import fold
from webdancer_cli.web.crawl.near_duplicates import KeptTexts, minhash_signature
from webdancer_cli.web.urls import site_of

HELD_BYTES = 1 << 16
"""Of a part in memory, before they are appended to its file."""


class QuestionKeys(msgspec.Struct):
    """What of the question in a trajectory or an attempt tells its part."""

    id: str = ""


class TextOfPage(msgspec.Struct):
    """What of a page tells whether it was there before."""

    text: str = ""


class RecordKeys(msgspec.Struct):
    """What of a record tells its part; the rest is skipped unread."""

    id: str = ""
    url: str = ""
    question: str = ""
    answer: str = ""
    qa: QuestionKeys | None = None


KEYS: dict[str, Callable[[RecordKeys], str]] = {
    "id": lambda record: record.id or question_wording(record.question),
    "host": lambda record: site_of(record.url) if record.url else "",
    "question": lambda record: (record.qa.id if record.qa else record.id) or question_wording(record.question),
    "wording": lambda record: question_wording(record.question),
    "answer": lambda record: fold(record.answer),
}


def run(options: config.SplitOptions, *, progress: Progress | None = None) -> RunStats:
    """Counts the ``lines`` and the ``parts``. Every line goes somewhere, as it is: what is wrong with it is for the
    stage to say that reads the part. Only pages may be left out, by ``similarity``: ``left out``, with the reasons
    ``duplicate`` and ``near_duplicate``. The parts have their names when all of them are whole.

    Raises UsageError for data that cannot be read, and for a folder that holds something.
    """
    folder = Path(options.out)
    _refuse_used(folder)
    names = [f"part-{number:0{len(str(options.parts - 1))}}.jsonl" for number in range(options.parts)]
    writers = [PartWriter(folder / f".{name}") for name in names]
    stats, once = RunStats(), _Once(options.similarity)
    with open_input(options.data) as (_, lines):
        for number, line in _numbered(lines, options):
            stats.counts["lines"] += 1
            if repeats := once.fault(line):
                stats.counts["left out"] += 1
                stats.reasons[repeats] += 1
            else:
                writers[number].write(line)
            if progress and stats.counts["lines"] % 1000 == 0:
                progress.step(stats.counts["lines"], None, f"{options.parts} parts")
    for writer, name in zip(writers, names, strict=True):
        writer.flush()
        writer.path.replace(folder / name)
    stats.counts["parts"] = options.parts
    return stats


class _Once:
    """Tells of each line whether it is a page whose text was there before, or nearly (``similarity``)."""

    def __init__(self, similarity: float | None):
        self._texts = None if similarity is None else KeptTexts(similarity)
        self._decoder = msgspec.json.Decoder(TextOfPage)

    def fault(self, line: bytes) -> str:
        """``duplicate``, ``near_duplicate``, or "" for what is to stay."""
        if self._texts is None:
            return ""
        try:
            text = self._decoder.decode(line).text
        except (ValueError, RecursionError):
            return ""
        if not text:
            return ""
        if not self._texts.add(text_sha256(text)):
            return "duplicate"
        is_new = self._texts.similarity == 1 or self._texts.add_signature(minhash_signature(text))
        return "" if is_new else "near_duplicate"


def _refuse_used(folder: Path) -> None:
    """Parts of another split must not stand among these; what a killed one left has no name yet, and goes."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {entry.name for entry in folder.iterdir()} - {FOLDER_LOCK}
    if other := sorted(name for name in held if not name.startswith(".part-")):
        raise UsageError(f"{folder}: holds {other[0]}: name a folder that is new or empty")
    for name in held:
        (folder / name).unlink()


def _numbered(lines: Lines, options: config.SplitOptions) -> Iterator[tuple[int, bytes]]:
    """Each line with the number of its part; a last one without an end gets one."""
    size = 0 if options.data == STDIN else Path(options.data).stat().st_size
    decoder, key = msgspec.json.Decoder(RecordKeys), KEYS.get(options.by)
    at = 0
    for line in iter(lines.readline, b""):
        if line.strip():
            if key:
                number = part_number(_key_of(line, decoder, key), options.parts)
            else:
                number = min(at * options.parts // max(size, 1), options.parts - 1)
            yield number, line if line.endswith(b"\n") else line + b"\n"
        at += len(line)


def _key_of(line: bytes, decoder: "msgspec.json.Decoder[RecordKeys]", key: Callable[[RecordKeys], str]) -> str:
    """The key of a line; one that cannot be read, or has no such field, is its own."""
    try:
        found = key(decoder.decode(line))
    except (ValueError, RecursionError):
        found = ""
    return found or line.decode("utf-8", "replace")


class PartWriter:
    """Appends lines to a file that is open only while it is written: there may be more parts than files may be open."""

    def __init__(self, path: Path):
        self.path = path
        self._held = bytearray()
        path.touch()

    def write(self, line: bytes) -> None:
        self._held += line
        if len(self._held) >= HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        with open(self.path, "ab") as file:
            file.write(self._held)
        self._held.clear()

"""What lies in the folder of a map: done parts under their names, so that ``cat done/*`` is the whole, the rest aside.

``done/part-07.jsonl``
    the output of a part that is done.
``done/.map/run.json``
    what is mapped over what: a run that goes on, or another job of it, must be the same.
``done/.map/part-07.jsonl.manifest.json``
    what became of the part, written last, by one rename: with it the part is done, without it it is not.
``done/.map/part-07.jsonl.{partial,rejects,log,lock,input}``
    its output so far, its rejects, what the stage said on stderr, who works on it, and the digest of its input.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.data.whole_file import write_whole
from webdancer_cli.errors import UsageError

ASIDE, RUN = ".map", "run.json"
_BLOCK_BYTES = 1 << 20


class PartInput(msgspec.Struct, frozen=True):
    name: str
    bytes: int


class MapRun(msgspec.Struct, frozen=True):
    """``options`` are all those of the stage, wherever they came from."""

    command: str
    options: dict[str, Any]
    inputs: list[PartInput]


class FileDigest(msgspec.Struct):
    bytes: int
    lines: int
    sha256: str
    modified_ns: int = 0
    """Of an input: when it was changed last."""


class StageSummary(msgspec.Struct):
    """What a stage wrote with ``--summary``."""

    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    failed: int = 0
    stopped: str = ""


class Manifest(msgspec.Struct):
    """A part that is done. ``exit_code`` is 0, or 1 if some records failed, which the rejects name."""

    part: str
    exit_code: int
    attempts: int
    summary: StageSummary
    files: dict[str, FileDigest]
    versions: dict[str, str]


class MapFolder:
    """The folder of a map, and where what of a part stands in it."""

    def __init__(self, out: str):
        self.out = Path(out)
        self.aside = self.out / ASIDE

    def output(self, part: str) -> Path:
        return self.out / part

    def beside(self, part: str, kind: str) -> Path:
        return self.aside / f"{part}.{kind}"

    def pin(self, run: MapRun, *, resume: bool) -> None:
        """Say what is mapped over what, unless it was said before. Raises UsageError if it is not the same, and if it
        is and is not to be gone on with."""
        self.aside.mkdir(parents=True, exist_ok=True)
        said = self.aside / RUN
        if not said.exists() and (other := next(self._foreign(), None)):
            raise UsageError(f"{self.out}: holds {other}: name a folder that is new or empty")
        known = self._say(run)
        if known is None:
            return
        for field in MapRun.__struct_fields__:
            if (now := getattr(run, field)) != (before := getattr(known, field)):
                what = _difference(now, before)
                raise UsageError(f"{said}: {field} is another{what}: give the same, or another --out")
        if not resume:
            raise UsageError(f"{self.out}: was begun before: go on with --resume, or name another --out")

    def _foreign(self) -> "Any":
        return (entry.name for entry in self.out.iterdir() if not entry.name.startswith("."))

    def _say(self, run: MapRun) -> MapRun | None:
        """None if it was said now. Of several jobs that begin at once, one says it."""
        said, mine = self.aside / RUN, self.aside / f".{RUN}.{os.uname().nodename}.{os.getpid()}"
        mine.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
        try:
            os.link(mine, said)
            return None
        except FileExistsError:
            return msgspec.json.decode(said.read_bytes(), type=MapRun)
        finally:
            mine.unlink()

    def manifest(self, part: str) -> Manifest | None:
        """None for a part that is not done."""
        path = self.beside(part, "manifest.json")
        return msgspec.json.decode(path.read_bytes(), type=Manifest) if path.is_file() else None

    def is_done(self, part: str) -> bool:
        return self.manifest(part) is not None and self.output(part).is_file()

    def changed(self, part: str, part_input: Path) -> bool:
        """Whether the input of a part is another than when the part was begun, which is now if it was not before.

        It is read, unless the part is done and the file has the size and the time that it had then.
        """
        told = self.beside(part, "input")
        known = msgspec.json.decode(told.read_bytes(), type=FileDigest) if told.is_file() else None
        status = part_input.stat()
        if known and self.is_done(part) and (known.bytes, known.modified_ns) == (status.st_size, status.st_mtime_ns):
            return False
        now = digest_of(part_input)
        if known is None:
            now.modified_ns = status.st_mtime_ns
            write_whole(told, msgspec.json.encode(now) + b"\n")
        return known is not None and known.sha256 != now.sha256

    def begin(self, part: str) -> None:
        """Make a part ready to be gone on with: a run may have been killed after its output had its name."""
        if self.output(part).is_file():
            self.output(part).replace(self.beside(part, "partial"))

    def finish(self, manifest: Manifest, part_input: Path) -> None:
        """Give the output its name, then write the manifest."""
        part = manifest.part
        partial, rejects = self.beside(part, "partial"), self.beside(part, "rejects")
        partial.touch()
        manifest.files = {"input": digest_of(part_input), "output": digest_of(partial), "rejects": digest_of(rejects)}
        partial.replace(self.output(part))
        shown = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        write_whole(self.beside(part, "manifest.json"), shown)


def _difference(now: Any, before: Any) -> str:
    """Which of the options; of the inputs, how many there were."""
    if isinstance(now, dict):
        names = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        return f" ({', '.join(names)})"
    return f" ({len(before)} files before, {len(now)} now)" if isinstance(now, list) else f" ({before} before)"


def digest_of(path: Path) -> FileDigest:
    """A file that is missing is empty."""
    digest, size, lines = hashlib.sha256(), 0, 0
    if path.is_file():
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size, lines = size + len(block), lines + block.count(b"\n")
    return FileDigest(size, lines, digest.hexdigest())

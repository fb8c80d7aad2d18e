"""A report as a JSON file beside the records."""

from pathlib import Path

import msgspec

from webdancer_cli.errors import UsageError


def check_writable(path: str | None, *, flag: str = "--report") -> None:
    """Raises UsageError, before any work is done, if no report can be written; what stands there stays until then."""
    if path:
        _open(path, "ab", flag=flag)


def write_json(path: str | None, values: object) -> None:
    """Write ``values`` if there is a ``path``."""
    if path:
        _open(path, "wb", msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n")


def _open(path: str, mode: str, content: bytes = b"", *, flag: str = "--report") -> None:
    try:
        with Path(path).open(mode) as stream:
            stream.write(content)
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror}: name a file that can be written") from None

"""A file that is there whole, or as it was before."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """By one rename, when all of it is on the disk."""
    new = path.with_name(f".{path.name}")
    with open(new, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)

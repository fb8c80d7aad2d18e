"""Lists of archives, one path a line, as Common Crawl publishes them: ``warc.paths.gz``, ``wet.paths.gz``."""

import gzip
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from webdancer_cli.errors import UsageError

SUFFIXES = (".paths", ".paths.gz")


def is_path_list(root: str) -> bool:
    return root.lower().endswith(SUFFIXES) and Path(root).is_file()


def without_lists(roots: list[str], base: str | None) -> list[str]:
    """The roots, each list in the place of which what it names stands, below ``base``. Raises UsageError."""
    return [path for root in roots for path in (_listed(root, base) if is_path_list(root) else [root])]


def _listed(path: str, base: str | None) -> list[str]:
    packed = path.lower().endswith(".gz")
    try:
        data = Path(path).read_bytes()
        lines = (gzip.decompress(data) if packed else data).decode().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}: name a list of paths, one a line") from None
    if base is None:
        raise UsageError(f"{path}: say with --base where the files stand that it names: a URL, or a folder")
    return [line if urlsplit(line).scheme else f"{base.rstrip('/')}/{line}" for line in lines]

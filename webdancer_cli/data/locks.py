"""Nobody else writes here: what a run writes is locked for as long as the run lives.

The locks are advisory ones of the kernel (``flock``): it lets them go when the process ends, however it ends, and
whoever only reads is not held up. Pipes, terminals and devices are never locked. A file system without locks has none
here either.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from webdancer_cli.errors import UsageError

FOLDER_LOCK = ".webdancer-lock"
"""What is locked of a folder; it goes when the run ends, and one that a killed run left behind locks nothing."""
STDOUT = 1
_DEVICES = ("/dev/", "/proc/")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


@contextmanager
def hold_outputs(files: Iterable[str], folders: Iterable[str] = (), *, stdout: bool = False) -> Iterator[None]:
    """Hold what a run writes: files, folders, and stdout where it goes to a file. Missing ones are made, and go again
    if the run is refused with nothing in them.

    Raises UsageError if another run holds one of them, and if one cannot be written.
    """
    with ExitStack() as stack:
        for path in files:
            stack.enter_context(_file(path))
        for folder in folders:
            stack.enter_context(_folder(folder))
        if stdout:
            stack.enter_context(_stdout())
        yield


@contextmanager
def _file(name: str) -> Iterator[None]:
    path = Path(name)
    is_new = not path.exists()
    if name.startswith(_DEVICES) or not (is_new or path.is_file()):
        yield
        return
    descriptor = _locked(path, name)
    try:
        yield
    except (UsageError, ImportError):  # refused, for what was asked or for a library that is not installed
        if is_new and os.fstat(descriptor).st_size == 0:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def _folder(name: str) -> Iterator[None]:
    folder = Path(name)
    is_new, path = not folder.exists(), folder / FOLDER_LOCK
    descriptor = _locked(path, name)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _stdout() -> Iterator[None]:
    """Through an entry of its own: the shell's is shared with all that it starts."""
    try:
        is_file = stat.S_ISREG(os.fstat(STDOUT).st_mode)
        descriptor = os.open(f"/dev/fd/{STDOUT}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC) if is_file else -1
    except OSError:  # closed, or a file that may not be opened again
        descriptor = -1
    if descriptor < 0:
        yield
        return
    try:
        _lock(descriptor, "stdout")
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, name: str) -> int:
    """An open descriptor of the file that stands at ``path`` when its lock is had."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}: name one that can be written") from None
        try:
            _lock(descriptor, name)
        except UsageError:
            os.close(descriptor)
            raise
        if _stands_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # taken away, or another one put in its place, before it was locked


def _stands_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{name}: another run is writing it: wait for its end, or name another one") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextmanager
def replace_held_file(path: str, part: str) -> Iterator[None]:
    """Put the file ``part`` in the place of one that this run holds, and hold it in its stead."""
    descriptor = os.open(part, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        _lock(descriptor, part)
        Path(part).replace(path)
        yield
    finally:
        os.close(descriptor)

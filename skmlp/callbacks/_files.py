"""Atomic writes: files that are replaced as a whole, and files to which only whole lines are appended."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from uuid import uuid4

__all__ = ["append_lines", "move_into_place", "remove_stale", "sync", "temporary_beside"]

_TEMPORARY = re.compile(r"\.skmlp-[0-9a-f]{16}\.")
# Errors of file systems without fsync.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


if sys.platform == "win32":

    def _lock(descriptor: int, *, wait: bool = True) -> bool:
        return False
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool = True) -> bool:
        """Lock a file until it is closed or the process ends; return False if that is not possible."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
        return True


# ---------------------------------------------------------------------- files that are replaced as a whole


@contextmanager
def temporary_beside(path: str) -> Iterator[str]:
    """Create an empty file in the folder of `path`, which is created if needed, and remove it at the end.

    Within a folder, a file can replace another atomically. The file stays locked as long as this process lives, so
    that :func:`remove_stale` does not remove it.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    with ExitStack() as stack:
        temporary = _new_locked_file(folder, name, stack)
        try:
            yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def _new_locked_file(folder: str, name: str, stack: ExitStack) -> str:
    """Create a file with an unused name, which is locked until the stack is closed."""
    while True:
        path = os.path.join(folder, f".skmlp-{uuid4().hex[:16]}.{name}")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if not _lock(descriptor):  # Windows cannot replace an open file
            os.close(descriptor)
            return path
        if os.fstat(descriptor).st_nlink > 0:
            stack.callback(os.close, descriptor)
            return path
        os.close(descriptor)  # another process removed it before it was locked


def remove_stale(folder: str) -> None:
    """Remove the temporary files of killed processes from a folder.

    A lock ends with its process, so a file that can be locked is not in use. Without locks, nothing is removed.
    """
    with suppress(OSError):  # the folder does not exist or cannot be listed
        for name in filter(_TEMPORARY.match, os.listdir(folder)):
            with suppress(OSError):  # already removed, or no permission
                path = os.path.join(folder, name)
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if _lock(descriptor, wait=False):
                        os.unlink(path)
                finally:
                    os.close(descriptor)


def move_into_place(temporary: str, path: str) -> None:
    """Replace the file at `path`; even after a power failure, the old or the new file is complete."""
    sync(temporary)
    os.replace(temporary, path)
    with suppress(OSError):  # Windows cannot open folders
        sync(os.path.dirname(path), os.O_RDONLY)


def sync(path: str, flags: int = os.O_RDWR) -> None:
    """Wait until a file or a folder is on the disk; some errors, such as a full disk, occur only here."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------- files to which lines are appended


def append_lines(path: str, lines: bytes, is_complete: Callable[[bytes], bool]) -> None:
    """Append all lines to a file, or on an error none; other processes may append to it at the same time.

    Parameters
    ----------
    path : str
    lines : bytes
        Each ends with a line break.
    is_complete : callable
        Tells whether a last line in the file that lacks its line break is complete otherwise. If not, a killed process
        left it, and it is removed.

    Raises
    ------
    OSError
        When the lines cannot be written. The file then has none of them.
    """
    with open(path, "a+b", buffering=0) as file:  # one write, so that lines do not mix without locks
        _lock(file.fileno())
        end = file.seek(0, os.SEEK_END)
        partial = _after_last_break(file, end)
        if partial and is_complete(partial):
            lines = b"\n" + lines
        elif partial:
            end = file.truncate(end - len(partial))
        try:
            while lines:
                lines = lines[file.write(lines) :]  # a disk that fills up takes only a part
        except BaseException:
            file.truncate(end)
            raise


def _after_last_break(file: FileIO, end: int) -> bytes:
    """Return the bytes after the last line break."""
    n_bytes = 1024
    while True:
        start = file.seek(max(0, end - n_bytes))
        read = file.read(end - start)
        if b"\n" in read or start == 0:
            return read[read.rfind(b"\n") + 1 :]
        n_bytes *= 8

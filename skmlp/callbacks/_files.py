"""Files that appear all at once, and files that grow by whole lines, whatever happens to the process or the disk."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from uuid import uuid4

__all__ = ["append_lines", "put_in_place", "remove_stale", "sync", "temporary_beside"]

_TEMPORARY = re.compile(r"\.skmlp-[0-9a-f]{16}\.")
# How a file system says that it has no fsync.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


if sys.platform == "win32":

    def _lock(descriptor: int, *, wait: bool = True) -> bool:
        return False
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool = True) -> bool:
        """Lock a file until it is closed, also by a kill. False when another has locked it, or there are no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
        return True


# ---------------------------------------------------------------------- files that appear all at once


@contextmanager
def temporary_beside(path: str) -> Iterator[str]:
    """Make an empty file in the folder of `path`, with its ending, and remove what is left there at the end.

    The folder is made if need be. In the same folder, a file can take the place of another in one step. The file is
    locked as long as this process lives, so that :func:`remove_stale` leaves it alone.
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
    """Make a file with an unused name, locked until the stack is closed."""
    while True:
        path = os.path.join(folder, f".skmlp-{uuid4().hex[:16]}.{name}")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if not _lock(descriptor):  # Windows replaces no file that is open
            os.close(descriptor)
            return path
        if os.fstat(descriptor).st_nlink > 0:
            stack.callback(os.close, descriptor)
            return path
        os.close(descriptor)  # another process removed it before it was locked


def remove_stale(folder: str) -> None:
    """Remove the temporary files that killed processes left in a folder.

    A lock ends with its process, so a file that can be locked is no longer in use. Without locks, nothing is removed.
    """
    with suppress(OSError):  # no folder yet, or one that may not be listed
        for name in filter(_TEMPORARY.match, os.listdir(folder)):
            with suppress(OSError):  # gone by now, or not ours to change
                path = os.path.join(folder, name)
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if _lock(descriptor, wait=False):
                        os.unlink(path)
                finally:
                    os.close(descriptor)


def put_in_place(temporary: str, path: str) -> None:
    """Let a file take the place of another; after a power failure, too, there is one of the two, whole."""
    sync(temporary)
    os.replace(temporary, path)
    with suppress(OSError):  # Windows opens no folders
        sync(os.path.dirname(path), os.O_RDONLY)


def sync(path: str, flags: int = os.O_RDWR) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a full disk may only show here."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------- files that grow by whole lines


def append_lines(path: str, lines: bytes, is_whole: Callable[[bytes], bool]) -> None:
    """Add lines to a file that other processes add to, too: all of them, or on an error none.

    Parameters
    ----------
    path : str
    lines : bytes
        Each ends with a line break.
    is_whole : callable
        Tells of a last line in the file without a line break whether that is all it lacks. If not, a killed process
        left it, and it is removed.

    Raises
    ------
    OSError
        When the lines cannot be written; the file has none of them.
    """
    with open(path, "a+b", buffering=0) as file:  # in one write, so that lines do not mix where there are no locks
        _lock(file.fileno())
        end = file.seek(0, os.SEEK_END)
        torn = _after_last_break(file, end)
        if torn and is_whole(torn):
            lines = b"\n" + lines
        elif torn:
            end = file.truncate(end - len(torn))
        try:
            while lines:
                lines = lines[file.write(lines) :]  # a disk that fills up takes a part first
        except BaseException:
            file.truncate(end)
            raise


def _after_last_break(file: FileIO, end: int) -> bytes:
    """Return what follows the last line break."""
    n_bytes = 1024
    while True:
        start = file.seek(max(0, end - n_bytes))
        read = file.read(end - start)
        if b"\n" in read or start == 0:
            return read[read.rfind(b"\n") + 1 :]
        n_bytes *= 8

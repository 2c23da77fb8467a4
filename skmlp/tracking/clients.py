"""Safe creation of an MLflow client: several processes may start at once or be killed while the store is created."""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from skmlp.tracking.addresses import is_server

__all__ = ["new_client"]

# Seconds to wait for another process that creates the store, and between two attempts to lock.
LOCK_TIMEOUT, LOCK_INTERVAL = 60.0, 0.05


def new_client(uri: str) -> Any:
    """Return an ``mlflow.MlflowClient``.

    The first client of a store creates its tables in many steps, which takes seconds. Two clients at once, or one that
    is killed meanwhile, would leave a database that no client can open.
    """
    from mlflow import MlflowClient

    if is_server(uri):
        return MlflowClient(tracking_uri=uri)
    file = _sqlite_file(uri)
    with _exclusive(str(file) if file is not None else uri):
        if file is not None and not file.exists():
            _create_sqlite_file(file)
        return MlflowClient(tracking_uri=uri)


def _sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for other stores and for addresses that are not a plain file name."""
    prefix, name = "sqlite:///", uri.removeprefix("sqlite:///")
    if not uri.startswith(prefix) or not name or name.startswith(("file:", ":")) or "?" in name:
        return None
    return Path(name).absolute()


def _create_sqlite_file(file: Path) -> None:
    """Create the tables in a temporary file, and rename it when it is complete."""
    from mlflow import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent, ignore_cleanup_errors=True) as folder:
        new = Path(folder, "new.db")
        client = MlflowClient(tracking_uri=f"sqlite:///{new}")
        client.search_experiments(max_results=1)
        with suppress(AttributeError):  # undocumented; only Windows needs the file to be closed
            client._tracking_client.store.engine.dispose()
        with suppress(FileExistsError):  # another client was faster
            _move_unless_there(new, file)


def _move_unless_there(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(target) from None
        source.rename(target)


@contextmanager
def _exclusive(address: str) -> Iterator[None]:
    """Exclude other processes of this user on this machine while a store is created."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    # The file is not removed: another process may just have opened it.
    path = Path(tempfile.gettempdir(), f"skmlp-{user}-{name}.lock")
    try:
        file = path.open("ab")
    except OSError:  # continue without a lock
        yield
        return
    with file:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not (locked := _lock(file)) and time.monotonic() < deadline:
            time.sleep(LOCK_INTERVAL)
        try:
            yield
        finally:
            if locked:
                _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

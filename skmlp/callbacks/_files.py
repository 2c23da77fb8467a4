"""Files that appear all at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

__all__ = ["temporary_beside"]


@contextmanager
def temporary_beside(path: str) -> Iterator[str]:
    """Give the name of a new file in the folder of `path`, with its ending, and remove what is left there at the end.

    The folder is made if need be. In the same folder, a file can take the place of another in one step.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{uuid4().hex}.{name}")
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)

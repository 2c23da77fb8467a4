"""Addresses of tracking stores, and how to show them without their passwords."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

__all__ = ["is_server", "masked", "masked_errors", "without_login"]

# ``://user:password@``. A password may contain an unescaped slash or @, so the mask may include too much.
_PASSWORD = re.compile(r"(://[^\s:/@]*:)(?:[^\s/]*|[^\s@]*)@")
_PARAMETER = re.compile(r"(?i)([?&;](?:\w*password|passwd|pwd|\w*token|\w*secret)=)[^\s&;'\"]+")


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is that of a server."""
    return uri.startswith(("http://", "https://"))


def masked(text: str) -> str:
    """Return a text with ``***`` for the passwords of all addresses in it."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


@contextmanager
def masked_errors() -> Iterator[None]:
    """Mask the passwords in MLflow's error messages, which contain complete addresses."""
    try:
        yield
    except Exception as error:
        message = masked(str(error))
        if message == str(error):
            raise
        from mlflow.exceptions import MlflowException

        hidden = MlflowException(message)
        hidden.error_code = getattr(error, "error_code", hidden.error_code)
        raise hidden from None


def without_login(url: str) -> str:
    """Return the address of a server without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

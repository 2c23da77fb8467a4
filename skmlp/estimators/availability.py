"""Methods that exist only for some settings."""

from collections.abc import Callable
from types import MethodType
from typing import Any

__all__ = ["UnavailableError", "available_unless"]


class UnavailableError(AttributeError, ValueError):
    """A method is not there for these parameters.

    An AttributeError, so that ``hasattr`` says no, and a ValueError, because a parameter's value is the reason.
    """


class available_unless:  # noqa: N801 (used as a decorator)
    """Make a method available unless ``reason(estimator)`` returns why it is not.

    Like scikit-learn's ``available_if``, with an error that says what to do.
    """

    def __init__(self, reason: Callable[[Any], str | None]) -> None:
        self.reason = reason

    def __call__(self, method: Callable[..., Any]) -> Any:
        return _Conditional(method, self.reason)


class _Conditional:
    def __init__(self, method: Callable[..., Any], reason: Callable[[Any], str | None]) -> None:
        self.method = method
        self.reason = reason
        self.__doc__ = method.__doc__
        self.__wrapped__ = method

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self.method
        reason = self.reason(estimator)
        if reason is not None:
            raise UnavailableError(reason)
        return MethodType(self.method, estimator)

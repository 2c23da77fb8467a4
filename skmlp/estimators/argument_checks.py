"""Checks of arguments, with the error messages of scikit-learn."""

from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

__all__ = ["Number", "StrOptions", "check_argument"]


class Number(Interval):
    """An interval of numbers that contains neither True nor False."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether the value is a number in the interval."""
        return not isinstance(val, bool) and bool(super().is_satisfied_by(val))


def check_argument(function: str, name: str, value: Any, *allowed: Any) -> None:
    """Raise ValueError unless an argument of a function satisfies one of the constraints."""
    validate_parameter_constraints({name: list(allowed)}, {name: value}, caller_name=function)

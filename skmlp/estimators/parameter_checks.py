"""Checks of parameters beyond those scikit-learn ships, with its error messages."""

import inspect
from collections.abc import Collection
from typing import Any

from sklearn.utils._param_validation import HasMethods, Interval, Options, validate_parameter_constraints

from skmlp.nn.losses import LOSSES, Loss


def check_argument(function: str, name: str, value: Any, *allowed: Any) -> None:
    """Raise ValueError if an argument of a function satisfies none of the allowed constraints."""
    validate_parameter_constraints({name: list(allowed)}, {name: value}, caller_name=function)


class Number(Interval):
    """An interval of numbers that contains neither True nor False."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, bool) and bool(super().is_satisfied_by(val))


class Function(Options):
    """A function, not a class, that can be called as `call` says, for example ``"f(rng, n_in)"``.

    `hint` is added to error messages.
    """

    def __init__(self, call: str, hint: str = "") -> None:
        super().__init__(object, {call})
        self.call = call
        self.hint = hint

    def is_satisfied_by(self, val: Any) -> bool:
        if not callable(val) or isinstance(val, type):
            return False
        try:
            inspect.signature(val).bind_partial(*self.call.split(","))  # keyword arguments may be required
        except TypeError:
            return False
        except ValueError:  # some built-in functions have no signature
            return True
        return True

    def __str__(self) -> str:
        return f"a callable {self.call}{self.hint}"


class InstanceWith(HasMethods):
    """An object that has the given methods, but not a class."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, type) and super().is_satisfied_by(val)


class Registered(Options):
    """A name in a registry, or an object of the registry's kind.

    The registry is read at validation time, so that names registered later are valid (scikit-learn's own ``Options``
    keeps the names of its construction).
    """

    def __init__(self, registry: Collection[str], kind: type | None = None, extra: tuple[str, ...] = ()) -> None:
        super().__init__(str, {*registry, *extra})
        self.registry = registry
        self.kind = kind
        self.extra = extra

    def is_satisfied_by(self, val: Any) -> bool:
        if isinstance(val, str):
            return val in self.registry or val in self.extra
        return self.kind is not None and isinstance(val, self.kind)

    def __str__(self) -> str:
        names = "a str among {" + ", ".join(sorted(map(repr, (*self.extra, *self.registry)))) + "}"
        return names if self.kind is None else f"{names} or an instance of {self.kind.__qualname__!r}"


class LossChoice(Registered):
    """A loss by name, an object, or a pair (loss, gradient) of functions, for classification or for regression."""

    def __init__(self, *, classification: bool) -> None:
        super().__init__(LOSSES, Loss)
        self.classification = classification

    def is_satisfied_by(self, val: Any) -> bool:
        if isinstance(val, tuple):
            return len(val) == 2 and all(map(Function("f(y, raw)").is_satisfied_by, val))
        if isinstance(val, str):
            return val in self._names()
        return isinstance(val, Loss) and val.is_classification == self.classification

    def _names(self) -> list[str]:
        """Return the names to choose from; losses for several classes have a name in common with the binary one."""
        special = {"binary_log_loss", "multiclass_hinge", "multiclass_focal"}
        return [
            name
            for name, loss in LOSSES.items()
            if loss.is_classification == self.classification and name not in special
        ]

    def __str__(self) -> str:
        what = "classification" if self.classification else "regression"
        return (
            f"a str among {{{', '.join(map(repr, sorted(self._names())))}}}, a loss of skmlp.nn.losses for {what}, "
            "or a tuple of two functions (loss, gradient)"
        )


class ActivationChoice(Registered):
    """One activation for all hidden layers, or a list or tuple with one for each."""

    def is_satisfied_by(self, val: Any) -> bool:
        if isinstance(val, (list, tuple)):
            return all(super(ActivationChoice, self).is_satisfied_by(each) for each in val)
        return super().is_satisfied_by(val)

    def __str__(self) -> str:
        return f"{super().__str__()}, or a list with one of these for each hidden layer"

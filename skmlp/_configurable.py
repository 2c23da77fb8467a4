"""Settings objects: checked at construction, and usable in ``clone`` and in a parameter grid."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args, get_origin


class Range(NamedTuple):
    """The numbers that a setting may be, as part of its type: ``decay: Annotated[float, Range("(0.0, 1.0]")]``."""

    interval: str
    may_be_scheduled: bool = False


Positive = Annotated[float, Range("(0.0, inf)")]
NonNegative = Annotated[float, Range("[0.0, inf)")]


class Configurable:
    """Base of the dataclasses that hold settings: solvers, activations, losses, ...

    A subclass is a dataclass whose fields are its settings. It stores nothing else, so that any number of fits can
    use one object. ``get_params`` and ``set_params`` follow scikit-learn's protocol: ``clone`` copies the object, and
    ``GridSearchCV(est, {"solver__beta_2": [0.99, 0.999]})`` sets a parameter of it, at any depth:
    ``learning_rate__schedule__end``.

    Construction checks the settings whose types name the allowed values: a `Literal`, or an `Annotated` float or int
    with a :class:`Range`. For other rules, ``__post_init__`` of a subclass calls `_check_range` or `_check_choice`, or
    raises `_invalid`.

    A base class with a `registry` lets its subclasses register themselves: ``class SGD(Solver, name="sgd")``.
    """

    registry: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None:
            cls.registry[name] = cls

    def __post_init__(self) -> None:
        for name, kind, allowed in _allowed_values(type(self)):  # type: ignore[arg-type]
            if isinstance(allowed, Range):
                self._check_range(name, *allowed, kind=kind)
            else:
                self._check_choice(name, allowed)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name; with `deep` also those of settings objects among them, as ``name__setting``."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        nested = {
            f"{name}__{inner}": inner_value
            for name, value in (own.items() if deep else ())
            if isinstance(value, Configurable)
            for inner, inner_value in value.get_params().items()
        }
        return {**own, **nested}

    def set_params(self, **params: Any) -> Self:
        """Change settings by name, with the checks of construction; an error leaves the object unchanged."""
        known = self.get_params(deep=False)
        changed = dict(known)
        inner: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            outer, _, rest = name.partition("__")
            if outer not in known or (rest and not isinstance(params.get(outer, known[outer]), Configurable)):
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. "
                    f"Valid parameters are: {sorted(self.get_params())!r}."
                )
            if rest:
                inner.setdefault(outer, {})[rest] = value
            else:
                changed[name] = value
        for outer, settings in inner.items():
            # A copy: others may use the object, and an invalid setting must leave it unchanged.
            changed[outer] = dataclasses.replace(changed[outer]).set_params(**settings)
        checked = type(self)(**changed)
        for name in changed:
            object.__setattr__(self, name, getattr(checked, name))
        return self

    def at(self, time: Any) -> Self:
        """Return these settings at a time of the training, with a number for each scheduled value."""
        return self._with_numbers(lambda scheduled: scheduled.at(time))

    def unscheduled(self) -> Self:
        """Return these settings with the full values of those that follow a schedule."""
        return self._with_numbers(lambda scheduled: scheduled.value)

    def _with_numbers(self, number: Callable[[Any], float]) -> Self:
        """Return these settings with ``number(value)`` for each scheduled value, at any depth."""
        if not self.scheduled():
            return self
        changed = {
            name: number(value) if is_scheduled(value) else value._with_numbers(number)
            for name, value in self.get_params(deep=False).items()
            if is_scheduled(value) or isinstance(value, Configurable)
        }
        return dataclasses.replace(self, **changed)  # type: ignore[type-var]

    def scheduled(self) -> list[Any]:
        """Return the scheduled values among the settings, at any depth."""
        found = []
        for value in self.get_params(deep=False).values():
            if is_scheduled(value):
                found.append(value)
            elif isinstance(value, Configurable):
                found += value.scheduled()
        return found

    def _check_range(
        self, name: str, interval: str, may_be_scheduled: bool = False, kind: type[float] | type[int] = float
    ) -> None:
        """Store the setting `name` as a float or int, or raise an error unless it is a number in the interval.

        A NumPy float64, as grids often hold, would turn float32 arithmetic into float64. Of a scheduled value,
        ``value`` is checked here, and the number that :meth:`at` returns at every step.
        """
        given = getattr(self, name)
        requirement = f"{'an int' if kind is int else 'a float'} in the range {interval}"
        scheduled = is_scheduled(given)
        if scheduled and not may_be_scheduled:
            raise self._invalid(name, f"{requirement}; it cannot follow a schedule")
        number = given.value if scheduled else given
        number_type: Any = Integral if kind is int else Real
        low, high = map(float, interval[1:-1].split(","))
        if not (
            isinstance(number, number_type)
            and not isinstance(number, bool)
            and (low < number or (low == number and interval[0] == "["))
            and (number < high or (number == high and interval[-1] == "]"))
        ):
            raise self._invalid(name, requirement, number)
        if not scheduled:
            object.__setattr__(self, name, kind(number))

    def _check_choice(self, name: str, choices: Iterable[str]) -> None:
        """Raise an error unless the setting `name` is one of these strings."""
        value = getattr(self, name)
        if not isinstance(value, str) or value not in choices:
            raise self._invalid(name, f"a str among {{{', '.join(map(repr, choices))}}}")

    def _invalid(self, name: str, requirement: str, value: Any = None) -> ValueError:
        """Return the error of a setting that is not what it must be, in scikit-learn's wording."""
        given = getattr(self, name) if value is None else value
        return ValueError(
            f"The {name!r} parameter of {type(self).__name__} must be {requirement}. Got {given!r} instead."
        )


@cache
def _allowed_values(cls: type) -> list[tuple[str, Any, Any]]:
    """Return what the types of the settings allow: the name, the kind of number, and a `Range` or strings."""
    found: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(cls):
        arguments = get_args(field.type)
        if get_origin(field.type) is Literal:
            found.append((field.name, str, arguments))
        found += [(field.name, arguments[0], each) for each in arguments if isinstance(each, Range)]
    return found


def is_scheduled(value: Any) -> bool:
    """Tell whether `value` follows a schedule: it has a ``value``, and ``at(time)`` returns the number at a time."""
    return hasattr(value, "at") and hasattr(value, "value")

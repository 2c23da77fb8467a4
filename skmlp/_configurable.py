"""Settings objects: checked at construction, and usable in ``clone`` and in a parameter grid."""

import dataclasses
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, Self


class Configurable:
    """Base of the dataclasses that hold settings: solvers, activations, losses, ...

    A subclass is a dataclass whose fields are its settings. It stores nothing else, so that any number of fits can
    use one object. ``get_params`` and ``set_params`` follow scikit-learn's protocol: ``clone`` copies the object, and
    ``GridSearchCV(est, {"solver__beta_2": [0.99, 0.999]})`` sets a parameter of it, at any depth:
    ``learning_rate__schedule__end``.

    ``__post_init__`` of a subclass calls `_check_range`, `_check_integer` and `_check_choice`; for other rules it
    raises `_invalid`.

    A base class with a `registry` lets its subclasses register themselves: ``class SGD(Solver, name="sgd")``.
    """

    registry: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None:
            cls.registry[name] = cls

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
        if not self.scheduled():
            return self
        now = {
            name: value.at(time)
            for name, value in self.get_params(deep=False).items()
            if is_scheduled(value) or isinstance(value, Configurable)
        }
        return dataclasses.replace(self, **now)  # type: ignore[type-var]

    def unscheduled(self) -> Self:
        """Return these settings with the full values of those that follow a schedule."""
        if not self.scheduled():
            return self
        full = {
            name: value.value if is_scheduled(value) else value.unscheduled()
            for name, value in self.get_params(deep=False).items()
            if is_scheduled(value) or isinstance(value, Configurable)
        }
        return dataclasses.replace(self, **full)  # type: ignore[type-var]

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
        self,
        name: str,
        low: float,
        high: float = float("inf"),
        *,
        low_open: bool = False,
        high_open: bool = True,
        may_be_scheduled: bool = False,
    ) -> None:
        """Store the setting `name` as a float, or raise an error unless it is a number in the range.

        A NumPy float64, as grids often hold, would turn float32 arithmetic into float64. Of a scheduled value,
        ``value`` is checked here, and the number that :meth:`at` returns at every step.
        """
        given = getattr(self, name)
        scheduled = is_scheduled(given)
        number = given.value if scheduled and may_be_scheduled else given
        interval = f"{'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"
        if scheduled and not may_be_scheduled:
            raise self._invalid(name, f"a float in the range {interval}; it cannot follow a schedule")
        if not (
            _is_number(number, Real)
            and (number > low if low_open else number >= low)
            and (number < high if high_open else number <= high)
        ):
            raise self._invalid(name, f"a float in the range {interval}", number)
        if not scheduled:
            object.__setattr__(self, name, float(number))

    def _check_integer(self, name: str, low: int = 1) -> None:
        """Store the setting `name` as a Python int, or raise an error unless it is an integer of at least `low`."""
        value = getattr(self, name)
        if not _is_number(value, Integral) or value < low:
            raise self._invalid(name, f"an int in the range [{low}, inf)")
        object.__setattr__(self, name, int(value))

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


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def is_scheduled(value: Any) -> bool:
    """Tell whether `value` follows a schedule: it has a ``value``, and ``at(time)`` returns the number at a time."""
    return hasattr(value, "at") and hasattr(value, "value")

"""What makes a small settings object work in ``clone`` and in a parameter grid."""

import dataclasses
from numbers import Real
from typing import Any, Self


class Configurable:
    """Base of the dataclasses that hold settings: solvers, activations, losses, ...

    A subclass is a dataclass whose fields are its settings. It stores nothing else, so that one object
    can serve any number of fits. ``get_params`` and ``set_params`` follow scikit-learn's protocol:
    ``clone`` copies the object and ``GridSearchCV(est, {"solver__beta_2": [0.99, 0.999]})`` reaches into it, also
    through several objects: ``learning_rate__schedule__end``.
    """

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
        """Change settings by name, checked as at construction; an error leaves the object as it was."""
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
            # A copy: the object may serve others, and is to stay as it was when a setting is refused.
            changed[outer] = dataclasses.replace(changed[outer]).set_params(**settings)
        checked = type(self)(**changed)
        for name in changed:
            object.__setattr__(self, name, getattr(checked, name))
        return self

    def at(self, time: Any) -> Self:
        """Return these settings at a time of the training: numbers in place of values that follow a schedule."""
        if not self.scheduled():
            return self
        now = {
            name: value.at(time)
            for name, value in self.get_params(deep=False).items()
            if is_scheduled(value) or isinstance(value, Configurable)
        }
        return dataclasses.replace(self, **now)  # type: ignore[type-var]

    def scheduled(self) -> list[Any]:
        """Return the values among the settings, and the settings of those, that follow a schedule."""
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
    ) -> None:
        """Store the setting `name` as a float, or raise scikit-learn's wording of a range error.

        A NumPy float64, as grids often hold, would turn float32 arithmetic into float64. A value that follows a
        schedule is checked as it is at full size, and again at every step as what it is then.
        """
        value = getattr(self, name)
        scheduled = is_scheduled(value)
        number = value.value if scheduled else value
        is_number = isinstance(number, Real) and not isinstance(number, bool)
        if not (
            is_number
            and (number > low if low_open else number >= low)
            and (number < high if high_open else number <= high)
        ):
            interval = f"{'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} must be a float in the range {interval}. "
                f"Got {number!r} instead."
            )
        if not scheduled:
            object.__setattr__(self, name, float(number))


def is_scheduled(value: Any) -> bool:
    """Tell whether `value` is a number that follows a schedule: has a size and is known at every time."""
    return hasattr(value, "at") and hasattr(value, "value")

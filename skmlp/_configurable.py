"""What makes a small settings object work in ``clone`` and in a parameter grid."""

import dataclasses
from numbers import Real
from typing import Any, Self


class Configurable:
    """Base of the dataclasses that hold settings: solvers, activations, losses, ...

    A subclass is a dataclass whose fields are its settings. It stores nothing else, so that one object
    can serve any number of fits. ``get_params`` and ``set_params`` follow scikit-learn's protocol:
    ``clone`` copies the object and ``GridSearchCV(est, {"solver__beta_2": [0.99, 0.999]})`` reaches into it.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name; `deep` is there for scikit-learn's protocol, settings are flat."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def set_params(self, **params: Any) -> Self:
        """Change settings by name, checked as at construction; an error leaves the object as it was."""
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. Valid parameters are: {sorted(known)!r}."
                )
        changed = type(self)(**{**known, **params})
        for name in params:
            object.__setattr__(self, name, getattr(changed, name))
        return self

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

        A NumPy float64, as grids often hold, would turn float32 arithmetic into float64.
        """
        value = getattr(self, name)
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (
            is_number and (value > low if low_open else value >= low) and (value < high if high_open else value <= high)
        ):
            interval = f"{'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} must be a float in the range {interval}. "
                f"Got {value!r} instead."
            )
        object.__setattr__(self, name, float(value))

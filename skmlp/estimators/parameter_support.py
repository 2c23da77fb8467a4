"""Parameters of the estimators: stored as they are, and set without a change to objects that others may use."""

from copy import copy
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from skmlp._configurable import Configurable
from skmlp.estimators.parameters import ParameterTable


class ParameterSupport(BaseEstimator):
    """An estimator whose constructor has the parameters of a table."""

    _parameters: ClassVar[ParameterTable]

    def _set_parameters(self, arguments: dict[str, Any]) -> None:
        """Store the arguments of the constructor, which are among its local variables."""
        for row in self._parameters.rows:
            setattr(self, row.name, arguments[row.name])

    def set_params(self, **params: Any) -> Any:
        """Set the parameters of this estimator.

        Parameters
        ----------
        **params : dict
            Values by name. ``activation__negative_slope=0.1`` changes a setting of the object `activation`, or rather
            of a copy, because the object may be in a registry, or a parameter of another estimator.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            For an unknown name, or a setting of something that has none.
        """
        own = self.get_params(deep=False)
        for name in [name for name in params if "__" in name]:
            outer = name.partition("__")[0]
            settings = params.get(outer, own.get(outer))
            if isinstance(settings, Configurable):
                params = {**params, outer: copy(settings)}
            elif outer in own and not hasattr(settings, "set_params"):
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}: {outer}={settings!r} is not an object with "
                    f"settings. Set {outer} to one of them, too."
                )
        return super().set_params(**params)

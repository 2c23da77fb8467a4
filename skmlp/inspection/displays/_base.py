"""What the displays have in common: their axes, their names, and records of a training as their data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from skmlp._typing import FloatArray
from skmlp.inspection._estimators import fitted_estimator
from skmlp.inspection.displays._drawing import finite_or_nan, new_axes
from skmlp.inspection.displays._matplotlib import Axes, Figure, SubFigure


class Display(ABC):
    """Base of all displays; not for direct use."""

    ax_: Axes
    figure_: Figure | SubFigure

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure. Further panels and color bars are placed within
            the area of these axes.

        Returns
        -------
        self : object
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is nothing to draw.
        """
        self._check()
        self.ax_ = new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    def _check(self) -> None:  # noqa: B027 - most displays can draw whatever they are given
        """Raise ValueError if there is nothing to draw, before a figure opens."""

    @abstractmethod
    def _draw(self, ax: Axes) -> None:
        """Draw on the axes."""


class NamedDisplay(Display):
    """Base of the displays of which several can be drawn on the same axes; not for direct use."""

    name: str | None
    _prefix: str

    def plot(self, ax: Axes | None = None, *, name: str | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure. The ``ax_`` of another display adds to its plot.
        name : str, default=None
            Name in the legend; by default the `name` of the display.

        Returns
        -------
        self : object
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        name = self.name if name is None else name
        self._prefix = "" if name is None else f"{name}: "
        return super().plot(ax)


class MonitorDisplay(Display):
    """Base of the displays of an estimator's ``monitor_``; not for direct use."""

    def __init__(self, monitor: Mapping[str, Any]) -> None:
        self.monitor = monitor

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **options: Any) -> Self:
        """Draw what was monitored while an estimator was fitted.

        Parameters
        ----------
        estimator : estimator
            An estimator of skmlp fitted with ``monitor=True``, also as the last step of a Pipeline, in a search (its
            best estimator) or in a TransformedTargetRegressor. Of a tabular estimator the means over the members are
            drawn; pass a member, such as ``estimator.estimators_[0]``, to see one of them.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.
        **options
            Further parameters of the class.

        Returns
        -------
        display : object

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If no epoch was monitored, if the statistic is missing, or for an invalid parameter.
        """
        return cls.from_history(fitted_estimator(estimator, cls.__name__).monitor_, ax=ax, **options)

    @classmethod
    def from_history(cls, monitor: Mapping[str, Any], *, ax: Axes | None = None, **options: Any) -> Self:
        """Draw a stored ``monitor_``.

        Parameters
        ----------
        monitor : dict of str to array-like
            See the class.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.
        **options
            Further parameters of the class.

        Returns
        -------
        display : object

        Raises
        ------
        ValueError
            If no epoch was monitored, if the statistic is missing, or for an invalid parameter.
        """
        return cls(monitor, **options).plot(ax)

    @property
    @abstractmethod
    def _statistic(self) -> str:
        """The statistic to draw."""

    def _check(self) -> None:
        if len(self.monitor.get("epoch", ())) == 0:
            raise ValueError(
                f"There is no {self._statistic} to draw, because no epoch of the training was monitored. Fit the "
                "estimator with monitor=True."
            )
        if self._statistic not in self.monitor:
            raise ValueError(
                f"There is no {self._statistic} to draw; the monitor has {', '.join(self.monitor)} only. Fit the "
                "estimator with monitor=True and this version of skmlp."
            )

    def _monitored(self) -> tuple[FloatArray, FloatArray]:
        """Return the monitored epochs, of shape (n_monitored_epochs,), and the statistic in each of them."""
        return finite_or_nan(self.monitor["epoch"]), finite_or_nan(self.monitor[self._statistic])

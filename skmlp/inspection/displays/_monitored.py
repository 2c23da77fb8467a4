"""What the displays of observations share: where these come from, and what to say when there are none."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from skmlp._typing import FloatArray
from skmlp.inspection._estimators import fitted_mlp
from skmlp.inspection.displays._drawing import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["MonitorDisplay"]


class MonitorDisplay(ABC):
    """Base of the displays that draw an estimator's ``monitor_``; not for direct use."""

    ax_: "Axes"
    figure_: "Figure | SubFigure"

    def __init__(self, monitor: Mapping[str, Any]) -> None:
        self.monitor = monitor

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None) -> Self:
        """Draw what was observed while an estimator was fitted.

        Parameters
        ----------
        estimator : estimator
            An MLPClassifier or MLPRegressor that was fitted with ``monitor=True``, also as the last step of a Pipeline,
            in a search (its best estimator) or in a TransformedTargetRegressor.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            If no epoch was observed.
        """
        return cls(monitor_of(estimator, cls.__name__)).plot(ax)

    @classmethod
    def from_history(cls, monitor: Mapping[str, Any], *, ax: "Axes | None" = None) -> Self:
        """Draw observations that were kept elsewhere.

        Parameters
        ----------
        monitor : dict of str to array-like
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        ValueError
            If no epoch was observed.
        """
        return cls(monitor).plot(ax)

    @abstractmethod
    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw."""

    def _observed(self, statistic: str) -> tuple[FloatArray, FloatArray]:
        """Return the epochs that were observed, of shape (n_observed,), and the statistic in each of them."""
        epochs = self.monitor.get("epoch", ())
        if len(epochs) == 0:
            raise ValueError(
                f"There is no {statistic} to show: no epoch of the training was observed. Fit the estimator with "
                "monitor=True, which measures every layer while it trains."
            )
        if statistic not in self.monitor:
            raise ValueError(
                f"There is no {statistic} to show: the observations hold {', '.join(self.monitor)} only. Fit the "
                "estimator with monitor=True and this version of skmlp."
            )
        return numbers(epochs), numbers(self.monitor[statistic])


def monitor_of(estimator: Any, helper: str) -> Mapping[str, Any]:
    """Return what was observed while an estimator was fitted."""
    monitor: Mapping[str, Any] = fitted_mlp(estimator, helper).monitor_
    return monitor

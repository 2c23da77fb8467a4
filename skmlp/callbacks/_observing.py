"""The base classes of the callbacks, which turn scikit-learn's hooks into epochs of a fit."""

from abc import ABC, abstractmethod
from typing import Any, Self

from skmlp.callbacks.propagation import ForNetworks
from skmlp.callbacks.tasks import fit_name, is_epoch, is_fit
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.tabular import AnyMLP

__all__ = ["EpochCallback", "Fit", "FitObserver", "is_score"]


class Fit:
    """A running fit of an skmlp estimator.

    Attributes
    ----------
    estimator : AnyMLP
        The estimator in training; read-only.
    name : str
        See :func:`~skmlp.callbacks.tasks.fit_name`.
    run : str
        Eight characters that identify the outermost fit, the same in all worker processes.
    n_iter : int
        Completed epochs.
    """

    def __init__(self, estimator: Any, context: Any) -> None:
        self.estimator = estimator
        self.name = fit_name(context)
        self.run: str = context.root_uuid.hex[:8]
        self.n_iter = 0
        self._epochs_before = len(estimator.history_["loss"])

    @property
    def epoch(self) -> int:
        """Number of the last epoch, from 1. With ``warm_start`` it continues, as ``history_`` does."""
        return self._epochs_before + self.n_iter

    @property
    def row(self) -> dict[str, float]:
        """The last epoch's row of the history."""
        return {name: column[-1] for name, column in self.estimator.history_.items()}

    def advance(self) -> bool:
        """Count an epoch; return False if it was announced and never ran, like the last one of L-BFGS."""
        before, self.n_iter = self.n_iter, self.estimator.n_iter_
        return self.n_iter > before


class FitObserver(ABC):
    """The actions and the state of a callback in one fit."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self._has_warned = False

    def warn_once(self, message: str) -> None:
        """Warn at the first call in this fit only."""
        if not self._has_warned:
            self._has_warned = True
            warn_caller(message, RuntimeWarning)

    @abstractmethod
    def epoch_ended(self, fitted_estimator: Any) -> bool:
        """Process an epoch; return True to end the training. Only some callbacks get `fitted_estimator`."""

    def ended(self) -> None:
        """Process the end of the fit, also when it failed."""
        return


# Not in the callbacks, which hold settings only and so can be used in any process and thread.
_running: dict[tuple[int, int], FitObserver] = {}


class EpochCallback(ForNetworks, ABC):
    """Base class of the callbacks: creates an observer for each fit of an skmlp estimator, and ignores other fits."""

    def __init__(self) -> None:
        # With this attribute, scikit-learn propagates a callback to all inner estimators.
        self.max_propagation_depth: int | None = None

    @abstractmethod
    def _observe(self, fit: Fit) -> FitObserver | None:
        """Return the observer of a fit that begins, or None to ignore it."""

    def without_propagation(self) -> Self:
        """Return a copy for an estimator inside a pipeline or search, where callbacks must not propagate."""
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        vars(copied).pop("max_propagation_depth", None)
        return copied

    # ------------------------------------------------------------------ scikit-learn's hooks

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""
        return

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""
        return

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Create the observer of a fit."""
        if isinstance(estimator, AnyMLP) and is_fit(context):
            observer = self._observe(Fit(estimator, context))
            if observer is not None:
                _running[id(self), id(estimator)] = observer

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Process the end of an epoch or of the fit."""
        return self._task_ended(estimator, context, None)

    def on_fit_task_error(self, estimator: Any, context: Any, error: BaseException) -> None:
        """Process the end of a failed fit."""
        self._fit_ended(estimator)

    def _task_ended(self, estimator: Any, context: Any, fitted_estimator: Any) -> bool:
        if not is_epoch(context):
            self._fit_ended(estimator)
            return False
        observer = _running.get((id(self), id(estimator)))
        return observer is not None and observer.fit.advance() and observer.epoch_ended(fitted_estimator)

    def _fit_ended(self, estimator: Any) -> None:
        observer = _running.pop((id(self), id(estimator)), None)
        if observer is not None:
            observer.ended()


def is_score(column: str) -> bool:
    """Return whether higher values in a column of the history are better."""
    return column.endswith("score")

"""What the callbacks share: scikit-learn's hooks, read as the epochs of a fit."""

from abc import ABC, abstractmethod
from typing import Any, Self

from skmlp.callbacks.propagation import ForNetworks
from skmlp.callbacks.tasks import fit_name, is_epoch, is_fit
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.reporting import warn_caller

__all__ = ["EpochCallback", "Fit", "FitObserver", "is_score"]


class Fit:
    """A fit of an skmlp estimator, while it runs.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
        The live estimator, only to be read.
    name : str
        ``"fit"`` outside any search; in one ``"cv7"`` for its fit number 7, which is ``candidate * n_splits + split``
        counted from 0, and ``"refit"``. Halving iterations and searches in searches come before it:
        ``"iteration1-cv7"``.
    run : str
        Eight characters that tell one outermost fit from another, the same in all worker processes.
    n_iter : int
        Epochs so far.
    """

    def __init__(self, estimator: Any, context: Any) -> None:
        self.estimator = estimator
        self.name = fit_name(context)
        self.run: str = context.root_uuid.hex[:8]
        self.n_iter = 0
        self._epochs_before = len(estimator.history_["loss"])

    @property
    def epoch(self) -> int:
        """Number of the last epoch, from 1. It counts on under ``warm_start``, as ``history_`` does."""
        return self._epochs_before + self.n_iter

    @property
    def row(self) -> dict[str, float]:
        """The last epoch's row of the history."""
        return {name: column[-1] for name, column in self.estimator.history_.items()}

    def advance(self) -> bool:
        """Take in an epoch; False for one that was announced and never ran, as the last of L-BFGS."""
        before, self.n_iter = self.n_iter, self.estimator.n_iter_
        return self.n_iter > before


class FitObserver(ABC):
    """What a callback does in one fit, and remembers as long as it runs."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self._has_warned = False

    def warn_once(self, message: str) -> None:
        """Warn at the first call of this fit only: a full disk stays full."""
        if not self._has_warned:
            self._has_warned = True
            warn_caller(message, RuntimeWarning)

    @abstractmethod
    def epoch_ended(self, fitted_estimator: Any) -> bool:
        """Take in an epoch; True ends the training. `fitted_estimator` is for callbacks that ask for it."""

    def ended(self) -> None:
        """Take in the end of the fit, also when it failed."""
        return


# Apart from the callbacks, so that these are settings alone, which any process and thread may use.
_running: dict[tuple[int, int], FitObserver] = {}


class EpochCallback(ForNetworks, ABC):
    """Base of the callbacks: an observer for each fit of an skmlp estimator, silence on all others."""

    def __init__(self) -> None:
        # By this attribute scikit-learn knows a callback to hand down to all estimators inside.
        self.max_propagation_depth: int | None = None

    @abstractmethod
    def _observe(self, fit: Fit) -> FitObserver | None:
        """Return what observes a fit that begins; None to leave it alone."""

    def without_propagation(self) -> Self:
        """Return the same callback for an estimator inside a pipeline or search, where none may be handed down."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        vars(twin).pop("max_propagation_depth", None)
        return twin

    # ------------------------------------------------------------------ scikit-learn's hooks

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing: what there is to do begins with a fit."""
        return

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: what there is to do ends with a fit."""
        return

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Begin to observe a fit."""
        if isinstance(estimator, BaseMLP) and is_fit(context):
            observer = self._observe(Fit(estimator, context))
            if observer is not None:
                _running[id(self), id(estimator)] = observer

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Take in the end of an epoch or of the fit."""
        return self._task_ended(estimator, context, None)

    def on_fit_task_error(self, estimator: Any, context: Any, error: BaseException) -> None:
        """Take in that the fit failed."""
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
    """Tell whether high values of a column of the history are the good ones."""
    return column.endswith("score")

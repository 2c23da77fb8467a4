"""What a training is judged by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, BoolArray, FloatArray
from skmlp.optim.solvers import SOLVERS, Solver


@dataclass(frozen=True)
class Evidence:
    """The records of a training. What is unknown is empty.

    Attributes
    ----------
    history : dict of str to sequence of float
        The estimator's ``history_``.
    monitor : dict of str to ndarray
        The estimator's ``monitor_``.
    params : dict
        The estimator's parameters.
    data_summary : dict
        Statistics of the data and of the network's outputs for them, from :mod:`skmlp.estimators`.
    weights, biases : list of ndarray
        Of the trained network.
    stop_reason, stop_message : str
        The estimator's ``stop_reason_`` and ``stop_message_``.
    n_iter : int
        Number of epochs of the last training, which are the last rows of `history`.
    restored : bool
        Whether the weights are those of the best epoch.
    feature_names, class_names : sequence
        The user's names; numbers if empty.
    reads_table : bool
        Whether the network reads an encoded table, so that features may be categories.
    """

    history: Mapping[str, Sequence[float]]
    monitor: Mapping[str, AnyArray] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    data_summary: Mapping[str, Any] = field(default_factory=dict)
    weights: Sequence[FloatArray] = ()
    biases: Sequence[FloatArray] = ()
    stop_reason: str = ""
    stop_message: str = ""
    n_iter: int | None = None
    restored: bool = False
    feature_names: Sequence[Any] = ()
    class_names: Sequence[Any] = ()
    reads_table: bool = False

    def feature_name(self, index: int) -> str:
        """Return the name of a feature."""
        return f"column {index}" if len(self.feature_names) == 0 else str(self.feature_names[index])

    def column(self, name: str) -> FloatArray:
        """Return a column of the history of the last training, of shape (n_epochs,); empty if there is none."""
        column = np.asarray(self.history.get(name, ()), dtype=np.float64)
        return column[-self.n_iter :] if self.n_iter else column

    def layer_statistic(self, name: str) -> FloatArray:
        """Return a statistic of the last training, of shape (n_monitored_epochs, n_layers); empty if there is none."""
        if name not in self.monitor or not self.was_monitored:
            return np.empty((0, 0))
        recent: FloatArray = np.asarray(self.monitor[name], dtype=np.float64)[self._in_last_training]
        return recent

    @cached_property
    def monitored_epochs(self) -> AnyArray:
        """The epochs of the last training that were monitored, counted from 1."""
        numbers = np.asarray(self.monitor.get("epoch", ()), dtype=int)
        return numbers[self._in_last_training] - self._n_epochs_before

    @property
    def was_monitored(self) -> bool:
        """Whether there are statistics of any epoch."""
        return len(self.monitored_epochs) > 0

    @cached_property
    def loss(self) -> FloatArray:
        """Training loss without penalty in each epoch."""
        return self.column("train_loss")

    @property
    def baseline(self) -> float:
        """Loss of the best constant prediction; NaN if unknown."""
        return float(self.data_summary.get("baseline_loss", math.nan))

    @property
    def learning_rate(self) -> float:
        """The initial learning rate, else the largest one of the history, else the default."""
        return float(self.params.get("learning_rate_init", largest_finite(self.column("learning_rate")) or 1e-3))

    @property
    def is_lbfgs(self) -> bool:
        """Whether the solver is L-BFGS, which takes no mini-batches, dropout or gradient clipping."""
        solver = self.params.get("solver")
        return isinstance(solver, str) and solver == "lbfgs"

    @property
    def averages(self) -> bool:
        """Whether the solver averages the weights by itself."""
        solver = self.params.get("solver")
        if isinstance(solver, str) and solver in SOLVERS:
            solver = SOLVERS[solver]()
        return isinstance(solver, Solver) and solver.averages

    @property
    def has_learning_rate(self) -> bool:
        """Whether a learning rate is recorded; L-BFGS has none."""
        return bool(np.isfinite(self.column("learning_rate")).any())

    @property
    def _n_epochs_before(self) -> int:
        n_epochs = len(self.history.get("train_loss", ()))
        return n_epochs - self.n_iter if self.n_iter else 0

    @property
    def _in_last_training(self) -> BoolArray:
        recent: BoolArray = np.asarray(self.monitor.get("epoch", ()), dtype=int) > self._n_epochs_before
        return recent


def first_epoch(epochs: AnyArray, condition: AnyArray) -> int | None:
    """Return the first of `epochs` in which the condition holds; None if it never does."""
    where = np.flatnonzero(condition)
    return int(epochs[where[0]]) if where.size else None


def largest_finite(values: FloatArray) -> float:
    """Return the largest finite value, at least 0."""
    return float(np.max(values, where=np.isfinite(values), initial=0.0))

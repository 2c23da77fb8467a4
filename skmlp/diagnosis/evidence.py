"""What there is to judge a training by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, BoolArray, FloatArray

__all__ = ["Evidence", "allows_residual", "first_epoch", "one_digit"]


@dataclass(frozen=True)
class Evidence:
    """The records of a training; whatever is not known is empty.

    Attributes
    ----------
    history : dict of str to sequence of float
        As the estimators' ``history_``.
    monitor : dict of str to ndarray
        As the estimators' ``monitor_``.
    params : dict
        The estimator's parameters.
    facts : dict
        What a look at data and network told: see :func:`skmlp.estimators.data_summary.summarize_data`.
    weights, biases : list of ndarray
        Of the trained network.
    stop_reason, stop_message : str
    n_iter : int
        Epochs of the last training, the last rows of `history`.
    restored : bool
        Whether the weights are those of the best epoch.
    feature_names, class_names : sequence
        What the user calls them; by default they are numbered.
    """

    history: Mapping[str, Sequence[float]]
    monitor: Mapping[str, AnyArray] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    weights: Sequence[FloatArray] = ()
    biases: Sequence[FloatArray] = ()
    stop_reason: str = ""
    stop_message: str = ""
    n_iter: int | None = None
    restored: bool = False
    feature_names: Sequence[Any] = ()
    class_names: Sequence[Any] = ()

    def feature(self, index: int) -> str:
        """Return how to call a feature."""
        return f"column {index}" if len(self.feature_names) == 0 else str(self.feature_names[index])

    def column(self, name: str) -> FloatArray:
        """Return a column of the history for the epochs of the last training; empty when there is none."""
        column = np.asarray(self.history.get(name, ()), dtype=np.float64)
        return column[-self.n_iter :] if self.n_iter else column

    def layers(self, name: str) -> FloatArray:
        """Return a per-layer statistic of the last training, of shape (n_observed, n_layers, ...)."""
        if name not in self.monitor or not self.observed:
            return np.empty((0, 0))
        recent: FloatArray = np.asarray(self.monitor[name], dtype=np.float64)[self._recent]
        return recent

    @cached_property
    def epochs(self) -> AnyArray:
        """Numbers of the observed epochs, from 1 at the start of the last training."""
        numbers = np.asarray(self.monitor.get("epoch", ()), dtype=int)
        return numbers[self._recent] - self._n_before

    @property
    def observed(self) -> bool:
        """Whether anything was observed inside the network."""
        return len(self.epochs) > 0

    @cached_property
    def loss(self) -> FloatArray:
        """Training loss without penalty in each epoch."""
        return self.column("train_loss")

    @property
    def baseline(self) -> float:
        """Loss of the best constant prediction; NaN when it is not known."""
        return float(self.facts.get("baseline_loss", math.nan))

    @property
    def starts_as_usual(self) -> bool:
        """Whether the first weights are of a size that keeps signals alive."""
        return self.params.get("weight_init") in ("auto", "glorot_uniform", "glorot_normal", None)

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of the training, to choose another by."""
        rates = self.column("learning_rate")
        known = float(np.max(rates, where=np.isfinite(rates), initial=0.0))
        return float(self.params.get("learning_rate_init", known or 1e-3))

    @property
    def is_lbfgs(self) -> bool:
        """Whether all rows are taken at once, which dropout, clipping and batch normalization do not go with."""
        solver = self.params.get("solver")
        return isinstance(solver, str) and solver == "lbfgs"

    @property
    def normalization(self) -> str:
        """The normalization to recommend: over batches, where these have a variance."""
        return "layer" if self.is_lbfgs or self.params.get("batch_size") == 1 else "batch"

    @property
    def is_stochastic(self) -> bool:
        """Whether there was a learning rate."""
        return bool(np.isfinite(self.column("learning_rate")).any())

    @property
    def _n_before(self) -> int:
        n_epochs = len(self.history.get("train_loss", ()))
        return n_epochs - self.n_iter if self.n_iter else 0

    @property
    def _recent(self) -> BoolArray:
        recent: BoolArray = np.asarray(self.monitor.get("epoch", ()), dtype=int) > self._n_before
        return recent


def first_epoch(epochs: AnyArray, holds: AnyArray) -> int | None:
    """Return the first of `epochs` in which something holds; None if it never does."""
    where = np.flatnonzero(holds)
    return int(epochs[where[0]]) if where.size else None


def allows_residual(sizes: Sequence[int]) -> bool:
    """Tell whether hidden layers of these sizes have neighbours of one size, which residual connections need."""
    return any(one == other for one, other in pairwise(sizes))


def one_digit(value: float) -> float:
    """Round a number that is to be tried to one significant digit."""
    return float(f"{value:.0e}")

r"""What is measured inside the network during training, layer by layer, from a few steps of each epoch.

Of an observed step: the norm of each layer's weight gradient :math:`\lVert \partial L / \partial W_l \rVert`, the norm
of its weights before the update, the ratio of the update's norm to it, the share of dead and of saturated units, and
quantiles of the gradient's entries. Nothing here changes what is trained, not by a bit.
"""

import math
from collections.abc import Sequence

import numpy as np

from skmlp._typing import BoolArray, FloatArray, IntArray
from skmlp.nn.activations import Activation
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import band_quantiles, inactive_units, layer_norms, ratios, saturated_fraction
from skmlp.training.history import HISTORY_LIMIT

__all__ = ["Monitor", "MonitorHistory", "append_observation", "empty_observations"]

# Without a number of steps given: every 100th step of an epoch and at least one, so that it costs next to nothing.
STEPS_BETWEEN = 100
# All of the first 256 epochs, then every 2nd up to 512, every 4th up to 1024, ...: a curve of a long training has as
# much detail as one can see, and costs no more than it.
ALL_OF_THE_FIRST = 256
# Entries of a layer's gradient whose quantiles stand for all of them, and rows whose units do.
QUANTILE_ENTRIES, SLOPE_ROWS = 1024, 256

Observation = dict[str, list[float] | list[list[float]]]
MonitorHistory = dict[str, list[int] | list[list[float]] | list[list[list[float]]]]

_STATISTICS = (
    "gradient_norm",
    "weight_norm",
    "update_ratio",
    "dead_fraction",
    "saturated_fraction",
    "gradient_quantiles",
)


class Monitor:
    """Observes steps of a training.

    Parameters
    ----------
    params : Parameters
        Tells the shapes.
    every : int, optional
        Observe every n-th step, counted over all epochs. By default every 100th step of an epoch, and with more than
        256 epochs ever fewer of them.
    first_epoch : int, default=1
        Number of the first epoch.
    """

    def __init__(self, params: Parameters, *, every: int | None = None, first_epoch: int = 1) -> None:
        self.every = every
        self.epoch = first_epoch - 1
        self._step = 0
        self._observed: list[Observation] = []
        self._inactive: list[BoolArray] = []
        self._weights_before = params.on(params.vector.copy())
        # The same entries each time, so that a quantile moves when the gradient does and not by chance.
        rng = np.random.default_rng(0)
        self._entries = [_some_of(weights.size, rng) for weights in params.weights]

    def begin_epoch(self) -> None:
        """Count an epoch."""
        self.epoch += 1
        self._observed = []
        self._inactive = []
        if self.every is None:
            self._step = 0

    def begin_step(self) -> bool:
        """Count a step; True when it is one to observe."""
        self._step += 1
        if self.every is not None:
            return self._step % self.every == 0
        return self._step % STEPS_BETWEEN == 1 and self.epoch % _stride(self.epoch) == 0

    def before_update(
        self, params: Parameters, grad: Parameters, slopes: Sequence[tuple[Activation, FloatArray]]
    ) -> None:
        """Measure the gradient, the weights and the hidden units.

        Parameters
        ----------
        params, grad : Parameters
        slopes : list of (Activation, ndarray of shape (n_samples, n_units))
            For each hidden layer its activation and the derivative at each of its elements.
        """
        self._weights_before.vector[...] = params.vector
        some = [(activation, values[:SLOPE_ROWS]) for activation, values in slopes]
        inactive = [inactive_units(values) for _, values in some]
        self._inactive = [a & b for a, b in zip(self._inactive, inactive, strict=True)] if self._inactive else inactive
        self._observed.append(
            {
                "gradient_norm": layer_norms(grad),
                "weight_norm": layer_norms(params),
                # The output layer has no activation: the loss owns its link.
                "saturated_fraction": [*(saturated_fraction(v, a.steepest) for a, v in some), math.nan],
                "gradient_quantiles": [
                    band_quantiles(weights.reshape(-1)[entries])
                    for weights, entries in zip(grad.weights, self._entries, strict=True)
                ],
            }
        )

    def after_update(self, params: Parameters) -> None:
        """Measure how far the weights went."""
        observed = self._observed[-1]
        moved = self._weights_before
        np.subtract(params.vector, moved.vector, out=moved.vector)
        observed["update_ratio"] = ratios(layer_norms(moved), observed["weight_norm"])  # type: ignore[arg-type]

    def end_epoch(self) -> Observation | None:
        """Return the epoch's means over its observed steps; None without any.

        A unit counts as dead when it was inactive for every sample of all of them.
        """
        if not self._observed:
            return None
        dead = [float(units.mean()) for units in self._inactive]
        first, *others = self._observed
        mean = first
        if others:
            mean = {name: np.mean([step[name] for step in self._observed], axis=0).tolist() for name in others[-1]}
        return {**mean, "dead_fraction": [*dead, math.nan]}


def empty_observations() -> MonitorHistory:
    """Return a record without rows."""
    return {"epoch": [], **{name: [] for name in _STATISTICS}}


def append_observation(record: MonitorHistory, monitor: Monitor) -> None:
    """Append what was observed in the epoch that ended, if anything, and forget the oldest beyond the limit."""
    observation = monitor.end_epoch()
    if observation is None:
        return
    row = {"epoch": monitor.epoch, **observation}
    n_layers = len(observation["gradient_norm"])
    for name, column in record.items():
        # An epoch that was lost before its update has no ratio.
        column.append(row.get(name, [math.nan] * n_layers))  # type: ignore[arg-type]
        if len(column) > HISTORY_LIMIT:
            del column[0]


def _stride(epoch: int) -> int:
    """Return how many epochs apart observations are around `epoch`: the smallest power of two of at least a 256th."""
    return int(1 << ((epoch - 1) // ALL_OF_THE_FIRST).bit_length())


def _some_of(size: int, rng: np.random.Generator) -> IntArray:
    """Return the numbers of at most ``QUANTILE_ENTRIES`` of `size` entries, in ascending order."""
    if size <= QUANTILE_ENTRIES:
        return np.arange(size)
    return np.sort(rng.choice(size, QUANTILE_ENTRIES, replace=False))

r"""What is measured inside the network during training, layer by layer, in a few steps of each epoch.

A step is measured by the functions of :mod:`skmlp.nn.statistics`. This module chooses the steps and reduces what was
measured in an epoch to one row. Nothing here changes what is trained, not by a bit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from skmlp._typing import BoolArray, FloatArray, IntArray
from skmlp.nn.network import Units
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import (
    BANDS,
    band_quantiles,
    count_non_finite,
    global_norm,
    inactive_units,
    inner_product,
    largest_magnitude,
    layer_norms,
    mean_and_deviation,
    noise_scale,
    ratio,
    saturated_fraction,
    sign_flip_fraction,
    signal_to_noise,
    zero_fraction,
)
from skmlp.training.history import Observations

__all__ = [
    "EPOCH_STATISTICS",
    "LAYER_STATISTICS",
    "QUANTILE_STATISTICS",
    "Monitor",
    "Observation",
    "no_observations",
]

# Without a number of steps given: steps 1, 3, 9, 27, 81, 243, and from there on every 200th. So a short training is
# seen from its start, where most happens, and a long one costs little more (benchmarks/monitoring.py).
TIMES_AS_LATE, STEPS_APART = 3, 200
# For curves over epochs, a step of each of the first 256 epochs as well, then of every 2nd up to 512, every 4th up to
# 1024, ...: as much detail as one can see.
ALL_OF_THE_FIRST = 256
# Entries of a gradient whose quantiles and signs stand for all of them, and rows of a batch whose units do.
ENTRIES, ROWS = 1024, 256

# What is measured in a step, one number a layer. An epoch has the mean over its measured steps, ...
_MEAN = (
    "gradient_norm",
    "gradient_mean",
    "gradient_std",
    "gradient_zero_fraction",
    "weight_norm",
    "update_ratio",
    "activation_mean",
    "activation_std",
    "saturated_fraction",
)
# ... or the largest value.
_MAX = ("gradient_largest", "gradient_nonfinite")
_BOTH = ("gradient_norm", "update_ratio")
# What is measured of a step and the one before it.
_PAIR = ("gradient_cosine", "sign_flip_fraction", "gradient_snr", "noise_scale")

LAYER_STATISTICS = (*_MEAN, *_MAX, *(f"{name}_max" for name in _BOTH), *_PAIR, "dead_fraction")
QUANTILE_STATISTICS = ("gradient_quantiles", "activation_quantiles")
EPOCH_STATISTICS = ("effective_step", "gradient_ratio", "noise_scale")

_STEP = (*_MEAN, *_MAX)
_WEIGHT_NORM, _UPDATE_RATIO = _STEP.index("weight_norm"), _STEP.index("update_ratio")


class Observation(NamedTuple):
    """What was observed in an epoch.

    Attributes
    ----------
    layers : dict
        For each of ``LAYER_STATISTICS`` an array of shape (n_layers,), for each of ``QUANTILE_STATISTICS`` one of shape
        (n_layers, 9).
    overall : dict
        A number for each of ``EPOCH_STATISTICS``.
    """

    layers: dict[str, FloatArray]
    overall: dict[str, float]


def no_observations(n_layers: int) -> Observations:
    """Return a table for observations of a network with that many dense layers, without rows."""
    cells = dict.fromkeys(LAYER_STATISTICS, (0, n_layers))
    bands = {name: (0, n_layers, len(BANDS)) for name in QUANTILE_STATISTICS}
    return Observations({"epoch": np.empty(0, int), **{name: np.empty(s) for name, s in (cells | bands).items()}})


class Monitor:
    """Observes steps of a training.

    Parameters
    ----------
    params : Parameters
        Tells the shapes.
    every : int, optional
        Observe every n-th step, counted over all epochs. By default ever fewer of the first steps, then every
        200th.
    first_epoch : int, default=1
        Number of the first epoch.
    closely : bool, default=False
        Without `every`, observe a step of each epoch besides, and with more than 256 epochs of ever fewer of them.

    Attributes
    ----------
    epoch : int
        Number of the current epoch.
    copies : ndarray or None
        How many samples each row stands for, where equal rows of a full batch were merged.
    """

    copies: IntArray | None = None

    def __init__(
        self, params: Parameters, *, every: int | None = None, first_epoch: int = 1, closely: bool = False
    ) -> None:
        self.every = every
        self.closely = closely and every is None
        self.epoch = first_epoch - 1
        self._step = 0
        self._next = every or 1
        self._before = params.on(params.vector.copy())
        self._kept = params.like()  # the gradient of step ...
        self._kept_step, self._kept_rows = -1, 0
        self._steps: list[FloatArray] = []
        self._quantiles: list[FloatArray] = []
        self._pairs: list[list[tuple[float, ...]]] = []
        self._effective_steps: list[float] = []
        self._inactive: list[BoolArray | None] = []
        self._rows_seen = 0
        self._batches_differ, self._n_samples, self._first_step = True, 0, 1

    def to_plain(self) -> dict[str, Any]:
        """Return arrays, numbers and lists that hold all that outlasts an epoch."""
        is_compared = self._kept_step == self._step  # with the next gradient
        return {
            "every": self.every,
            "closely": self.closely,
            "epoch": self.epoch,
            "step": self._step,
            "next_step": self._next,
            "gradient": self._kept.vector if is_compared else None,
            "gradient_rows": self._kept_rows,
            "inactive": self._inactive,
            "rows_seen": self._rows_seen,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], params: Parameters) -> "Monitor":
        """Undo :meth:`to_plain`; `params` tells the shapes."""
        monitor = cls(params, every=plain["every"], closely=plain["closely"], first_epoch=plain["epoch"] + 1)
        monitor._step, monitor._next = plain["step"], plain["next_step"]
        if plain["gradient"] is not None:
            monitor._kept.vector[...] = plain["gradient"]
            monitor._kept_step, monitor._kept_rows = plain["step"], plain["gradient_rows"]
        monitor._inactive, monitor._rows_seen = list(plain["inactive"]), plain["rows_seen"]
        return monitor

    def copy(self) -> "Monitor":
        """Return an independent copy, between two epochs."""
        monitor = copy(self)
        monitor._before = self._before.on(self._before.vector.copy())
        monitor._kept = self._kept.on(self._kept.vector.copy())
        return monitor

    def begin_epoch(self, n_batches: int, n_samples: int) -> None:
        """Begin an epoch of that many batches of all the samples there are."""
        self.epoch += 1
        self._steps, self._quantiles, self._pairs, self._effective_steps = [], [], [], []
        # With a single batch two gradients differ by the step between them, and not by noise.
        self._batches_differ, self._n_samples = n_batches > 1, n_samples
        self._first_step = self._step + 1
        if self.closely and self.epoch % _stride(self.epoch) == 0:
            # The second step, where there is one: the first is what it is compared with.
            self._next = min(self._next, self._step + min(2, n_batches))
        if self._rows_seen >= ROWS:
            self._inactive, self._rows_seen = [], 0

    @property
    def n_ahead(self) -> int:
        """How many of the next steps need neither be measured nor be kept for comparison."""
        if self.closely and not self._batches_differ:
            return 0
        return max(0, self._next - 2 - self._step)

    def pass_over(self, n_steps: int) -> None:
        """Count steps that nothing is wanted of."""
        self._step += n_steps

    def before_update(
        self,
        params: Parameters,
        grad: Parameters,
        units: Callable[[], Sequence[Units]],
        n_rows: int,
        *,
        is_lost: bool = False,
    ) -> bool:
        """Count a step, and measure it if it is one to observe.

        Parameters
        ----------
        params, grad : Parameters
            Before clipping and update.
        units : callable
            Returns the units of the pass that gave the gradient, of its last block of rows.
        n_rows : int
            Samples in the batch.
        is_lost : bool, default=False
            Measure in any case, for there is something infinite or NaN.

        Returns
        -------
        observed : bool
            Whether :meth:`after_update` wants to see the parameters.
        """
        self._step += 1
        observed = is_lost or self._step == self._next
        if observed:
            self._measure(params, grad, [unit.repeated(self.copies) for unit in units()])
            if self._kept_step == self._step - 1:
                # Batches of one epoch exclude each other; those of two epochs are independent.
                n_others = self._n_samples - 1 if self._kept_step >= self._first_step else math.inf
                self._pairs.append(_compare(grad, n_rows, self._kept, self._kept_rows, n_others))
        if self._step >= self._next:
            self._next = self._step + (self.every or min((TIMES_AS_LATE - 1) * self._step, STEPS_APART))
        if self._step == self._next - 1 or (self.closely and not self._batches_differ):
            self._kept.vector[...] = grad.vector
            self._kept_step, self._kept_rows = self._step, n_rows
        return observed

    def _measure(self, params: Parameters, grad: Parameters, units: Sequence[Units]) -> None:
        self._before.vector[...] = params.vector
        layers = list(zip(grad.weights, params.weights, units, strict=True))
        self._steps.append(np.array([_step_values(*layer) for layer in layers]))
        self._quantiles.append(np.array([_step_quantiles(gradient, unit.outputs) for gradient, _, unit in layers]))
        inactive = [None if unit.slopes is None else inactive_units(unit.slopes[:ROWS]) for unit in units]
        before = self._inactive or inactive
        self._inactive = [None if a is None or b is None else a & b for a, b in zip(inactive, before, strict=True)]
        self._rows_seen += min(ROWS, len(units[0].outputs))

    def after_update(self, params: Parameters, gradient_norm: float) -> None:
        """Measure how far the parameters went.

        Parameters
        ----------
        params : Parameters
        gradient_norm : float
            Of the whole gradient, before clipping.
        """
        moved, step = self._before, self._steps[-1]
        np.subtract(params.vector, moved.vector, out=moved.vector)
        step[:, _UPDATE_RATIO] = list(map(ratio, layer_norms(moved), step[:, _WEIGHT_NORM]))
        self._effective_steps.append(ratio(global_norm(moved.trained), gradient_norm))

    def end_epoch(self) -> Observation | None:
        """Return what was observed in the epoch; None without a measured step."""
        if not self._steps:
            return None
        steps, quantiles = np.array(self._steps), np.array(self._quantiles, np.float64)
        mean, most, bands = steps.mean(axis=0).T, steps.max(axis=0).T, quantiles.mean(axis=0)
        layers = dict(zip(_STEP, mean, strict=True))
        layers |= {name: most[_STEP.index(name)] for name in _MAX}
        layers |= {f"{name}_max": most[_STEP.index(name)] for name in _BOTH}
        layers |= {name: bands[:, index] for index, name in enumerate(QUANTILE_STATISTICS)}
        pairs, overall_noise = self._reduce_pairs(mean.shape[1])
        layers |= zip(_PAIR, pairs, strict=True)
        layers["dead_fraction"] = np.array(
            [math.nan if units is None else np.count_nonzero(units) / units.size for units in self._inactive]
        )
        norms, taken = layers["gradient_norm"], self._effective_steps
        overall = {
            "effective_step": math.fsum(taken) / len(taken) if taken else math.nan,
            "gradient_ratio": ratio(float(norms[0]), float(norms[-1])),
            "noise_scale": overall_noise,
        }
        return Observation(layers, overall)

    def _reduce_pairs(self, n_layers: int) -> tuple[FloatArray, float]:
        """Return the statistics of the epoch's pairs, of shape (4, n_layers), and the noise scale of all parameters."""
        found = np.full((len(_PAIR), n_layers), math.nan)
        if not self._pairs:
            return found, math.nan
        pairs = np.array(self._pairs)  # of shape (n_pairs, n_layers + 1, 5)
        found[:2] = pairs[:, :-1, :2].mean(axis=0).T
        if not self._batches_differ:
            return found, math.nan
        signal, noise, trace = pairs[:, :, 2:].sum(axis=0).T
        found[2] = signal_to_noise(signal[:-1], noise[:-1])
        found[3] = noise_scale(signal[:-1], trace[:-1])
        return found, float(noise_scale(signal.sum(), trace.sum()))


def _step_values(gradient: FloatArray, weights: FloatArray, units: Units) -> tuple[float, ...]:
    """Return what is measured of a layer in a step, in the order of ``_STEP``; the update is yet to come."""
    entries, outputs = gradient.reshape(-1), units.outputs[:ROWS].reshape(-1)
    norm = global_norm(entries)
    mean, deviation = mean_and_deviation(entries, norm)
    steepest = None if units.activation is None else units.activation.steepest
    return (
        norm,
        mean,
        deviation,
        zero_fraction(entries),
        global_norm(weights.reshape(-1)),
        math.nan,
        *mean_and_deviation(outputs),
        math.nan if units.slopes is None else saturated_fraction(units.slopes[:ROWS], steepest),
        largest_magnitude(entries),
        0 if math.isfinite(norm) else count_non_finite(entries),
    )


def _step_quantiles(gradient: FloatArray, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
    gradient, outputs = gradient.reshape(-1), outputs[:ROWS].reshape(-1)
    return band_quantiles(gradient[_some_of(gradient.size)]), band_quantiles(outputs[_some_of(outputs.size)])


@lru_cache(maxsize=1024)
def _some_of(size: int) -> IntArray | slice:
    """Return the numbers of at most ``ENTRIES`` of `size` entries, in ascending order.

    The same each time, so that a quantile moves when the values do and not by chance.
    """
    if size <= ENTRIES:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(size, ENTRIES, replace=False))


def _stride(epoch: int) -> int:
    """Return how many epochs apart observations are around `epoch`: the smallest power of two of at least a 256th."""
    return int(1 << ((epoch - 1) // ALL_OF_THE_FIRST).bit_length())


def _compare(
    grad: Parameters, n_rows: int, previous: Parameters, n_rows_before: int, n_others: float
) -> list[tuple[float, ...]]:
    """Return what is measured of two successive gradients: of each layer's weights, and last of all other parameters.

    These are the cosine, the share of flipped signs, and estimates of signal, noise, and trace of the covariance.
    """
    others = slice(sum(weights.size for weights in grad.weights), grad.n_trained)
    arrays = zip([*grad.weights, grad.vector[others]], [*previous.weights, previous.vector[others]], strict=True)
    rows: list[tuple[float, ...]] = []
    for a, b in ((a.reshape(-1), b.reshape(-1)) for a, b in arrays):
        norm, norm_before, some = global_norm(a), global_norm(b), _some_of(a.size)
        product = inner_product(a, b, norm * norm_before)
        excess, excess_before = norm * norm - product, norm_before * norm_before - product
        trace = 0.5 * (n_rows * excess + n_rows_before * excess_before)
        cosine = ratio(product, norm * norm_before)
        flips = sign_flip_fraction(a[some], b[some]) if a.size else math.nan
        rows.append((cosine, flips, product + trace / n_others, 0.5 * (excess + excess_before), trace))
    return rows

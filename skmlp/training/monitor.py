"""Statistics of gradients, weights and activations during training, layer by layer, in some steps of each epoch.

The statistics of a step come from :mod:`skmlp.nn.statistics`. This module chooses the steps and reduces their
statistics to one row per epoch. Monitoring does not change the trained weights by a single bit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from skmlp._typing import BoolArray, FloatArray, IntArray
from skmlp.nn import statistics as stats
from skmlp.nn.network import LayerOutput
from skmlp.nn.parameters import Parameters
from skmlp.training.history import Observations

__all__ = ["EPOCH_STATISTICS", "LAYER_STATISTICS", "QUANTILE_STATISTICS", "Monitor", "no_observations"]

# By default steps 1, 3, 9, 27, 81 and 243 are measured, and from there on every 200th: the beginning in detail, where
# most happens, at little cost in long trainings (benchmarks/monitoring.py).
GROWTH, MAX_STRIDE = 3, 200
# For curves over epochs, also a step of each of the first 256 epochs, of every 2nd up to 512, every 4th up to 1024, and
# so on: a curve shows no more detail.
DENSE_EPOCHS = 256
# Quantiles and signs are computed from so many entries of a gradient, statistics of activations from so many rows.
ENTRIES, ROWS = 1024, 256

# The statistics of a step, one number per layer, of which an epoch has the mean ...
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
# ... or the maximum.
_MAX = ("gradient_largest", "gradient_nonfinite")
_BOTH = ("gradient_norm", "update_ratio")
# The statistics of two successive steps.
_PAIR = ("gradient_cosine", "sign_flip_fraction", "gradient_snr", "noise_scale")

LAYER_STATISTICS = (*_MEAN, *_MAX, *(f"{name}_max" for name in _BOTH), *_PAIR, "dead_fraction")
QUANTILE_STATISTICS = ("gradient_quantiles", "activation_quantiles")
EPOCH_STATISTICS = ("effective_step", "gradient_ratio", "noise_scale")

_STEP = (*_MEAN, *_MAX)
_WEIGHT_NORM, _UPDATE_RATIO = _STEP.index("weight_norm"), _STEP.index("update_ratio")


class Observation(NamedTuple):
    """The statistics of an epoch.

    Attributes
    ----------
    layers : dict
        An array of shape (n_layers,) for each of ``LAYER_STATISTICS``, and (n_layers, 9) for ``QUANTILE_STATISTICS``.
    overall : dict
        A number for each of ``EPOCH_STATISTICS``.
    """

    layers: dict[str, FloatArray]
    overall: dict[str, float]


def no_observations(n_layers: int) -> Observations:
    """Return an empty table of observations for a network with `n_layers` dense layers."""
    cells = dict.fromkeys(LAYER_STATISTICS, (0, n_layers))
    bands = {name: (0, n_layers, len(stats.BANDS)) for name in QUANTILE_STATISTICS}
    return Observations({"epoch": np.empty(0, int), **{name: np.empty(s) for name, s in (cells | bands).items()}})


class Monitor:
    """Measures some steps of a training.

    Parameters
    ----------
    params : Parameters
        For the shapes.
    every : int, optional
        Measure every n-th step, counted over all epochs. By default steps 1, 3, 9, ..., 243, then every 200th.
    first_epoch : int, default=1
        Number of the first epoch.
    closely : bool, default=False
        Without `every`, also measure a step of each epoch, and of fewer and fewer epochs from the 256th on.

    Attributes
    ----------
    epoch : int
        Number of the current epoch.
    copies : ndarray or None
        How many samples each row stands for, if equal rows of a full batch were merged.
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
        self._before = params.like()
        self._previous = params.like()  # the gradient of step ...
        self._previous_step, self._previous_rows = -1, 0
        self._steps: list[FloatArray] = []
        self._quantiles: list[FloatArray] = []
        self._pairs: list[list[tuple[float, ...]]] = []
        self._effective_steps: list[float] = []
        self._inactive: list[BoolArray | None] = []
        self._rows_seen = 0
        self._batches_differ, self._n_samples, self._first_step = True, 0, 1

    def to_plain(self) -> dict[str, Any]:
        """Return what lasts longer than an epoch as arrays, numbers and lists."""
        is_compared = self._previous_step == self._step  # with the next gradient
        return {
            "every": self.every,
            "closely": self.closely,
            "epoch": self.epoch,
            "step": self._step,
            "next_step": self._next,
            "gradient": self._previous.vector if is_compared else None,
            "gradient_rows": self._previous_rows,
            "inactive": self._inactive,
            "rows_seen": self._rows_seen,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], params: Parameters) -> "Monitor":
        """Undo :meth:`to_plain`."""
        monitor = cls(params, every=plain["every"], closely=plain["closely"], first_epoch=plain["epoch"] + 1)
        monitor._step, monitor._next = plain["step"], plain["next_step"]
        if plain["gradient"] is not None:
            monitor._previous.vector[...] = plain["gradient"]
            monitor._previous_step, monitor._previous_rows = plain["step"], plain["gradient_rows"]
        monitor._inactive, monitor._rows_seen = list(plain["inactive"]), plain["rows_seen"]
        return monitor

    def copy(self) -> "Monitor":
        """Return an independent copy, between two epochs."""
        monitor = copy(self)  # what is measured within an epoch is not kept
        monitor._previous = self._previous.on(self._previous.vector.copy())
        return monitor

    def begin_epoch(self, n_batches: int, n_samples: int) -> None:
        """Begin an epoch of `n_batches` batches, which have `n_samples` rows in all."""
        self.epoch += 1
        self._steps, self._quantiles, self._pairs, self._effective_steps = [], [], [], []
        # With a single batch, successive gradients differ because of the step between them, not because of noise.
        self._batches_differ, self._n_samples = n_batches > 1, n_samples
        self._first_step = self._step + 1
        if self.closely and self.epoch % _stride(self.epoch) == 0:
            # The second step, if there is one, because it can be compared with the first.
            self._next = min(self._next, self._step + min(2, n_batches))
        if self._rows_seen >= ROWS:
            self._inactive, self._rows_seen = [], 0

    @property
    def n_unobserved(self) -> int:
        """How many of the next steps are neither measured nor compared with a measured one."""
        if self.closely and not self._batches_differ:
            return 0
        return max(0, self._next - 2 - self._step)

    def skip(self, n_steps: int) -> None:
        """Count steps that are not measured."""
        self._step += n_steps

    def before_update(
        self,
        params: Parameters,
        grad: Parameters,
        layer_outputs: Callable[[], Sequence[LayerOutput]],
        n_rows: int,
        *,
        is_non_finite: bool = False,
    ) -> bool:
        """Count a step, measure it if it is its turn, and return whether to call :meth:`after_update`.

        Parameters
        ----------
        params, grad : Parameters
            Before clipping and update.
        layer_outputs : callable
            Returns the outputs of the layers in the pass that gave the gradient, for its last block of rows.
        n_rows : int
            Rows of the batch.
        is_non_finite : bool, default=False
            Whether there is something infinite or NaN; such a step is always measured.
        """
        self._step += 1
        observed = is_non_finite or self._step == self._next
        if observed:
            self._measure(params, grad, [each.repeated(self.copies) for each in layer_outputs()])
            if self._previous_step == self._step - 1:
                # Batches of the same epoch have no samples in common; those of two epochs are independent.
                n_others = self._n_samples - 1 if self._previous_step >= self._first_step else math.inf
                self._pairs.append(_compare(grad, n_rows, self._previous, self._previous_rows, n_others))
        if self._step >= self._next:
            self._next = self._step + (self.every or min((GROWTH - 1) * self._step, MAX_STRIDE))
        if self._step == self._next - 1 or (self.closely and not self._batches_differ):
            self._previous.vector[...] = grad.vector
            self._previous_step, self._previous_rows = self._step, n_rows
        return observed

    def _measure(self, params: Parameters, grad: Parameters, outputs: Sequence[LayerOutput]) -> None:
        self._before.vector[...] = params.vector
        layers = list(zip(grad.weights, params.weights, outputs, strict=True))
        self._steps.append(np.array([_step_values(*layer) for layer in layers]))
        self._quantiles.append(np.array([_step_quantiles(gradient, each.outputs) for gradient, _, each in layers]))
        slopes = [each.activation_grad for each in outputs]
        inactive = [None if each is None else stats.inactive_units(each[:ROWS]) for each in slopes]
        before = self._inactive or inactive
        self._inactive = [None if a is None or b is None else a & b for a, b in zip(inactive, before, strict=True)]
        self._rows_seen += min(ROWS, len(outputs[0].outputs))

    def after_update(self, params: Parameters, gradient_norm: float) -> None:
        """Measure the step that the parameters took; `gradient_norm` is that of the whole gradient before clipping."""
        moved, step = self._before, self._steps[-1]
        np.subtract(params.vector, moved.vector, out=moved.vector)
        step[:, _UPDATE_RATIO] = list(map(stats.ratio, stats.layer_norms(moved), step[:, _WEIGHT_NORM]))
        self._effective_steps.append(stats.ratio(stats.global_norm(moved.trained), gradient_norm))

    def end_epoch(self) -> Observation | None:
        """Return the statistics of the epoch; None without a measured step."""
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
        layers["dead_fraction"] = np.array([math.nan if units is None else units.mean() for units in self._inactive])
        norms, taken = layers["gradient_norm"], self._effective_steps
        overall = {
            "effective_step": math.fsum(taken) / len(taken) if taken else math.nan,
            "gradient_ratio": stats.ratio(float(norms[0]), float(norms[-1])),
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
        found[2] = stats.signal_to_noise(signal[:-1], noise[:-1])
        found[3] = stats.noise_scale(signal[:-1], trace[:-1])
        return found, float(stats.noise_scale(signal.sum(), trace.sum()))


def _step_values(gradient: FloatArray, weights: FloatArray, layer: LayerOutput) -> tuple[float, ...]:
    """Return the statistics of a layer in a step, in the order of ``_STEP``; those of the update are NaN."""
    entries, outputs = gradient.reshape(-1), layer.outputs[:ROWS].reshape(-1)
    norm = stats.global_norm(entries)
    mean, deviation = stats.mean_and_deviation(entries, norm)
    steepest = None if layer.activation is None else layer.activation.steepest
    return (
        norm,
        mean,
        deviation,
        stats.zero_fraction(entries),
        stats.global_norm(weights.reshape(-1)),
        math.nan,
        *stats.mean_and_deviation(outputs),
        math.nan if layer.activation_grad is None else stats.saturated_fraction(layer.activation_grad[:ROWS], steepest),
        stats.largest_magnitude(entries),
        0 if math.isfinite(norm) else stats.count_non_finite(entries),
    )


def _step_quantiles(gradient: FloatArray, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
    gradient, outputs = gradient.reshape(-1), outputs[:ROWS].reshape(-1)
    return stats.band_quantiles(gradient[_sample(gradient.size)]), stats.band_quantiles(outputs[_sample(outputs.size)])


@lru_cache(maxsize=1024)
def _sample(size: int) -> IntArray | slice:
    """Return the indices of at most ``ENTRIES`` of `size` entries, in ascending order.

    They are the same each time, so that a quantile changes only if the values do.
    """
    if size <= ENTRIES:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(size, ENTRIES, replace=False))


def _stride(epoch: int) -> int:
    """Return the number of epochs between two measured ones around `epoch`: a power of two."""
    return int(1 << ((epoch - 1) // DENSE_EPOCHS).bit_length())


def _compare(
    grad: Parameters, n_rows: int, previous: Parameters, n_rows_before: int, n_others: float
) -> list[tuple[float, ...]]:
    """Return statistics of two successive gradients: for the weights of each layer, then for all other parameters.

    These are the cosine, the fraction of flipped signs, and estimates of signal, noise, and trace of the covariance.
    """
    others = slice(sum(weights.size for weights in grad.weights), grad.n_trained)
    arrays = zip([*grad.weights, grad.vector[others]], [*previous.weights, previous.vector[others]], strict=True)
    rows: list[tuple[float, ...]] = []
    for a, b in ((a.reshape(-1), b.reshape(-1)) for a, b in arrays):
        norm, norm_before, sample = stats.global_norm(a), stats.global_norm(b), _sample(a.size)
        product = stats.inner_product(a, b, norm * norm_before)
        excess, excess_before = norm * norm - product, norm_before * norm_before - product
        trace = 0.5 * (n_rows * excess + n_rows_before * excess_before)
        cosine = stats.ratio(product, norm * norm_before)
        flips = stats.sign_flip_fraction(a[sample], b[sample]) if a.size else math.nan
        rows.append((cosine, flips, product + trace / n_others, 0.5 * (excess + excess_before), trace))
    return rows

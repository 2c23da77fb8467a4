"""Statistics of the targets from which the best constant predictions follow."""

import numpy as np

from skmlp._typing import AnyArray, FloatArray

# The relative distance of neighbouring float32 numbers: targets that vary less count as constant.
RESOLUTION = 2.0**-23


def weighted_mean(y: AnyArray, sample_weight: FloatArray | None) -> FloatArray:
    """Return the mean of each column, of shape (n_outputs,), in float64."""
    return np.average(np.asarray(y, dtype=np.float64), axis=0, weights=sample_weight)


def weighted_quantiles(y: AnyArray, levels: float | tuple[float, ...], sample_weight: FloatArray | None) -> FloatArray:
    """Return the lower quantiles of each column, which minimize the pinball loss, in float64.

    Shape (n_outputs,) for one level, (n_levels, n_outputs) for several.
    """
    y = np.asarray(y, dtype=np.float64)
    return np.quantile(y, levels, axis=0, method="inverted_cdf", weights=sample_weight)


def half_a_sample(y: AnyArray, sample_weight: FloatArray | None) -> float:
    """Return half a sample as a fraction of all samples; weights may be repetitions or small numbers."""
    return 0.5 / max(len(y), 0.0 if sample_weight is None else float(sample_weight.sum(dtype=np.float64)))

r"""Scaling of numbers: each column gets a center near 0 and a spread near 1, learned from the training rows.

A scaling is a function of each number alone, :math:`y = s_j(x)` in column j. A column that is constant in training, up
to rounding errors (see :func:`skmlp.tables.numbers.is_constant`), becomes 0.

To add a scaling, write its class here: ``class Ranks(Scaling, name="ranks")``.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from skmlp._typing import BoolArray, FloatArray, IntArray
from skmlp.tables.numbers import is_constant

__all__ = [
    "SCALINGS",
    "MixedScaling",
    "QuantileScaling",
    "RobustScaling",
    "Scaling",
    "StandardScaling",
    "learn_scaling",
]

SCALINGS: "dict[str, type[Scaling]]" = {}

# Numbers that are scaled at a time: the temporary arrays of a block stay small, and in the cache.
BLOCK = 2**16


class Scaling(ABC):
    """What was learned about the scales of columns.

    A subclass is a dataclass whose fields are arrays.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is not None:
            cls.name = name
            SCALINGS[name] = cls

    @classmethod
    @abstractmethod
    def learn(cls, numbers: FloatArray) -> Self:
        """Learn from finite numbers of shape (n_samples, n_columns), with at least one row."""

    @abstractmethod
    def _scale(self, numbers: FloatArray) -> FloatArray:
        """Return the scaled numbers; both in float64."""

    @abstractmethod
    def _slope(self, numbers: FloatArray) -> FloatArray:
        """Return the derivatives; both in float64."""

    def apply(self, numbers: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the scaled numbers.

        The arithmetic is in float64 whatever the dtypes are. Numbers in float64 that are scaled into a float32 `out`
        keep differences that float32 cannot hold before scaling: of times in seconds since 1970, for example.

        Parameters
        ----------
        numbers : ndarray of shape (n_samples, n_columns)
            Finite numbers.
        out : ndarray of shape (n_samples, n_columns), optional
            Where to write them, in the dtype that is wanted; may be `numbers`. By default a new array in the dtype of
            `numbers`.

        Returns
        -------
        scaled : ndarray of shape (n_samples, n_columns)
            `out` if it is given. Finite.
        """
        return _by_blocks(self._scale, numbers, out)

    def derivative(self, numbers: FloatArray) -> FloatArray:
        r"""Return :math:`\partial y_{ij} / \partial x_{ij}`, finite, for raw numbers x.

        Parameters
        ----------
        numbers : ndarray of shape (n_samples, n_columns)
            Finite numbers, not scaled.

        Returns
        -------
        derivative : ndarray of shape (n_samples, n_columns)
            In the dtype of `numbers`.
        """
        return _by_blocks(self._slope, numbers, None)

    def to_plain(self) -> dict[str, Any]:
        """Return a name and arrays from which :meth:`from_plain` restores the scaling."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {"name": self.name, **{field.name: getattr(self, field.name) for field in fields}}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Scaling":
        """Undo :meth:`to_plain`."""
        arrays = {name: np.asarray(array) for name, array in plain.items() if name != "name"}
        return SCALINGS[plain["name"]](**arrays)


def learn_scaling(name: str, numbers: FloatArray) -> Scaling:
    """Learn the scaling of that name from training rows.

    Parameters
    ----------
    name : {"mixed", "robust", "standard", "quantile"} or a name in SCALINGS
    numbers : ndarray of shape (n_samples, n_columns)
        Finite numbers, at least one row.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import learn_scaling
    >>> scaling = learn_scaling("standard", np.array([[1.0], [3.0]]))
    >>> scaling.apply(np.array([[2.0], [5.0]]))
    array([[0.], [3.]])
    """
    if name not in SCALINGS:
        raise ValueError(f"scaling must be a str among {{{', '.join(map(repr, SCALINGS))}}}. Got {name!r} instead.")
    return SCALINGS[name].learn(numbers)


@dataclass(frozen=True, eq=False)
class _Affine(Scaling):
    r""":math:`t = (x - center) \cdot factor`."""

    center: FloatArray
    factor: FloatArray

    @classmethod
    def learn(cls, numbers: FloatArray) -> Self:
        centers, factors = [], []
        for column in _columns(numbers):
            # Divided by a power of two, no square or sum overflows or underflows.
            exponent = int(np.frexp(np.abs(column).max())[1])
            center, spread = cls._center_and_spread(np.ldexp(column, -exponent))
            centers.append(np.ldexp(center, exponent))
            factors.append(_ldexp_finite(1.0 / spread, -exponent) if spread else 0.0)
        return cls(np.array(centers), np.array(factors))

    @staticmethod
    @abstractmethod
    def _center_and_spread(column: FloatArray) -> tuple[float, float]:
        """Return what is subtracted and what the difference is divided by; a spread of 0 for a constant column."""

    def _linear(self, numbers: FloatArray) -> FloatArray:
        t = numbers / 2  # halves: the difference may overflow
        t -= self.center / 2
        with np.errstate(over="ignore"):
            t *= self.factor
            t *= 2.0
        return t


@dataclass(frozen=True, eq=False)
class StandardScaling(_Affine, name="standard"):
    r"""Mean 0 and standard deviation 1: :math:`y = (x - \mu) / \sigma` with :math:`\sigma^2` the mean square.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import StandardScaling
    >>> StandardScaling.learn(np.array([[1.0, 5.0], [3.0, 5.0]])).apply(np.array([[3.0, 7.0]]))
    array([[1., 0.]])
    """

    @staticmethod
    def _center_and_spread(column: FloatArray) -> tuple[float, float]:
        constant = is_constant(float(column.min()), float(column.max()))
        return float(column.mean()), 0.0 if constant else float(column.std())

    def _scale(self, numbers: FloatArray) -> FloatArray:
        return self._linear(numbers)

    def _slope(self, numbers: FloatArray) -> FloatArray:
        return np.broadcast_to(self.factor, numbers.shape)


@dataclass(frozen=True, eq=False)
class RobustScaling(_Affine, name="robust"):
    r"""Median 0 and quartiles one apart, then a smooth clip to (-3, 3).

    .. math::
        t = (x - q_{1/2}) f, \qquad y = \frac{t}{\sqrt{1 + (t/3)^2}}, \qquad
        \frac{\partial y}{\partial x} = \frac{f}{(1 + (t/3)^2)^{3/2}}

    with :math:`f = 1 / (q_{3/4} - q_{1/4})`, or :math:`2 / (\max - \min)` if the quartiles are equal up to rounding.
    Outliers move neither the center nor the scale, and no number is far from the others.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default: Strong pre-tuned MLPs and boosted trees on tabular
    data", NeurIPS. https://arxiv.org/abs/2407.04491

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import RobustScaling
    >>> scaling = RobustScaling.learn(np.array([[0.0], [1.0], [2.0], [3.0], [1000.0]]))
    >>> scaling.apply(np.array([[1.0], [2.0], [3.0], [1000.0]])).round(3)
    array([[-0.493], [ 0.   ], [ 0.493], [ 3.   ]])
    """

    @staticmethod
    def _center_and_spread(column: FloatArray) -> tuple[float, float]:
        low, first, median, third, high = np.quantile(column, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
        if is_constant(low, high):
            return median, 0.0
        return median, (high - low) / 2 if is_constant(first, third) else third - first

    def _scale(self, numbers: FloatArray) -> FloatArray:
        t = self._clipped(numbers)
        t /= np.sqrt(1.0 + np.square(t / 3.0))
        return t

    def _slope(self, numbers: FloatArray) -> FloatArray:
        t = self._clipped(numbers)
        slope: FloatArray = self.factor / (1.0 + np.square(t / 3.0)) ** 1.5
        return slope

    def _clipped(self, numbers: FloatArray) -> FloatArray:
        # Beyond 1e10 the result is 3 in float64; the square of a larger number could overflow.
        t = self._linear(numbers)
        return np.clip(t, -1e10, 1e10, out=t)


@dataclass(frozen=True, eq=False)
class QuantileScaling(Scaling, name="quantile"):
    r"""A normal distribution: :math:`y = \Phi^{-1}(F(x))` with the training distribution F.

    At a training value v, F is its mid-distribution function :math:`F(v) = P(X < v) + P(X = v) / 2`. Knots are up to
    1000 quantiles of the training values, one for 30 rows but at least 10, without repetitions. Between knots y is
    linear, beyond them it is constant. So many equal values, such as the zeros of counts, are one knot in the middle
    of their ranks; no noise is added, and the result does not depend on a random state. The extremes of n different
    values become :math:`\pm\Phi^{-1}(1 / 2n)`, -2.6 and 2.6 for n = 100.

    Attributes
    ----------
    knots, heights : ndarray of shape (n_knots,)
        x and y of the knots of all columns, column by column, with increasing x.
    counts : ndarray of shape (n_columns,)
        The number of knots of each column.

    References
    ----------
    Parzen (2004), "Quantile probability and statistical data modeling", Statistical Science 19 (mid-distribution).

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import QuantileScaling
    >>> counts = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0], [2.0], [9.0]])
    >>> QuantileScaling.learn(counts).apply(np.array([[0.0], [1.0], [2.0], [9.0], [99.0]])).round(3)
    array([[-0.674], [ 0.319], [ 0.887], [ 1.534], [ 1.534]])
    """

    knots: FloatArray
    heights: FloatArray
    counts: IntArray

    @classmethod
    def learn(cls, numbers: FloatArray) -> Self:
        from statistics import NormalDist  # not with skmlp: no package that it imports needs it

        n_samples = len(numbers)
        n_quantiles = max(min(n_samples // 30, 1000), 10)
        fractions = np.linspace(0.0, 1.0, n_quantiles)
        knots, heights = [], []
        for column in map(np.sort, _columns(numbers)):
            # Training values themselves, so that their ranks are exact.
            chosen = np.unique(column[np.rint(fractions * (n_samples - 1)).astype(np.intp)])
            if is_constant(float(column[0]), float(column[-1])):
                chosen = chosen[:1]
                ranks = np.array([0.5])
            else:
                below, up_to = (np.searchsorted(column, chosen, side) for side in ("left", "right"))
                ranks = (below + up_to) / (2 * n_samples)
            knots.append(chosen)
            heights.append([NormalDist().inv_cdf(rank) for rank in ranks.tolist()])
        counts = np.array([len(each) for each in knots], dtype=np.int64)
        return cls(np.concatenate([[], *knots]), np.concatenate([[], *heights]), counts)

    def _of_columns(self) -> Iterator[tuple[int, FloatArray, FloatArray]]:
        """Yield each column with half the x of its knots, the differences of which cannot overflow, and their y."""
        ends = np.concatenate([[0], np.cumsum(self.counts)]).tolist()
        for column, (start, stop) in enumerate(pairwise(ends)):
            yield column, self.knots[start:stop] / 2, self.heights[start:stop]

    def _scale(self, numbers: FloatArray) -> FloatArray:
        scaled = np.empty(numbers.shape)
        for column, knots, heights in self._of_columns():
            scaled[:, column] = np.interp(numbers[:, column] / 2, knots, heights)
        return scaled

    def _slope(self, numbers: FloatArray) -> FloatArray:
        slopes = np.empty(numbers.shape)
        for column, knots, heights in self._of_columns():
            with np.errstate(over="ignore", divide="ignore"):
                pieces = np.concatenate([[0.0], np.diff(heights) / np.diff(knots) / 2, [0.0]])
            slopes[:, column] = pieces[np.searchsorted(knots, numbers[:, column] / 2, side="right")]
        return slopes


@dataclass(frozen=True, eq=False)
class MixedScaling(Scaling, name="mixed"):
    """Robust scaling, but by quantiles where the quartiles are equal: where most of the values of a column are equal.

    Of an amount that is 0 in nine of ten rows, robust scaling would leave little to see: its unit is half the range,
    which a single large amount decides. See :class:`RobustScaling` and :class:`QuantileScaling`.

    Attributes
    ----------
    by_quantiles : ndarray of bool of shape (n_columns,)
    center, factor : ndarray
        Of the other columns, as in robust scaling.
    knots, heights, counts : ndarray
        Of the columns that are scaled by quantiles.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import MixedScaling
    >>> scaling = MixedScaling.learn(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 9e5]]))
    >>> scaling.apply(np.array([[3.0, 0.0], [4.0, 9e5]])).round(3)
    array([[ 0.493, -0.253],
           [ 0.949,  1.282]])
    """

    by_quantiles: BoolArray
    center: FloatArray
    factor: FloatArray
    knots: FloatArray
    heights: FloatArray
    counts: IntArray

    @classmethod
    def learn(cls, numbers: FloatArray) -> Self:
        quartiles = [np.quantile(column, [0.25, 0.75]).tolist() for column in _columns(numbers)]
        by_quantiles = np.array([is_constant(first, third) for first, third in quartiles], dtype=bool)
        robust = RobustScaling.learn(numbers[:, ~by_quantiles])
        quantile = QuantileScaling.learn(numbers[:, by_quantiles])
        return cls(by_quantiles, robust.center, robust.factor, quantile.knots, quantile.heights, quantile.counts)

    def _scale(self, numbers: FloatArray) -> FloatArray:
        return self._by_column(numbers, lambda scaling, columns: scaling._scale(columns))

    def _slope(self, numbers: FloatArray) -> FloatArray:
        return self._by_column(numbers, lambda scaling, columns: scaling._slope(columns))

    def _by_column(self, numbers: FloatArray, apply: Callable[[Scaling, FloatArray], FloatArray]) -> FloatArray:
        found = np.empty(numbers.shape)
        quantile = QuantileScaling(self.knots, self.heights, self.counts)
        for scaling, columns in (
            (RobustScaling(self.center, self.factor), ~self.by_quantiles),
            (quantile, self.by_quantiles),
        ):
            found[:, columns] = apply(scaling, numbers[:, columns])
        return found


def _columns(numbers: FloatArray) -> Iterator[FloatArray]:
    for column in numbers.T:
        yield column.astype(np.float64)


def _ldexp_finite(number: float, exponent: int) -> float:
    """Return the number times a power of two, or the largest finite number if that overflows."""
    with np.errstate(over="ignore"):
        return float(min(np.ldexp(number, exponent), np.finfo(np.float64).max))


def _by_blocks(function: Any, numbers: FloatArray, out: FloatArray | None) -> FloatArray:
    """Apply a function of float64 numbers to blocks of rows, with results within the range of the dtype of `out`."""
    out = np.empty_like(numbers) if out is None else out
    largest = float(np.finfo(out.dtype).max)
    n_rows = max(1, BLOCK // max(1, numbers.shape[1]))
    for start in range(0, len(numbers), n_rows):
        rows = slice(start, start + n_rows)
        np.clip(function(numbers[rows].astype(np.float64)), -largest, largest, out=out[rows], casting="same_kind")
    return out

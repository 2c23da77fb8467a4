"""Data, and their division into shuffled mini-batches."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmlp._typing import AnyArray, FloatArray, IntArray

__all__ = ["Batches", "Data", "join", "merge_duplicates"]

# Shuffled rows are copied for several small batches at once, up to this many elements of X: fewer calls, and the rows
# are still in the cache when they are used.
GATHER_ELEMENTS = 32_768

# The largest X (elements) in which merge_duplicates looks for duplicates, so that sorting takes little time.
MERGE_ELEMENTS = 1_000_000


class Data(NamedTuple):
    """Rows with their targets and weights.

    Attributes
    ----------
    X : ndarray (C-ordered) or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
        Encoded for the loss.
    sample_weight : ndarray of shape (n_samples,) or None
        In the dtype of X, or in float64 if that dtype cannot represent them.
    """

    X: Any
    y: AnyArray
    sample_weight: FloatArray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights, which are 1 by default."""
        return float(self.n_samples if self.sample_weight is None else self.sample_weight.sum(dtype=np.float64))

    def in_one_type(self) -> "Data":
        """Return the data with the weights in the dtype of X, if it holds them with full precision, and their sum."""
        weight = self.sample_weight
        if weight is None:
            return self
        limits = np.finfo(self.X.dtype)
        smallest = np.min(weight, where=weight > 0.0, initial=np.inf)
        fits = smallest >= limits.tiny and weight.sum(dtype=np.float64) <= limits.max
        return self._replace(sample_weight=weight.astype(limits.dtype, copy=False)) if fits else self

    def take(self, rows: IntArray | slice) -> "Data":
        """Return the given rows as a copy; a slice of dense rows as a view."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Data(self.X[rows], self.y[rows], weight)


class Batches:
    """Divides data into mini-batches, in a new random order in each epoch or in the given order.

    Parameters
    ----------
    data : Data
    batch_size : int
        Samples per mini-batch, at most the number of samples. The last batch of an epoch may be smaller.
    shuffle : bool
        A single batch of all rows is not shuffled, since their order does not matter. Without shuffling nothing is
        copied.
    smallest : int, default=1
        A last batch with fewer rows is merged with the one before it.
    rows : ndarray of int, optional
        The indices of the rows to use; by default all. Nothing is copied for it.

    Attributes
    ----------
    n_samples : int
        Number of rows in use.
    n_batches : int
        Number of batches per epoch.
    largest : int
        Number of rows of the largest batch.
    """

    def __init__(
        self, data: Data, batch_size: int, *, shuffle: bool, smallest: int = 1, rows: IntArray | None = None
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.smallest = smallest
        self._in_use = rows
        self.n_samples = n_samples = data.n_samples if rows is None else len(rows)
        whole, left = divmod(n_samples, batch_size)
        joined = 0 < left < smallest and whole > 0
        self.n_batches = whole + (left > 0 and not joined)
        self.largest = min(batch_size, n_samples) + (left if joined else 0)
        self.shuffle = shuffle and batch_size < n_samples
        self._buffer: Data | None = None
        if (self.shuffle or rows is not None) and isinstance(data.X, np.ndarray):
            self._n_gathered = max(1, GATHER_ELEMENTS // (batch_size * max(1, data.X.shape[1])))
            n_rows = min(self._n_gathered * batch_size + smallest - 1, n_samples)
            buffers = (None if each is None else np.empty((n_rows, *each.shape[1:]), each.dtype) for each in data)
            self._buffer = Data(*buffers)  # type: ignore[arg-type]

    def order(self, rng: np.random.Generator) -> IntArray:
        """Return the order of the rows in an epoch, of shape (n_samples,); empty for the given one."""
        if self._in_use is not None:
            return rng.permutation(self._in_use) if self.shuffle else self._in_use
        return rng.permutation(self.n_samples) if self.shuffle else np.empty(0, np.int64)

    def rows(self, number: int) -> tuple[int, int]:
        """Return where the batch of this index begins and ends in the order of the rows."""
        start = number * self.batch_size
        return start, self.n_samples if number == self.n_batches - 1 else start + self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Data]:
        """Yield the batches of an epoch; each is valid until the next one."""
        order = self.order(rng)
        if self.batch_size >= self.n_samples and order.size == 0:
            yield self.data
        elif self._buffer is None:  # in the given order, or sparse
            for number in range(self.n_batches):
                rows = slice(*self.rows(number))
                yield self.data.take(order[rows] if order.size else rows)
        else:
            for first in range(0, self.n_batches, self._n_gathered):
                numbers = range(first, min(first + self._n_gathered, self.n_batches))
                begin, end = self.rows(first)[0], self.rows(numbers[-1])[1]
                gathered = self._gather(order[begin:end], self._buffer)
                for start, stop in map(self.rows, numbers):
                    yield gathered.take(slice(start - begin, stop - begin))

    def _gather(self, rows: IntArray, buffer: Data) -> Data:
        """Copy rows of the data into `buffer` and return the part that was filled."""
        filled = buffer.take(slice(rows.size))
        for source, target in zip(self.data, filled, strict=True):
            if source is not None:
                # "clip" makes take write straight into `out`; the indices are in range anyway.
                source.take(rows, axis=0, out=target, mode="clip")
        return filled


def join(first: Data, second: Data) -> Data:
    """Return the rows of both."""
    parts, dtype = (first, second), first.X.dtype
    weights = [np.ones(part.n_samples, dtype) if part.sample_weight is None else part.sample_weight for part in parts]
    is_weighted = any(part.sample_weight is not None for part in parts)
    X = [part.X for part in parts]
    stacked = np.concatenate(X) if isinstance(first.X, np.ndarray) else sparse.vstack(X, format="csr")
    y = np.concatenate([first.y, second.y])
    return Data(stacked, y, np.concatenate(weights) if is_weighted else None)


def merge_duplicates(data: Data) -> tuple[Data, IntArray | None]:
    """Merge equal rows into one row with the sum of their weights, sort them, and drop rows of weight zero.

    The objective on all rows depends neither on their order nor on whether a row occurs twice or has twice the weight.
    After merging, rounding does not either, so that training gives the same bits. Large data are not merged.

    Parameters
    ----------
    data : Data

    Returns
    -------
    merged : Data
        The weights are those of :meth:`Data.in_one_type`.
    copies : ndarray of shape (n_merged,) or None
        How many rows of `data` each merged row stands for; None if none was merged.
    """
    X, y, weight = data
    n_samples, n_features = X.shape
    if n_samples * n_features > MERGE_ELEMENTS:
        return data.in_one_type(), None
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    # Adding 0.0 turns -0.0 into 0.0, so that equal numbers have equal bytes.
    table = np.ascontiguousarray(np.column_stack([y, dense]), dtype=np.float64) + 0.0
    keys = table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    # Weights of equal rows are added in ascending order, since rounding depends on the order.
    order = np.argsort(group) if weight is None else np.lexsort((weight, group))
    sums = np.bincount(group[order], weights=None if weight is None else weight[order]).astype(np.float64)
    counts = sums > 0.0
    rows, copies = first[counts], np.bincount(group)[counts]
    merged = Data(X[rows], y[rows], sums[counts] if (sums[counts] != 1.0).any() else None)
    return merged.in_one_type(), copies if (copies > 1).any() else None

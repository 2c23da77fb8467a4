"""The order in which samples reach the network: shuffled mini-batches, gathered without allocating."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmlp._typing import AnyArray, FloatArray, IntArray

__all__ = ["Batches", "Data", "join", "merge_duplicates"]

# Shuffled rows are gathered for several small batches at once, up to this many elements of X: one call for many
# batches costs less than one for each, and the rows are still in the cache when their turn comes.
GATHER_ELEMENTS = 32_768

# The largest X (elements) in which merge_duplicates looks for duplicates: sorting must stay a trifle.
MERGE_ELEMENTS = 1_000_000


class Data(NamedTuple):
    """Rows with their targets and weights.

    Attributes
    ----------
    X : ndarray (C-ordered) or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
        As the loss takes it.
    sample_weight : ndarray of shape (n_samples,) or None
        To train with: in the dtype of X, or in float64 where that type cannot hold the weights.
    """

    X: Any
    y: AnyArray
    sample_weight: FloatArray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights, which are 1 by default."""
        return float(self.n_samples if self.sample_weight is None else self.sample_weight.sum(dtype=np.float64))

    def in_one_type(self) -> "Data":
        """Return the same data with the weights in the dtype of X, if it can hold them and their sum."""
        weight = self.sample_weight
        if weight is None or not _fits(weight, self.X.dtype):
            return self
        return self._replace(sample_weight=weight.astype(self.X.dtype, copy=False))

    def take(self, rows: IntArray) -> "Data":
        """Return the given rows as a copy."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Data(self.X[rows], self.y[rows], weight)


def _fits(weight: FloatArray, dtype: np.dtype[Any]) -> bool:
    """Tell whether a type can hold the positive weights to full precision, and their sum."""
    limits = np.finfo(dtype)
    smallest = np.min(weight, where=weight > 0.0, initial=np.inf)
    return bool(smallest >= limits.tiny and weight.sum(dtype=np.float64) <= limits.max)


class Batches:
    """Cuts data into batches, in a new random order each epoch or in the given one.

    Parameters
    ----------
    data : Data
    batch_size : int
        Rows a batch, at most the number of samples. The last batch of an epoch takes what is left.
    shuffle : bool
        Without it, and with one batch for all rows (whose order does not matter), nothing is copied.
    smallest : int, default=1
        A last batch with fewer rows joins the one before it.

    Attributes
    ----------
    n_batches : int
        Batches an epoch.
    largest : int
        Rows of the largest batch.
    """

    def __init__(self, data: Data, batch_size: int, *, shuffle: bool, smallest: int = 1) -> None:
        self.data = data
        self.batch_size = batch_size
        self.smallest = smallest
        whole, left = divmod(data.n_samples, batch_size)
        joined = 0 < left < smallest and whole > 0
        self.n_batches = whole + (left > 0 and not joined)
        self.largest = min(batch_size, data.n_samples) + (left if joined else 0)
        self.shuffle = shuffle and batch_size < data.n_samples
        self._buffer: Data | None = None
        if self.shuffle and isinstance(data.X, np.ndarray):
            per_gather = max(1, GATHER_ELEMENTS // (batch_size * max(1, data.X.shape[1])))
            self._gathered = per_gather * batch_size
            n_rows = min(self._gathered + smallest - 1, data.n_samples)
            self._buffer = Data(
                np.empty((n_rows, *data.X.shape[1:]), data.X.dtype),
                np.empty((n_rows, *data.y.shape[1:]), data.y.dtype),
                None if data.sample_weight is None else np.empty(n_rows, data.sample_weight.dtype),
            )

    def order(self, rng: np.random.Generator) -> IntArray:
        """Return the order of the rows in an epoch, of shape (n_samples,); empty for the given one."""
        return rng.permutation(self.data.n_samples) if self.shuffle else np.empty(0, np.int64)

    def rows(self, number: int) -> tuple[int, int]:
        """Return where the batch of that number, from 0, begins and ends in the order of the rows."""
        start = number * self.batch_size
        return start, self.data.n_samples if number == self.n_batches - 1 else start + self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Data]:
        """Yield the batches of one epoch; a batch is valid until the next one is asked for."""
        if not self.shuffle:
            yield from self._cut(self.data)
            return
        order = self.order(rng)
        if self._buffer is None:  # sparse
            for span in _spans(order.size, self.batch_size, self.smallest):
                yield self.data.take(order[span])
            return
        for span in _spans(order.size, self._gathered, self.smallest):
            yield from self._cut(_gather(self.data, order[span], self._buffer))

    def _cut(self, data: Data) -> Iterator[Data]:
        """Yield consecutive slices of `data`, as views where X is dense."""
        X, y, weight = data
        if self.batch_size >= data.n_samples:
            yield data
            return
        for rows in _spans(data.n_samples, self.batch_size, self.smallest):
            yield Data(X[rows], y[rows], None if weight is None else weight[rows])


def _spans(total: int, size: int, smallest: int) -> Iterator[slice]:
    """Yield slices of `size` up to `total`; the last has what is left, and joins the one before if it is too small."""
    start = 0
    while start < total:
        stop = start + size if total - (start + size) >= smallest else total
        yield slice(start, stop)
        start = stop


def _gather(data: Data, rows: IntArray, buffer: Data) -> Data:
    """Copy rows of `data` into `buffer` and return the part of it that was filled."""
    X, y, weight = (None if each is None else each[: rows.size] for each in buffer)
    for source, target in zip(data, (X, y, weight), strict=True):
        if source is not None:
            # "clip" makes take write straight into `out`; the indices are in range anyway.
            source.take(rows, axis=0, out=target, mode="clip")
    return Data(X, y, weight)  # type: ignore[arg-type]


def join(first: Data, second: Data) -> Data:
    """Return the rows of both, one after the other."""
    parts = (first, second)
    weight = None
    if any(part.sample_weight is not None for part in parts):
        ones = (
            np.ones(part.n_samples, first.X.dtype) if part.sample_weight is None else part.sample_weight
            for part in parts
        )
        weight = np.concatenate(list(ones))
    X = [part.X for part in parts]
    stacked = np.concatenate(X) if isinstance(first.X, np.ndarray) else sparse.vstack(X, format="csr")
    return Data(stacked, np.concatenate([part.y for part in parts]), weight)


def merge_duplicates(data: Data) -> tuple[Data, IntArray | None]:
    """Merge equal rows into one row with the sum of their weights, in sorted order; drop rows of weight zero.

    A full batch has the same objective whatever the order of its rows, and whether a row occurs twice or has twice the
    weight. After merging it is also rounded in the same way, so the training is the same bit for bit. Rows of large
    data are left as they are.

    Parameters
    ----------
    data : Data

    Returns
    -------
    merged : Data
        With the weights as :meth:`Data.in_one_type` returns them.
    copies : ndarray of shape (n_merged,) or None
        How many rows of `data` each merged row stands for. None when every row stands for itself.
    """
    X, y, weight = data
    n_samples, n_features = X.shape
    if n_samples * n_features > MERGE_ELEMENTS:
        return data.in_one_type(), None
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    # + 0.0 turns -0.0 into 0.0, so that rows are equal as bytes exactly when they are equal as numbers.
    table = np.ascontiguousarray(np.column_stack([y, dense]), dtype=np.float64) + 0.0
    keys = table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    # Weights of equal rows are added up in ascending order: sums of rounded numbers depend on the order.
    order = np.argsort(group) if weight is None else np.lexsort((weight, group))
    sums = np.bincount(group[order], weights=None if weight is None else weight[order]).astype(np.float64)
    counts = sums > 0.0
    rows, copies = first[counts], np.bincount(group)[counts]
    merged = Data(X[rows], y[rows], sums[counts] if (sums[counts] != 1.0).any() else None)
    return merged.in_one_type(), copies if (copies > 1).any() else None

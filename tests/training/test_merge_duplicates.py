"""Merging equal rows: one row with the summed weight, whatever the order of the input."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.training import batches as batches_module
from skmlp.training.batches import Data, merge_duplicates


def _table(data):
    """Return rows of (X, y, weight), sorted, as plain tuples."""
    X = data.X.toarray() if sparse.issparse(data.X) else data.X
    y = data.y.reshape(len(X), -1)
    weight = np.ones(len(X)) if data.sample_weight is None else data.sample_weight
    return sorted(map(tuple, np.column_stack([X, y, weight]).tolist()))


X = np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 2.0], [0.0, 3.0], [5.0, 5.0]])
Y = np.array([0, 1, 0, 1, 1, 2])
WEIGHT = np.array([0.5, 1.0, 0.25, 2.0, 3.0, 0.0])


def test_equal_rows_are_merged_with_their_count_as_weight():
    merged, _ = merge_duplicates(Data(X, Y))
    assert _table(merged) == [(0.0, 3.0, 1.0, 2.0), (1.0, 2.0, 0.0, 2.0), (1.0, 2.0, 1.0, 1.0), (5.0, 5.0, 2.0, 1.0)]


def test_weights_are_summed_and_rows_of_weight_zero_dropped():
    merged, _ = merge_duplicates(Data(X, Y, WEIGHT))
    assert _table(merged) == [(0.0, 3.0, 1.0, 4.0), (1.0, 2.0, 0.0, 0.75), (1.0, 2.0, 1.0, 2.0)]


def test_integer_weights_equal_repeated_rows():
    times = np.array([2, 0, 1, 3, 1, 1])
    weighted, _ = merge_duplicates(Data(X, Y, times.astype(float)))
    repeated, _ = merge_duplicates(Data(np.repeat(X, times, axis=0), np.repeat(Y, times)))
    for a, b in zip(weighted, repeated, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weight", [None, np.ones(3)])
def test_distinct_rows_of_weight_one_get_no_weights(weight):
    merged, copies = merge_duplicates(Data(X[[0, 1, 5]], Y[[0, 1, 5]], weight))
    assert merged.sample_weight is None
    assert copies is None


def test_copies_count_the_rows_of_each_merged_row():
    for data in (Data(X, Y), Data(X, Y, WEIGHT)):
        merged, copies = merge_duplicates(data)
        counted = sorted(zip(map(tuple, np.column_stack([merged.X, merged.y]).tolist()), copies, strict=True))
        expected = [((0.0, 3.0, 1.0), 2), ((1.0, 2.0, 0.0), 2), ((1.0, 2.0, 1.0), 1)]
        assert counted == (expected if data.sample_weight is not None else [*expected, ((5.0, 5.0, 2.0), 1)])


@pytest.mark.parametrize(
    ("dtype", "as_sparse", "targets"),
    [(np.float32, False, "codes"), (np.float64, False, "columns"), (np.float32, True, "column")],
)
def test_the_result_does_not_depend_on_the_order_of_rows(dtype, as_sparse, targets):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 12, 100)
    X = rng.standard_normal((12, 4)).astype(dtype)[rows]
    y = {
        "codes": rng.integers(0, 3, 12),
        "column": rng.standard_normal((12, 1)).astype(dtype),
        "columns": rng.standard_normal((12, 2)).astype(dtype),
    }[targets][rows]
    weight = rng.uniform(0.0, 1.0, 100).astype(dtype)

    def merge(order):
        part = X[order]
        return merge_duplicates(Data(sparse.csr_matrix(part) if as_sparse else part, y[order], weight[order]))[0]

    first = merge(np.arange(100))
    assert first.n_samples == np.unique(rows).size
    assert (first.X.dtype, first.y.dtype, first.sample_weight.dtype) == (dtype, y.dtype, dtype)
    for _ in range(5):
        other = merge(rng.permutation(100))
        assert (first.X != other.X).sum() == 0
        np.testing.assert_array_equal(first.y, other.y)
        np.testing.assert_array_equal(first.sample_weight, other.sample_weight)


def test_rows_with_different_targets_are_not_merged():
    merged, _ = merge_duplicates(Data(np.zeros((3, 1)), np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0]])))
    assert _table(merged) == [(0.0, 1.0, 2.0, 2.0), (0.0, 1.0, 3.0, 1.0)]


@pytest.mark.parametrize("order", ["C", "F"])
def test_targets_may_have_any_memory_order(order):
    y = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0]], order=order)
    assert merge_duplicates(Data(np.zeros((3, 1)), y))[0].n_samples == 2


def test_negative_zero_equals_zero():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, -0.0], [-0.0, 0.0]])
    assert _table(merge_duplicates(Data(rows, np.array([0.0, -0.0, 1.0, 1.0])))[0]) == [
        (0.0, 0.0, 1.0, 2.0),
        (0.0, 1.0, 0.0, 2.0),
    ]


def test_the_input_is_not_changed():
    arrays = (X.copy(), Y.copy(), WEIGHT.copy())
    merge_duplicates(Data(*arrays))
    for array, before in zip(arrays, (X, Y, WEIGHT), strict=True):
        np.testing.assert_array_equal(array, before)


def test_large_data_are_not_merged(monkeypatch):
    monkeypatch.setattr(batches_module, "MERGE_ELEMENTS", X.size - 1)
    data = Data(X, Y)
    assert merge_duplicates(data) == (data, None)
    monkeypatch.setattr(batches_module, "MERGE_ELEMENTS", X.size)
    assert merge_duplicates(data)[0].n_samples == 4

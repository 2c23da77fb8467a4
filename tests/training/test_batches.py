"""Mini-batches: each row once per epoch, with its target and weight, in an order drawn by the generator."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.training import batches as batches_module
from skmlp.training.batches import Batches, Data, join, merge_duplicates

N_SAMPLES, N_FEATURES = 23, 3


def _data(weighted=True, as_sparse=False, codes=False):
    """Row i holds i and its negative, its target is 10 i, its weight i / 100."""
    numbers = np.arange(N_SAMPLES)
    X = np.stack([numbers, -numbers, np.ones(N_SAMPLES)], axis=1).astype(np.float32)
    y = numbers * 10 if codes else np.stack([numbers * 10.0, numbers], axis=1).astype(np.float32)
    weight = (numbers / 100).astype(np.float32) if weighted else None
    return Data(sparse.csr_matrix(X) if as_sparse else X, y, weight)


def _epoch(batches, rng):
    """Return copies: a batch is valid until the next one."""
    copies = []
    for X, y, weight in batches.epoch(rng):
        dense = X.toarray() if sparse.issparse(X) else X.copy()
        copies.append(Data(dense, y.copy(), None if weight is None else weight.copy()))
    return copies


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize(("codes", "weighted"), [(False, True), (True, False)])
@pytest.mark.parametrize(
    ("shuffle", "batch_size", "gather_elements"),
    [(False, 5, 1), (False, 23, 1), (True, 1, 1), (True, 5, 40), (True, 5, 10**6), (True, 22, 40), (True, 23, 40)],
)
def test_each_epoch_has_every_row_once_with_its_target_and_weight(
    monkeypatch, as_sparse, codes, weighted, shuffle, batch_size, gather_elements
):
    monkeypatch.setattr(batches_module, "GATHER_ELEMENTS", gather_elements)
    data = _data(weighted, as_sparse, codes)
    batches, rng = Batches(data, batch_size, shuffle=shuffle), np.random.default_rng(0)
    for _ in range(2):
        epoch = _epoch(batches, rng)
        sizes = [batch.n_samples for batch in epoch]
        assert sizes == [batch_size] * (N_SAMPLES // batch_size) + [N_SAMPLES % batch_size] * bool(
            N_SAMPLES % batch_size
        )
        rows = np.concatenate([batch.X[:, 0] for batch in epoch]).astype(int)
        assert sorted(rows) == list(range(N_SAMPLES))
        whole = _data(weighted, False, codes).take(rows)
        np.testing.assert_array_equal(np.concatenate([batch.X for batch in epoch]), whole.X)
        np.testing.assert_array_equal(np.concatenate([batch.y for batch in epoch]), whole.y)
        if weighted:
            np.testing.assert_array_equal(np.concatenate([batch.sample_weight for batch in epoch]), whole.sample_weight)
        else:
            assert all(batch.sample_weight is None for batch in epoch)
        assert {(batch.X.dtype, batch.y.dtype) for batch in epoch} == {(data.X.dtype, data.y.dtype)}


@pytest.mark.parametrize("as_sparse", [False, True])
def test_order_depends_on_the_generator_alone(as_sparse):
    def order(batches, rng):
        return np.concatenate([batch.X[:, 0] for batch in _epoch(batches, rng)]).astype(int).tolist()

    data = _data(as_sparse=as_sparse)
    rng = np.random.default_rng(4)
    first, second = (order(Batches(data, 5, shuffle=True), rng) for _ in range(2))
    assert first == np.random.default_rng(4).permutation(N_SAMPLES).tolist()
    assert first != second != list(range(N_SAMPLES))
    # Neither the batch size nor the buffer of an earlier epoch matters.
    batches, rng = Batches(data, 7, shuffle=True), np.random.default_rng(4)
    assert [order(batches, rng), order(batches, rng)] == [first, second]


def test_every_row_is_equally_likely_in_the_first_batch():
    # Each row is in the first batch of 5 in 5/23 of the epochs; 400 epochs have a standard error of 0.0206.
    batches, rng = Batches(_data(), 5, shuffle=True), np.random.default_rng(0)
    firsts = [next(batches.epoch(rng)).X[:, 0].astype(int) for _ in range(400)]
    fractions = np.bincount(np.concatenate(firsts), minlength=N_SAMPLES) / 400
    assert np.all(np.abs(fractions - 5 / 23) < 5 * 0.0206)


def test_unshuffled_batches_are_views_in_order_and_draw_no_random_numbers():
    data, rng = _data(), np.random.default_rng(0)
    before = rng.bit_generator.state
    seen = list(Batches(data, 5, shuffle=False).epoch(rng))
    np.testing.assert_array_equal(np.concatenate([batch.X for batch in seen]), data.X)
    for batch in seen:
        for part, whole in zip(batch, data, strict=True):
            assert np.shares_memory(part, whole)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("batch_size", [N_SAMPLES, N_SAMPLES + 5])
def test_a_full_batch_is_the_data_itself(batch_size):
    data, rng = _data(), np.random.default_rng(0)
    before = rng.bit_generator.state
    (batch,) = Batches(data, batch_size, shuffle=True).epoch(rng)
    assert all(part is whole for part, whole in zip(batch, data, strict=True))
    assert rng.bit_generator.state == before


def test_shuffling_does_not_change_the_data():
    data, untouched = _data(), _data()
    _epoch(Batches(data, 5, shuffle=True), np.random.default_rng(0))
    for array, before in zip(data, untouched, strict=True):
        np.testing.assert_array_equal(array, before)


def test_data_size_weight_and_row_selection():
    data = _data()
    assert data.n_samples == N_SAMPLES
    assert data.total_weight == pytest.approx(2.53, rel=1e-6)
    assert _data(weighted=False).total_weight == N_SAMPLES
    part = data.take(np.array([3, 3, 1]))
    np.testing.assert_array_equal(part.X[:, 0], [3, 3, 1])
    np.testing.assert_array_equal(part.y[:, 1], [3, 3, 1])
    np.testing.assert_array_equal(part.sample_weight, np.float32([0.03, 0.03, 0.01]))
    assert not any(np.shares_memory(a, b) for a, b in zip(part, data, strict=True))


@pytest.mark.parametrize(("shuffle", "as_sparse"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(22, [23]), (11, [11, 12]), (2, [2] * 10 + [3]), (7, [7, 7, 7, 2]), (23, [23]), (6, [6, 6, 6, 5])],
)
@pytest.mark.parametrize("gather_elements", [batches_module.GATHER_ELEMENTS, 1])
def test_a_last_batch_below_the_smallest_size_is_merged_with_the_one_before(
    batch_size, sizes, shuffle, as_sparse, gather_elements, monkeypatch
):
    monkeypatch.setattr(batches_module, "GATHER_ELEMENTS", gather_elements)
    batches = Batches(_data(as_sparse=as_sparse), batch_size, shuffle=shuffle, smallest=2)
    epoch = _epoch(batches, np.random.default_rng(0))
    assert [batch.n_samples for batch in epoch] == sizes
    assert (batches.n_batches, batches.largest) == (len(sizes), max(sizes))
    np.testing.assert_array_equal(np.sort(np.concatenate([batch.X[:, 0] for batch in epoch])), np.arange(N_SAMPLES))


def test_a_single_row_is_a_batch_below_the_smallest_size():
    batches = Batches(_data().take(np.array([3])), 5, shuffle=True, smallest=2)
    assert (batches.n_batches, batches.largest) == (1, 1)


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("weighted", [(True, True), (True, False), (False, False)])
def test_join_appends_rows_targets_and_weights(weighted, as_sparse):
    first, second = (_data(weighted=each, as_sparse=as_sparse) for each in weighted)
    joined = join(first, second.take(np.arange(4)))
    X = joined.X.toarray() if as_sparse else joined.X
    np.testing.assert_array_equal(X[:, 0], [*range(N_SAMPLES), 0, 1, 2, 3])
    np.testing.assert_array_equal(joined.y[:, 1], X[:, 0])
    if not weighted[0]:
        assert joined.sample_weight is None
    else:
        last = [0.0, 0.01, 0.02, 0.03] if weighted[1] else [1.0] * 4
        np.testing.assert_allclose(joined.sample_weight[-4:], last, rtol=1e-6)
        assert joined.sample_weight.dtype == np.float32


def test_merged_weights_are_summed_in_float64_before_the_cast():
    X = np.zeros((3, 1), np.float32)
    third = Data(X, np.zeros((3, 1), np.float32), np.full(3, 1 / 3))
    assert merge_duplicates(third)[0].sample_weight is None  # 1/3 three times is 1
    assert third.in_one_type().sample_weight.dtype == np.float32


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize(("shuffle", "batch_size"), [(True, 4), (False, 4), (True, 12), (False, 12)])
def test_only_the_rows_in_use_are_visited_each_once(as_sparse, shuffle, batch_size):
    data, rows = _data(as_sparse=as_sparse), np.array([1, 2, 3, 5, 8, 13, 20, 21, 22, 7, 9])
    batches = Batches(data, batch_size, shuffle=shuffle, smallest=2, rows=rows)
    assert (batches.n_samples, batches.n_batches) == (11, 1 if batch_size == 12 else 3)
    for _ in range(2):
        epoch = _epoch(batches, np.random.default_rng(0))
        found = np.concatenate([batch.X[:, 0] for batch in epoch]).astype(int)
        assert sorted(found) == sorted(rows)
        np.testing.assert_array_equal(np.concatenate([batch.y for batch in epoch])[:, 1], found)
        if not shuffle:
            np.testing.assert_array_equal(found, rows)

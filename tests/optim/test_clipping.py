"""Gradient clipping: torch's values, units of adaptive clipping, limits that hold, nothing done within them."""

import json
import pickle
import tracemalloc
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone

from skmlp.optim import (
    CLIPS,
    AdaptiveClip,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    Cosine,
    as_clip,
)

GOLDEN = json.loads(Path(__file__).with_name("golden_schedules.json").read_text(encoding="utf-8"))["clipping"]
NAN, INF = float("nan"), float("inf")
SHAPES = ((3, 4), (4, 1), (1, 3), (4,), (1,))
SIZE = sum(int(np.prod(shape)) for shape in SHAPES)
each_class = pytest.mark.parametrize("cls", CLIPS.values())

vectors = arrays(np.float64, SIZE, elements=st.floats(-1e3, 1e3))
limits = st.floats(1e-3, 1e4)


def _views(vector, shapes=SHAPES):
    views, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        views.append(vector[start : start + size].reshape(shape))
        start += size
    return views


def _clip(clip, vector, params=None, shapes=SHAPES):
    params = np.ones_like(vector) if params is None else params
    norm = float(np.linalg.norm(np.asarray(vector, np.float64)))
    return clip.clip(vector, _views(vector, shapes), _views(params, shapes), norm)


def _random(seed=0, size=SIZE, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


@pytest.mark.parametrize(
    ("name", "limit"), [(name, limit) for name in ("value", "norm", "global_norm") for limit in GOLDEN[name]]
)
def test_torch(name, limit):
    before = [np.array(array) for array in GOLDEN["gradients"]]
    shapes = [array.shape for array in before]
    vector = np.concatenate([array.ravel() for array in before])
    clipped = _clip(CLIPS[name](float(limit)), vector, shapes=shapes)
    torchs = [np.array(array) for array in GOLDEN[name][limit]]
    for ours, wanted in zip(_views(vector, shapes), torchs, strict=True):
        # The same sums in another order: rounding only.
        np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12)
    assert clipped == any((old != new).any() for old, new in zip(before, torchs, strict=True))


def _units(array):
    """The paper's units: columns; a vector, or a matrix with one row or column, is one."""
    return [array] if array.ndim == 1 or 1 in array.shape else list(array.T)


@hypothesis.given(vectors, vectors, st.floats(1e-3, 2.0), st.floats(1e-3, 10.0))
def test_adaptive_clip_unit_by_unit(vector, params, limit, floor):
    before = vector.copy()
    clipped = _clip(AdaptiveClip(limit, floor), vector, params)
    for grad, old, weights in zip(_views(vector), _views(before), _views(params), strict=True):
        for unit, old_unit, weight in zip(_units(grad), _units(old), _units(weights), strict=True):
            largest, norm = limit * max(np.linalg.norm(weight), floor), np.linalg.norm(old_unit)
            wanted = old_unit * (largest / norm) if norm > largest else old_unit
            np.testing.assert_allclose(unit, wanted, rtol=1e-9)
    assert clipped == bool((vector != before).any())


def test_adaptive_clip_takes_columns_of_weights_n_in_n_out():
    grad = np.array([[3.0, 0.3], [4.0, 0.4]])
    clip = AdaptiveClip(limit=0.1, floor=1e-3)
    # Both columns of the weights have the norm 10: the largest norm is 1, which the second column has not reached.
    assert clip.clip(grad.reshape(-1), [grad], [np.array([[6.0, 6.0], [8.0, 8.0]])], 5.1)
    np.testing.assert_allclose(grad, [[0.6, 0.3], [0.8, 0.4]], rtol=1e-12)
    # An untouched unit is untouched to the last bit.
    assert grad[0, 1] == 0.3


def test_adaptive_clip_of_weights_at_zero_goes_by_the_floor():
    grad = np.full((2, 3), 5.0)
    AdaptiveClip(0.5, 0.2).clip(grad.reshape(-1), [grad], [np.zeros((2, 3))], 12.2)
    np.testing.assert_allclose(np.linalg.norm(grad, axis=0), 0.1, rtol=1e-12)


@hypothesis.given(vectors, limits)
def test_limits_hold(vector, limit):
    by_value, by_norm, by_global_norm = (vector.copy() for _ in range(3))
    _clip(ClipByValue(limit), by_value)
    assert np.abs(by_value).max() <= limit
    _clip(ClipByNorm(limit), by_norm)
    # Norms are sums of 23 rounded squares.
    assert max(np.linalg.norm(array) for array in _views(by_norm)) <= limit * (1 + 1e-14)
    _clip(ClipByGlobalNorm(limit), by_global_norm)
    assert np.linalg.norm(by_global_norm) <= limit * (1 + 1e-14)
    # The direction stays.
    np.testing.assert_allclose(
        by_global_norm * np.linalg.norm(vector), vector * np.linalg.norm(by_global_norm), rtol=1e-9, atol=1e-9
    )


@each_class
@hypothesis.given(vectors)
def test_within_the_limit_nothing_changes(cls, vector):
    before = vector.copy()
    assert not _clip(cls(limit=1e6), vector)
    assert (vector == before).all()


@each_class
def test_parameters_do_not_change_and_the_answer_is_a_bool(cls):
    vector, params = _random(), _random(1)
    before = params.copy()
    assert _clip(cls(limit=0.01), vector, params) is True
    assert _clip(cls(limit=1e3), vector, params) is False
    assert (params == before).all()


@each_class
def test_a_gradient_of_zeros(cls):
    vector = np.zeros(SIZE)
    assert not _clip(cls(), vector, np.zeros(SIZE))
    assert (vector == 0).all()


def test_all_arrays_are_clipped_not_only_the_first():
    vector = np.full(SIZE, 7.0)
    _clip(ClipByNorm(1.0), vector)
    np.testing.assert_allclose([np.linalg.norm(array) for array in _views(vector)], 1.0, rtol=1e-6)


@pytest.mark.parametrize("limit", [1e-3, 1e3])
@each_class
def test_float32_stays_float32(cls, limit, watched):
    vector, params = watched(_random()), watched(_random(1))
    clipped = _clip(cls(limit=limit), vector, params)
    assert clipped == (limit < 1)
    assert vector.dtype == np.float32
    exact = _random().astype(np.float32).astype(np.float64)
    _clip(cls(limit=limit), exact, _random(1).astype(np.float32).astype(np.float64))
    # A norm, a quotient and a product, each rounded to 6e-8.
    np.testing.assert_allclose(np.asarray(vector), exact, rtol=1e-6)


@each_class
def test_squares_that_overflow_float32_are_clipped_all_the_same(cls):
    vector = _random(dtype=np.float32) * np.float32(1e25)
    small = _random()
    assert _clip(cls(limit=0.5), vector, np.ones(SIZE, np.float32))
    _clip(cls(limit=0.5), small, np.ones(SIZE))
    assert np.isfinite(vector).all()
    if cls is not ClipByValue:
        assert np.linalg.norm(vector) > 0.01
        moved = np.linalg.norm(_views(vector)[0]) / np.linalg.norm(_views(_random() * 1e25)[0])
        assert moved < 1e-20


@each_class
@pytest.mark.parametrize("limit", [1e-4, 1e6])
def test_no_temporary_of_the_gradients_size(cls, limit):
    shapes = ((512, 512), (512,))
    vector = _random(size=512 * 513, dtype=np.float32)
    params = np.ones_like(vector)
    _clip(cls(limit=limit), vector.copy(), params, shapes)
    arguments = (vector, _views(vector, shapes), _views(params, shapes), 500.0)
    tracemalloc.start()
    try:
        cls(limit=limit).clip(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < vector.nbytes / 10


def test_as_clip():
    clip = AdaptiveClip()
    assert as_clip(None) is None
    assert as_clip(clip) is clip
    assert as_clip(2) == as_clip(2.0) == as_clip(np.float32(2)) == ClipByGlobalNorm(2.0)
    assert {name: as_clip(name) for name in CLIPS} == {
        "value": ClipByValue(),
        "norm": ClipByNorm(),
        "global_norm": ClipByGlobalNorm(),
        "adaptive": AdaptiveClip(),
    }


@pytest.mark.parametrize("choice", ["norms", True, ClipByValue, [1.0]])
def test_as_clip_refuses_the_rest(choice):
    with pytest.raises(ValueError, match=r"must be None, a positive float .*'global_norm'.*instance of 'Clip'"):
        as_clip(choice)


@pytest.mark.parametrize("limit", [0.0, -1.0, NAN, INF, "1", True, None])
@each_class
def test_bad_limits(cls, limit):
    with pytest.raises(ValueError, match=f"'limit' parameter of {cls.__name__} must be"):
        cls(limit=limit)


@pytest.mark.parametrize("floor", [0.0, -1.0, NAN])
def test_bad_floors(floor):
    with pytest.raises(ValueError, match="'floor' parameter of AdaptiveClip must be"):
        AdaptiveClip(floor=floor)
    with pytest.raises(ValueError, match="'limit' parameter of ClipByGlobalNorm must be"):
        as_clip(floor)


@pytest.mark.parametrize("clip", [ClipByValue(0.3), ClipByNorm(0.3), ClipByGlobalNorm(0.3), AdaptiveClip(0.3, 0.2)])
def test_clone_pickle_and_repr(clip):
    for copy in (clone(clip), pickle.loads(pickle.dumps(clip)), eval(repr(clip))):
        assert copy is not clip
        assert copy == clip
    assert type(clone(clip).set_params(limit=np.float64(0.5)).limit) is float
    assert all(clip.get_params()[name] != value for name, value in type(clip)().get_params().items())


def test_limits_cannot_follow_a_schedule():
    with pytest.raises(ValueError, match=r"'limit' parameter of ClipByNorm must .*cannot follow a schedule\. Got Sch"):
        ClipByNorm(2.0 * Cosine())
    with pytest.raises(ValueError, match=r"must be None, a positive float .* Got Scheduled"):
        as_clip(2.0 * Cosine())

"""Gradient clipping: values of torch, units of adaptive clipping, and gradients within and beyond the limits."""

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
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


def _vectors(n):
    """Yield vectors of very different sizes, with zeros, and a number generator."""
    rng = np.random.default_rng(0)
    for scale in 10.0 ** np.linspace(-4, 3, n):
        vector = scale * rng.normal(size=SIZE) * 10.0 ** rng.uniform(-3, 0, SIZE)
        vector[rng.random(SIZE) < 0.1] = 0.0
        yield vector, rng


@pytest.mark.parametrize(
    ("name", "limit"), [(name, limit) for name in ("value", "norm", "global_norm") for limit in GOLDEN[name]]
)
def test_clipped_gradients_are_those_of_torch(name, limit):
    before = [np.array(array) for array in GOLDEN["gradients"]]
    shapes = [array.shape for array in before]
    vector = np.concatenate([array.ravel() for array in before])
    clipped = _clip(CLIPS[name](float(limit)), vector, shapes=shapes)
    torchs = [np.array(array) for array in GOLDEN[name][limit]]
    for ours, wanted in zip(_views(vector, shapes), torchs, strict=True):
        # The sums differ in their order: rounding only.
        np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12)
    assert clipped == any((old != new).any() for old, new in zip(before, torchs, strict=True))


def _units(array):
    """The units of the paper: columns; a vector, or a matrix with one row or column, is one unit."""
    return [array] if array.ndim == 1 or 1 in array.shape else list(array.T)


def test_adaptive_clip_agrees_with_its_formula_for_each_unit():
    outcomes = set()
    for vector, rng in _vectors(30):
        before, params = vector.copy(), rng.normal(size=SIZE) * 10.0 ** rng.uniform(-3, 1)
        limit, floor = 10.0 ** rng.uniform(-2, 0.3), 10.0 ** rng.uniform(-3, 1)
        clipped = _clip(AdaptiveClip(limit, floor), vector, params)
        for grad, old, weights in zip(_views(vector), _views(before), _views(params), strict=True):
            for unit, old_unit, weight in zip(_units(grad), _units(old), _units(weights), strict=True):
                largest, norm = limit * max(np.linalg.norm(weight), floor), np.linalg.norm(old_unit)
                wanted = old_unit * (largest / norm) if norm > largest else old_unit
                np.testing.assert_allclose(unit, wanted, rtol=1e-9)
        assert clipped == bool((vector != before).any())
        outcomes.add(clipped)
    assert outcomes == {True, False}


def test_units_of_adaptive_clip_are_columns():
    grad = np.array([[3.0, 0.3], [4.0, 0.4]])
    clip = AdaptiveClip(limit=0.1, floor=1e-3)
    # Both columns of the weights have norm 10, so the limit is 1; the second column of the gradient is within it.
    assert clip.clip(grad.reshape(-1), [grad], [np.array([[6.0, 6.0], [8.0, 8.0]])], 5.1)
    np.testing.assert_allclose(grad, [[0.6, 0.3], [0.8, 0.4]], rtol=1e-12)
    assert grad[0, 1] == 0.3  # to the last bit


def test_adaptive_clip_of_zero_weights_uses_the_floor():
    grad = np.full((2, 3), 5.0)
    AdaptiveClip(0.5, 0.2).clip(grad.reshape(-1), [grad], [np.zeros((2, 3))], 12.2)
    np.testing.assert_allclose(np.linalg.norm(grad, axis=0), 0.1, rtol=1e-12)


@pytest.mark.parametrize("limit", [1e-3, 1.0, 300.0])
def test_clipped_gradients_do_not_exceed_the_limit(limit):
    for vector, _ in _vectors(15):
        by_value, by_norm, by_global_norm = (vector.copy() for _ in range(3))
        _clip(ClipByValue(limit), by_value)
        assert np.abs(by_value).max() <= limit
        _clip(ClipByNorm(limit), by_norm)
        # Norms are sums of 23 rounded squares.
        assert max(np.linalg.norm(array) for array in _views(by_norm)) <= limit * (1 + 1e-14)
        _clip(ClipByGlobalNorm(limit), by_global_norm)
        norm = np.linalg.norm(by_global_norm)
        assert norm <= limit * (1 + 1e-14)
        # The direction does not change.
        np.testing.assert_allclose(by_global_norm * np.linalg.norm(vector), vector * norm, rtol=1e-9, atol=1e-9)


@each_class
def test_gradients_within_the_limit_are_not_changed(cls):
    for vector, _ in _vectors(8):
        before = vector.copy()
        assert not _clip(cls(limit=1e6), vector)
        assert (vector == before).all()


@each_class
def test_clip_returns_a_bool_and_does_not_change_the_parameters(cls):
    vector, params = _random(), _random(1)
    before = params.copy()
    assert _clip(cls(limit=0.01), vector, params) is True
    assert _clip(cls(limit=1e3), vector, params) is False
    assert (params == before).all()


@each_class
def test_zero_gradients_are_not_clipped(cls):
    vector = np.zeros(SIZE)
    assert not _clip(cls(), vector, np.zeros(SIZE))
    assert (vector == 0).all()


def test_clip_by_norm_clips_every_array():
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
def test_gradients_whose_squares_overflow_float32_are_clipped(cls):
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
def test_clip_allocates_less_than_the_size_of_the_gradient(cls, limit):
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


def test_as_clip_of_numbers_names_and_objects():
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
def test_as_clip_refuses_other_types(choice):
    with pytest.raises(ValueError, match=r"must be None, a positive float .*'global_norm'.*instance of 'Clip'"):
        as_clip(choice)


@each_class
def test_invalid_limits_are_refused(cls):
    for limit in (0.0, -1.0, NAN, INF, "1", True, None):
        with pytest.raises(ValueError, match=f"'limit' parameter of {cls.__name__} must be"):
            cls(limit=limit)


@pytest.mark.parametrize("floor", [0.0, -1.0, NAN])
def test_invalid_floors_are_refused(floor):
    with pytest.raises(ValueError, match="'floor' parameter of AdaptiveClip must be"):
        AdaptiveClip(floor=floor)
    with pytest.raises(ValueError, match="'limit' parameter of ClipByGlobalNorm must be"):
        as_clip(floor)


@pytest.mark.parametrize("clip", [ClipByValue(0.3), ClipByNorm(0.3), ClipByGlobalNorm(0.3), AdaptiveClip(0.3, 0.2)])
def test_clone_pickle_and_repr_keep_every_setting(clip):
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

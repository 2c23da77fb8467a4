"""The best weights so far, and whether training makes progress."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import multilayer_perceptron
from skmlp.optim import ConstantRate, Linear
from skmlp.training.batches import Data
from skmlp.training.engine import Buffers
from skmlp.training.plan import Criterion, Validation
from skmlp.training.progress import BestWeights, ProgressTracker
from skmlp.training.state import Plateau, TrainingState

NETWORK = multilayer_perceptron([1, 2, 1], [ACTIVATIONS["tanh"]])


def _state(patience=math.inf):
    params = NETWORK.parameters(dtype=np.float64)
    params.vector[...] = 0.0
    return TrainingState(params, {}, np.random.default_rng(0), 0.1, Plateau(0.0, patience))


def _validation(scores, target=1.0):
    remaining = iter(scores)
    data = Data(np.ones((2, 1)), np.full((2, 1), target))
    return Validation(data, LOSSES["squared_error"], lambda params, raw: next(remaining))


def test_a_number_replaces_nan_as_the_best_value():
    best = BestWeights()
    best.update(math.nan, 1, np.zeros(2))
    assert (best.value, best.epoch) == (math.inf, 1)
    best.update(5.0, 2, np.ones(2))
    best.update(math.nan, 3, np.full(2, 3.0))
    assert (best.value, best.epoch, best.vector.tolist()) == (5.0, 2, [1.0, 1.0])


def test_the_fallback_is_not_overwritten():
    fallback = np.zeros(2)
    best = BestWeights(fallback)
    best.update(1.0, 1, np.ones(2))
    assert (best.vector.tolist(), fallback.tolist()) == ([1.0, 1.0], [0.0, 0.0])


@pytest.mark.parametrize(("target", "expected"), [(1.0, (0.5, 1)), (1e200, (-0.3, 2))])
def test_an_undefined_score_makes_the_loss_decide_only_if_that_is_finite(target, expected):
    tracker = ProgressTracker(NETWORK, _state(), Criterion(validation=_validation([math.nan, 0.3], target)))
    with np.errstate(over="ignore"):
        for epoch in (1, 2):
            tracker.judge({"loss": 1.0}, epoch)
    assert (tracker.best.value, tracker.best.epoch) == expected


@pytest.mark.parametrize(
    ("schedule", "early_stopping", "continues"),
    [(ConstantRate(), False, False), (Linear(), False, True), (Linear(), True, False)],
)
def test_a_schedule_for_the_whole_training_continues_unless_early_stopping_ends_it(schedule, early_stopping, continues):
    criterion = Criterion(validation=_validation([0.5] * 3) if early_stopping else None, early_stopping=early_stopping)
    state = _state(patience=0)
    tracker = ProgressTracker(NETWORK, state, criterion)
    state.plateau.best = -math.inf
    row = {"loss": 1.0}
    assert tracker.continues(schedule, row, tracker.judge(row, 1)) is continues


def test_buffers_make_what_they_keep_again_if_an_object_changes():
    state, first, second = _state(), object(), object()
    buffers, made = Buffers(None, state.params, 1), iter(range(9))
    keys = [(first, second), (first, second), (first, first), (first, second)]
    assert [buffers.keep("name", key, lambda: next(made)) for key in keys] == [0, 0, 1, 2]
    assert buffers.keep("other", (first, second), lambda: next(made)) == 3

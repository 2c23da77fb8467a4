"""Schedules in the estimators: what each step is taken with, what is refused, and that searches reach into them."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import (
    SCHEDULES,
    SGD,
    SOLVERS,
    Adam,
    AdamW,
    Adaptive,
    ClipByGlobalNorm,
    Cosine,
    CosineRestarts,
    Exponential,
    FlatCosine,
    FunctionSchedule,
    Linear,
    OneCycle,
    Piecewise,
    ReduceOnPlateau,
    RMSProp,
    StepDecay,
    Time,
    Warmup,
    WithWeightDecay,
    as_schedule,
)

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
N_SAMPLES, N_BATCHES, N_EPOCHS = 90, 3, 4


def _data(cls: type) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(N_SAMPLES, n_features=6, n_informative=4, n_classes=3, random_state=0)
    X, y = make_regression(N_SAMPLES, n_features=6, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (8, 5), "batch_size": 32, "max_iter": N_EPOCHS, "random_state": 0, **params})


def _vector(estimator: Any) -> Any:
    return np.concatenate([a.ravel() for a in (*estimator.coefs_, *estimator.intercepts_)])


def _passes(cls: type, estimator: Any, n_passes: int = 1) -> Any:
    X, y = _data(cls)
    for _ in range(n_passes):
        estimator.partial_fit(X, y, **({"classes": [0, 1, 2]} if cls is MLPClassifier else {}))
    return estimator


def _by_pickle(estimator: Any) -> Any:
    return pickle.loads(pickle.dumps(estimator))


def _rates(schedule: Any, initial: float, n_epochs: int = N_EPOCHS, *, of: int | None = N_EPOCHS) -> list[float]:
    """Return the mean rate of each epoch by a slow computation; `of` is the length of the training in epochs."""
    means = []
    for epoch in range(n_epochs):
        steps = range(epoch * N_BATCHES, (epoch + 1) * N_BATCHES)
        times = [
            Time(step, step / N_BATCHES, None if of is None else step / (of * N_BATCHES), epoch * N_SAMPLES)
            for step in steps
        ]
        means.append(float(np.mean([initial * schedule.factor(time) for time in times])))
    return means


def _everything(estimator: Any) -> dict[str, Any]:
    """Return a copy of all that an estimator stores."""
    stored = copy.deepcopy(estimator.__getstate__())
    return {name: repr(value) if name in estimator.get_params() else value for name, value in stored.items()}


def _halving(progress: float) -> float:
    return 0.5**progress


# ---------------------------------------------------------------------- the learning rate


# Each schedule with two solvers, each solver with some schedules.
PAIRS = [
    (name, list(SOLVERS)[(number + far) % len(SOLVERS)]) for number, name in enumerate(SCHEDULES) for far in (0, 5)
]


@pytest.mark.parametrize(("name", "solver"), PAIRS)
def test_schedules_and_solvers_work_together(name: str, solver: str) -> None:
    X, y = _data(MLPRegressor)
    est = _small(MLPRegressor, learning_rate=name, solver=solver, learning_rate_init=0.003).fit(X, y)
    expected = _rates(as_schedule(name, 0.5), 0.003)
    np.testing.assert_allclose(est.history_["learning_rate"], expected, rtol=1e-12, atol=1e-18)
    assert np.isfinite(est.predict(X)).all()
    constant = _small(MLPRegressor, solver=solver, learning_rate_init=0.003).fit(X, y)
    differs = np.abs(_vector(est) - _vector(constant)).max() > 0.0
    # Over four epochs without a plateau these are constant.
    assert differs == (name not in ("constant", "step", "piecewise", "reduce_on_plateau", "adaptive"))


@BOTH
@pytest.mark.parametrize(
    "schedule",
    [
        _halving,
        lambda progress: np.float32(1.0 - progress),
        FunctionSchedule(_halving),
        FunctionSchedule(lambda step: 1.0 / (1 + step), of="step"),
        FunctionSchedule(lambda epoch: int(epoch < 2), of="epoch"),
        FunctionSchedule(_halving, horizon=5),
        Linear(0.5, 2.0),
        Exponential(0.5, unit="step"),
        StepDecay(every=2, decay=0.5),
        Piecewise((2,), (1.0, 0.1)),
        Piecewise((4, 7), (1.0, 0.5, 0.0), unit="step"),
        CosineRestarts(period=2),
        Warmup("cosine", duration=0.5),
        Warmup(_halving, duration=1, unit="epoch"),
        Warmup(Exponential(0.5), duration=5, unit="step", start=0.0),
    ],
)
def test_recorded_rate_is_the_mean_over_the_steps(cls: Any, schedule: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, learning_rate=schedule, learning_rate_init=0.02).fit(X, y)
    expected = _rates(as_schedule(schedule), 0.02)
    np.testing.assert_allclose(est.history_["learning_rate"], expected, rtol=1e-12)
    assert all(type(rate) is float for rate in est.history_["learning_rate"])
    assert all(array.dtype == np.float32 for array in est.coefs_)


@pytest.mark.parametrize("solver", [SGD(0.0), "sgd"])
def test_every_step_uses_its_scheduled_rate(solver: Any) -> None:
    """Where the gradient is always the same, the way is the sum of the rates."""
    X, y = _data(MLPRegressor)

    def linear_loss(y: Any, raw: Any) -> Any:
        return raw.sum(axis=1)

    def gradient(y: Any, raw: Any) -> Any:
        return np.ones_like(raw)

    settings: dict[str, Any] = {
        "loss": (linear_loss, gradient),
        "hidden_layer_sizes": (),
        "momentum": 0.0,
        "solver": solver,
        "alpha": 0.0,
        "dtype": "float64",
    }
    for schedule in ("cosine", "one_cycle", "coslog", "warmup", Exponential(0.8, unit="step")):
        est = _small(MLPRegressor, learning_rate=schedule, learning_rate_init=0.1, **settings).fit(X, y)
        expected = -N_BATCHES * sum(_rates(as_schedule(schedule), 0.1))
        assert est.intercepts_[0][0] == pytest.approx(expected, rel=1e-10)


@BOTH
def test_a_schedule_spanning_the_training_ends_without_a_warning(cls: Any) -> None:
    X, y = _data(cls)
    for schedule in ("cosine", "linear", "one_cycle", "flat_cosine", "coslog", "polynomial", _halving):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # No progress is ever enough, and the last epoch is where it was planned to end.
            est = _small(cls, learning_rate=schedule, max_iter=15, tol=10.0, n_iter_no_change=2).fit(X, y)
        assert est.n_iter_ == 15
        assert est.stop_reason_ == "max_iter"
    for schedule in ("constant", "exponential"):
        est = _small(cls, learning_rate=schedule, max_iter=15, tol=10.0, n_iter_no_change=2).fit(X, y)
        assert est.n_iter_ == 4
        assert est.stop_reason_ == "converged"
        with pytest.warns(ConvergenceWarning):
            _small(cls, learning_rate=schedule, max_iter=2).fit(X, y)
    stopped = _small(cls, learning_rate="cosine", max_iter=15, tol=10.0, n_iter_no_change=2, early_stopping=True)
    assert stopped.fit(X, y).n_iter_ == 4


@BOTH
def test_reduce_on_plateau_lowers_the_rate(cls: Any) -> None:
    X, y = _data(cls)
    rule = ReduceOnPlateau(decay=0.5, patience=1, threshold=0.99)
    est = _small(cls, learning_rate=rule, max_iter=10, n_iter_no_change=100).fit(X, y)
    # The first epoch is the best; no other is better by 99 per cent. After more than 1 without, the rate is halved.
    halvings = [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]
    np.testing.assert_allclose(est.history_["learning_rate"], 0.001 * 0.5 ** np.array(halvings), rtol=1e-12)
    by_parts = _passes(cls, _small(cls, learning_rate=rule, n_iter_no_change=100), 4)
    by_parts = _passes(cls, _by_pickle(by_parts), 6)  # what it remembers is stored
    np.testing.assert_array_equal(_vector(by_parts), _vector(est))
    assert by_parts.history_["learning_rate"] == est.history_["learning_rate"]


@BOTH
def test_reduce_on_plateau_reacts_to_the_validation_loss(cls: Any) -> None:
    X, y = _data(cls)
    rule = ReduceOnPlateau(decay=0.5, patience=0, threshold=0.0)
    est = _small(cls, learning_rate=rule, learning_rate_init=0.05, max_iter=30, n_iter_no_change=100)
    est.fit(X[:45], y[:45], X_val=X[45:], y_val=y[45:])
    best, scale, expected = np.inf, 1.0, []
    for loss in est.history_["validation_loss"]:
        expected.append(0.05 * scale)
        scale = scale if loss < best else 0.5 * scale
        best = min(best, loss)
    assert scale < 1.0
    np.testing.assert_allclose(est.history_["learning_rate"], expected, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("unit", ["progress", "epoch"])
def test_adaptive_divides_the_rate_after_a_warmup(cls: Any, unit: str) -> None:
    X, y = _data(cls)
    rule = Warmup(Adaptive(divisor=10.0), duration=0.1 if unit == "progress" else 2, unit=unit)
    est = _small(cls, learning_rate=rule, max_iter=20, tol=10.0, n_iter_no_change=4).fit(X, y)
    np.testing.assert_allclose(est.history_["learning_rate"][2:6], 1e-3, rtol=1e-12)
    np.testing.assert_allclose(est.history_["learning_rate"][6:11], 1e-4, rtol=1e-12)
    np.testing.assert_allclose(est.history_["learning_rate"][11:16], 1e-5, rtol=1e-12)


# ---------------------------------------------------------------------- other settings that follow a schedule


# What follows a schedule (of 5 steps), and how to say its value at a time as numbers.
FOLLOWERS: dict[str, tuple[dict[str, Any], Any]] = {
    "momentum": ({"solver": "sgd"}, {"momentum": 0.9 * Linear(0.5, 1.0, horizon=5)}),
    "momentum of one_cycle": ({"solver": "sgd"}, {"momentum": OneCycle.momentum(horizon=5)}),
    "weight_decay": ({"solver": "rmsprop"}, {"weight_decay": 2.0 * Cosine(horizon=5)}),
    "weight_decay of adamw": ({"solver": "adamw"}, {"weight_decay": 2.0 * Exponential(0.5, unit="step")}),
    "dropout": ({}, {"dropout": 0.5 * Cosine(horizon=5)}),
    "dropout by layer": ({}, {"dropout": [0.5 * Cosine(horizon=5), 0.1]}),
    "label_smoothing": ({}, {"label_smoothing": 0.5 * Cosine(horizon=5)}),
    "SGD": ({}, {"solver": SGD(momentum=0.9 * Linear(0.5, 1.0, horizon=5))}),
    "RMSProp": ({}, {"solver": RMSProp(momentum=0.9 * Linear(0.5, 1.0, horizon=5))}),
    "AdamW": ({}, {"solver": AdamW(weight_decay=2.0 * Linear(horizon=5))}),
    "within a solver": ({}, {"solver": WithWeightDecay(SGD(0.9 * Linear(0.5, 1.0, horizon=5)), 2.0 * Linear())}),
}
FOLLOWERS["within a solver"][1]["solver"].weight_decay.schedule.horizon = 5


def _at(value: Any, time: Time) -> Any:
    if isinstance(value, list):
        return [_at(each, time) for each in value]
    return value.at(time) if hasattr(value, "at") else value


@BOTH
@pytest.mark.parametrize("case", FOLLOWERS)
def test_every_step_uses_the_scheduled_value_of_its_time(cls: Any, case: str) -> None:
    """With one step a call, a scheduled value and the number that it is at the time are the same, bit for bit."""
    settings, following = FOLLOWERS[case]
    if "label_smoothing" in following and cls is MLPRegressor:
        pytest.skip("for the log loss")
    by_rule = _small(cls, batch_size="full", learning_rate_init=0.01, **settings, **following)
    by_hand = _small(cls, batch_size="full", learning_rate_init=0.01, **settings)
    vectors = []
    for step in range(5):
        now = {name: _at(value, Time(step, float(step))) for name, value in following.items()}
        _passes(cls, by_rule)
        _passes(cls, by_hand.set_params(**now))
        np.testing.assert_array_equal(_vector(by_rule), _vector(by_hand))
        vectors.append(_vector(by_rule).copy())
    fixed = _small(cls, batch_size="full", learning_rate_init=0.01, **settings)
    fixed.set_params(**{name: _at(value, Time(0, 0.0)) for name, value in following.items()})
    assert np.abs(_vector(_passes(cls, fixed, 5)) - vectors[-1]).max() > 1e-6  # it did follow something


@BOTH
@pytest.mark.parametrize("case", FOLLOWERS)
def test_progress_is_the_fraction_of_steps_done(cls: Any, case: str) -> None:
    """A schedule over the training is the same as one with the training's number of steps for its horizon."""
    settings, following = FOLLOWERS[case]
    if "label_smoothing" in following and cls is MLPRegressor:
        pytest.skip("for the log loss")
    X, y = _data(cls)
    with_horizon = clone(_small(cls, **settings, **following))
    horizons = [name for name in with_horizon.get_params() if name.endswith("__horizon")]
    if not horizons:
        pytest.skip("needs no horizon")
    with_horizon.set_params(**dict.fromkeys(horizons, N_EPOCHS * N_BATCHES))
    over_training = clone(with_horizon).set_params(**dict.fromkeys(horizons, None))
    over_training.fit(X, y)
    np.testing.assert_array_equal(_vector(_passes(cls, with_horizon, N_EPOCHS)), _vector(over_training))


@BOTH
def test_one_cycle_schedules_rate_and_momentum(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(
        cls, solver="sgd", learning_rate="one_cycle", momentum=OneCycle.momentum(), learning_rate_init=0.3, max_iter=30
    ).fit(X, y)
    rates = np.array(est.history_["learning_rate"])
    assert rates.argmax() in (8, 9)
    assert rates[-1] < 0.01
    assert est.score(X, y) > 0.8


# ---------------------------------------------------------------------- ranges

OUT_OF_RANGE: dict[str, tuple[dict[str, Any], str]] = {
    "momentum": ({"solver": "sgd", "momentum": 0.9 * Linear(1.0, 2.0)}, "'momentum' parameter of SGD"),
    "dropout": ({"dropout": 0.5 * Linear(1.0, 3.0)}, "'rate' parameter of Dropout"),
    "dropout of a layer": ({"dropout": [0.0, 0.5 * Linear(1.0, 3.0)]}, "'rate' parameter of Dropout"),
    "solver": ({"solver": SGD(0.9 * Linear(1.0, 2.0))}, "'momentum' parameter of SGD"),
    "nested": ({"solver": WithWeightDecay(SGD(0.9 * Linear(1.0, 2.0)))}, "'momentum' parameter of SGD"),
    "steps": ({"solver": "sgd", "momentum": 0.9 * Linear(1.0, 2.0, horizon=10)}, "'momentum' parameter of SGD"),
    "late": (
        {"solver": "sgd", "momentum": 0.9 * Piecewise((11,), (1.0, 2.0), unit="step")},
        "'momentum' parameter of SGD",
    ),
}


@BOTH
@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_a_schedule_that_leaves_the_range_is_refused_at_the_start(cls: Any, case: str, assert_refuses: Any) -> None:
    X, y = _data(cls)
    params, words = OUT_OF_RANGE[case]
    words += r" must be a float in the range .* Got .* schedule .* after \d+ steps \(epoch .*\): choose a smaller value"
    params = {"batch_size": 32, "max_iter": N_EPOCHS, "hidden_layer_sizes": (5, 5), **params}
    epochs: list[int] = []
    watched = type("Watched", (cls,), {"_record": lambda self, row, monitor: epochs.append(1)})
    assert_refuses(cls, ValueError, words, lambda est: est.fit(X, y), warm=False, **params)
    with pytest.raises(ValueError, match=words):
        watched(**params).fit(X, y)
    assert epochs == []


def test_label_smoothing_that_leaves_its_range_is_refused(assert_refuses: Any) -> None:
    X, y = _data(MLPClassifier)
    words = "'label_smoothing' parameter of .*LogLoss must be .* after .* steps"
    assert_refuses(
        MLPClassifier, ValueError, words, lambda est: est.fit(X, y), label_smoothing=0.9 * Linear(1.0, 2.0), warm=False
    )


@BOTH
@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"learning_rate": lambda t: 0.5 - t},
            "finite, non-negative number. The function .*lambda.* gave -0.25 for progress 0.75",
        ),
        ({"learning_rate": lambda t: float("nan")}, "gave nan for progress 0.0"),
        ({"learning_rate": lambda t: "fast"}, "gave 'fast' for progress 0.0"),
        ({"learning_rate": Cosine}, "The 'learning_rate' parameter of .* a callable f.progress.*Got <class .*Cosine'>"),
        ({"dropout": 1.5 * Cosine()}, r"Every rate in dropout must be a float in the range \[0.0, 1.0\), got Sched"),
        ({"dropout": [0.1, -0.5 * Cosine()]}, r"Every rate in dropout must be a float in the range .*value=-0.5"),
        ({"beta_1": 0.9 * Cosine()}, "The 'beta_1' parameter of .* must be a float in the range .* Got Scheduled"),
        ({"gradient_clip": 0.9 * Cosine()}, "The 'gradient_clip' parameter of .* Got Scheduled"),
        ({"weight_decay": -0.9 * Cosine()}, "'weight_decay' parameter of WithWeightDecay must be .* Got -0.9 instead"),
    ],
)
def test_invalid_schedules_are_refused(cls: Any, params: dict[str, Any], words: str, assert_refuses: Any) -> None:
    X, y = _data(cls)
    params = {"hidden_layer_sizes": (5, 5), "max_iter": N_EPOCHS, **params}
    assert_refuses(cls, ValueError, words, lambda est: est.fit(X, y), warm=False, **params)


@BOTH
def test_a_schedule_leaving_its_range_leaves_partial_fit_unchanged(cls: Any) -> None:
    """Steps go on from call to call: the value is out of range in the fourth, and nothing has changed by then."""
    rule = 0.9 * Linear(1.0, 1.2, horizon=18)
    est = _passes(cls, _small(cls, solver="sgd", momentum=rule), 3)
    before = pickle.dumps(est)
    with pytest.raises(ValueError, match=r"'momentum' parameter of SGD must be .* after \d+ steps \(epoch 3"):
        _passes(cls, est)
    np.testing.assert_array_equal(_vector(est), _vector(pickle.loads(before)))
    other = pickle.loads(before)
    for each in (est, other):
        _passes(cls, each.set_params(momentum=0.5))
    np.testing.assert_array_equal(_vector(est), _vector(other))


# ---------------------------------------------------------------------- partial_fit and warm starts

NEEDS_LENGTH: dict[str, dict[str, Any]] = {
    "learning_rate": {"learning_rate": "cosine"},
    "a function": {"learning_rate": _halving},
    "a warm-up": {"learning_rate": "warmup"},
    "after a warm-up": {"learning_rate": Warmup("cosine", duration=2, unit="step")},
    "momentum": {"solver": "sgd", "momentum": OneCycle.momentum()},
    "weight_decay": {"weight_decay": 0.1 * Cosine()},
    "dropout": {"dropout": [0.1, 0.1 * FlatCosine()]},
    "solver": {"solver": WithWeightDecay(SGD(0.9 * Cosine()))},
}


@pytest.mark.parametrize("case", NEEDS_LENGTH)
def test_partial_fit_refuses_schedules_without_a_length(case: str) -> None:
    cls = (MLPClassifier, MLPRegressor)[list(NEEDS_LENGTH).index(case) % 2]
    X, y = _data(cls)
    params = NEEDS_LENGTH[case]
    name = case if case in params else "learning_rate"
    words = (
        rf"{name} depends on the progress of the whole training, which partial_fit does not know: .*"
        r"Give the schedule its length in steps \(horizon=.* Warmup unit=.*or use one that counts epochs or steps"
    )
    new = _small(cls, **params)
    started = _passes(cls, _small(cls)).set_params(**params)
    fitted = _small(cls, **params).fit(X, y)  # for fit it is right, for what follows it is not
    for est in (new, started, fitted):
        before = _everything(est)
        with pytest.raises(ValueError, match=words):
            _passes(cls, est)
        np.testing.assert_equal(_everything(est), before)


@BOTH
def test_schedules_of_unused_parameters_are_not_refused(cls: Any) -> None:
    unused = _small(cls, solver="adam", momentum=OneCycle.momentum())
    np.testing.assert_array_equal(_vector(_passes(cls, unused)), _vector(_passes(cls, _small(cls))))
    _passes(cls, _small(cls, solver=Adam(), momentum=0.9 * Cosine()))


@BOTH
@pytest.mark.parametrize(
    "schedule",
    [
        "exponential",
        "step",
        "inverse_time",
        "cyclic",
        "cosine_restarts",
        "piecewise",
        "invscaling",
        Exponential(0.9, unit="step"),
        StepDecay(every=1.5, decay=0.5),
        Piecewise((4, 7), (1.0, 0.5, 0.1), unit="step"),
        Cosine(horizon=N_EPOCHS * N_BATCHES),
        OneCycle(horizon=7),
        FunctionSchedule(_halving, horizon=7),
        FunctionSchedule(lambda step: 1.0 / (1 + step), of="step"),
        Warmup(Exponential(0.5), duration=5, unit="step"),
        Warmup(Cosine(horizon=6), duration=1, unit="epoch"),
    ],
)
def test_partial_fit_counts_steps_and_epochs_over_calls(cls: Any, schedule: Any) -> None:
    X, y = _data(cls)
    by_parts = _passes(cls, _small(cls, learning_rate=schedule), N_EPOCHS)
    fitted = _small(cls, learning_rate=schedule).fit(X, y)
    assert by_parts.history_["learning_rate"] == fitted.history_["learning_rate"]
    np.testing.assert_array_equal(_vector(by_parts), _vector(fitted))
    expected = _rates(as_schedule(schedule, 0.5), 0.001, of=None)
    np.testing.assert_allclose(by_parts.history_["learning_rate"], expected, rtol=1e-12)


@BOTH
def test_a_schedule_stays_constant_after_its_horizon(cls: Any) -> None:
    est = _passes(cls, _small(cls, learning_rate=Linear(1.0, 0.25, horizon=6)), 4)
    np.testing.assert_allclose(est.history_["learning_rate"][2:], 0.00025, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "exponential", "warmup", Exponential(0.9, unit="step")])
def test_a_warm_start_restarts_the_schedule(cls: Any, schedule: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, learning_rate=schedule, warm_start=True).fit(X, y).fit(X, y)
    rates = est.history_["learning_rate"]
    assert len(rates) == 2 * N_EPOCHS
    assert rates[:N_EPOCHS] == rates[N_EPOCHS:]
    assert len(set(rates)) > 1


@BOTH
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "stored"])
def test_a_changed_schedule_starts_again_in_partial_fit(cls: Any, stored: bool) -> None:
    est = _passes(cls, _small(cls), 2)
    est = _by_pickle(est) if stored else est
    _passes(cls, est.set_params(learning_rate="reduce_on_plateau"), 2)
    est = _by_pickle(est) if stored else est
    _passes(cls, est.set_params(learning_rate="adaptive"), 1)
    _passes(cls, est.set_params(learning_rate=Warmup("reduce_on_plateau", duration=3, unit="step")), 1)
    _passes(cls, est.set_params(learning_rate=Linear(horizon=6)), 1)
    assert est.history_["learning_rate"][-1] == pytest.approx(0.001 * (1 - 1 / 6))


@BOTH
@pytest.mark.parametrize("again", [False, True], ids=["in place", "as an object"])
def test_changed_settings_of_a_schedule_start_it_again(cls: Any, again: bool) -> None:
    """Whether the object is changed or replaced."""
    est = _passes(cls, _small(cls, learning_rate=Warmup("constant", duration=3, unit="step")), 2)
    if again:
        est.set_params(learning_rate=Warmup(ReduceOnPlateau(), duration=3, unit="step"))
    else:
        est.set_params(learning_rate__schedule=ReduceOnPlateau())
    _passes(cls, est, 2)
    rates = est.history_["learning_rate"]
    assert rates[2:] == rates[:2]
    assert rates[0] < rates[1]
    by_epoch = _passes(cls, _small(cls, learning_rate=StepDecay(every=1, decay=0.5)), 2)
    by_epoch.set_params(**({"learning_rate": StepDecay(1, 0.1)} if again else {"learning_rate__decay": 0.1}))
    np.testing.assert_allclose(_passes(cls, by_epoch, 2).history_["learning_rate"], [1e-3, 5e-4, 1e-3, 1e-4])


# ---------------------------------------------------------------------- searches, clones and copies


@BOTH
@pytest.mark.parametrize(
    ("params", "grid"),
    [
        ({}, {"learning_rate": ["constant", "cosine", Warmup("linear"), Exponential(0.5)]}),
        ({"learning_rate": Cosine()}, {"learning_rate__end": [0.0, 0.5]}),
        ({"learning_rate": Warmup("cosine")}, {"learning_rate__schedule__end": [0.0, 0.5]}),
        ({"learning_rate": Warmup("cosine")}, {"learning_rate__schedule": [Linear(), Exponential()]}),
        ({"dropout": 0.2 * FlatCosine()}, {"dropout__value": [0.1, 0.6], "dropout__schedule__flat": [0.1, 0.9]}),
        ({"solver": SGD()}, {"solver__momentum": [0.0, 0.5, 0.9 * Linear(0.5, 1.0)]}),
        ({"solver": "sgd", "momentum": 0.9 * Linear(0.1, 1.0)}, {"momentum__schedule__start": [0.0, 1.0]}),
        ({"weight_decay": 5.0 * Cosine()}, {"weight_decay__value": [0.1, 100.0]}),
    ],
)
def test_grid_search_sets_settings_of_schedules(cls: Any, params: dict[str, Any], grid: dict[str, Any]) -> None:
    X, y = _data(cls)
    est = _small(cls, learning_rate_init=0.02).set_params(**params)
    scoring = "neg_log_loss" if cls is MLPClassifier else "r2"
    shown = repr(est)
    search = GridSearchCV(est, grid, cv=2, scoring=scoring).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert len(set(scores)) == len(scores)  # each setting made a difference
    assert repr(est) == shown  # and none of it came back
    for name, value in search.best_params_.items():
        assert repr(search.best_estimator_.get_params()[name]) == repr(value)


@BOTH
@pytest.mark.parametrize(
    "params",
    [
        {"learning_rate": "one_cycle"},
        {"learning_rate": Warmup(CosineRestarts(period=2), duration=0.2)},
        {"learning_rate": ReduceOnPlateau(patience=0)},
        {"learning_rate": Piecewise([2], [1.0, 0.1])},
        {"solver": SGD(momentum=OneCycle.momentum())},
        {"solver": WithWeightDecay(SGD(0.9 * Linear(0.5, 1.0)), 0.1 * Cosine())},
        {"dropout": [0.2 * FlatCosine(), 0.1]},
        {"gradient_clip": ClipByGlobalNorm(1.0), "weight_decay": 0.1 * Exponential()},
    ],
    ids=str,
)
def test_clones_and_copies_train_the_same_network(cls: Any, params: dict[str, Any]) -> None:
    X, y = _data(cls)
    est = _small(cls, **params)
    copied, stored = clone(est), _by_pickle(est)
    assert repr(copied) == repr(stored) == repr(est)
    for name, value in params.items():
        if not isinstance(value, str):
            assert getattr(copied, name) is not value
    vector = _vector(est.fit(X, y))
    np.testing.assert_array_equal(_vector(copied.fit(X, y)), vector)
    np.testing.assert_array_equal(_vector(stored.fit(X, y)), vector)
    again = _by_pickle(est).set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(_vector(again), _vector(est.set_params(warm_start=True).fit(X, y)))


def test_a_fit_without_schedules_evaluates_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a schedule a step neither asks for the time nor for another objective, clip or chain."""
    from skmlp.nn.objective import Objective
    from skmlp.training.clock import StepClock

    monkeypatch.setenv("SKMLP_COMPILED", "0")  # compiled steps ask for the rates of many steps at once
    calls: list[str] = []
    for owner, name in ((StepClock, "begin_step"), (StepClock, "_check_schedules"), (Objective, "at")):
        original = getattr(owner, name)

        def counted(self: Any, *args: Any, _name: str = name, _original: Any = original) -> Any:
            calls.append(_name)
            return _original(self, *args)

        monkeypatch.setattr(owner, name, counted)
    X, y = _data(MLPRegressor)
    est = _small(MLPRegressor, gradient_clip=1.0, dropout=0.1, weight_decay=0.1).fit(X, y)
    assert calls == ["begin_step"] * N_EPOCHS  # once per epoch, not at every step
    assert est.history_["learning_rate"] == [0.001] * N_EPOCHS
    calls.clear()
    _small(MLPRegressor, learning_rate="cosine").fit(X, y)
    assert calls == ["_check_schedules"] + ["begin_step"] * N_EPOCHS * N_BATCHES


@pytest.mark.filterwarnings("error")
def test_a_warmup_continues_as_its_schedule() -> None:
    X, y = _data(MLPClassifier)
    stopped = _small(MLPClassifier, learning_rate="warmup", tol=10.0, max_iter=300).fit(X, y)
    assert stopped.stop_reason_ == "converged"
    assert stopped.n_iter_ < 20
    planned = _small(MLPClassifier, learning_rate=Warmup("cosine"), tol=10.0, max_iter=30).fit(X, y)
    assert planned.stop_reason_ == "max_iter"


def test_a_failed_partial_fit_does_not_advance_the_schedule() -> None:
    X, y = _data(MLPClassifier)
    model = _small(MLPClassifier, learning_rate=Exponential(0.5), batch_size="full", learning_rate_init=0.1)
    for _ in range(2):
        model.partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="horizon"):
        model.set_params(learning_rate="cosine").partial_fit(X, y)
    with pytest.raises(ValueError, match="momentum"):
        model.set_params(
            learning_rate=Exponential(0.5), solver=SGD(momentum=0.9 * Linear(1.0, 2.0, horizon=5))
        ).partial_fit(X, y)
    model.set_params(learning_rate=Exponential(0.5), solver="adam").partial_fit(X, y)
    np.testing.assert_allclose(model.history_["learning_rate"], [0.1, 0.05, 0.025])

"""Properties and settings of losses, their multiclass forms and their forms for evaluation."""

from dataclasses import dataclass

import numpy as np
import pytest

from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    Hinge,
    Huber,
    Loss,
    MulticlassHinge,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    Quantile,
    TweedieDeviance,
)

CLASSIFICATION = {"binary_log_loss", "log_loss", "hinge", "multiclass_hinge", "focal", "multiclass_focal"}


def _where(attribute):
    return {name for name, loss in LOSSES.items() if getattr(loss, attribute)}


def test_the_kind_of_each_loss():
    assert _where("is_classification") == CLASSIFICATION
    assert _where("takes_codes") == {"log_loss", "multiclass_hinge", "multiclass_focal"}
    assert _where("has_probabilities") == {"binary_log_loss", "log_loss", "focal", "multiclass_focal"}
    numbers = {"squared_error", "absolute_error", "huber", "log_cosh", "quantile", "gaussian_nll"}
    assert _where("is_equivariant") == numbers
    assert {name for name, loss in LOSSES.items() if hasattr(loss, "predict_std")} == {"gaussian_nll"}


def test_number_of_raw_outputs():
    twice = {name for name, loss in LOSSES.items() if loss.n_raw(3) == 6}
    assert twice == {"gaussian_nll"}
    assert {loss.n_raw(3) for name, loss in LOSSES.items() if name not in twice} == {3}
    assert Quantile((0.1, 0.5, 0.9)).n_raw(2) == 6
    assert [Quantile(levels).n_levels for levels in (0.5, (0.2,), (0.1, 0.9))] == [1, 1, 2]


@pytest.mark.parametrize("name", sorted(_where("is_equivariant")))
def test_best_predictions_are_equivariant_to_shifts_and_scales_of_the_targets(name):
    # So training on standardized targets gives the same predictions as training on the targets themselves.
    loss = LOSSES[name]
    y = np.random.default_rng(0).gamma(2.0, size=(50, 2))
    predicted, moved = (
        loss.predict(loss.fit_intercept_only(targets).reshape(1, -1)) for targets in (y, 100.0 * y - 7.0)
    )
    np.testing.assert_allclose(moved, 100.0 * predicted - 7.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "multiclass"),
    [
        (BinaryLogLoss(), MultinomialLogLoss()),
        (BinaryLogLoss(0.1), MultinomialLogLoss(0.1)),
        (MultinomialLogLoss(0.1), MultinomialLogLoss(0.1)),
        (Hinge(), MulticlassHinge()),
        (MulticlassHinge(), MulticlassHinge()),
        (FocalLoss(0.5), MultinomialFocalLoss(0.5)),
        (MultinomialFocalLoss(0.5), MultinomialFocalLoss(0.5)),
    ],
)
def test_multiclass_returns_the_loss_for_several_classes(loss, multiclass):
    assert loss.multiclass() == multiclass


@pytest.mark.parametrize("name", sorted(set(LOSSES) - CLASSIFICATION))
def test_losses_for_numbers_have_no_multiclass_form(name):
    with pytest.raises(ValueError, match=rf"{type(LOSSES[name]).__name__}.*is for numbers only.*'log_loss'"):
        LOSSES[name].multiclass()


def test_missing_multiclass_form_of_a_binary_loss_raises_an_error():
    @dataclass
    class Probit(Loss):
        link = "identity"
        is_classification = True

        def loss_and_gradient(self, y, raw, out):
            raise NotImplementedError

    with pytest.raises(ValueError, match="independent yes-or-no targets only"):
        Probit().multiclass()


def test_binary_and_multiclass_forms_agree_for_two_classes():
    # The binary raw output is the lead of the second class.
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, 50), rng.standard_normal((50, 2))
    lead, answers = raw[:, [1]] - raw[:, [0]], y[:, np.newaxis].astype(float)
    for loss in (BinaryLogLoss(), BinaryLogLoss(0.2), FocalLoss(), FocalLoss(0.7), Hinge()):
        np.testing.assert_allclose(loss.multiclass().loss(y, raw), loss.loss(answers, lead), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("loss", [BinaryLogLoss(0.1), MultinomialLogLoss(0.1)])
def test_eval_loss_has_no_label_smoothing(loss):
    assert loss.eval_loss() == type(loss)()
    assert loss.label_smoothing == 0.1


@pytest.mark.parametrize("name", LOSSES)
def test_eval_loss_of_losses_without_smoothing_is_the_loss_itself(name):
    assert LOSSES[name].eval_loss() is LOSSES[name]


class _Halving:
    """A value that follows a schedule: halved at time 1."""

    value = 0.2

    def at(self, time):
        return self.value * 0.5**time


def test_label_smoothing_may_follow_a_schedule():
    smoothing = _Halving()
    loss = BinaryLogLoss(smoothing)
    assert loss.at(1) == BinaryLogLoss(0.1)
    assert loss.eval_loss() == BinaryLogLoss()
    assert loss.multiclass().label_smoothing is smoothing
    assert loss.multiclass().at(0) == MultinomialLogLoss(0.2)
    assert loss.multiclass().eval_loss() == MultinomialLogLoss()


def test_optimum_with_label_smoothing_is_the_smoothed_target():
    e = 0.2
    binary, several = BinaryLogLoss(e), MultinomialLogLoss(e)
    best = np.array([[np.log(0.9 / 0.1)]])
    np.testing.assert_allclose(binary.gradient(np.array([[1.0]]), best), 0.0, atol=1e-15)
    best = np.log([[0.2 / 4, 0.8 + 0.2 / 4, 0.2 / 4, 0.2 / 4]])
    np.testing.assert_allclose(several.gradient(np.array([1]), best), 0.0, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0])
def test_focal_loss_with_gamma_0_is_the_log_loss(gamma):
    focal, log = FocalLoss(gamma), BinaryLogLoss()
    rng = np.random.default_rng(0)
    raw = np.concatenate([rng.standard_normal((30, 3)), 1e4 * rng.standard_normal((30, 3))])
    y, codes = rng.integers(0, 2, raw.shape).astype(float), rng.integers(0, 3, 60)
    for pair, targets in (((focal, log), y), ((focal.multiclass(), log.multiclass()), codes)):
        loss, reference = pair
        np.testing.assert_allclose(loss.loss(targets, raw), reference.loss(targets, raw), rtol=1e-13, atol=1e-15)
        # p - 1 of the reference rounds to eps.
        np.testing.assert_allclose(loss.gradient(targets, raw), reference.gradient(targets, raw), rtol=0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (BinaryLogLoss, "label_smoothing", 1.0),
        (BinaryLogLoss, "label_smoothing", -0.1),
        (MultinomialLogLoss, "label_smoothing", 1.0),
        (Huber, "delta", 0.0),
        (FocalLoss, "gamma", -1.0),
        (MultinomialFocalLoss, "gamma", float("nan")),
        (TweedieDeviance, "power", float("inf")),
        (TweedieDeviance, "power", "1.5"),
        (Quantile, "levels", 0.0),
        (Quantile, "levels", 1.0),
        (Quantile, "levels", True),
        (Quantile, "levels", ()),
        (Quantile, "levels", (0.5, 0.5)),
        (Quantile, "levels", (0.9, 0.1)),
        (Quantile, "levels", (0.1, 1.0)),
        (Quantile, "levels", (0.1, "0.5")),
        (Quantile, "levels", float("nan")),
    ],
)
def test_invalid_settings_raise_an_error_that_names_them(kind, name, value):
    before = kind().get_params()
    loss = kind()
    for assign in (lambda: kind(**{name: value}), lambda: loss.set_params(**{name: value})):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {kind.__name__} must be.*Got .* instead"):
            assign()
    assert loss.get_params() == before


def test_settings_given_as_numpy_numbers_do_not_change_the_dtype(watched):
    levels = (np.float64(0.1), np.float64(0.9))
    y, raw = np.zeros((2, 2), np.float32), watched(np.ones((2, 2)))
    for loss in (Huber(np.float64(0.5)), TweedieDeviance(np.float64(1.5)), Quantile(np.float64(0.5))):
        assert loss.gradient(y, raw).dtype == np.float32
    assert Quantile(levels).gradient(y[:, :1], raw).dtype == np.float32
    assert Quantile([0.1, 0.9]).n_levels == 2  # as JSON gives them back

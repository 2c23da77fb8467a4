"""Data to validate on: the user's own, what a splitter sets aside, or a random part of the rows."""

import math
import warnings
from collections.abc import Callable
from inspect import signature
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv, train_test_split

from skmlp._typing import FloatArray, IntArray
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.state import Model
from skmlp.estimators.targets import Targets
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data, join
from skmlp.training.validation import Validation

__all__ = ["Parts", "as_validation", "divide", "is_fraction", "wants_split"]


class Parts(NamedTuple):
    """The rows of a fit by their use.

    Attributes
    ----------
    training : Data
    held_out : Data or None
    score_weight : ndarray or None
        The user's own weights of the held-out rows, which a scorer gets.
    everything : Data or None
        All rows, the user's own validation data too, for a refit.
    """

    training: Data
    held_out: Data | None = None
    score_weight: FloatArray | None = None
    everything: Data | None = None


def wants_split(estimator: Any) -> bool:
    """Tell whether rows are to be set aside; L-BFGS does so only on an explicit `validation_split`."""
    return estimator.validation_split is not None or (estimator.early_stopping and estimator.solver != "lbfgs")


def divide(
    estimator: Any,
    rows: Data,
    own: Data | None,
    targets: Targets,
    seed: int,
    groups: Any,
    weigh: Callable[[Data], Data],
) -> Parts:
    """Set rows aside as the parameters say, unless the user has validation data of their own.

    Parameters
    ----------
    estimator : BaseMLP
    rows : Data
        With the weights that the user passed.
    own : Data or None
        The user's validation data, likewise.
    targets : Targets
    seed : int
    groups : array-like or None
    weigh : callable
        Returns rows with the weights to train with, which may depend on the class.
    """
    weighed = weigh(rows)
    if own is not None:
        judged = weigh(own)
        everything = join(weighed, judged) if estimator.refit else None
        return Parts(weighed, judged.in_one_type(), own.sample_weight, everything)
    if not wants_split(estimator):
        return Parts(weighed)
    if is_fraction(estimator.validation_split):
        train, held_out = random_split(estimator, weighed, targets, seed)
    else:
        train, held_out = splitter_split(estimator.validation_split, rows.X, targets.original(rows.y), groups)
    given = rows.sample_weight
    training, judged = take_parts(weighed, train, held_out)
    return Parts(
        training, judged.in_one_type(), None if given is None else given[held_out], weighed if estimator.refit else None
    )


def splitter_split(splitter: Any, X: Any, y: Any, groups: Any) -> tuple[IntArray, IntArray]:
    """Return the rows to train and to validate on: the last split, which for time-ordered data ends with the data."""
    try:
        *_, (train, held_out) = check_cv(splitter).split(X, y, groups)
    except (ValueError, TypeError) as error:
        raise ValueError(f"validation_split={splitter!r} could not split the data: {error}") from error
    return np.asarray(train), np.asarray(held_out)


def random_split(estimator: Any, data: Data, targets: Targets, seed: int) -> tuple[IntArray, IntArray]:
    """Return random rows to train and to validate on, stratified by class where that is possible.

    Rows of weight zero cannot be validated on and stay with those to train on, where they do not count either.
    """
    split = estimator.validation_split
    name = "validation_fraction" if split is None else "validation_split"
    fraction = estimator.validation_fraction if split is None else split
    weight = data.sample_weight
    counting = np.arange(data.n_samples) if weight is None else np.flatnonzero(weight)
    n_rows = counting.size
    # At least two rows, which a score needs; as in scikit-learn the number is rounded up.
    n_asked = math.ceil(fraction * n_rows)
    n_held_out = max(2, n_asked)
    if n_held_out >= n_rows:
        raise ValueError(
            f"The validation set is too small. Increase {name!r} or the size of your dataset: at least 2 samples to "
            f"validate on and 1 to train on are needed, got n_samples = {n_rows} with a positive weight and "
            f"{name}={fraction}."
        )
    strata = targets.strata(data.y[counting], n_held_out, is_tiny=n_asked < 2)
    try:
        _, held_out = train_test_split(counting, test_size=n_held_out, random_state=seed, stratify=strata)
    except ValueError as error:
        if strata is None or n_asked >= 2:
            raise
        raise ValueError(
            f"{error} The two classes are {targets.original(np.array([[0.0], [1.0]])).tolist()}, of which the second "
            f"one is 'True' here. Increase the size of your dataset, or set early_stopping=False."
        ) from None
    trained = np.ones(data.n_samples, dtype=bool)
    trained[held_out] = False
    return np.flatnonzero(trained), held_out


def take_parts(data: Data, train: IntArray, held_out: IntArray) -> tuple[Data, Data]:
    """Return the two parts of the data; a part without a positive weight raises ValueError."""
    parts = {"training": data.take(train), "validation": data.take(held_out)}
    for name, part in parts.items():
        if part.n_samples == 0 or part.total_weight == 0.0:
            raise ValueError(
                f"All samples in the {name} part have weight zero. Choose a validation_split that leaves samples with "
                "a positive sample_weight in both parts."
            )
    return parts["training"], parts["validation"]


def is_fraction(split: Any) -> bool:
    """Tell whether `validation_split` asks for a random part of the rows."""
    return split is None or isinstance(split, Real)


def as_validation(estimator: Any, parts: Parts, targets: Targets, model: Model) -> Validation | None:
    """Return the held-out data with the loss and the score to judge by; None without held-out data."""
    data, scoring, loss = parts.held_out, estimator.scoring, model.loss.eval_loss()
    if data is None:
        return None
    if scoring is None:
        return Validation(data, loss, lambda params, raw: targets.score(data.y, raw, data.sample_weight))
    if scoring == "loss":
        return Validation(data, loss)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    weights = {} if parts.score_weight is None or not takes_weight(scorer) else {"sample_weight": parts.score_weight}
    y = targets.original(data.y)
    attempt = Attempt(scoring)

    def score(params: Parameters, raw: FloatArray) -> float:
        if not np.isfinite(raw).all():
            return math.nan
        return attempt(lambda: scorer(_at(estimator, model, params), data.X, y, **weights))

    return Validation(data, loss, score)


def takes_weight(scorer: Any) -> bool:
    """Tell whether a scorer has a use for `sample_weight`."""
    function = getattr(scorer, "_score_func", scorer)  # of make_scorer, whose scorers all have the argument
    try:
        parameters = signature(function).parameters
    except ValueError:  # some functions in C have no signature
        return False
    return "sample_weight" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


class Attempt:
    """Computes a user's score; one that cannot be computed is NaN, with one warning for the whole training.

    Parameters
    ----------
    scoring : str or callable
        What the user chose, for the warning.
    """

    def __init__(self, scoring: Any) -> None:
        self._scoring = scoring
        self._warned = False

    def __call__(self, compute: Callable[[], Any]) -> float:
        """Return the score that `compute` returns, or NaN."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)  # the one below says the same
                score = float(compute())
        except Exception as error:  # of any kind: the function is not ours, and a training must not be lost for it
            score, reason = math.nan, f"it raised {type(error).__name__}: {error}"
        else:
            reason = "it is not defined for these data (NaN)"
        if math.isnan(score) and not self._warned:
            self._warned = True
            warn_caller(
                f"The validation score scoring={self._scoring!r} could not be computed: {reason}. The history has NaN "
                "in its place, and the validation loss decides which epoch is the best and when to stop. "
                "Choose another scoring, or other validation data.",
                UndefinedMetricWarning,
            )
        return score


def _at(estimator: Any, model: Model, params: Parameters) -> Any:
    """Return a stand-in for the estimator that predicts with the given parameters."""
    probe = object.__new__(type(estimator))
    # The rows are validated already, and arrays: without names there is nothing to warn about.
    attributes = {name: value for name, value in vars(estimator).items() if name != "feature_names_in_"}
    probe.__dict__.update(attributes, _model=model.with_params(params.vector))
    return probe

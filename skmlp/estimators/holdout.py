"""Data to validate on: the user's own, what a splitter sets aside, or a random part of the rows."""

from math import ceil
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv, train_test_split

from skmlp._typing import FloatArray, IntArray
from skmlp.estimators.state import Model
from skmlp.estimators.targets import Targets
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data, join, merge_duplicates
from skmlp.training.validation import Validation

__all__ = ["Parts", "as_validation", "divide", "is_fraction", "wants_split"]


class Parts(NamedTuple):
    """The rows of a fit by their use, of which equal ones may have been merged.

    Attributes
    ----------
    training : Data
    held_out : Data or None
    n_samples : int
        How many samples the training rows stand for.
    everything : Data
        All of them, the user's own validation data too.
    n_everything : int
        How many samples those stand for.
    """

    training: Data
    held_out: Data | None
    n_samples: int
    everything: Data
    n_everything: int


def wants_split(estimator: Any) -> bool:
    """Tell whether rows are to be set aside; L-BFGS does so only on an explicit `validation_split`."""
    return estimator.validation_split is not None or (estimator.early_stopping and estimator.solver != "lbfgs")


def divide(
    estimator: Any, rows: Data, own: Data | None, targets: Targets, seed: int, groups: Any, *, merge: bool
) -> Parts:
    """Set rows aside as the parameters say, unless the user has validation data of their own.

    Parameters
    ----------
    estimator : BaseMLP
    rows : Data
        As the user passed them, which is what a splitter knows.
    own : Data or None
        The user's validation data.
    targets : Targets
    seed : int
    groups : array-like or None
    merge : bool
        Merge equal rows of what is trained on. A random split is one of merged rows, so that a row and its duplicate do
        not end up on both sides.
    """
    n_samples, distinct = rows.n_samples, _prepared(rows, merge)
    if own is not None:
        own = own.in_one_type()
        return Parts(distinct, own, n_samples, join(distinct, own), n_samples + own.n_samples)
    if not wants_split(estimator):
        return Parts(distinct, None, n_samples, distinct, n_samples)
    if is_fraction(estimator.validation_split):
        training, held_out = take_parts(distinct, *random_split(estimator, distinct, targets, seed))
        n_training = round(n_samples * training.n_samples / distinct.n_samples)
        return Parts(training, held_out, n_training, distinct, n_samples)
    split = splitter_split(estimator.validation_split, rows.X, targets.original(rows.y), groups)
    training, held_out = take_parts(rows, *split)
    return Parts(_prepared(training, merge), held_out.in_one_type(), training.n_samples, distinct, n_samples)


def _prepared(rows: Data, merge: bool) -> Data:
    """Return rows as they are trained on."""
    return merge_duplicates(rows) if merge else rows.in_one_type()


def splitter_split(splitter: Any, X: Any, y: Any, groups: Any) -> tuple[IntArray, IntArray]:
    """Return the rows to train and to validate on: the last split, which for time-ordered data ends with the data."""
    try:
        *_, (train, held_out) = check_cv(splitter).split(X, y, groups)
    except ValueError as error:
        raise ValueError(f"validation_split={splitter!r} could not split the data: {error}") from error
    return np.asarray(train), np.asarray(held_out)


def random_split(estimator: Any, data: Data, targets: Targets, seed: int) -> tuple[IntArray, IntArray]:
    """Return random rows to train and to validate on, stratified by class where that is possible."""
    split = estimator.validation_split
    name = "validation_fraction" if split is None else "validation_split"
    fraction = estimator.validation_fraction if split is None else split
    n_rows = data.n_samples
    # At least two rows, which a score needs; as in scikit-learn the share is rounded up.
    n_held_out = max(2, ceil(fraction * n_rows))
    if n_held_out >= n_rows:
        raise ValueError(
            f"The validation set is too small. Increase {name!r} or the size of your dataset: "
            "at least 2 samples to validate on and one to train on are needed, got n_samples = "
            f"{n_rows} (equal ones counted once) and {name}={fraction}."
        )
    train, held_out = train_test_split(
        np.arange(n_rows),
        test_size=n_held_out,
        random_state=seed,
        stratify=targets.strata(data.y, n_held_out),
    )
    return train, held_out


def take_parts(data: Data, train: IntArray, held_out: IntArray) -> tuple[Data, Data]:
    """Return the two parts of the data; one in which nobody counts raises ValueError."""
    parts = {"training": data.take(train), "validation": data.take(held_out)}
    for name, part in parts.items():
        if part.n_samples == 0 or part.total_weight == 0.0:
            raise ValueError(f"All samples in the {name} part have weight zero; use another random_state.")
    return parts["training"], parts["validation"]


def is_fraction(split: Any) -> bool:
    """Tell whether `validation_split` asks for a random part of the rows."""
    return split is None or isinstance(split, Real)


def as_validation(estimator: Any, data: Data, targets: Targets, model: Model) -> Validation:
    """Return the data with the loss and the score to judge by."""
    loss = model.loss.evaluation()
    scoring = estimator.scoring
    if scoring is None:
        return Validation(data, loss, lambda params, raw: targets.score(data.y, raw, data.sample_weight))
    if scoring == "loss":
        return Validation(data, loss)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    y = targets.original(data.y)
    weights = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}

    def score(params: Parameters, raw: FloatArray) -> float:
        if not np.isfinite(raw).all():
            return float("nan")
        return float(scorer(_at(estimator, model, params), data.X, y, **weights))

    return Validation(data, loss, score)


def _at(estimator: Any, model: Model, params: Parameters) -> Any:
    """Return a stand-in for the estimator that predicts with the given parameters."""
    probe = object.__new__(type(estimator))
    # The rows are validated already, and arrays: without names there is nothing to warn about.
    attributes = {name: value for name, value in vars(estimator).items() if name != "feature_names_in_"}
    probe.__dict__.update(attributes, _model=model.with_params(params.vector))
    return probe

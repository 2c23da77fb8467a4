"""Validation data: the user's own, held out by a splitter, or held out at random."""

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
from skmlp.estimators.model import Model
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.targets import Targets
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data, join
from skmlp.training.plan import Validation


class DataSplit(NamedTuple):
    """The data of a fit, split into training and validation data."""

    training: Data
    held_out: Data | None = None
    score_weight: FloatArray | None = None  # of the held-out rows, as the user passed them
    everything: Data | None = None  # training and validation data, for a refit


def wants_split(estimator: Any) -> bool:
    """Tell whether rows are to be held out; for L-BFGS only with an explicit `validation_split`."""
    return estimator.validation_split is not None or (estimator.early_stopping and estimator.solver != "lbfgs")


def keeps_best(estimator: Any) -> bool:
    """Tell whether training ends with the weights of the best epoch; by default with early stopping only."""
    return bool(estimator.early_stopping if estimator.restore_best is None else estimator.restore_best)


def split_data(
    estimator: Any,
    rows: Data,
    own: Data | None,
    targets: Targets,
    seed: int,
    groups: Any,
    weigh: Callable[[Data], Data],
) -> DataSplit:
    """Hold rows out as the parameters say, unless the user passed validation data of their `own`.

    `rows` and `own` have the weights that the user passed; `weigh` returns them with the weights to train with, which
    class weights may change.
    """
    everything = weigh(rows)
    if own is not None:
        held_out = weigh(own)
        joined = join(everything, held_out) if estimator.refit else None
        return DataSplit(everything, held_out.in_one_type(), own.sample_weight, joined)
    if not wants_split(estimator):
        return DataSplit(everything)
    if is_fraction(estimator.validation_split):
        train, test = random_split(estimator, everything, targets, seed)
    else:
        train, test = splitter_split(estimator.validation_split, rows.X, targets.original(rows.y), groups)
    training, held_out = take_rows(everything, train, test)
    score_weight = None if rows.sample_weight is None else rows.sample_weight[test]
    return DataSplit(training, held_out.in_one_type(), score_weight, everything if estimator.refit else None)


def splitter_split(splitter: Any, X: Any, y: Any, groups: Any) -> tuple[IntArray, IntArray]:
    """Return the rows of the last split to train and to validate on: for time-ordered data the latest rows."""
    try:
        *_, (train, held_out) = check_cv(splitter).split(X, y, groups)
    except (ValueError, TypeError) as error:
        raise ValueError(f"validation_split={splitter!r} could not split the data: {error}") from error
    return np.asarray(train), np.asarray(held_out)


def random_split(estimator: Any, data: Data, targets: Targets, seed: int) -> tuple[IntArray, IntArray]:
    """Return random rows to train and to validate on, stratified by class where that is possible.

    Rows of weight zero stay in the training data, where they have no effect.
    """
    split = estimator.validation_split
    name = "validation_fraction" if split is None else "validation_split"
    fraction = estimator.validation_fraction if split is None else split
    weight = data.sample_weight
    counting = np.arange(data.n_samples) if weight is None else np.flatnonzero(weight)
    n_rows = counting.size
    # A score needs at least two rows. As in scikit-learn, the number is rounded up.
    n_asked = math.ceil(fraction * n_rows)
    n_held_out = max(2, n_asked)
    if n_held_out >= n_rows:
        raise ValueError(
            f"The validation set is too small. Increase {name!r} or the size of your dataset: at least 2 validation "
            f"samples and 1 training sample are needed, got n_samples = {n_rows} with a positive weight and "
            f"{name}={fraction}."
        )
    strata = targets.strata(data.y[counting], n_held_out, is_tiny=n_asked < 2)
    try:
        _, held_out = train_test_split(counting, test_size=n_held_out, random_state=seed, stratify=strata)
    except ValueError as error:
        if strata is None or n_asked >= 2:
            raise
        raise ValueError(
            f"{error} The two classes are {targets.original(np.array([[0.0], [1.0]])).tolist()}; 'True' stands for the "
            "second one. Increase the size of your dataset, or set "
            f"{'early_stopping=False' if split is None else 'validation_split=None'}."
        ) from None
    trained = np.ones(data.n_samples, dtype=bool)
    trained[held_out] = False
    return np.flatnonzero(trained), held_out


def take_rows(data: Data, train: IntArray, held_out: IntArray) -> tuple[Data, Data]:
    """Return training and validation data; one without a positive weight raises ValueError."""
    parts = {"training": data.take(train), "validation": data.take(held_out)}
    for name, part in parts.items():
        if part.n_samples == 0 or part.total_weight == 0.0:
            raise ValueError(
                f"All samples in the {name} part have weight zero. Choose a validation_split that leaves samples with "
                "a positive sample_weight in both parts."
            )
    return parts["training"], parts["validation"]


def is_fraction(split: Any) -> bool:
    """Tell whether `validation_split` asks for a random split."""
    return split is None or isinstance(split, Real)


def as_validation(estimator: Any, split: DataSplit, targets: Targets, model: Model) -> Validation | None:
    """Return the held-out data with the loss and score to evaluate; None without held-out data."""
    data, scoring, loss = split.held_out, estimator.scoring, model.loss.eval_loss()
    if data is None:
        return None
    if scoring is None:
        return Validation(data, loss, lambda params, raw: targets.score(data.y, raw, data.sample_weight))
    if scoring == "loss":
        return Validation(data, loss)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    weights = {} if split.score_weight is None or not takes_weight(scorer) else {"sample_weight": split.score_weight}
    y = targets.original(data.y)
    compute_safely = safe_score(scoring)

    def score(params: Parameters, raw: FloatArray) -> float:
        if not np.isfinite(raw).all():
            return math.nan
        return compute_safely(lambda: scorer(_at(estimator, model, params), data.X, y, **weights))

    return Validation(data, loss, score)


def takes_weight(scorer: Any) -> bool:
    """Tell whether a scorer takes `sample_weight`."""
    function = getattr(scorer, "_score_func", scorer)  # scorers of make_scorer always take it, their functions may not
    try:
        parameters = signature(function).parameters
    except ValueError:  # some functions in C have no signature
        return False
    return "sample_weight" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def safe_score(scoring: Any) -> Callable[[Callable[[], Any]], float]:
    """Return a function that computes a score; one that cannot be computed is NaN, with one warning per training."""
    warned = False

    def compute_safely(compute: Callable[[], Any]) -> float:
        nonlocal warned
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)  # the warning below says the same
                score = float(compute())
        except Exception as error:  # of any kind: an error in the user's function must not end the training
            score, reason = math.nan, f"it raised {type(error).__name__}: {error}"
        else:
            reason = "it is not defined for these data (NaN)"
        if math.isnan(score) and not warned:
            warned = True
            warn_caller(
                f"The validation score scoring={scoring!r} could not be computed: {reason}. The history has NaN in its "
                "place, and the validation loss is used to find the best epoch and to stop early. Choose another "
                "scoring, or other validation data.",
                UndefinedMetricWarning,
            )
        return score

    return compute_safely


def _at(estimator: Any, model: Model, params: Parameters) -> Any:
    """Return a stand-in for the estimator that predicts with the given parameters."""
    stand_in = object.__new__(type(estimator))
    # The rows to predict are arrays, for which feature names would cause a warning.
    attributes = {name: value for name, value in vars(estimator).items() if name != "feature_names_in_"}
    # They are encoded, too.
    attributes |= {"_table": None, "n_features_in_": model.network.n_in, "_model": model.with_params(params.vector)}
    stand_in.__dict__.update(attributes)
    return stand_in

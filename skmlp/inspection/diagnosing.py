"""Diagnosis of the training of an estimator, or of stored records."""

from collections.abc import Mapping
from typing import Any

from skmlp.diagnosis import Diagnosis, Evidence, judge
from skmlp.inspection._estimators import fitted_estimator, transform_data


def diagnose(
    estimator_or_history: Any,
    X: Any = None,
    y: Any = None,
    sample_weight: Any = None,
    *,
    monitor: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Tell what went wrong in a training, with the numbers that prove it and what to do.

    Parameters
    ----------
    estimator_or_history : estimator or dict
        A fitted estimator of skmlp, also as the last step of a Pipeline, in a search (its best estimator) or in a
        TransformedTargetRegressor; or a stored ``history_``: a dict of lists with at least ``train_loss``.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features), default=None
        The training data, as passed to ``fit``. Not needed after a fit with ``monitor=True``, which examines them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Target values.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights.
    monitor : dict of ndarray, optional
        For a history: the stored ``monitor_``.

    Returns
    -------
    diagnosis : Diagnosis
        A sequence of :class:`~skmlp.diagnosis.Finding`, most severe first. A history contains the losses and a
        ``monitor`` the statistics of the layers; findings about the data, and suitable remedies, need the estimator.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `estimator_or_history` is neither of them.
    ValueError
        If only one of X and y is given, if they are invalid or given with a history, or if a history has no losses.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import diagnose
    >>> X, y = load_wine(return_X_y=True)
    >>> network = MLPClassifier((16,), learning_rate_init=1e-6, max_iter=30, tol=0.0, monitor=True, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network)
    >>> diagnosis = diagnose(model.fit(X, y))  # doctest: +SKIP
    >>> diagnosis.codes  # doctest: +SKIP
    ['learning_rate_too_low']
    >>> diagnose({"train_loss": [1.0, 4.0, 0.9, 3.0, 1.2, 5.0], "learning_rate": [0.1] * 6}).codes
    ['learning_rate_too_high']
    """
    if isinstance(estimator_or_history, Mapping):
        return _of_history(estimator_or_history, X, y, monitor)
    if monitor is not None:
        raise ValueError("The 'monitor' parameter of diagnose is for a history; an estimator has its own monitor_.")
    network = fitted_estimator(estimator_or_history, "diagnose, unless given a history,")
    if X is not None:
        X, y = transform_data(estimator_or_history, X, y)
    diagnosis: Diagnosis = network.diagnose(X, y, sample_weight)
    return diagnosis


def _of_history(history: Mapping[str, Any], X: Any, y: Any, monitor: Mapping[str, Any] | None) -> Diagnosis:
    if X is not None or y is not None:
        raise ValueError("X and y can only be examined with a network. Pass the estimator instead of its history.")
    if len(history.get("train_loss", ())) == 0:
        raise ValueError(
            f"A history needs 'train_loss' of at least one epoch. Got a dict with the keys {sorted(history)} instead."
        )
    return judge(Evidence(history, monitor or {}))

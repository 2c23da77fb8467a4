"""The diagnosis of a training, of an estimator or of records that were kept elsewhere."""

from collections.abc import Mapping
from typing import Any

from skmlp.diagnosis import Diagnosis, Evidence, judge
from skmlp.inspection._estimators import as_trained_on, fitted_mlp

__all__ = ["diagnose"]


def diagnose(
    estimator_or_history: Any,
    X: Any = None,
    y: Any = None,
    sample_weight: Any = None,
    *,
    monitor: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Say what went wrong in a training, with the numbers that prove it and what to do.

    Parameters
    ----------
    estimator_or_history : estimator or dict
        A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, in a search (its best estimator)
        or in a TransformedTargetRegressor; or a history that was kept: a dict of lists as ``history_``, with at least
        ``train_loss``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        The rows it was trained on, as they were passed to ``fit``. After a fit with ``monitor=True`` they are not
        needed: they were looked at then.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Their weights.
    monitor : dict of ndarray, optional
        With a history: what was observed, as ``monitor_``.

    Returns
    -------
    diagnosis : Diagnosis
        A sequence of :class:`~skmlp.diagnosis.Finding`, the gravest first. A history alone tells of the losses, and a
        ``monitor`` of what happened inside; scales, classes and remedies that fit need the estimator.

    Raises
    ------
    NotFittedError
        Before the first fit or partial_fit.
    TypeError
        For anything else.
    ValueError
        For X and y with a history, for only one of them, for invalid ones, or for a dict without losses.

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
        raise ValueError("monitor belongs to a history: an estimator has its own.")
    network = fitted_mlp(estimator_or_history, "diagnose, if not a history,")
    if X is not None:
        X, y = as_trained_on(estimator_or_history, X, y)
    diagnosis: Diagnosis = network.diagnose(X, y, sample_weight)
    return diagnosis


def _of_history(history: Mapping[str, Any], X: Any, y: Any, monitor: Mapping[str, Any] | None) -> Diagnosis:
    if X is not None or y is not None:
        raise ValueError("X and y are looked at through a network: pass the estimator instead of its history.")
    if len(history.get("train_loss", ())) == 0:
        raise ValueError(
            f"A history needs the losses of at least one epoch as 'train_loss'. Got a dict with {sorted(history)}."
        )
    return judge(Evidence(history, monitor or {}))

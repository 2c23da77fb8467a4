"""The diagnosis of an estimator's own training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.diagnosis import Diagnosis, Evidence, Finding, TrainingHealthWarning, judge
from skmlp.estimators.probing import constant_loss, probe
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.state import Model
from skmlp.training.batches import Data
from skmlp.training.monitor import Monitor

__all__ = ["SelfDiagnosis", "diagnose_divergence", "warn_about_health", "warn_if_worse_than_constant"]

# A loss as a multiple of that of a constant prediction from which on the network is looked at more closely.
SUSPICIOUS = 3.0


class SelfDiagnosis:
    """Gives the two estimators :meth:`diagnose`."""

    _facts: dict[str, Any]

    def diagnose(self: Any, X: Any = None, y: Any = None, sample_weight: Any = None) -> Diagnosis:
        """Say what went wrong in the training, with the numbers that prove it and what to do.

        Judged are the records of the last fit, or of all partial fits. With ``monitor=True`` they tell what happened
        inside the network, and the data were looked at while they were at hand.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The rows it was trained on, or some of them: to judge their scale, the classes and the units by.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of :class:`~skmlp.diagnosis.Finding`, the gravest first; printed, or shown in a notebook, it is a
            report.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            When only one of X and y is given, or they are invalid.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skmlp import MLPClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> est = MLPClassifier(max_iter=50, tol=1.0, random_state=0).fit(X, y)
        >>> print(est.diagnose(X, y).find("unscaled_inputs"))
        [warning] Unscaled inputs: The sizes of the features range from 0.38 to 8.1e+02 (column 12); they should be
        about 1.
            evidence: largest 810, smallest 0.383
            try: Standardize the features: make_pipeline(StandardScaler(), ...)
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise ValueError("diagnose needs X and y together, or neither of them.")
        if X is None:
            return judge(_evidence(self, self._facts))
        model = self._model
        data, _ = self._validate(X, y, sample_weight, model.dtype, fitted=model, partial=True)
        return judge(_evidence(self, probe(model, data)))


def warn_about_health(estimator: Any) -> None:
    """Warn once about what is severe."""
    _warn_of(judge(_evidence(estimator, estimator._facts)).at_least("severe"), "estimator.diagnose()")


def warn_if_worse_than_constant(estimator: Any, model: Model, data: Data) -> None:
    """Warn once when a fit ended with a network that predicts far worse than a constant does.

    The last loss tells whether that may be so. Only then the network is looked at: losses of an epoch are means over
    it, with dropout, and other weights may have been kept.
    """
    losses = estimator.history_["train_loss"]
    if not losses or not losses[-1] > SUSPICIOUS * constant_loss(model, data):
        return
    diagnosis = judge(_evidence(estimator, probe(model, data)))
    finding = diagnosis.find("worse_than_constant")
    if finding is not None:
        causes = [each for each in diagnosis.at_least("severe") if each is not finding]
        _warn_of([*causes, finding], "estimator.diagnose(X, y)")


def _warn_of(findings: Sequence[Finding], more: str) -> None:
    if findings:
        told = " ".join(f"{each.title}: {each.message}" for each in findings)
        first = f" Try: {findings[0].remedies[0]}." if findings[0].remedies else ""
        warn_caller(f"{told}{first} {more} tells more.", TrainingHealthWarning)


def diagnose_divergence(estimator: Any, model: Model, data: Data, message: str, monitor: Monitor | None) -> Diagnosis:
    """Return the diagnosis of a training that was given up with this message, in an epoch that is not recorded.

    To be called before the estimator is put back to what it was.
    """
    observed = None if monitor is None else monitor.end_epoch()
    if monitor is not None and observed is not None:
        estimator._observations.append(monitor.epoch, observed.layers)
    history = {name: [*column, math.nan] for name, column in estimator.history_.items()}
    history["learning_rate"][-1] = model.state.learning_rate
    try:
        facts = probe(model, data)
    except Exception:  # a loss or an activation of the user's own, which does not take what is infinite
        facts = {}
    return judge(
        Evidence(
            history=history,
            monitor=estimator.monitor_,
            params=estimator.get_params(deep=False),
            data_summary=facts,
            weights=estimator.coefs_,
            biases=estimator.intercepts_,
            stop_reason="non_finite",
            stop_message=message,
            n_iter=estimator.n_iter_ + 1,
            **_names(estimator),
        )
    )


def _names(estimator: Any) -> dict[str, Any]:
    """Return what the user calls features and classes."""
    return {
        "feature_names": getattr(estimator, "feature_names_in_", ()),
        "class_names": np.asarray(getattr(estimator, "classes_", ())).tolist(),
    }


def _evidence(estimator: Any, facts: Mapping[str, Any]) -> Evidence:
    n_epochs = max(1, len(estimator.history_["loss"]) - estimator._epochs_before)
    is_stream = n_epochs > max(1, estimator.n_iter_)  # partial fits, none of which ended for a reason
    keeps_best = estimator.early_stopping if estimator.restore_best is None else estimator.restore_best
    return Evidence(
        history=estimator.history_,
        monitor=estimator.monitor_,
        params=estimator.get_params(deep=False),
        data_summary=facts,
        weights=estimator.coefs_,
        biases=estimator.intercepts_,
        stop_reason="" if is_stream and estimator.stop_reason_ == "max_iter" else estimator.stop_reason_,
        stop_message=estimator.stop_message_,
        n_iter=n_epochs,
        restored=bool(keeps_best) and estimator.best_n_iter_ is not None,
        **_names(estimator),
    )

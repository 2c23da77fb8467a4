"""The diagnosis of an estimator's own training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.diagnosis import Diagnosis, Evidence, TrainingHealthWarning, judge
from skmlp.estimators.probing import probe
from skmlp.estimators.reporting import warn_caller

__all__ = ["SelfDiagnosis", "warn_about_health"]


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
        [warning] Unscaled inputs: The features are of sizes from 0.38 to 8.1e+02 (column 12). A network wants about 1.
            evidence: largest 810, smallest 0.383
            try: Scale them: make_pipeline(StandardScaler(), ...)
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
    severe = judge(_evidence(estimator, estimator._facts)).at_least("severe")
    if severe:
        told = " ".join(f"{each.title}: {each.message}" for each in severe)
        first = f" Try: {severe[0].remedies[0]}." if severe[0].remedies else ""
        warn_caller(f"{told}{first} estimator.diagnose() tells more.", TrainingHealthWarning)


def _evidence(estimator: Any, facts: Mapping[str, Any]) -> Evidence:
    n_epochs = max(1, len(estimator.history_["loss"]) - estimator._epochs_before)
    is_stream = n_epochs > max(1, estimator.n_iter_)  # partial fits, none of which ended for a reason
    keeps_best = estimator.early_stopping if estimator.restore_best is None else estimator.restore_best
    return Evidence(
        history=estimator.history_,
        monitor=estimator.monitor_,
        params=estimator.get_params(deep=False),
        facts=facts,
        weights=estimator.coefs_,
        biases=estimator.intercepts_,
        stop_reason="" if is_stream and estimator.stop_reason_ == "max_iter" else estimator.stop_reason_,
        stop_message=estimator.stop_message_,
        n_iter=n_epochs,
        restored=bool(keeps_best) and estimator.best_n_iter_ is not None,
        feature_names=getattr(estimator, "feature_names_in_", ()),
        class_names=np.asarray(getattr(estimator, "classes_", ())).tolist(),
    )

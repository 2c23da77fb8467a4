"""The scikit-learn shell: validation, labels, parameter names into core objects, fitted attributes."""

from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]

"""The scikit-learn shell: validation, labels, parameter names into core objects, fitted attributes."""

from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.regressor import MLPRegressor
from skmlp.estimators.tabular_classifier import TabularMLPClassifier
from skmlp.estimators.tabular_regressor import TabularMLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularMLPClassifier", "TabularMLPRegressor"]

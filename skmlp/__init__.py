"""skmlp: the multi-layer perceptron scikit-learn never got."""

from skmlp.estimators import MLPClassifier, MLPRegressor

__version__ = "0.1.0"

__all__ = ["MLPClassifier", "MLPRegressor", "__version__"]

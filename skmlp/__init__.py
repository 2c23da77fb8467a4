"""skmlp: the multi-layer perceptron scikit-learn never got."""

from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.search_space import search_space
from skmlp.inspection import lr_find

__version__ = "0.1.0"

__all__ = ["MLPClassifier", "MLPRegressor", "__version__", "lr_find", "search_space"]

"""scikit-learn's MLPs with their defaults, behind the preprocessing that they need."""

import warnings
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tables.methods.preparing import one_hot_and_standardized


def build(task: str, seed: int, cores: int, **options: Any) -> Any:
    """Return the pipeline; in regression the target is standardized, too."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # the default is 200 epochs
    if task == "classification":
        return make_pipeline(one_hot_and_standardized(), MLPClassifier(random_state=seed, **options))
    regressor = TransformedTargetRegressor(MLPRegressor(random_state=seed, **options), transformer=StandardScaler())
    return make_pipeline(one_hot_and_standardized(), regressor)

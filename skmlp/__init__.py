"""skmlp: the multi-layer perceptron scikit-learn never got."""

from typing import TYPE_CHECKING

from skmlp._version import __version__

if TYPE_CHECKING:
    # Under their own names: what type checkers shall find without an import of it.
    from skmlp import callbacks as callbacks
    from skmlp import diagnosis as diagnosis
    from skmlp import estimators as estimators
    from skmlp import inspection as inspection
    from skmlp import nn as nn
    from skmlp import optim as optim
    from skmlp import tables as tables
    from skmlp import tracking as tracking
    from skmlp import training as training
    from skmlp.estimators import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor
    from skmlp.estimators.search_space import search_space
    from skmlp.inspection import lr_find
else:
    from skmlp._on_demand import on_demand

    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "MLPClassifier": "skmlp.estimators",
            "MLPRegressor": "skmlp.estimators",
            "TabularMLPClassifier": "skmlp.estimators",
            "TabularMLPRegressor": "skmlp.estimators",
            "lr_find": "skmlp.inspection",
            "search_space": "skmlp.estimators.search_space",
        },
        modules=("callbacks", "diagnosis", "estimators", "inspection", "nn", "optim", "tables", "tracking", "training"),
    )

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "__version__",
    "lr_find",
    "search_space",
]

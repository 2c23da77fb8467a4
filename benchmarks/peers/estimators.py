"""skmlp and scikit-learn: the whole ``fit`` is timed."""

import importlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import DROPOUT, MOMENTUM, Case, Data

OPTIONS: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": DROPOUT},
    "batch normalization": {"normalization": "batch"},
    "monitor": {"monitor": True},
}


class Peer:
    """An estimator of `package`.

    With `as_is` only the network, the batch size and the number of epochs are set: the fit may stop early.
    """

    def __init__(self, case: Case, data: Data, *, package: str, as_is: bool = False) -> None:
        warnings.simplefilter("ignore")  # of convergence and of the diagnosis
        estimators = importlib.import_module(package)
        params: dict[str, Any] = {"hidden_layer_sizes": case.hidden, "batch_size": case.batch_size}
        if not as_is:
            params |= {
                "solver": case.solver,
                "learning_rate_init": case.learning_rate,
                "momentum": MOMENTUM,
                "alpha": 0.0,
                "tol": 0.0,
                "n_iter_no_change": np.inf,
            }
            if package == "skmlp":
                params |= {"weight_init": "glorot_uniform", "bias_init": "glorot_uniform"}  # as in scikit-learn
        params |= OPTIONS.get(case.option, {})
        self.estimator = getattr(estimators, "MLPRegressor" if case.regression else "MLPClassifier")(**params)
        if case.option == "tracking":
            self._track()
        self.X, self.y = data

    def _track(self) -> None:
        """Log every fit to a new MLflow store."""
        from skmlp.tracking import MLflowCallback

        self.folder = tempfile.TemporaryDirectory()
        uri = f"sqlite:///{Path(self.folder.name, 'mlflow.db')}"
        self.estimator.set_callbacks(MLflowCallback(tracking_uri=uri))

    def start(self, seed: int) -> None:
        self.estimator.set_params(random_state=seed)

    def train(self, epochs: int) -> int:
        self.estimator.set_params(max_iter=epochs).fit(self.X, self.y)
        return int(self.estimator.n_iter_)

    def predict(self) -> Any:
        return getattr(self.estimator, "predict_proba", self.estimator.predict)(self.X)

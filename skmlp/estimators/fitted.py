"""The fitted attributes that are derived from the model or the history."""

from collections.abc import Mapping
from math import inf, isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators.model import Model
from skmlp.nn.statistics import BANDS
from skmlp.training.history import History, Observations
from skmlp.training.monitor import QUANTILE_STATISTICS

if TYPE_CHECKING:
    import pandas as pd


class FittedAttributes:
    """Attributes derived from ``_model`` and ``history_``; before fit they do not exist."""

    _model: Model
    _observations: Observations
    history_: History
    n_iter_: int
    early_stopping: bool

    @property
    def coefs_(self) -> list[FloatArray]:
        """Weight matrices of shape (n_in, n_out), one for each layer: views, writing into them changes the network."""
        return self._fitted("coefs_")._model.params.weights

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        _write_into(self.coefs_, values, "coefs_")

    @property
    def intercepts_(self) -> list[FloatArray]:
        """Bias vectors of shape (n_out,), one for each layer: views, writing into them changes the network."""
        return self._fitted("intercepts_")._model.params.biases

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        _write_into(self.intercepts_, values, "intercepts_")

    @property
    def monitor_(self) -> dict[str, AnyArray]:
        """Statistics observed inside the network: for each an array with one row per observed epoch."""
        return self._fitted("monitor_")._observations.columns

    @property
    def loss_curve_(self) -> list[float]:
        """The objective (mean loss plus penalty) of each epoch: ``history_["loss"]``."""
        return self._fitted("loss_curve_").history_["loss"]

    @property
    def loss_(self) -> float:
        """The last finite objective of an epoch."""
        return next((loss for loss in reversed(self._fitted("loss_").history_["loss"]) if isfinite(loss)), nan)

    @property
    def best_loss_(self) -> float | None:
        """The lowest objective of an epoch since the last start of training; None with validation data."""
        history = self._fitted("best_loss_").history_
        if "validation_score" in history:
            return None
        best = self._model.state.plateau.best
        return best if best < inf else min(history["loss"][-max(1, self.n_iter_) :])

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score of the validation data after each epoch; None without validation data."""
        return self._fitted("validation_scores_").history_.get("validation_score")

    @property
    def best_validation_score_(self) -> float | None:
        """The highest score since the last start of training; None without validation data."""
        scores = self._fitted("best_validation_score_").history_.get("validation_score")
        if scores is None:
            return None
        recent, best = scores[-max(1, self.n_iter_) :], self._model.state.plateau.best
        # If a score was undefined, training was guided by the loss.
        if self.early_stopping and best < inf and not any(map(isnan, recent)):
            return -best
        return max(filter(isfinite, recent), default=nan)

    def history_frame(self) -> "pd.DataFrame":
        """Return the history as a pandas DataFrame, one row per epoch, indexed by the number of the epoch from 1.

        Returns
        -------
        frame : DataFrame
            Columns as in ``history_``.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        import pandas as pd

        check_is_fitted(self)
        frame = pd.DataFrame(self.history_)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="epoch")
        return frame

    def monitor_frame(self) -> "pd.DataFrame":
        """Return the statistics observed inside the network as a tidy pandas DataFrame, one row per value.

        Returns
        -------
        frame : DataFrame
            Columns ``epoch``, ``layer`` (from 1), ``statistic`` and ``value``. The nine quantiles of a layer are
            separate statistics, from ``gradient_quantile_0`` to ``gradient_quantile_1``. Values that do not exist,
            such as the dead units of the output layer, are omitted.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> est = MLPClassifier((8,), max_iter=20, tol=0.1, monitor=True, random_state=0).fit(X, y)
        >>> frame = est.monitor_frame()
        >>> norms = frame[frame["statistic"] == "gradient_norm"].pivot(index="epoch", columns="layer", values="value")
        >>> norms.shape == (len(est.monitor_["epoch"]), 2)
        True
        """
        check_is_fitted(self)
        return frame_of_observations(self.monitor_)

    def _fitted(self, attribute: str) -> "FittedAttributes":
        if "_model" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r} before fit.")
        return self


def _write_into(views: list[FloatArray], values: Any, name: str) -> None:
    shapes = [view.shape for view in views]
    if [np.shape(value) for value in values] != shapes:
        raise ValueError(f"{name} must have the shapes of the fitted network, {shapes}; it is written in place.")
    for view, value in zip(views, values, strict=True):
        view[...] = value


def frame_of_observations(observations: Mapping[str, AnyArray]) -> "pd.DataFrame":
    """Return the columns of ``monitor_`` as a tidy frame, one row per value that exists."""
    import pandas as pd

    observed = dict(observations)
    for name in QUANTILE_STATISTICS:
        bands = observed.pop(name)
        one = name.removesuffix("s")
        observed |= {f"{one}_{level:g}": bands[..., index] for index, level in enumerate(BANDS)}
    epochs = observed.pop("epoch")
    n_layers = observed["gradient_norm"].shape[1]
    cells = {name: values.reshape(-1) for name, values in observed.items()}
    frame = pd.DataFrame(
        {
            "epoch": np.tile(np.repeat(epochs, n_layers), len(cells)),
            "layer": np.tile(np.arange(1, n_layers + 1), len(cells) * len(epochs)),
            "statistic": np.repeat(list(cells), len(epochs) * n_layers),
            "value": np.concatenate(list(cells.values())),
        }
    )
    return frame.dropna(ignore_index=True)

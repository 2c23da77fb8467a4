"""The base of the two tabular estimators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import inf, nan
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.stats import loguniform
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import AnyArray, FloatArray
from skmlp.diagnosis import Diagnosis
from skmlp.estimators import tabular_fitting, tabular_health
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.builders import spawn_seeds
from skmlp.estimators.callback_support import CallbackSupport
from skmlp.estimators.fitted import frame_of_observations
from skmlp.estimators.input_checks import encode_rows
from skmlp.estimators.members import draw_settings
from skmlp.estimators.parameter_support import ParameterSupport
from skmlp.estimators.parameters import ParameterTable
from skmlp.estimators.storing import restore_state, shallow_copy, storable_state
from skmlp.estimators.table_inputs import TableInputs
from skmlp.nn.layers import PBLD
from skmlp.nn.losses import Loss
from skmlp.training.batches import Data
from skmlp.training.history import History, mean_observations

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnyMLP", "BaseTabularMLP"]

# Rows that are predicted at a time, so that memory stays bounded.
BLOCK_ROWS = 8192


class BaseTabularMLP(CallbackSupport, ParameterSupport, ABC):
    """Base of the two tabular estimators; not for direct use."""

    # Every cross-validation takes `groups` for its own splitter; fit gets them on set_fit_request(groups=True) only.
    __metadata_request__fit = {"groups": False}

    _member_parameters: ClassVar[ParameterTable]
    _learning_rate: ClassVar[float]
    _table: TableInputs | None
    estimators_: list[Any]
    members_: list[dict[str, Any]]
    history_: History
    n_iter_: int
    # What the diagnosis needs: numbers about the training data, members that diverged in their first epoch, the number
    # of samples in the validation data, epochs and losses of the pauses of the schedule.
    _data_summary: dict[str, Any]
    _left_out: list[dict[str, Any]]
    _n_validated: int
    _pauses: list[list[float]]

    @abstractmethod
    def _new_member(self, settings: dict[str, Any]) -> BaseMLP:
        """Return an unfitted member with the default settings but for some."""

    def _common_settings(self) -> dict[str, Any]:
        """Return the default settings that members of both kinds have."""
        return {
            "hidden_layer_sizes": (128, 128, 128),
            "alpha": 0.0,
            "batch_size": "auto",
            "learning_rate": "coslog",
            "learning_rate_init": self._learning_rate,
            "beta_2": 0.95,
            "max_iter": self.max_iter,
            "n_iter_no_change": inf,
            "weight_init": "lecun_normal",
            "parametrization": "ntk",
            "dropout": 0.15,
            "input_scale": 6.0,
            "scaling": "mixed",
            "numeric_embedding": PBLD(),
            "categorical_features": self.categorical_features,
            "max_categories": self.max_categories,
            "missing": "indicator",
            "monitor": self.monitor,
        }

    def _default_space(self) -> dict[str, Any]:
        """Return the distributions that members draw from by default."""
        return {
            "learning_rate_init": loguniform(self._learning_rate / 2.0, self._learning_rate * 2.0),
            "numeric_embedding__sigma": loguniform(0.05, 10.0),
        }

    @abstractmethod
    def _publish(self, template: Any, targets: Any) -> None:
        """Set the fitted attributes that hold the meaning of `y`."""

    @abstractmethod
    def _mean_raw(self, raws: list[FloatArray]) -> FloatArray:
        """Return raw outputs whose prediction is the mean of the members' predictions."""

    @abstractmethod
    def _loss_of_mean(self) -> Loss:
        """Return the loss to evaluate the mean with."""

    def _member_settings(self) -> Any:
        return self._default_space() if self.members is None else self.members

    def _settings_drawn(self) -> list[str]:
        """Return the names of the settings in which members differ."""
        settings = self._member_settings()
        found = [settings] if hasattr(settings, "keys") else settings
        return list(dict.fromkeys(name for each in found for name in each))

    def _first_member(self) -> BaseMLP:
        """Return the first member as it would be in a fit, unfitted."""
        rngs = [np.random.default_rng(seed) for seed in spawn_seeds(self.random_state, 1 + self.n_members)[1:]]
        settings = draw_settings(self._member_settings(), self._member_parameters, rngs)[0]
        return self._new_member(settings).set_params(random_state=int(rngs[0].integers(2**31)))

    def _members_with(self, settings: Mapping[str, Any]) -> Any:
        """Return the parameter `members` with other lists of values for some settings."""
        return tabular_health.members_with(self._member_settings(), settings)

    def _adopt_inputs(self, template: Any) -> None:
        """Take over what the template learned about the table."""
        self._table = template._table
        self.n_features_in_ = template.n_features_in_
        if hasattr(template, "feature_names_in_"):
            self.feature_names_in_ = template.feature_names_in_
        elif "feature_names_in_" in vars(self):
            del self.feature_names_in_

    @_fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Fit the members to a table and targets.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            Numbers, booleans and categories as they are, with missing values. See `categorical_features`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            For a classifier, labels that can be sorted, or a 0/1 indicator matrix for multilabel classification. For a
            regressor, numbers in any unit.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 counts as the row twice.
        X_val, y_val : like X and y, default=None
            Validation data of your own, evaluated after every epoch.
        sample_weight_val : array-like, default=None
            Weights of the rows of X_val.
        groups : array-like of shape (n_samples,), default=None
            For a `validation_split` that keeps groups together. With scikit-learn's metadata routing, an outer
            estimator or cross-validation passes them on after ``set_fit_request(groups=True)``; otherwise it uses them
            for its own splitter only.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            When the table or a parameter is invalid. The estimator is then as it was before the call.
        TypeError
            For a sparse matrix, and for columns that are neither numbers nor categories, such as dates.
        """
        tabular_fitting.fit(self, (X, y, sample_weight), (X_val, y_val, sample_weight_val), groups)
        return self

    # ------------------------------------------------------------------ prediction

    def _rows(self, X: Any) -> FloatArray:
        """Return `X` as the array that the members read, in the dtype to predict in.

        As with the plain estimators that is float64, so that the prediction of a row does not depend on the others but
        in the last digits, unless `X` is a float32 array.
        """
        check_is_fitted(self)
        if self._table is None:
            rows: FloatArray = X
            return rows
        dtype = np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
        return encode_rows(self, self._table, X, dtype)

    def _over_members(self, X: Any, predict: Callable[[Any, FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Return the mean, and the standard deviation, of what `predict` returns for each member, in float64."""
        rows = self._rows(X)
        means, spreads = [], []
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            found = np.array([predict(member, block) for member in self.estimators_], np.float64)
            means.append(found.mean(axis=0))
            spreads.append(found.std(axis=0))
        return np.concatenate(means), np.concatenate(spreads)

    def _of_encoded_rows(self) -> Any:
        """Return a copy whose prediction methods take encoded rows."""
        return shallow_copy(self, _table=None)

    def input_gradient(self, X: Any) -> FloatArray:
        """Return the derivatives of the prediction with respect to the numeric features, row by row.

        They are the means of the members' derivatives; see :meth:`skmlp.MLPClassifier.input_gradient`.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_outputs, n_features) or (n_samples, n_features)
            In float64, per unit of the feature. NaN for categories, which have no derivative; 0 for missing numbers
            and columns that were constant in training. A single output, as for two classes or one target, has no axis.

        Raises
        ------
        NotFittedError
            Before fit.
        """
        check_is_fitted(self)
        assert self._table is not None
        rows = encode_rows(self, self._table, X, np.float64)
        total: Any = sum(member._input_gradient(rows) for member in self.estimators_)
        return self._table.gradient(total / len(self.estimators_), X)

    def encode(self, X: Any) -> FloatArray:
        """Return a table as the array that the members predict from.

        It is what a function for a single network takes together with a member: ``trace(est.estimators_[0],
        est.encode(X), y)``.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        rows : ndarray of shape (n_samples, n_columns), float32
            Scaled numbers, with missing ones replaced; then columns of two categories as -1 and 1, the indicators of
            missing numbers among them; then the codes of other categories, which count through a group of columns. A
            category that was not in training is 0.

        Raises
        ------
        NotFittedError
            Before fit.
        """
        check_is_fitted(self)
        assert self._table is not None
        return encode_rows(self, self._table, X, np.float32)

    # ------------------------------------------------------------------ inspection

    def diagnose(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> Diagnosis:
        """Diagnose problems of the training, with evidence and remedies.

        Findings about the data and about the quality of the fit are about the mean of the members, all others about
        members. What several members have in common is one finding, which says how many have it, with the numbers of
        the median one. Remedies are settings of this estimator; those in `members` are for all of them.

        The diagnosis uses the records of the fit. With ``monitor=True`` they include statistics from inside the
        networks and a summary of the data; with validation data it compares the members.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features), default=None
            The training data, or a sample of them, to examine targets, classes and hidden units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of :class:`~skmlp.diagnosis.Finding`, the most severe first, which prints as a report.

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError
            When only one of X and y is given, or they are invalid.
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise ValueError("diagnose needs X and y together, or neither of them.")
        if X is None:
            return tabular_health.diagnose(self)
        return tabular_health.diagnose(self, self._validate(X, y, sample_weight))

    def _validate(self, X: Any, y: Any, sample_weight: Any) -> Data:
        """Check and encode data like those of the fit."""
        reader = self._new_member({})
        reader._table = self._table
        names = ("n_features_in_", "feature_names_in_")
        for name in names:
            if name in vars(self):
                setattr(reader, name, getattr(self, name))
        member = self.estimators_[0]
        targets = member._fitted_targets()
        data, _ = reader._validate(X, y, sample_weight, np.dtype(np.float32), fitted=member._model, targets=targets)
        return data.in_one_type()

    @property
    def monitor_(self) -> dict[str, AnyArray]:
        """The means over the members of what was observed inside the networks; see :class:`~skmlp.MLPClassifier`.

        Members with another number of layers than the first one's are left out.
        """
        return mean_observations([member.monitor_ for member in self._fitted("monitor_").estimators_])

    def monitor_frame(self) -> "pd.DataFrame":
        """Return ``monitor_`` as a tidy pandas DataFrame, one row per value: epoch, layer, statistic and value.

        Returns
        -------
        frame : DataFrame
            See :meth:`skmlp.MLPClassifier.monitor_frame`.

        Raises
        ------
        NotFittedError
            Before fit.
        """
        check_is_fitted(self)
        return frame_of_observations(self.monitor_)

    def history_frame(self) -> "pd.DataFrame":
        """Return the history as a pandas DataFrame, one row per epoch, indexed by the number of the epoch from 1.

        Returns
        -------
        frame : DataFrame
            Columns as in ``history_``.

        Raises
        ------
        NotFittedError
            Before fit.
        """
        import pandas as pd

        check_is_fitted(self)
        frame = pd.DataFrame(self.history_)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="epoch")
        return frame

    def members_frame(self) -> "pd.DataFrame":
        """Return ``members_`` as a pandas DataFrame, one row per member.

        Returns
        -------
        frame : DataFrame

        Raises
        ------
        NotFittedError
            Before fit.
        """
        import pandas as pd

        check_is_fitted(self)
        frame = pd.DataFrame(self.members_)
        frame.index.name = "member"
        return frame

    @property
    def loss_curve_(self) -> list[float]:
        """The mean of the members' objectives in each epoch: ``history_["loss"]``."""
        return self._fitted("loss_curve_").history_["loss"]

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score of the mean after each epoch; None without validation data."""
        return self._fitted("validation_scores_").history_.get("validation_score")

    @property
    def best_validation_score_(self) -> float | None:
        """The highest of ``validation_scores_``; None without validation data."""
        scores = self._fitted("best_validation_score_").history_.get("validation_score")
        return None if scores is None else max((score for score in scores if score == score), default=nan)

    def _fitted(self, attribute: str) -> "BaseTabularMLP":
        if "estimators_" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r} before fit.")
        return self

    # ------------------------------------------------------------------ scikit-learn's and pickle's protocols

    def __getstate__(self) -> dict[str, Any]:
        return storable_state(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(restore_state(type(self), state))

    def __sklearn_is_fitted__(self) -> bool:
        return "estimators_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Not `categorical`, which scikit-learn reads as for categories alone.
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


# Any estimator of the package, for isinstance and annotations.
AnyMLP = BaseMLP | BaseTabularMLP

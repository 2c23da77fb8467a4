"""What the classifier and the regressor share: fit and partial_fit, prediction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray, IntArray
from skmlp.estimators.builders import (
    adopt_settings,
    batch_rows,
    build_schedule,
    check_architecture,
    compute_dtype,
    current_objective,
    new_model,
    resumed_model,
    start_output_bias,
    training_settings,
    warn_about_batch_size,
)
from skmlp.estimators.combinations import check_batch, check_fit, check_partial_fit
from skmlp.estimators.constraints import ActivationChoice, Function, InstanceWith, Registered
from skmlp.estimators.fitted import FittedAttributes
from skmlp.estimators.health import SelfDiagnosis, warn_about_health, warn_if_worse_than_constant
from skmlp.estimators.holdout import as_validation, divide
from skmlp.estimators.probing import probe
from skmlp.estimators.reporting import EpochTasks, print_epoch, print_plateau, warn_about
from skmlp.estimators.scales import warn_about_scales
from skmlp.estimators.sensitivity import InputGradient
from skmlp.estimators.state import Model
from skmlp.estimators.storing import Storing
from skmlp.estimators.targets import Targets
from skmlp.estimators.training import advice_on_divergence, prepare_rows, refit, train
from skmlp.estimators.validation import (
    FITTED,
    OWN_VALIDATION,
    in_form_of,
    naming,
    validate_rows,
    validate_rows_and_targets,
    validate_weight,
)
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.initializers import INITIALIZERS
from skmlp.nn.layers import NORMALIZATIONS, Normalization
from skmlp.optim.clipping import CLIPS, Clip
from skmlp.optim.schedules import SCHEDULES, Schedule, Scheduled
from skmlp.optim.solvers import SOLVERS, Solver
from skmlp.training.batches import Data
from skmlp.training.events import Result, Row
from skmlp.training.history import Observations, append_row, empty_history
from skmlp.training.monitor import Monitor, no_observations
from skmlp.training.steps import Buffers
from skmlp.training.stopping import Plateau
from skmlp.training.threads import threads_for_prediction
from skmlp.training.trainer import copy_state

__all__ = ["BaseMLP", "why_no_partial_fit"]

_SCORER = " (sklearn.metrics.make_scorer makes one of a metric)"

# Attributes that scikit-learn's callback machinery keeps on an estimator during fit.
_CALLBACK_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


def why_no_partial_fit(estimator: Any) -> str | None:
    """Return why partial_fit is not available for these parameters, or None when it is."""
    if estimator.solver == "lbfgs":
        return (
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic: it needs all data at "
            'once. Use another solver, for example "adam".'
        )
    if estimator.early_stopping:
        return (
            "partial_fit does not support early_stopping=True: a single pass has nothing to stop. "
            "Set early_stopping=False, and validate between the calls."
        )
    for name in ("max_time", "validation_split", "scoring", "refit", "restore_best"):
        value = getattr(estimator, name)
        if value is not None and value is not False:
            return f"partial_fit is a single pass and has no use for {name}={value!r}. Leave it out, or use fit."
    return None


class BaseMLP(FittedAttributes, InputGradient, SelfDiagnosis, Storing, CallbackSupportMixin, BaseEstimator, ABC):
    """Base of the two estimators; not for direct use."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [ActivationChoice(ACTIVATIONS, Activation)],
        "solver": [Registered(SOLVERS, Solver, extra=("lbfgs",))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto", "full"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Registered(SCHEDULES, Schedule), Function("f(progress)")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state", np.random.Generator],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both"), Scheduled],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64", "input"})],
        "weight_init": [Registered(INITIALIZERS, extra=("auto",)), Function("f(rng, n_in, n_out, dtype)")],
        "bias_init": [Registered(INITIALIZERS, extra=("auto",)), Function("f(rng, n_in, n_out, dtype)")],
        "monitor": ["boolean", Interval(Integral, 1, None, closed="left")],
        "normalization": [Registered(NORMALIZATIONS, Normalization), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like", Scheduled],
        "residual": ["boolean"],
        "alpha_l1": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left"), Scheduled, None],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), Registered(CLIPS, Clip), None],
        "averaging": [Interval(Real, 0, 1, closed="neither"), None],
        "validation_split": [Interval(Real, 0, 1, closed="neither"), InstanceWith(["split"]), None],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), Function("scorer(estimator, X, y)", _SCORER), None],
        "restore_best": ["boolean", None],
        "refit": ["boolean"],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
    }

    # Every cross-validation takes `groups` for its own splitter; fit gets them on set_fit_request(groups=True) only.
    __metadata_request__fit = {"groups": False}

    hidden_layer_sizes: Any
    activation: Any
    solver: Any
    alpha: float
    batch_size: Any
    learning_rate: Any
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: Any
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: Any
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dtype: str
    weight_init: Any
    bias_init: Any
    monitor: bool | int
    normalization: Any
    dropout: Any
    residual: bool
    alpha_l1: float
    weight_decay: Any
    max_norm: float | None
    gradient_clip: Any
    averaging: float | None
    validation_split: Any
    scoring: Any
    restore_best: bool | None
    refit: bool
    max_time: float | None

    # ------------------------------------------------------------------ what the two estimators define

    _y_numeric: bool

    @abstractmethod
    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> Targets:
        """Return the meaning of `y`, learned from all of it at once."""

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Return the meaning of `y` from the fitted attributes."""

    def _set_targets(self, targets: Any) -> None:
        """Set the fitted attributes that hold the meaning of `y`."""

    def _check_warm_start_targets(self, targets: Any, y: Any) -> None:
        """Raise ValueError when `y` means something else than in the previous fit."""

    def _weigh(self, data: Data, targets: Any) -> Data:
        """Return rows, whose targets are encoded, with the weights to train with."""
        return data

    # ------------------------------------------------------------------ parameters

    def set_params(self, **params: Any) -> Any:
        """Set the parameters of this estimator.

        Parameters
        ----------
        **params : dict
            By name. ``activation__negative_slope=0.1`` changes a setting of the object that is the `activation`: of a
            copy of it, because the object may be in a registry, or a parameter of another estimator.

        Returns
        -------
        self : estimator instance
        """
        own = self.get_params(deep=False)
        for outer in {name.partition("__")[0] for name in params if "__" in name}:
            settings = params.get(outer, own.get(outer))
            if isinstance(settings, Configurable):
                params = {**params, outer: copy(settings)}
        return super().set_params(**params)

    # ------------------------------------------------------------------ fitting

    def set_callbacks(self, *callbacks: Any) -> Any:
        """Set callbacks for the estimator.

        Parameters
        ----------
        *callbacks : callback instances
            Of scikit-learn's protocol. One that is automatically propagated belongs on the outermost estimator; it
            may be set on an estimator inside a pipeline or a search all the same when it has a method
            ``without_propagation()`` that returns its like for this place, as
            :class:`skmlp.tracking.MLflowCallback` does.

        Returns
        -------
        self : estimator instance
        """
        for callback in callbacks:
            if isinstance(callback, type):
                raise TypeError(
                    f"set_callbacks takes instances of callbacks, got the class {callback.__name__}. "
                    f"Write set_callbacks({callback.__name__}(...))."
                )
        if not hasattr(self, "_parent_callback_ctx"):  # set by the user, not handed down by an outer estimator
            callbacks = tuple(
                callback.without_propagation() if hasattr(callback, "without_propagation") else callback
                for callback in callbacks
            )
        return super().set_callbacks(*callbacks)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> None:
        """Train until a stopping rule holds."""
        with self._unchanged_on_error(), EpochTasks(self, X, y, sample_weight, self._snapshot) as tasks:
            check_fit(self, X_val, y_val, sample_weight_val, groups)
            fitted = self._model if self.warm_start and hasattr(self, "_model") else None
            rows, targets = self._validate(X, y, sample_weight, compute_dtype(self, fitted), fitted=fitted, weigh=False)
            warn_about_batch_size(self, rows.n_samples)
            batch_size = batch_rows(self, rows.n_samples)
            if fitted is None:
                model = new_model(self, rows, targets)
            else:
                model = resumed_model(self, fitted, targets, rows.X.dtype)
            own = None
            if X_val is not None:
                own, _ = self._validate(
                    *(X_val, y_val, sample_weight_val, rows.X.dtype),
                    fitted=model,
                    targets=targets,
                    names=OWN_VALIDATION,
                    weigh=False,
                )
                own = own._replace(X=in_form_of(rows.X, own.X))
                warn_about_scales(self, rows, own)
            parts = divide(self, rows, own, targets, model.split_seed, groups, lambda data: self._weigh(data, targets))
            training, copies = prepare_rows(model, parts.training, batch_size)
            if fitted is None:
                start_output_bias(self, model, training)
            validation = as_validation(self, parts, targets, model)
            self._publish(model, targets, validation=validation is not None, keep_history=fitted is not None)
            monitor = self._monitor(model, copies)
            start = copy_state(model.state) if self.refit else None
            tasks.begin()

            def on_epoch_end(row: Row, is_last: bool) -> bool:
                self._record(row, monitor)
                return tasks.end_epoch(is_last=is_last)

            result = train(
                self,
                model,
                training,
                batch_size=batch_size,
                max_epochs=self.max_iter,
                length=self.max_iter,
                max_seconds=self.max_time,
                validation=validation,
                early_stopping=self.early_stopping and validation is not None,
                restore_best=self.early_stopping if self.restore_best is None else self.restore_best,
                keep_start=fitted is not None,
                on_epoch_end=on_epoch_end,
                samples_per_epoch=parts.training.n_samples,
                monitor=monitor,
            )
            if start is not None and result.reason != "interrupted":
                result = refit(self, model, start, parts, result)
            model.state.settle()
            self._conclude(result, validation=validation is not None)
            self._say_that_it_converged(result)
            if monitor is not None:
                self._facts = probe(model, parts.training.in_one_type())
            tasks.end()
        lbfgs = self.solver == "lbfgs"
        planned = not lbfgs and build_schedule(self).ignores_plateau
        advice = advice_on_divergence(self, model, training) if result.reason == "non_finite" else ""
        warn_about(result, lbfgs=lbfgs, max_iter=self.max_iter, max_fun=self.max_fun, planned=planned, advice=advice)
        if self.monitor is not False:
            warn_about_health(self)
        elif result.reason in ("converged", "max_iter", "max_fun", "failed"):
            warn_if_worse_than_constant(self, model, parts.training.in_one_type())

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, told_targets: Callable[[], Targets] | None = None
    ) -> None:
        """Train one epoch on the given data; `told_targets` starts a classifier, with parameters that are valid."""
        fitted = self._model if hasattr(self, "_model") else None
        settings = training_settings(self, () if fitted is None else fitted.settings)
        if fitted is None or settings != fitted.settings:
            self._validate_changed_parameters()
            check_partial_fit(self)
        targets = None if told_targets is None else told_targets()
        with self._unchanged_on_error():
            dtype = compute_dtype(self, None) if fitted is None else fitted.dtype
            data, targets = self._validate(X, y, sample_weight, dtype, fitted=fitted, targets=targets, partial=True)
            data = data.in_one_type()
            check_batch(self, data.n_samples)
            if fitted is None:
                model = new_model(self, data, targets)
                start_output_bias(self, model, data)
                self._publish(model, targets, validation=False, keep_history=False)
            else:
                model = fitted
                if settings != model.settings:
                    check_architecture(self, model, targets, "partial_fit")
                    self._model = model = model.fork()  # what is refused later leaves the old one as it was
                    adopt_settings(self, model, targets, new_fit=False)
                if "validation_score" in self.history_:  # progress was measured on rows set aside; there are none now
                    self.history_, self._epochs_before = empty_history(validation=False), 0
                    self._observations = no_observations(len(model.params.weights))
                    model.state.plateau = Plateau(self.tol, self.n_iter_no_change)
            self.n_iter_ = 0
            warn_about_batch_size(self, data.n_samples)
            batch_size = batch_rows(self, data.n_samples)
            monitor = self._monitor(model)
            start = model.save(shuffles=self.shuffle and batch_size < data.n_samples)
            try:
                result = train(
                    self,
                    model,
                    data,
                    batch_size=batch_size,
                    max_epochs=1,
                    keep_start=fitted is not None,
                    start=start,
                    on_epoch_end=lambda row, is_last: self._record(row, monitor),
                    buffers=model.buffers_for(batch_size + model.network.couples_rows),
                    monitor=monitor,
                )
            except BaseException:
                model.go_back()
                raise
            self._conclude(result, validation=False)
        self._say_that_it_converged(result)
        if result.reason in ("interrupted", "non_finite"):
            warn_about(result, advice=advice_on_divergence(self, model, data))

    def _validate_changed_parameters(self) -> None:
        if not get_config()["skip_parameter_validation"]:
            self._validate_params()

    def _validate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        dtype: Any,
        *,
        fitted: Model | None,
        targets: Targets | None = None,
        partial: bool = False,
        weigh: bool = True,
        names: tuple[str, str, str] = FITTED,
    ) -> tuple[Data, Targets]:
        """Check what the user passed and encode it; errors call it by its `names`.

        Without a `fitted` model to go on from, the meaning of `y` is learned from it or given as `targets`. In a
        warm-started fit, though not in a partial one, `y` must have all classes. The weights are those to train with;
        without `weigh` they are the user's own.
        """
        X, y = validate_rows_and_targets(
            self, X, y, dtype, y_numeric=self._y_numeric, reset=fitted is None, names=names
        )
        if fitted is not None and targets is None:
            targets = self._fitted_targets()
            if not partial:
                self._check_warm_start_targets(targets, y)
        weight = validate_weight(sample_weight, X, names[2])
        with naming(names[1], y, "y"):
            if targets is None:
                targets = self._learn_targets(y, weight)
            data = Data(X, targets.encode(y, X.dtype), weight)
            return self._weigh(data, targets) if weigh else data, targets

    # ------------------------------------------------------------------ fitted attributes

    def _publish(self, model: Model, targets: Targets, *, validation: bool, keep_history: bool) -> None:
        """Set the fitted attributes that hold from the start of a training."""
        self._model = model
        self._set_targets(targets)
        self.n_outputs_ = model.network.n_out
        self.n_layers_ = len(model.architecture.layer_sizes)
        self.out_activation_ = model.loss.link
        self.n_iter_ = 0
        self.t_ = model.state.samples_seen
        history, observations = empty_history(validation=validation), no_observations(len(model.params.weights))
        if keep_history and ("validation_score" in self.history_) == validation:
            history = {name: list(column) for name, column in self.history_.items()}
            observations = Observations(self.monitor_)
        self.history_ = history
        self._observations = observations
        self._epochs_before = len(history["loss"])
        self._facts = {}

    def _monitor(self, model: Model, copies: IntArray | None = None) -> Monitor | None:
        """Return what observes the training, when the user or a callback asks for it."""
        callbacks = getattr(self, "_skl_callbacks", ())
        requested = any(getattr(callback, "requests_monitor", False) for callback in callbacks)
        if self.monitor is False and not requested:
            return None
        every = None if isinstance(self.monitor, bool | np.bool_) else int(self.monitor)
        monitor = model.monitor_for(every, first_epoch=len(self.history_["loss"]) + 1, closely=requested)
        monitor.copies = copies
        return monitor

    def _record(self, row: Row, monitor: Monitor | None) -> bool:
        """Take in an epoch."""
        self.n_iter_ += 1
        rates = self.history_["learning_rate"]
        if (
            self.verbose
            and isinstance(self.learning_rate, str)
            and self.learning_rate == "adaptive"
            and rates
            and row["learning_rate"] < rates[-1]
        ):
            print(f"Setting learning rate to {row['learning_rate']:f}")
        if self.verbose:
            print_epoch(self.n_iter_, row, int(self.verbose))
        if monitor is not None:
            observed = monitor.end_epoch()
            if observed is not None:
                self._observations.append(monitor.epoch, observed.layers)
                row = {**row, **observed.overall}
        append_row(self.history_, row)
        return False

    def _conclude(self, result: Result, *, validation: bool) -> None:
        """Set the fitted attributes that hold at the end of a training."""
        self.n_iter_ = result.n_epochs
        self.best_n_iter_ = result.best_epoch if validation else None
        self.stop_reason_ = result.reason
        self.stop_message_ = result.detail
        self.engine_ = result.engine
        self.t_ = self._model.state.samples_seen

    def _say_that_it_converged(self, result: Result) -> None:
        if self.verbose and result.reason == "converged" and self.solver != "lbfgs":
            print_plateau(self.tol, self.n_iter_no_change, early_stopping=self.early_stopping)

    def _snapshot(self) -> dict[str, Any]:
        """Return the attributes that make a copy of this estimator predict as it would now."""
        return {"_model": self._model.snapshot(), "t_": self._model.state.samples_seen}

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put all attributes back when the body fails: a failed fit leaves the estimator as it was."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            in_use = {name: vars(self)[name] for name in _CALLBACK_ATTRIBUTES if name in vars(self)}
            self.__dict__.clear()
            self.__dict__.update(before, **in_use)
            raise

    # ------------------------------------------------------------------ prediction and inspection

    def _raw_predict(self, X: Any) -> FloatArray:
        """Check `X` and return the raw outputs, of shape (n_samples, n_outputs).

        A float32 array is pushed through in float32. Everything else is in float64, whatever the network was trained
        in: then a row's prediction does not depend on the rows beside it beyond the last digits of a float64.
        """
        check_is_fitted(self)
        model = self._model
        dtype: Any = np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
        X = validate_rows(self, X, dtype)
        params = model.params
        if params.vector.dtype != dtype:
            params = params.on(params.vector.astype(dtype))
        with threads_for_prediction(model.network, X.shape[0]), np.errstate(over="ignore", invalid="ignore"):
            return model.network.predict(params, X)

    def loss_and_gradients(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> tuple[float, list[FloatArray], list[FloatArray]]:
        """Return the objective on the given data at the current weights, and its gradient.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        loss : float
            Mean loss plus penalties. Without dropout; batch normalization takes the statistics of these data, as a
            step of training on them would.
        coef_grads : list of ndarray
            ``d loss / d coefs_[l]``, of the shapes of ``coefs_``.
        intercept_grads : list of ndarray
            ``d loss / d intercepts_[l]``.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        check_is_fitted(self)
        model = self._model
        data, _ = self._validate(X, y, sample_weight, model.dtype, fitted=model, partial=True)
        X, encoded, weight = data.in_one_type()
        objective = current_objective(self, model, dropout=False)
        params = model.params.on(model.params.vector.copy())  # batch normalization updates its statistics
        buffers = Buffers(objective, params, X.shape[0])
        value = objective.value_and_gradient(params, X, encoded, weight, buffers.workspace, buffers.grad)
        return value.loss + value.penalty, buffers.grad.weights, buffers.grad.biases

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

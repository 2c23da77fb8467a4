"""What the classifier and the regressor share: from constructor parameters to a trained model, and back."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, inf
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skmlp._typing import FloatArray
from skmlp.estimators.constraints import ActivationChoice, Registered
from skmlp.estimators.random import spawn_streams
from skmlp.estimators.reporting import EpochTasks, print_epoch, warn_about, warn_caller
from skmlp.estimators.state import Architecture, Model
from skmlp.estimators.targets import LabelTargets, RealTargets
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.initializers import INITIALIZERS
from skmlp.nn.network import initialize
from skmlp.nn.objective import Objective
from skmlp.optim.schedules import SCHEDULES, InverseScaling, Schedule
from skmlp.optim.solvers import SGD, SOLVERS, Solver
from skmlp.training.batches import Data, merge_duplicates
from skmlp.training.history import append_row, empty_history
from skmlp.training.stopping import Plateau
from skmlp.training.trainer import (
    Buffers,
    NonFiniteError,
    Result,
    Row,
    Trainer,
    TrainingState,
    Validation,
    copy_state,
    run_lbfgs,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BaseMLP", "why_no_partial_fit"]

Targets = LabelTargets | RealTargets

# Attributes that scikit-learn's callback machinery keeps on an estimator during fit.
_CALLBACK_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")

# Solvers that take beta_1, beta_2 and epsilon from the estimator when chosen by name.
_ADAM_FAMILY = ("adam", "amsgrad", "adamw", "nadam", "radam")


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
    return None


class BaseMLP(CallbackSupportMixin, BaseEstimator, ABC):
    """Base of the two estimators; not for direct use."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [ActivationChoice(ACTIVATIONS, Activation)],
        "solver": [Registered(SOLVERS, Solver, extra=("lbfgs",))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto", "full"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Registered(SCHEDULES, Schedule)],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state", np.random.Generator],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64", "input"})],
        "weight_init": [Registered(INITIALIZERS, extra=("auto",)), callable],
        "bias_init": [Registered(INITIALIZERS), callable],
    }

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
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dtype: str
    weight_init: Any
    bias_init: Any

    # ------------------------------------------------------------------ what the two estimators define

    _y_numeric: bool

    @abstractmethod
    def _learn_targets(self, y: Any) -> Targets:
        """Return the meaning of `y`, learned from all of it at once."""

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Return the meaning of `y` from the fitted attributes."""

    def _set_targets(self, targets: Any) -> None:
        """Set the fitted attributes that hold the meaning of `y`."""

    def _check_warm_start_targets(self, targets: Any, y: Any) -> None:
        """Raise ValueError when `y` means something else than in the previous fit."""

    # ------------------------------------------------------------------ fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> "BaseMLP":
        """Train until a stopping rule holds."""
        with self._unchanged_on_error():
            warm = self.warm_start and hasattr(self, "_model")
            data, targets = self._validate(
                X, y, sample_weight, reset=not warm, dtype=self._compute_dtype(warm=warm), all_classes=warm
            )
            n_samples = data.n_samples
            batch_size = self._batch_size(n_samples)
            if batch_size >= n_samples:
                data = merge_duplicates(data)
            model = self._resumed_model(targets, data.X.dtype) if warm else self._new_model(data, targets)
            data, validation = self._split(data, targets, model)
            self._publish(model, targets, validation=validation is not None, keep_history=warm)

            tasks = EpochTasks(self, X, y, sample_weight, self._snapshot)
            tasks.begin()

            def on_epoch_end(row: Row, is_last: bool) -> bool:
                self._record(row)
                return tasks.end_epoch(is_last=is_last)

            result = self._train(
                model,
                data,
                batch_size,
                on_epoch_end,
                max_epochs=self.max_iter,
                validation=validation,
                keep_start=warm,
                samples_per_epoch=n_samples,
            )
            self._conclude(result)
            tasks.end()
        warn_about(result, solver=self._solver_name, max_iter=self.max_iter, max_fun=self.max_fun)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, targets: Targets | None = None) -> "BaseMLP":
        """Train one epoch on the given data; `targets` starts a classifier."""
        with self._unchanged_on_error():
            started = hasattr(self, "_model")
            dtype = self._model.dtype if started else self._compute_dtype(warm=False)
            data, targets = self._validate(X, y, sample_weight, reset=not started, dtype=dtype, targets=targets)
            if started:
                model = self._model
                self._adopt_parameters(model, for_new_fit=False)
            else:
                model = self._new_model(data, targets)
                self._publish(model, targets, validation=False, keep_history=False)
            self.n_iter_ = 0
            batch_size = self._batch_size(data.n_samples)
            result = self._train(
                model,
                data,
                batch_size,
                lambda row, is_last: self._record(row),
                max_epochs=1,
                keep_start=started,
                buffers=self._buffers(model, batch_size),
            )
            self._conclude(result)
        if result.reason in ("interrupted", "non_finite"):
            warn_about(result, solver=self._solver_name, max_iter=1, max_fun=1)
        return self

    def _train(self, model: Model, data: Data, batch_size: int, on_epoch_end: Any, **options: Any) -> Result:
        """Run the solver on prepared data, turning a hopeless start into scikit-learn's error."""
        objective = Objective(model.network, model.loss, float(self.alpha))
        try:
            if self._solver_name == "lbfgs":
                return run_lbfgs(
                    objective,
                    model.params,
                    data,
                    max_iter=self.max_iter,
                    max_fun=self.max_fun,
                    tol=self.tol,
                    on_epoch_end=on_epoch_end,
                )
            trainer = Trainer(
                objective,
                self._build_solver(),
                self._build_schedule(),
                float(self.learning_rate_init),
                batch_size,
                self.shuffle,
            )
            return trainer.run(
                model.state,
                data,
                on_epoch_end=on_epoch_end,
                **options,
            )
        except NonFiniteError as event:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                f"preprocessed. Precisely: {event}. Scale the data, for example with a StandardScaler, or lower "
                f"learning_rate_init={self.learning_rate_init}."
            ) from event

    def _buffers(self, model: Model, n_samples: int) -> Buffers:
        """Return memory for batches of `n_samples` rows, the last call's when it is large enough but not wasteful."""
        kept = model.buffers
        if kept is None or not n_samples <= kept.workspace.n_samples <= 4 * n_samples + 64:
            kept = model.buffers = Buffers(Objective(model.network, model.loss), model.params, n_samples)
        return kept

    def _compute_dtype(self, *, warm: bool) -> Any:
        """Return the dtype to compute in, or the two to choose from by what X has."""
        if self._solver_name == "lbfgs":
            return np.dtype(np.float64)
        if self.dtype == "input":
            return self._model.dtype if warm else [np.float64, np.float32]
        return np.dtype(self.dtype)

    def _validate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        reset: bool,
        dtype: Any,
        targets: Targets | None = None,
        all_classes: bool = False,
    ) -> tuple[Data, Targets]:
        """Check what the user passed and encode it.

        With `reset` the meaning of `y` is learned from it, or given as `targets`; else it is the fitted one, all
        classes of which must occur on request.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=dtype,
            order="C",
            multi_output=True,
            y_numeric=self._y_numeric,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = self._single_column(y)
        if targets is None:
            targets = self._learn_targets(y) if reset else self._fitted_targets()
        if all_classes:
            self._check_warm_start_targets(targets, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
            if not sample_weight.any():
                raise ValueError(
                    "Sample weights must contain at least one positive weight; all of them are zero. "
                    "Leave sample_weight out to weigh all rows equally."
                )
        return Data(X, targets.encode(y, X.dtype), sample_weight), targets

    @staticmethod
    def _single_column(y: Any) -> Any:
        """Flatten a column vector, warning as scikit-learn does."""
        from sklearn.utils import column_or_1d

        return column_or_1d(y, warn=True)

    # ------------------------------------------------------------------ from parameters to core objects

    @property
    def _solver_name(self) -> str:
        return self.solver if isinstance(self.solver, str) else type(self.solver).__name__

    def _build_solver(self) -> Solver:
        """Return the solver object; one chosen by name takes its settings from the estimator's parameters."""
        if isinstance(self.solver, Solver):
            return self.solver
        if self.solver == "sgd":
            return SGD(float(self.momentum), bool(self.nesterovs_momentum))
        if self.solver in _ADAM_FAMILY:
            return SOLVERS[self.solver](
                beta_1=float(self.beta_1),  # type: ignore[call-arg]
                beta_2=float(self.beta_2),
                epsilon=float(self.epsilon),
            )
        return SOLVERS[self.solver]()

    def _build_schedule(self) -> Schedule:
        """Return the schedule object."""
        if isinstance(self.learning_rate, Schedule):
            return self.learning_rate
        if self.learning_rate == "invscaling":
            return InverseScaling(float(self.power_t))
        return SCHEDULES[self.learning_rate]()

    def _batch_size(self, n_samples: int) -> int:
        """Return the rows a batch has at most."""
        if self.batch_size == "full" or self._solver_name == "lbfgs":
            return n_samples
        if self.batch_size == "auto":
            return min(200, n_samples)
        if self.batch_size > n_samples:
            warn_caller(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped: "
                f"batch_size={self.batch_size}, and there are {n_samples} samples.",
                UserWarning,
            )
        return min(int(self.batch_size), n_samples)

    def _architecture(self, n_features: int, targets: Targets) -> Architecture:
        """Return what the constructor's parameters ask for, on these data."""
        sizes = self.hidden_layer_sizes
        hidden = [sizes] if isinstance(sizes, Integral) else list(sizes)
        if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {hidden}.")
        if any(size <= 0 for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        chosen = self.activation
        activations = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen] * len(hidden)
        if len(activations) != len(hidden):
            raise ValueError(
                f"activation must name one activation, or one for each hidden layer: got {len(activations)} of them "
                f"for hidden_layer_sizes={tuple(hidden)}."
            )
        return Architecture((n_features, *map(int, hidden), targets.n_outputs), tuple(activations), targets.loss_name)

    def _new_model(self, data: Data, targets: Targets) -> Model:
        """Build the network and draw its initial weights."""
        architecture = self._architecture(data.X.shape[1], targets)
        network = architecture.build_network()
        streams = spawn_streams(self.random_state)
        params = network.parameters(dtype=data.X.dtype)
        initialize(network, params, streams.initial_weights, self.weight_init, self.bias_init)
        lbfgs = self._solver_name == "lbfgs"
        state = TrainingState(
            params=params,
            solver_state={} if lbfgs else self._build_solver().init(params.vector, params.n_weights),
            rng=streams.shuffle,
            learning_rate=float(self.learning_rate_init),
            plateau=Plateau(self.tol, self.n_iter_no_change),
        )
        return Model(architecture, network, state, streams.split_seed, float(self.learning_rate_init))

    def _resumed_model(self, targets: Targets, dtype: np.dtype[Any]) -> Model:
        """Return a copy of the fitted model to train on; another architecture than the fitted one is an error."""
        fitted = self._model
        changes = self._architecture(self.n_features_in_, targets).changes_from(fitted.architecture)
        if changes:
            raise ValueError(
                f"warm_start=True goes on training the fitted network, which cannot change its architecture: {changes}. "
                "Set the parameters back, or fit anew with warm_start=False."
            )
        model = Model(
            fitted.architecture, fitted.network, copy_state(fitted.state), fitted.split_seed, fitted.learning_rate_init
        )
        if dtype != fitted.dtype:
            model.state.params = model.params.on(model.params.vector.astype(dtype))
            model.state.solver_state = {}
        self._adopt_parameters(model, for_new_fit=True)
        return model

    def _adopt_parameters(self, model: Model, *, for_new_fit: bool) -> None:
        """Fit the state of an earlier training to the estimator's parameters, which may have changed since."""
        state = model.state
        if self._solver_name != "lbfgs" and not self._build_solver().accepts(state.solver_state):
            state.solver_state = self._build_solver().init(state.params.vector, state.params.n_weights)
        initial = float(self.learning_rate_init)
        restart = for_new_fit or initial != model.learning_rate_init
        state.learning_rate = self._build_schedule().after_epoch(
            initial, initial if restart else state.learning_rate, state.samples_seen
        )
        model.learning_rate_init = initial
        progress = () if for_new_fit else (state.plateau.best, state.plateau.count)
        state.plateau = Plateau(self.tol, self.n_iter_no_change, *progress)

    def _split(self, data: Data, targets: Targets, model: Model) -> tuple[Data, Validation | None]:
        """Set rows aside for early stopping."""
        if not self.early_stopping or self._solver_name == "lbfgs":
            return data, None
        n_rows = data.n_samples
        # At least two rows, which a score needs; as in scikit-learn the share is rounded up.
        n_held_out = max(2, ceil(self.validation_fraction * n_rows))
        if n_held_out >= n_rows:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: "
                f"early_stopping=True needs at least 2 samples to validate on and one to train on, got n_samples = {n_rows} "
                f"(equal ones counted once) and validation_fraction={self.validation_fraction}."
            )
        train, held_out = train_test_split(
            np.arange(n_rows),
            test_size=n_held_out,
            random_state=model.split_seed,
            stratify=targets.strata(data.y, n_held_out),
        )
        train_data, held_out_data = data.take(train), data.take(held_out)
        for part, name in ((train_data, "training"), (held_out_data, "validation")):
            if part.total_weight == 0.0:
                raise ValueError(f"All rows of the {name} part have weight zero; use another random_state.")
        return train_data, Validation(held_out_data, targets.score)

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
        history = empty_history(validation=validation)
        if keep_history and history.keys() == self.history_.keys():
            history = {name: list(column) for name, column in self.history_.items()}
        self.history_ = history

    def _record(self, row: Row) -> bool:
        """Take in an epoch."""
        self.n_iter_ += 1
        append_row(self.history_, row)
        if self.verbose:
            print_epoch(self.n_iter_, row)
        return False

    def _conclude(self, result: Result) -> None:
        """Set the fitted attributes that hold at the end of a training."""
        self.n_iter_ = result.n_epochs
        state = self._model.state
        if self._solver_name == "lbfgs":
            state.samples_seen = 0
        self.t_ = state.samples_seen
        if self.verbose and result.reason == "converged" and self._solver_name != "lbfgs":
            what = "Validation score" if self.early_stopping else "Training loss"
            print(
                f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs. "
                "Stopping."
            )

    def _snapshot(self) -> dict[str, Any]:
        """Return the attributes that make a copy of this estimator predict as it would now."""
        return {"_model": self._model.with_params(self._model.params.vector.copy())}

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

    @property
    def coefs_(self) -> list[FloatArray]:
        """Weight matrices of shape (n_in, n_out), one for each layer: views, so writing into them changes the network."""
        return self._fitted_model("coefs_").params.weights

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._write_into(self.coefs_, values, "coefs_")

    @property
    def intercepts_(self) -> list[FloatArray]:
        """Bias vectors of shape (n_out,), one for each layer: views, so writing into them changes the network."""
        return self._fitted_model("intercepts_").params.biases

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._write_into(self.intercepts_, values, "intercepts_")

    @property
    def loss_curve_(self) -> list[float]:
        """The objective (mean loss plus penalty) of each epoch: ``history_["loss"]``."""
        return self._history("loss_curve_")["loss"]

    @property
    def loss_(self) -> float:
        """The objective of the last epoch."""
        return self._history("loss_")["loss"][-1]

    @property
    def best_loss_(self) -> float | None:
        """The lowest objective of an epoch since the training was last started; None with early stopping."""
        history = self._history("best_loss_")
        if "validation_score" in history:
            return None
        best = self._model.state.plateau.best
        return best if best < inf else min(history["loss"])

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score on the held-out rows after each epoch; None without early stopping."""
        return self._history("validation_scores_").get("validation_score")

    @property
    def best_validation_score_(self) -> float | None:
        """The score of the weights that were kept; None without early stopping."""
        if "validation_score" not in self._history("best_validation_score_"):
            return None
        return -self._model.state.plateau.best

    def history_frame(self) -> "pd.DataFrame":
        """Return the history as a pandas DataFrame, one row an epoch, indexed by the epoch's number from 1.

        Returns
        -------
        frame : DataFrame
            Columns as in ``history_``.
        """
        import pandas as pd

        check_is_fitted(self)
        frame = pd.DataFrame(self.history_)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="epoch")
        return frame

    def _fitted_model(self, attribute: str) -> Model:
        try:
            return vars(self)["_model"]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r} before fit.") from None

    def _history(self, attribute: str) -> dict[str, list[float]]:
        self._fitted_model(attribute)
        return self.history_

    @staticmethod
    def _write_into(views: list[FloatArray], values: Any, name: str) -> None:
        shapes = [view.shape for view in views]
        if [np.shape(value) for value in values] != shapes:
            raise ValueError(f"{name} must have the shapes of the fitted network, {shapes}; it is written in place.")
        for view, value in zip(views, values, strict=True):
            view[...] = value

    # ------------------------------------------------------------------ prediction and inspection

    def _raw_predict(self, X: Any) -> FloatArray:
        """Check `X` and return the raw outputs, of shape (n_samples, n_outputs).

        A float32 array is pushed through in float32. Everything else is in float64, whatever the network was trained
        in: then a row's prediction does not depend on the rows beside it beyond the last digits of a float64.
        """
        check_is_fitted(self)
        model = self._model
        dtype: Any = np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
        X = validate_data(self, X, accept_sparse="csr", dtype=dtype, order="C", reset=False)
        params = model.params
        if params.vector.dtype != dtype:
            params = params.on(params.vector.astype(dtype))
        with np.errstate(over="ignore", invalid="ignore"):
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
            Mean loss plus penalty, ``alpha / (2 * sum of weights) * sum of squared weights``.
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
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=model.dtype, order="C", multi_output=True, reset=False
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = self._single_column(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        encoded = self._fitted_targets().encode(y, X.dtype)
        objective = Objective(model.network, model.loss, float(self.alpha))
        buffers = Buffers(objective, model.params, X.shape[0])
        value = objective.value_and_gradient(model.params, X, encoded, sample_weight, buffers.workspace, buffers.grad)
        return value.loss + value.penalty, buffers.grad.weights, buffers.grad.biases

    # ------------------------------------------------------------------ storing

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_model" in state:
            state["_stored_model"] = state.pop("_model").to_plain()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        stored = state.pop("_stored_model", None)
        super().__setstate__(state)
        if stored is not None:
            self._model = Model.from_plain(stored)

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

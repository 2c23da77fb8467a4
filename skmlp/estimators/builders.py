"""From constructor parameters to core objects."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from skmlp.estimators.random import spawn_streams
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.state import Architecture, Model
from skmlp.estimators.targets import Targets
from skmlp.nn.activations import check_derivative
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network, initialize
from skmlp.nn.objective import Objective
from skmlp.optim.schedules import SCHEDULES, InverseScaling, Schedule
from skmlp.optim.solvers import SGD, SOLVERS, Solver
from skmlp.training.batches import Data
from skmlp.training.stopping import Plateau
from skmlp.training.trainer import Trainer, TrainingState, copy_state

__all__ = [
    "adopt_settings",
    "batch_rows",
    "build_architecture",
    "build_trainer",
    "check_architecture",
    "compute_dtype",
    "new_model",
    "resumed_model",
    "training_settings",
]

# Solvers that take beta_1, beta_2 and epsilon from the estimator when chosen by name.
_ADAM_FAMILY = ("adam", "amsgrad", "adamw", "nadam", "radam")

_TRAINING_PARAMETERS = (
    "alpha",
    "batch_size",
    "learning_rate_init",
    "power_t",
    "shuffle",
    "tol",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "n_iter_no_change",
)


def training_settings(estimator: Any) -> tuple[Any, ...]:
    """Return the values of all parameters that training depends on; equal tuples mean equal training."""
    objects = (
        estimator.solver,
        estimator.learning_rate,
        estimator.activation,
        estimator.hidden_layer_sizes,
        getattr(estimator, "loss", ""),
    )
    names = (each if isinstance(each, str) else repr(each) for each in objects)
    return (*names, *(getattr(estimator, name) for name in _TRAINING_PARAMETERS))


def build_solver(estimator: Any) -> Solver:
    """Return the solver object; one chosen by name takes its settings from the estimator's parameters."""
    if isinstance(estimator.solver, Solver):
        return estimator.solver
    if estimator.solver == "sgd":
        return SGD(float(estimator.momentum), bool(estimator.nesterovs_momentum))
    if estimator.solver in _ADAM_FAMILY:
        family: Any = SOLVERS[estimator.solver]
        built: Solver = family(
            beta_1=float(estimator.beta_1), beta_2=float(estimator.beta_2), epsilon=float(estimator.epsilon)
        )
        return built
    return SOLVERS[estimator.solver]()


def build_schedule(estimator: Any) -> Schedule:
    """Return the schedule object."""
    if isinstance(estimator.learning_rate, Schedule):
        return estimator.learning_rate
    if estimator.learning_rate == "invscaling":
        return InverseScaling(float(estimator.power_t))
    return SCHEDULES[estimator.learning_rate]()


def build_trainer(estimator: Any, network: Network, loss: Loss) -> Trainer:
    """Return the trainer for a stochastic solver."""
    return Trainer(
        Objective(network, loss, float(estimator.alpha)),
        build_solver(estimator),
        build_schedule(estimator),
        float(estimator.learning_rate_init),
    )


def batch_rows(estimator: Any, n_samples: int) -> int:
    """Return how many rows a batch has at most."""
    batch_size = estimator.batch_size
    if batch_size == "full" or estimator.solver == "lbfgs":
        return n_samples
    if batch_size == "auto":
        return min(200, n_samples)
    if batch_size > n_samples:
        warn_caller(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped: "
            f"batch_size={batch_size}, and there are {n_samples} samples.",
            UserWarning,
        )
    return min(int(batch_size), n_samples)


def compute_dtype(estimator: Any, fitted: Model | None) -> Any:
    """Return the dtype to compute in, or a list of the two that X may choose from."""
    if estimator.solver == "lbfgs":
        return np.dtype(np.float64)
    if estimator.dtype == "input":
        return [np.float64, np.float32] if fitted is None else fitted.dtype
    return np.dtype(estimator.dtype)


def build_architecture(estimator: Any, n_features: int, targets: Targets) -> Architecture:
    """Return the architecture the parameters ask for, on these data."""
    sizes = estimator.hidden_layer_sizes
    hidden = [sizes] if isinstance(sizes, Integral) else list(sizes)
    if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be whole numbers, got {hidden}.")
    if any(size <= 0 for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
    chosen = estimator.activation
    activations = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen] * len(hidden)
    if len(activations) != len(hidden):
        raise ValueError(
            f"activation must name one activation, or one for each hidden layer: got {len(activations)} of them "
            f"for hidden_layer_sizes={tuple(hidden)}."
        )
    return Architecture((n_features, *map(int, hidden), targets.n_outputs), tuple(activations), targets.loss_name)


def check_architecture(estimator: Any, fitted: Model, targets: Targets, what: str) -> None:
    """Raise ValueError when the parameters ask for another architecture than the fitted one."""
    wanted = build_architecture(estimator, fitted.network.n_in, targets)
    wanted = replace(wanted, loss=getattr(estimator, "loss", wanted.loss))
    changes = wanted.changes_from(fitted.architecture)
    if changes:
        raise ValueError(
            f"{what} goes on training the fitted network, which cannot change its architecture: {changes}. "
            "Set the parameters back, or fit anew with warm_start=False."
        )


def new_model(estimator: Any, data: Data, targets: Targets) -> Model:
    """Build the network and draw its initial weights; an activation with a wrong derivative is refused."""
    architecture = build_architecture(estimator, data.X.shape[1], targets)
    for activation in architecture.activations:
        if not isinstance(activation, str):  # those with a name were checked when they were registered
            check_derivative(activation)
    network = architecture.build_network()
    streams = spawn_streams(estimator.random_state)
    params = network.parameters(dtype=data.X.dtype)
    initialize(network, params, streams.initial_weights, estimator.weight_init, estimator.bias_init)
    state = TrainingState(
        params=params,
        solver_state={},
        rng=streams.shuffle,
        learning_rate=float(estimator.learning_rate_init),
        plateau=Plateau(estimator.tol, estimator.n_iter_no_change),
    )
    model = Model(architecture, network, state, streams.split_seed, float(estimator.learning_rate_init))
    if estimator.solver != "lbfgs":
        adopt_settings(estimator, model, new_fit=True)
    return model


def resumed_model(estimator: Any, fitted: Model, targets: Targets, dtype: np.dtype[Any]) -> Model:
    """Return a copy of the fitted model to train on; another architecture than the fitted one is an error."""
    check_architecture(estimator, fitted, targets, "warm_start=True")
    state = copy_state(fitted.state)
    if dtype != fitted.dtype:
        state.params = state.params.on(state.params.vector.astype(dtype))
        state.solver_state = {}
    model = Model(fitted.architecture, fitted.network, state, fitted.split_seed, fitted.learning_rate_init)
    if estimator.solver == "lbfgs":
        state.plateau = Plateau(estimator.tol, estimator.n_iter_no_change)
        state.samples_seen = 0
    else:
        adopt_settings(estimator, model, new_fit=True)
    return model


def adopt_settings(estimator: Any, model: Model, *, new_fit: bool) -> None:
    """Build the model's trainer and fit the state of earlier training to it.

    A state that the solver cannot use is replaced by a new one. The learning rate starts anew with a new fit, or when
    it was changed or got another schedule; the memory of progress starts anew with a new fit.
    """
    before, initial = model.trainer, float(estimator.learning_rate_init)
    model.trainer = build_trainer(estimator, model.network, model.loss)
    model.settings = training_settings(estimator)
    state, solver = model.state, model.trainer.solver
    if not solver.accepts(state.solver_state):
        state.solver_state = solver.init(state.params.vector, state.params.n_weights)
    schedule = model.trainer.schedule
    other_schedule = before is not None and before.schedule != schedule
    if new_fit or other_schedule or initial != model.learning_rate_init:
        state.learning_rate = schedule.start(initial, state.samples_seen)
    model.learning_rate_init = initial
    progress = () if new_fit else (state.plateau.best, state.plateau.count)
    state.plateau = Plateau(estimator.tol, estimator.n_iter_no_change, *progress)

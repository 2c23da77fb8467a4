"""From constructor parameters to core objects."""

from collections.abc import Mapping, Set
from copy import copy
from dataclasses import replace
from itertools import pairwise
from numbers import Integral, Real
from operator import is_
from typing import Any

import numpy as np

from skmlp.estimators.model import Architecture, Model, without_addresses
from skmlp.estimators.parameters import ADAM_FAMILY
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.targets import Targets, choose_loss, loss_object
from skmlp.nn.activations import check_derivative
from skmlp.nn.data_initialization import initialize_from_data, learn_from_data
from skmlp.nn.losses import Loss, check_loss
from skmlp.nn.network import Network, initialize
from skmlp.nn.objective import Objective
from skmlp.optim.clipping import as_clip
from skmlp.optim.schedules import Schedule, Scheduled, Time, as_schedule
from skmlp.optim.solvers import SGD, SOLVERS, Solver, WithWeightDecay
from skmlp.training.batches import Data
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

_COMPARED_AS_THEY_ARE = {str, float, int, bool, tuple, type(None)}


def training_settings(estimator: Any, last: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Return the values of all parameters that training depends on; equal tuples mean equal training.

    `last` is the result of the previous call. If no parameter was set since then it is returned, which saves time in
    repeated calls of partial_fit.
    """
    values = estimator._parameters.values_compared(estimator)
    if len(values) == len(last) and all(map(is_, values, last)):
        return last
    # An object that was changed in place would be equal to itself, so its repr is compared.
    return tuple([value if type(value) in _COMPARED_AS_THEY_ARE else repr(value) for value in values])


def build_solver(estimator: Any) -> Solver:
    """Return the solver object; one chosen by name takes its settings from the estimator's parameters."""
    chosen, decay = estimator.solver, _number(estimator.weight_decay)
    if isinstance(chosen, Solver):
        solver = chosen
    elif chosen == "sgd":
        solver = SGD(_number(estimator.momentum), bool(estimator.nesterovs_momentum))
    elif chosen in ADAM_FAMILY:
        family: Any = SOLVERS[chosen]
        solver = family(
            beta_1=float(estimator.beta_1), beta_2=float(estimator.beta_2), epsilon=float(estimator.epsilon)
        )
    else:
        solver = SOLVERS[chosen]()
    if decay is None:
        return solver
    if hasattr(solver, "weight_decay"):
        return replace(solver, weight_decay=decay)  # type: ignore[type-var]
    return WithWeightDecay(solver, decay)


def build_schedule(estimator: Any) -> Schedule:
    """Return the schedule object."""
    return as_schedule(estimator.learning_rate, float(estimator.power_t))


def build_objective(estimator: Any, network: Network, loss: Loss) -> Objective:
    """Return the objective that training minimizes."""
    smoothing = _number(getattr(estimator, "label_smoothing", 0.0))
    if smoothing != 0.0:
        loss = replace(loss, label_smoothing=smoothing)  # type: ignore[type-var]
    return Objective(network, loss, float(estimator.alpha), float(estimator.alpha_l1))


def current_objective(estimator: Any, model: Model, *, dropout: bool = True) -> Objective:
    """Return the objective with the values that scheduled settings had at the end of the last training."""
    network = model.network if dropout else model.network.without_dropout()
    now = Time(model.state.step, model.state.epoch, 1.0, model.state.samples_seen)
    return build_objective(estimator, network, model.loss).at(now)


def build_recipe(estimator: Any, network: Network, loss: Loss) -> Recipe:
    """Return the recipe of a stochastic solver."""
    return Recipe(
        build_objective(estimator, network, loss),
        build_solver(estimator),
        build_schedule(estimator),
        float(estimator.learning_rate_init),
        as_clip(estimator.gradient_clip),
        _number(estimator.max_norm),
        _number(estimator.averaging),
    )


def _number(value: Any) -> Any:
    """Return a number as a Python float, and None or a scheduled value unchanged."""
    return float(value) if isinstance(value, Real) else value


def batch_rows(estimator: Any, n_samples: int) -> int:
    """Return the largest number of rows in a batch."""
    batch_size = estimator.batch_size
    if batch_size == "full" or estimator.solver == "lbfgs":
        return n_samples
    return min(200 if batch_size == "auto" else int(batch_size), n_samples)


def warn_about_batch_size(estimator: Any, n_samples: int) -> None:
    """Warn, as scikit-learn does, when a batch is to have more rows than there are."""
    batch_size = estimator.batch_size
    if isinstance(batch_size, str) or estimator.solver == "lbfgs" or batch_size <= n_samples:
        return
    warn_caller(
        "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped: "
        f"batch_size={batch_size}, and there are {n_samples} samples.",
        UserWarning,
    )


def compute_dtype(estimator: Any, fitted: Model | None) -> Any:
    """Return the dtype to compute in, or a list of the two that X may choose from."""
    if estimator.solver == "lbfgs":
        return np.dtype(np.float64)
    if estimator.dtype == "input":
        return [np.float64, np.float32] if fitted is None else fitted.dtype
    return np.dtype(estimator.dtype)


def build_architecture(estimator: Any, n_features: int, targets: Targets) -> Architecture:
    """Return the architecture that the parameters describe, for these data."""
    sizes = estimator.hidden_layer_sizes
    for name in ("hidden_layer_sizes", "dropout"):
        value = getattr(estimator, name)
        if isinstance(value, Set | Mapping):
            raise ValueError(f"{name} must be a list or tuple in the order of the layers, got {value!r}.")
    hidden = [sizes] if isinstance(sizes, Integral) else list(sizes)
    if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be whole numbers, got {hidden}.")
    if any(size <= 0 for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
    chosen = estimator.activation
    activations = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen] * len(hidden)
    if len(activations) != len(hidden):
        raise ValueError(
            f"activation must be one activation, or one for each hidden layer: got {len(activations)} of them "
            f"for hidden_layer_sizes={tuple(hidden)}."
        )
    rates = estimator.dropout
    dropout = [rates] * len(hidden) if isinstance(rates, Real | Scheduled) else list(rates)
    if len(dropout) != len(hidden):
        raise ValueError(
            f"dropout must be one rate, or one for each hidden layer: got {len(dropout)} of them for "
            f"hidden_layer_sizes={tuple(hidden)}."
        )
    for rate in dropout:
        value = rate.value if isinstance(rate, Scheduled) else rate
        if not isinstance(value, Real) or isinstance(value, bool) or not 0.0 <= float(value) < 1.0:
            raise ValueError(f"Every rate in dropout must be a float in the range [0.0, 1.0), got {rate!r}.")
    if estimator.residual and not any(n_in == n_out for n_in, n_out in pairwise(hidden)):
        raise ValueError(
            "residual=True adds the input of a hidden layer to its output if the hidden layer before it has the same "
            f"size: hidden_layer_sizes={tuple(hidden)} has no such pair. Give two consecutive layers the same size."
        )
    # Copies: the architecture must not change when set_params changes an object in place.
    return Architecture(
        (n_features, *map(int, hidden), targets.n_outputs),
        tuple(map(copy, activations)),
        copy(targets.loss),
        copy(estimator.normalization),
        tuple(map(_number, dropout)),
        bool(estimator.residual),
        str(estimator.parametrization),
        estimator._layout,
        copy(estimator.numeric_embedding),
        copy(estimator.categorical_embedding),
        _number(estimator.input_scale),
    )


def check_architecture(estimator: Any, fitted: Model, targets: Targets, what: str) -> None:
    """Raise ValueError when the parameters describe an architecture that differs from the fitted one."""
    wanted = build_architecture(estimator, fitted.network.n_in, targets)
    wanted = replace(wanted, loss=choose_loss(estimator.loss, getattr(targets, "kind", None)))
    changes = wanted.changes_from(fitted.architecture)
    if changes:
        raise ValueError(
            f"{what} continues training the fitted network, whose architecture cannot change: {changes}. "
            "Set the parameters back, or fit from scratch with warm_start=False."
        )


def _check_table(estimator: Any) -> None:
    """Raise ValueError when the parameters ask for another encoding of tables than the one that was learned."""
    table = estimator._table
    scaling, missing = (None, "error") if table is None else (table.scaling and table.scaling.name, table.missing)
    for name, was in (("scaling", scaling), ("missing", missing)):
        now = getattr(estimator, name)
        if now != was:
            raise ValueError(
                f"warm_start=True continues training on tables as they were encoded, but {name} was {was!r} and is now "
                f"{now!r}. Set it back, or fit from scratch with warm_start=False."
            )


def new_model(estimator: Any, data: Data, targets: Targets) -> Model:
    """Build the network and draw its initial weights; a wrong derivative of an activation raises ValueError."""
    architecture = build_architecture(estimator, data.X.shape[1], targets)
    for activation in architecture.activations:
        if not isinstance(activation, str):  # registered activations were checked when they were registered
            check_derivative(activation)
    network = architecture.build_network()
    weight_seed, shuffle_seed, split_seed, dropout_seed = spawn_seeds(estimator.random_state, 4)
    params = network.parameters(dtype=data.X.dtype)
    bias_init = estimator.bias_init
    if _starts_at_constant(estimator):
        bias_init = "normal" if estimator.parametrization == "ntk" else "zeros"
        if bias_init == "zeros" and any(layer.starts_at_zero for layer in network.layers):
            bias_init = "lecun_uniform"
    weight_init = "auto" if _starts_from_data(estimator) else estimator.weight_init
    initialize(network, params, np.random.default_rng(weight_seed), weight_init, bias_init)
    if not isinstance(targets.loss, str):
        check_loss(loss_object(targets.loss), data.y, n_raw=network.n_out)
    state = TrainingState(
        params=params,
        solver_state={},
        rng=np.random.default_rng(shuffle_seed),
        learning_rate=float(estimator.learning_rate_init),
        plateau=Plateau(estimator.tol, estimator.n_iter_no_change),
        dropout_rng=np.random.default_rng(dropout_seed),
    )
    split_state = int(split_seed.generate_state(1)[0])
    model = Model(architecture, network, state, split_state, float(estimator.learning_rate_init))
    if estimator.solver != "lbfgs":
        adopt_settings(estimator, model, targets, new_fit=True)
    return model


def spawn_seeds(random_state: Any, n_seeds: int) -> list[np.random.SeedSequence]:
    """Return independent seeds.

    None takes fresh entropy from the system. A RandomState or Generator is advanced, so that fits in a row differ.
    """
    entropy = random_state
    if isinstance(random_state, np.random.RandomState):
        entropy = random_state.randint(0, 2**32, size=4, dtype=np.uint32).tolist()
    elif isinstance(random_state, np.random.Generator):
        entropy = random_state.integers(0, 2**32, size=4, dtype=np.uint32).tolist()
    return np.random.SeedSequence(entropy).spawn(n_seeds)


def start_from_data(estimator: Any, model: Model, data: Data, unmerged: Data | None = None) -> None:
    """Let a new network learn what it needs to know of its training data before it is trained.

    Layers learn their statistics. With ``weight_init="from_data"`` they get their initial parameters. If
    ``bias_init="auto"``, the output bias starts at the best constant prediction. What is learned of the rows is learned
    from the `unmerged` ones, if equal rows of `data` are merged, and not from those of weight zero.
    """
    X, _, weight = data if unmerged is None else unmerged
    X = X if weight is None or weight.all() else X[weight > 0.0]
    if _starts_from_data(estimator):
        rng = np.random.default_rng((model.split_seed, 1))
        initialize_from_data(model.network, model.state.params, rng, X)
    else:
        learn_from_data(model.network, model.state.params, X)
    if _starts_at_constant(estimator):
        loss = build_objective(estimator, model.network, model.loss).loss.at(Time(progress=0.0))
        model.state.params.biases[-1][...] = loss.fit_intercept_only(data.y, data.sample_weight, model.network.n_out)


def _starts_from_data(estimator: Any) -> bool:
    return isinstance(estimator.weight_init, str) and estimator.weight_init == "from_data"


def _starts_at_constant(estimator: Any) -> bool:
    return isinstance(estimator.bias_init, str) and estimator.bias_init == "auto"


def resumed_model(estimator: Any, fitted: Model, targets: Targets, dtype: np.dtype[Any]) -> Model:
    """Return a copy of the fitted model to continue with; a changed architecture raises ValueError."""
    check_architecture(estimator, fitted, targets, "warm_start=True")
    _check_table(estimator)
    state = fitted.state.copy()
    if dtype != fitted.dtype:
        state.reset_params()
        state.params = state.params.on(state.params.vector.astype(dtype))
        state.solver_state = {}
    model = Model(fitted.architecture, fitted.network, state, fitted.split_seed, fitted.learning_rate_init)
    if estimator.solver == "lbfgs":
        _adopt_dropout(estimator, model, targets)
        state.reset_params()
        state.plateau = Plateau(estimator.tol, estimator.n_iter_no_change)
        state.samples_seen = 0
    else:
        adopt_settings(estimator, model, targets, new_fit=True)
    return model


def adopt_settings(estimator: Any, model: Model, targets: Targets, *, new_fit: bool) -> None:
    """Build the model's recipe and adapt the state of earlier training to it.

    A state that the solver cannot use is replaced by a new one. Training continues from an average in a new fit, and
    when there is to be none, unless the solver itself goes on averaging. Schedules start again in a new fit, and when
    the initial learning rate or its schedule has changed. The best loss so far is forgotten in a new fit.
    """
    _adopt_dropout(estimator, model, targets)
    model.recipe = build_recipe(estimator, model.network, model.loss)
    model.settings = () if new_fit else training_settings(estimator)
    state, solver = model.state, model.recipe.solver
    continues = solver.accepts(state.solver_state, state.params.layout)
    if not continues:
        state.solver_state = solver.init(state.params.trained, state.params.n_weights, state.params.layout)
    if not (continues and solver.averages) and (new_fit or estimator.averaging is None):
        state.reset_params()
    schedule, initial = model.recipe.schedule, float(estimator.learning_rate_init)
    memory = schedule.new_memory()
    words = repr(schedule)
    is_known = model.schedule_in_words in ("", words, without_addresses(words))
    is_other = not is_known or memory.keys() != state.schedule_memory.keys()
    if new_fit or is_other or initial != model.learning_rate_init:
        state.step = state.epoch = 0
        state.schedule_memory = memory
    model.schedule_in_words = words
    model.learning_rate_init = initial
    progress = () if new_fit else (state.plateau.best, state.plateau.count)
    state.plateau = Plateau(estimator.tol, estimator.n_iter_no_change, *progress)


def _adopt_dropout(estimator: Any, model: Model, targets: Targets) -> None:
    """Set the dropout rates of the model's network to the estimator's current ones."""
    rates = build_architecture(estimator, model.network.n_in, targets).dropout
    if rates != model.architecture.dropout:
        model.set_dropout(rates)

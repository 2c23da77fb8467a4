"""The constructor parameters of the two estimators: defaults, rules, documentation, and who uses them."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skmlp.estimators.parameter_checks import ActivationChoice, Function, InstanceWith, LossChoice, Registered
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.initializers import INITIALIZERS
from skmlp.nn.layers import (
    NORMALIZATIONS,
    NUMERIC_EMBEDDINGS,
    EmbedCategories,
    Normalization,
    NumericEmbedding,
)
from skmlp.optim.clipping import CLIPS, Clip
from skmlp.optim.schedules import SCHEDULES, Schedule, Scheduled
from skmlp.optim.solvers import SOLVERS, Solver
from skmlp.tables import SCALINGS

# Solvers that take beta_1, beta_2 and epsilon from the estimator when chosen by name.
ADAM_FAMILY = ("adam", "amsgrad", "adamw", "nadam", "radam", "schedule_free_adamw")


@dataclass(frozen=True)
class Parameter:
    """A constructor parameter.

    Attributes
    ----------
    name : str
    default : object
    type : str
        What it takes, in numpydoc's words.
    rule : list
        scikit-learn's constraints, any of which a value must satisfy.
    lbfgs : {"used", "ignored", "refused"}, default="used"
        How ``solver="lbfgs"`` treats it; where it is refused, any value that switches it on is an error.
    partial_fit : {"compared", "fixed", "refused"}, default="compared"
        How partial_fit treats it: a value changed between two calls is adopted, a change has no effect, or any value
        that switches it on is an error.
    solvers : tuple of str, default=()
        The solvers, chosen by name, that alone use it; empty for all.
    text : str
        Its documentation, with any indentation.
    """

    name: str
    default: Any
    type: str
    rule: list[Any]
    lbfgs: Literal["used", "ignored", "refused"] = "used"
    partial_fit: Literal["compared", "fixed", "refused"] = "compared"
    solvers: tuple[str, ...] = ()
    text: str = ""

    @property
    def may_be_scheduled(self) -> bool:
        """Whether a value may follow a schedule."""
        return Scheduled in self.rule

    @staticmethod
    def is_off(value: Any) -> bool:
        """Tell whether a value asks for nothing, so that it need not be refused."""
        return value is None or (isinstance(value, Real | np.bool_) and value == 0)

    @property
    def documentation(self) -> str:
        """Its entry in a numpydoc section."""
        default = f'"{self.default}"' if isinstance(self.default, str) else repr(self.default)
        text = inspect.cleandoc(self.text)
        if self.lbfgs != "used" and not self.solvers:
            text += "\nNot used by lbfgs." if self.lbfgs == "ignored" else "\nNot available with lbfgs."
        if self.partial_fit == "refused":
            text += "\nNot available in partial_fit."
        return f"{self.name} : {self.type}, default={default}\n{textwrap.indent(text, '    ')}"


@dataclass(frozen=True)
class ParameterTable:
    """The parameters of an estimator, in the order of its constructor."""

    rows: tuple[Parameter, ...]

    @property
    def constraints(self) -> dict[str, list[Any]]:
        """scikit-learn's ``_parameter_constraints``."""
        return {row.name: row.rule for row in self.rows}

    @property
    def documentation(self) -> str:
        """The Parameters section of the class's docstring."""
        return "\n".join(row.documentation for row in self.rows)

    @cached_property
    def values_compared(self) -> Callable[[Any], tuple[Any, ...]]:
        """A function of an estimator: the values whose changes between its calls partial_fit notices."""
        return attrgetter(*(row.name for row in self.rows if row.partial_fit != "fixed"))


_POSITIVE = Interval(Real, 0, None, closed="neither")
_NON_NEGATIVE = Interval(Real, 0, None, closed="left")
_FRACTION = Interval(Real, 0, 1, closed="left")
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_INITIALIZER = [Registered(INITIALIZERS, extra=("auto",)), Function("f(rng, n_in, n_out, dtype)")]
_SCORER = Function("scorer(estimator, X, y)", " (sklearn.metrics.make_scorer makes one of a metric)")

# The text of a parameter stands under its name, default, type and rules, which a formatter would put on a line each.
# fmt: off
_COMMON = (
    Parameter("hidden_layer_sizes", (100,), "int or array-like of int", ["array-like", _AT_LEAST_ONE], text="""
        Number of units in each hidden layer. ``()`` is a linear model.
    """),
    Parameter("activation", "relu", "str, Activation or list of these",
              [ActivationChoice(ACTIVATIONS, Activation)], text="""
        Activation of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``,
        ``"elu"``, ``"selu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"softplus"``, ``"mish"``, a name added by
        :func:`~skmlp.nn.activations.register_activation`, or an object of :mod:`skmlp.nn.activations`. A list gives one
        for each hidden layer. The derivative of an object is checked when fit starts.
    """),
    Parameter("solver", "adam", "str or Solver", [Registered(SOLVERS, Solver, extra=("lbfgs",))], text="""
        ``"sgd"``, ``"rmsprop"``, ``"adagrad"``, ``"adadelta"``, ``"adam"``, ``"amsgrad"``, ``"adamw"``, ``"nadam"``,
        ``"radam"``, ``"lion"``, ``"schedule_free_adamw"`` (averages all steps, so that the learning rate need not fall;
        good in partial_fit), ``"muon"`` (orthogonalized steps for the weights of hidden layers), an object of
        :mod:`skmlp.optim` for full control, or ``"lbfgs"``: a quasi-Newton method on all data at once, often best for
        small data. By name, ``"sgd"`` takes `momentum` and `nesterovs_momentum`, and the Adam family, to which
        ``"schedule_free_adamw"`` belongs, takes `beta_1`, `beta_2` and `epsilon`.
    """),
    Parameter("alpha", 0.0001, "float", [_NON_NEGATIVE], text="""
        Strength of the L2 penalty ``alpha / (2 n) * sum of squared weights``, non-negative. As in scikit-learn, n is
        the sum of the sample weights *of the batch*: the same alpha has more effect on smaller batches.
    """),
    Parameter("batch_size", "auto", 'int, "auto" or "full"',
              [StrOptions({"auto", "full"}), _AT_LEAST_ONE], lbfgs="ignored", text="""
        Samples per mini-batch. ``"auto"`` is ``min(200, n_samples)``, ``"full"`` is all samples (batch gradient
        descent), 1 is stochastic gradient descent.
    """),
    Parameter("learning_rate", "constant", "str, Schedule or callable",
              [Registered(SCHEDULES, Schedule), Function("f(progress)")], lbfgs="ignored", text="""
        Schedule of the learning rate, for every solver (in scikit-learn for sgd only). A schedule multiplies
        `learning_rate_init` by a factor at every step. ``"linear"``, ``"polynomial"``, ``"cosine"``, ``"flat_cosine"``,
        ``"coslog"`` and ``"one_cycle"`` span the whole training; ``"step"``, ``"piecewise"``, ``"exponential"``,
        ``"inverse_time"``, ``"cosine_restarts"`` and ``"cyclic"`` count epochs; ``"warmup"`` rises first;
        ``"reduce_on_plateau"`` reacts to the loss. Objects of :mod:`skmlp.optim` have settings (``Warmup("cosine",
        duration=0.1)``), and a function ``f(progress)`` of the progress in [0, 1] works, too. A number times a
        schedule, ``0.2 * Cosine()``, is a scheduled value for `momentum`, `weight_decay`, `dropout` or
        `label_smoothing`. From scikit-learn:

        - ``"invscaling"``: ``learning_rate_init / (t + 1) ** power_t`` after each epoch, where t is the number of
          *samples* seen.
        - ``"adaptive"``: divided by 5 each time that `n_iter_no_change` epochs bring no progress, down to 1e-6.

        `tol` does not end a training whose schedule spans the whole of it; early stopping may.
    """),
    Parameter("learning_rate_init", 0.001, "float", [_POSITIVE], lbfgs="ignored", text="""
        The initial learning rate, positive. Usual values depend on the solver; see :mod:`skmlp.optim`.
    """),
    Parameter("power_t", 0.5, "float", [_NON_NEGATIVE], lbfgs="ignored", text="""
        Exponent of ``learning_rate="invscaling"``, non-negative.
    """),
    Parameter("max_iter", 200, "int", [_AT_LEAST_ONE], partial_fit="fixed", text="""
        Maximum number of epochs (for lbfgs, of iterations).
    """),
    Parameter("shuffle", True, "bool", ["boolean"], lbfgs="ignored", text="""
        Draw the mini-batches in a new random order in each epoch.
    """),
    Parameter("random_state", None, "int, RandomState, Generator or None",
              ["random_state", np.random.Generator], partial_fit="fixed", text="""
        Seed of the initial weights, the shuffling, the validation split and dropout, which use independent random
        streams. With the same integer, results are the same to the bit.
    """),
    Parameter("tol", 1e-4, "float", [_NON_NEGATIVE], text="""
        The smallest improvement of the loss or validation score that counts, absolute and non-negative; for lbfgs the
        largest gradient entry at convergence.
    """),
    Parameter("verbose", False, "bool or int", ["verbose"], partial_fit="fixed", text="""
        Print a line for each epoch; 2 or more prints all that ``history_`` records.
    """),
    Parameter("warm_start", False, "bool", ["boolean"], partial_fit="fixed", text="""
        Continue from the previous fit: weights, optimizer state and random streams are kept, the best loss and the
        count of epochs without improvement are reset. A changed architecture is an error.
    """),
    Parameter("momentum", 0.9, "float or scheduled value",
              [Interval(Real, 0, 1, closed="both"), Scheduled], solvers=("sgd",), text="""
        Momentum of ``solver="sgd"``, in [0, 1]. ``OneCycle.momentum()`` goes with ``learning_rate="one_cycle"``.
    """),
    Parameter("nesterovs_momentum", True, "bool", ["boolean"], solvers=("sgd",), text="""
        Use Nesterov's momentum with ``solver="sgd"``.
    """),
    Parameter("early_stopping", False, "bool", ["boolean"], partial_fit="refused", text="""
        Stop when the validation score (see `scoring`) stops improving, and keep the weights of the best epoch. Without
        `X_val` in fit and without `validation_split`, `validation_fraction` of the samples are held out for it, except
        with lbfgs.
    """),
    Parameter("validation_fraction", 0.1, "float", [_FRACTION], lbfgs="ignored", partial_fit="fixed", text="""
        Fraction of the samples to hold out, in [0, 1). A classifier's split is stratified by class, except for
        multilabel targets and where a class is too small for it.
    """),
    Parameter("beta_1", 0.9, "float", [_FRACTION], solvers=ADAM_FAMILY, text="""
        Decay rate of the Adam family's first moment, in [0, 1); for ``"schedule_free_adamw"``, which has none, the
        weight of the average where gradients are taken.
    """),
    Parameter("beta_2", 0.999, "float", [_FRACTION], solvers=ADAM_FAMILY, text="""
        Decay rate of the Adam family's second moment, in [0, 1).
    """),
    Parameter("epsilon", 1e-8, "float", [_POSITIVE], solvers=ADAM_FAMILY, text="""
        Added to the denominator by the Adam family, positive.
    """),
    Parameter("n_iter_no_change", 10, "int or inf", [_AT_LEAST_ONE, Options(Real, {np.inf})], text="""
        Stop after *more than* this many consecutive epochs without an improvement of `tol` (as in scikit-learn: by
        default the 11th such epoch is the last).
    """),
    Parameter("max_fun", 15000, "int", [_AT_LEAST_ONE], solvers=("lbfgs",), partial_fit="fixed", text="""
        Maximum number of loss evaluations by lbfgs.
    """),
    Parameter("dtype", "float32", '{"float32", "float64", "input"}',
              [StrOptions({"float32", "float64", "input"})], partial_fit="fixed", text="""
        Type to compute in; ``"input"`` takes the dtype of X if it is one of the two, else float64, as scikit-learn
        does. lbfgs always computes in float64.
    """),
    Parameter("weight_init", "glorot_uniform", "str or callable",
              [Registered(INITIALIZERS, extra=("auto", "from_data")), Function("f(rng, n_in, n_out, dtype)")],
              partial_fit="fixed", text="""
        Initial weights: ``"glorot_uniform"``, ``"glorot_normal"``, ``"he_uniform"``, ``"he_normal"``,
        ``"lecun_uniform"``, ``"lecun_normal"``, ``"orthogonal"``, ``"normal"``, ``"zeros"``, ``"auto"`` (He for relu
        and its relatives, LeCun for selu, else Glorot), ``"from_data"`` (normal weights, scaled so that every
        pre-activation has the standard deviation 1 on the training data, and biases that put the kinks of the units
        within the data), or ``f(rng, n_in, n_out, dtype)`` returning an array of shape (n_in, n_out). He keeps the
        scale of the signal in relu networks of about five or more hidden layers; in shallower ones the smaller weights
        of Glorot train faster.
    """),
    Parameter("bias_init", "auto", "str or callable", _INITIALIZER, partial_fit="fixed", text="""
        Initial biases. ``"auto"`` is 0 for hidden layers, or random where that suits the network better: with
        ``parametrization="ntk"``, or behind an embedding that starts at 0. The output layer starts at the best constant
        prediction (the mean of y, the log-odds of a class, ...), so that training need not find it first. Otherwise as
        for `weight_init`: the first row of the array is taken.
    """),
    Parameter("monitor", False, "bool or int", ["boolean", _AT_LEAST_ONE], partial_fit="fixed", text="""
        Observe gradients, weights, updates and activations during training: record ``monitor_``, and warn at the end of
        a training that went badly wrong (see ``diagnose``). True measures steps 1, 3, 9, 27, 81, 243 and from there on
        every 200th, which costs little in all but the shortest trainings; a number n measures every n-th. The trained
        network is the same.
    """),
    Parameter("normalization", None, '{"batch", "layer"}, Normalization or None',
              [Registered(NORMALIZATIONS, Normalization), None], text="""
        Normalize before each hidden layer's activation, over the batch or over the units of the layer; objects of
        :mod:`skmlp.nn.layers` have settings. ``"batch"`` uses running averages in prediction, and needs batches of at
        least 2 samples (a single one left over joins the batch before); it is not available with lbfgs.
    """),
    Parameter("dropout", 0.0, "float, list of float, or scheduled value",
              [_FRACTION, "array-like", Scheduled], lbfgs="refused", text="""
        Fraction of units to disable at random in each training step, in [0, 1): one for all hidden layers, or a list
        with one for each.
    """),
    Parameter("residual", False, "bool", ["boolean"], text="""
        Add its input to the output of every hidden layer that is as wide as the one before it.
    """),
    Parameter("alpha_l1", 0.0, "float", [_NON_NEGATIVE], lbfgs="refused", text="""
        Strength of the L1 penalty ``alpha_l1 / n * sum of absolute weights``, non-negative, with n as for `alpha`.
    """),
    Parameter("weight_decay", None, "float, scheduled value or None",
              [_NON_NEGATIVE, Scheduled, None], lbfgs="refused", text="""
        Decoupled weight decay, for any solver: before each step the weights are multiplied by ``1 - learning_rate *
        weight_decay`` (``"schedule_free_adamw"`` decays the steps that it averages). None leaves it to the solver (0.01
        for ``"adamw"``, 0.1 for ``"muon"``, else none).
    """),
    Parameter("max_norm", None, "float or None", [_POSITIVE, None], lbfgs="refused", text="""
        Maximum norm of the incoming weights of each unit, positive; larger ones are rescaled after each step.
    """),
    Parameter("gradient_clip", None,
              'float, {"value", "norm", "global_norm", "adaptive"}, Clip or None',
              [_POSITIVE, Registered(CLIPS, Clip), None], lbfgs="refused", text="""
        Gradient clipping rule. A positive number limits the norm of the whole gradient; names and objects of
        :mod:`skmlp.optim` limit each entry, the norm of each array, the norm of the whole gradient, or the norm for
        each unit relative to that of its weights. ``history_["clipped_fraction"]`` is the fraction of steps with
        clipping.
    """),
    Parameter("averaging", None, "float or None",
              [Interval(Real, 0, 1, closed="neither"), None], lbfgs="refused", text="""
        Predict and validate with an exponential moving average of the weights over the steps, with this decay in (0,
        1); 0.99 averages over about a hundred steps. Not for ``"schedule_free_adamw"``, which averages by itself.
    """),
    Parameter("validation_split", None, "float, splitter or None",
              [Interval(Real, 0, 1, closed="neither"), InstanceWith(["split"]), None], partial_fit="refused", text="""
        Hold samples out and evaluate them after every epoch: a random fraction in (0, 1), stratified as for
        `validation_fraction`; or the last split of a scikit-learn splitter such as ``GroupShuffleSplit`` (pass `groups`
        to fit) or ``TimeSeriesSplit``. None holds samples out only for `early_stopping`.
    """),
    Parameter("scoring", None, 'str, callable, "loss" or None',
              [StrOptions({"loss", *get_scorer_names()}), _SCORER, None], partial_fit="refused", text="""
        Score of the validation data: one of scikit-learn's names, ``scorer(estimator, X, y)``, ``"loss"`` for minus the
        loss, or None for the accuracy of a classifier and R squared of a regressor. A scorer gets the sample weights
        passed to fit if it takes `sample_weight`. If the score raises an error or is NaN, the history has NaN in its
        place, with a warning, and the validation loss is used instead.
    """),
    Parameter("restore_best", None, "bool or None", ["boolean", None], partial_fit="refused", text="""
        Keep the weights of the epoch with the best validation score or, without validation data, with the lowest
        training loss. None does so only with `early_stopping`.
    """),
    Parameter("refit", False, "bool", ["boolean"], partial_fit="refused", text="""
        After training with validation data, train again from the same initial weights on all samples, for as many
        epochs as gave the best score.
    """),
    Parameter("max_time", None, "float or None", [_POSITIVE, None], partial_fit="refused", text="""
        Seconds after which training ends. Schedules that span the whole training follow the clock if the time runs out
        before `max_iter` epochs, so that results depend on it. Neither a refit nor compilation is counted.
    """),
    Parameter("categorical_features", "from_dtype", 'array-like of str, int or bool, "from_dtype" or None',
              ["array-like", StrOptions({"from_dtype"}), None], partial_fit="fixed", text="""
        Which columns of X are categories. ``"from_dtype"``: those of a frame that hold text or have a data type made
        for categories. Otherwise their names, positions, or a mask; None for no column. A column with two categories
        becomes a number of -1 or 1. The others are one-hot within the network, or embedded, see
        `categorical_embedding`; categories that are not in the training data are all zeros.
    """),
    Parameter("max_categories", 255, "int or None", [_AT_LEAST_ONE, None], partial_fit="fixed", text="""
        Most categories of one column. If there are more, the most frequent ``max_categories - 1`` are kept and the
        others become one, which also stands for categories that are not in the training data.
    """),
    Parameter("missing", "error", '{"error", "indicator"}', [StrOptions({"error", "indicator"})],
              partial_fit="fixed", text="""
        What a missing value in X is. ``"error"``: an error that names the column. ``"indicator"``: among numbers it is
        replaced by the median of the column, and a further input says where it was missing; among categories it is a
        category of its own.
    """),
    Parameter("scaling", None, '{"mixed", "quantile", "robust", "standard"} or None',
              [Registered(SCALINGS), None], partial_fit="fixed", text="""
        Scale the numbers in X before the network: ``"robust"`` by median and interquartile range, with a smooth clip
        to (-3, 3), ``"standard"`` by mean and standard deviation, ``"quantile"`` to a normal distribution, ``"mixed"``
        by quantiles where most values of a column are equal, else robustly.
    """),
    Parameter("numeric_embedding", None, "str, NumericEmbedding or None",
              [Registered(NUMERIC_EMBEDDINGS, NumericEmbedding), None], text="""
        Put learned functions of each number beside it, so that the network can fit jumps and fine patterns: ``"pbld"``
        (mixtures of cosines of learned frequencies), ``"cosine"`` (the cosines themselves), ``"piecewise_linear"``
        (straight lines between quantiles of the training data, which fit jumps best), or an object of
        :mod:`skmlp.nn.layers`. The numbers should be scaled.
    """),
    Parameter("categorical_embedding", None, "EmbedCategories or None", [EmbedCategories, None], text="""
        Learn a vector for each category of columns with many of them, see
        :class:`~skmlp.nn.layers.EmbedCategories`; None makes all one-hot.
    """),
    Parameter("input_scale", None, "float or None", [_POSITIVE, None], text="""
        Multiply every input of the first hidden layer by a learned scale, whose learning rate is the network's times
        this factor, positive. RealMLP uses 6.
    """),
    Parameter("parametrization", "standard", '{"standard", "ntk"}', [StrOptions({"standard", "ntk"})], text="""
        ``"ntk"``, the neural tangent parametrization: a layer of n inputs computes ``a W / sqrt(n) + b``, with initial
        weights so much larger, and biases learn at a tenth of the rate. One learning rate then suits layers of any
        width; it is higher, about 0.04 for Adam.
    """),
)

CLASSIFIER = ParameterTable(
    (
        *_COMMON,
        Parameter("loss", "log_loss", '{"log_loss", "hinge", "focal"}, Loss or tuple',
                  [LossChoice(classification=True)], text="""
            Loss to minimize; objects of :mod:`skmlp.nn.losses` have settings, such as ``FocalLoss(gamma=1.0)``, and a
            pair ``(loss, gradient)`` of functions of ``(y, raw)`` works, too: its gradient is checked when fit starts.
            ``"hinge"`` has `decision_function` in place of probabilities.
        """),
        Parameter("class_weight", None, 'dict, "balanced" or None', [StrOptions({"balanced"}), dict, None], text="""
            Weights of the classes, multiplied with the sample weights, in training and validation; ``"balanced"`` gives
            all classes the same total. Not for multilabel targets; ``"balanced"`` not in partial_fit.
        """),
        Parameter("label_smoothing", 0.0, "float or scheduled value", [_FRACTION, Scheduled], text="""
            For the log loss, in [0, 1): the fraction e of each label that is spread evenly over all classes (a positive
            label counts as ``1 - e/2``). The validation loss is computed without it.
        """),
    )
)

REGRESSOR = ParameterTable(
    (
        Parameter("loss", "squared_error", "str, Loss or tuple", [LossChoice(classification=False)], text="""
            Loss to minimize, summed over outputs: ``"squared_error"`` (half of it), ``"absolute_error"``, ``"huber"``,
            ``"log_cosh"``, ``"quantile"`` (the median), ``"gaussian_nll"`` (learns a standard deviation, too; see
            :meth:`predict`), and, with predictions that are ``exp`` of the raw output, half the deviances ``"poisson"``
            (``y >= 0``), ``"gamma"`` (``y > 0``) and ``"tweedie"``. Objects of :mod:`skmlp.nn.losses` have settings
            (``Huber(delta=2.0)``, ``Quantile((0.1, 0.5, 0.9))`` whose levels never cross), and a pair ``(loss,
            gradient)`` of functions of ``(y, raw)`` works, too: its gradient is checked when fit starts.
        """),
        *_COMMON,
        Parameter("standardize_target", False, "bool", ["boolean"], text="""
            Learn ``(y - mean) / standard deviation`` (weighted, for each output), and predict in the unit of y: then
            the learning rate, `alpha` and `tol` do not depend on it. Losses in ``history_``, and settings of a loss
            such as the delta of ``Huber``, are in units of the standardized target. Not for the Poisson, gamma and
            Tweedie deviance.
        """),
    )
)
# fmt: on

"""The classifier."""

from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators.availability import available_unless
from skmlp.estimators.base import BaseMLP, why_no_partial_fit
from skmlp.estimators.class_weights import weigh_classes
from skmlp.estimators.constraints import LossChoice
from skmlp.estimators.targets import Kind, LabelTargets, all_labels, as_loss, choose_loss
from skmlp.estimators.validation import naming
from skmlp.optim.schedules import Scheduled
from skmlp.training.batches import Data

__all__ = ["MLPClassifier"]


_LOSS = LossChoice(classification=True)
# The log-odds of what cannot be: its probability is 0 in every type, its logarithm is finite.
_IMPOSSIBLE = -10_000.0


def _has_probabilities(estimator: Any) -> bool:
    """Tell whether the fitted loss, or before fit the chosen one, learns probabilities.

    A choice that fit will refuse counts as the default: it is for fit to say what is wrong.
    """
    if "_model" in vars(estimator):
        return bool(estimator._model.loss.has_probabilities)
    chosen = estimator.loss
    return isinstance(chosen, tuple) or not _LOSS.is_satisfied_by(chosen) or as_loss(chosen).has_probabilities


def _loss_in_use(estimator: Any) -> Any:
    """Return what :func:`_has_probabilities` judges by."""
    return estimator._model.architecture.loss if "_model" in vars(estimator) else estimator.loss


def why_no_probabilities(estimator: Any) -> str | None:
    """Return why there are no probabilities, or None when there are."""
    if _has_probabilities(estimator):
        return None
    return (
        f"The loss {_loss_in_use(estimator)!r} does not learn probabilities: predict_proba and predict_log_proba are "
        'available for "log_loss" and "focal". Use decision_function, or fit with another loss.'
    )


def why_no_decision_function(estimator: Any) -> str | None:
    """Return why there is no decision function, or None when there is."""
    if not _has_probabilities(estimator):
        return None
    return (
        f"The loss {_loss_in_use(estimator)!r} learns probabilities: use predict_proba. decision_function is available "
        'for losses without, such as "hinge".'
    )


def why_no_partial_fit_to_labels(estimator: Any) -> str | None:
    """Return why partial_fit is not available for these parameters, or None when it is."""
    if isinstance(estimator.class_weight, str):
        return (
            'class_weight="balanced" is not supported for partial_fit, which sees a part of the data at a time. '
            'Pass the weights as a dict, for example from compute_class_weight("balanced", classes=classes, y=y).'
        )
    return why_no_partial_fit(estimator)


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron for classification.

    A drop-in superset of :class:`sklearn.neural_network.MLPClassifier`: binary, multiclass and multilabel.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer. ``()`` is a linear model.
    activation : str, Activation or list of these, default="relu"
        Activation of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``,
        ``"elu"``, ``"selu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"softplus"``, ``"mish"``, a name added by
        :func:`~skmlp.nn.activations.register_activation`, or an object of :mod:`skmlp.nn.activations`. A list names
        one for each hidden layer. An object's derivative is checked when fit starts.
    solver : str or Solver, default="adam"
        ``"sgd"``, ``"rmsprop"``, ``"adagrad"``, ``"adadelta"``, ``"adam"``, ``"amsgrad"``, ``"adamw"``, ``"nadam"``,
        ``"radam"``, ``"lion"``, an object of :mod:`skmlp.optim` for full control, or ``"lbfgs"``: a quasi-Newton method
        on all data at once, often best for small data. By name, ``"sgd"`` takes `momentum` and
        `nesterovs_momentum`, the Adam family takes `beta_1`, `beta_2` and `epsilon`.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``alpha / (2 n) * sum of squared weights``, non-negative. As in scikit-learn, n is
        the sum of the sample weights *of the batch*: the same alpha acts more strongly on smaller batches.
    batch_size : int, "auto" or "full", default="auto"
        Rows a step. ``"auto"`` is ``min(200, n_samples)``, ``"full"`` all rows (batch gradient descent), 1 is
        stochastic gradient descent. Not used by lbfgs.
    learning_rate : str, Schedule or callable, default="constant"
        What becomes of the learning rate, for every solver but lbfgs (in scikit-learn for sgd only). A schedule is a
        factor on `learning_rate_init`, at every step: ``"linear"``, ``"polynomial"``, ``"cosine"``, ``"flat_cosine"``,
        ``"coslog"`` and ``"one_cycle"`` run over the whole training; ``"step"``, ``"piecewise"``, ``"exponential"``,
        ``"inverse_time"``, ``"cosine_restarts"`` and ``"cyclic"`` count epochs; ``"warmup"`` rises first;
        ``"reduce_on_plateau"`` reacts to the loss. Objects of :mod:`skmlp.optim` have settings
        (``Warmup("cosine", duration=0.1)``), and a function ``f(progress)`` in [0, 1] works, too. A number times a
        schedule, ``0.2 * Cosine()``, is a scheduled value for `momentum`, `beta_1`, `weight_decay`, `dropout` or
        `label_smoothing`. From scikit-learn:

        - ``"invscaling"``: ``learning_rate_init / (t + 1) ** power_t`` after each epoch, t being the number of
          *samples* seen.
        - ``"adaptive"``: divided by 5 each time `n_iter_no_change` says that progress has stopped, until 1e-6.

        A schedule that runs over the whole training is not cut short by `tol`, but by early stopping it may be.
    learning_rate_init : float, default=0.001
        The initial learning rate, positive. Usual values depend on the solver; see :mod:`skmlp.optim`.
    power_t : float, default=0.5
        Exponent of ``"invscaling"``, non-negative.
    max_iter : int, default=200
        The largest number of epochs (of iterations for lbfgs).
    shuffle : bool, default=True
        Visit the rows in a new random order each epoch.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the initial weights, the shuffling, the validation split and dropout, independent streams. The same
        integer gives the same bits.
    tol : float, default=1e-4
        The improvement of loss or validation score that counts, absolute and non-negative; for lbfgs the largest
        gradient entry at convergence.
    verbose : bool or int, default=False
        Print a line for each epoch; from 2 on everything ``history_`` has of it.
    warm_start : bool, default=False
        Go on from the previous fit: weights, optimizer state and random stream are kept, best loss and patience
        start anew. Another architecture is an error.
    momentum : float or scheduled value, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1]. ``OneCycle.momentum()`` goes with ``learning_rate="one_cycle"``.
    nesterovs_momentum : bool, default=True
        Nesterov's look-ahead for ``solver="sgd"``.
    early_stopping : bool, default=False
        Stop when the accuracy (or `scoring`) on validation data stops improving, and keep the weights of the best
        epoch. Without `X_val` in fit and `validation_split`, `validation_fraction` of the rows are set aside for it,
        but not by lbfgs.
    validation_fraction : float, default=0.1
        Share of the rows to set aside, in [0, 1). Stratified by class, except for multilabel
        targets and where a class is too small for it.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the Adam family's two moments, in [0, 1). `beta_1` may be a scheduled value.
    epsilon : float, default=1e-8
        Added to the denominator by the Adam family, positive.
    n_iter_no_change : int or inf, default=10
        Stop after *more than* that many epochs in a row without an improvement of `tol` (as scikit-learn does:
        the 11th such epoch is the last by default).
    max_fun : int, default=15000
        The largest number of evaluations for lbfgs.
    dtype : {"float32", "float64", "input"}, default="float32"
        What to compute in; ``"input"`` takes the dtype of X if it is one of the two, else float64, as scikit-learn
        does. lbfgs always computes in float64.
    weight_init : str or callable, default="glorot_uniform"
        Initial weights: ``"glorot_uniform"``, ``"glorot_normal"``, ``"he_uniform"``, ``"he_normal"``,
        ``"lecun_uniform"``, ``"lecun_normal"``, ``"orthogonal"``, ``"zeros"``, ``"auto"`` (He for relu and its
        relatives, LeCun for selu, else Glorot), or ``f(rng, n_in, n_out, dtype)`` returning an array of shape
        (n_in, n_out). He keeps the signal's size in deep relu networks, from about five hidden layers on; in
        shallower ones the smaller weights of Glorot train faster.
    bias_init : str or callable, default="auto"
        Initial biases: ``"auto"`` is 0 for hidden layers and, for the output layer, what predicts the best constant
        (the mean of y, the log-odds of a class, ...), so that training need not begin by finding it. Otherwise as for
        `weight_init`: the first row of the array is taken.
    monitor : bool or int, default=False
        Look inside while training: record ``monitor_``, and warn at the end when something went badly wrong
        (see ``diagnose``). True measures steps 1, 3, 9, 27, 81, 243 and from there on every 200th, which costs
        little in all but the shortest trainings; a number n measures every n-th. Does not change what is trained.
    normalization : {"batch", "layer"}, Normalization or None, default=None
        Normalize before each hidden layer's activation, over the batch or over the layer's units; an object of
        :mod:`skmlp.nn.layers` for control. ``"batch"`` takes running averages in prediction, and needs batches of at
        least 2 rows (a last one of one row joins the one before); lbfgs has none.
    dropout : float, list of float, or scheduled value, default=0.0
        Share of units left out at random in each training step, in [0, 1): one for all hidden layers, or one for each.
    residual : bool, default=False
        Add its input to the output of every hidden layer that is as wide as the one before it.
    alpha_l1 : float, default=0.0
        Strength of the L1 penalty ``alpha_l1 / n * sum of absolute weights``, non-negative, n as for `alpha`.
    weight_decay : float, scheduled value or None, default=None
        Decoupled weight decay of any solver: before each step the weights shrink by the factor
        ``1 - learning_rate * weight_decay``. None leaves it to the solver (0.01 for ``"adamw"``, else none).
    max_norm : float or None, default=None
        The largest norm of any unit's incoming weights, kept by shrinking them after each step; positive.
    gradient_clip : float, scheduled value, {"value", "norm", "global_norm", "adaptive"}, Clip or None, default=None
        Clip gradients: a positive number limits the norm of the whole gradient; names and objects of
        :mod:`skmlp.optim` limit each entry, the norm of each array, of the whole, or each unit's by its weights'.
        ``history_["clipped_share"]`` tells how often it happened.
    averaging : float or None, default=None
        Predict and validate with an exponential average of the weights over the steps, with this decay in (0, 1); 0.99
        averages over about a hundred steps.
    validation_split : float, splitter or None, default=None
        Set rows aside and evaluate them after every epoch: a random share in (0, 1), stratified as
        `validation_fraction` is; or the last split of a scikit-learn splitter such as ``GroupShuffleSplit`` (pass
        `groups` to fit) or ``TimeSeriesSplit``. None sets rows aside only for `early_stopping`.
    scoring : str, callable, "loss" or None, default=None
        The score of the validation data: one of scikit-learn's names, ``scorer(estimator, X, y)``, ``"loss"`` for minus
        the loss, or None for the accuracy. A scorer gets the sample weights passed to fit, if it takes `sample_weight`.
        An epoch whose score raises an error or is NaN has NaN in the history, with a warning; the validation loss then
        takes the place of the score.
    restore_best : bool or None, default=None
        Keep the weights of the epoch with the best validation score, without validation data with the lowest training
        loss. None does so with `early_stopping` only.
    refit : bool, default=False
        After the training with validation data, train again from the same initial weights on all rows, for as many
        epochs as scored best.
    max_time : float or None, default=None
        Seconds after which training ends. Schedules that run over the whole training follow the clock, if the time is
        used up faster than `max_iter` epochs, so the result depends on it. Neither a refit nor compiling
        is counted.
    loss : {"log_loss", "hinge", "focal"}, Loss or tuple, default="log_loss"
        What is minimised; an object of :mod:`skmlp.nn.losses` for its settings, such as ``FocalLoss(gamma=1.0)``, or a
        pair ``(loss, gradient)`` of functions of ``(y, raw)``, whose gradient is checked when fit starts. ``"hinge"``
        has `decision_function` in place of probabilities.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with the sample weights, in training and validation; ``"balanced"`` gives all
        classes the same total. Not for multilabel targets.
    label_smoothing : float or scheduled value, default=0.0
        For the log loss, in [0, 1): share e of each label that is spread evenly over all classes (a yes counts as
        ``1 - e/2``). The validation loss is without.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; for multilabel targets the column numbers.
    coefs_ : list of ndarray
        ``coefs_[l]`` is the weight matrix of layer l, of shape (n_in, n_out). A view: writing into it changes the
        network.
    intercepts_ : list of ndarray
        ``intercepts_[l]`` is the bias vector of layer l, of shape (n_out,). A view.
    history_ : dict of lists
        One entry an epoch: ``loss`` (what is minimised), ``train_loss`` and ``penalty`` (its two parts, averages
        over the epoch's batches), ``learning_rate`` (mean over the steps; NaN for lbfgs), ``gradient_norm`` (mean over
        the steps of the norm of the whole gradient, before clipping), ``clipped_share`` (of the steps), ``seconds``,
        ``samples_per_second``; with validation data ``validation_loss`` (without penalty) and ``validation_score``.
        With `monitor`, NaN where nothing was measured: ``effective_step`` (norm of the update over norm of the
        gradient), ``gradient_ratio`` (norm of the first layer's gradient over the last one's) and ``noise_scale``.
        It grows under `warm_start` and ``partial_fit``, up to the last 10,000 epochs.
    monitor_ : dict of ndarray
        What `monitor` observed, in arrays with one row for each epoch in which a step was measured: ``epoch`` (from 1),
        and of shape (n_observed, n_layers), from input to output: of the gradient of a layer's weights
        ``gradient_norm``, ``gradient_norm_max``, ``gradient_mean``, ``gradient_std``, ``gradient_largest`` (magnitude),
        ``gradient_zero_fraction``, ``gradient_nonfinite`` (entries), ``gradient_cosine`` and ``sign_flip_fraction`` (to
        the step before), ``gradient_snr`` and ``noise_scale`` (see :mod:`skmlp.nn.statistics`); ``weight_norm``;
        ``update_ratio`` and ``update_ratio_max`` (norm of the update over norm of the weights); ``activation_mean`` and
        ``activation_std`` (of a layer's outputs), ``dead_fraction`` (share of units without gradient for every row
        looked at), ``saturated_fraction`` (share of outputs where logistic or tanh are nearly flat). Means over the
        measured steps of an epoch; ``_max``, ``_largest`` and ``_nonfinite`` are the largest values. NaN where
        something does not exist. ``gradient_quantiles`` and ``activation_quantiles``, of shape (n_observed, n_layers,
        9), are the quantiles :data:`skmlp.nn.statistics.BANDS`. ``monitor_frame()`` gives a table of all.
    stop_reason_ : str
        Why training ended: ``"converged"``, ``"max_iter"``, ``"max_time"``, ``"max_fun"``, ``"callback"``,
        ``"interrupted"``, ``"non_finite"`` or ``"failed"``; ``stop_message_`` says more where there is more to say.
    engine_ : str
        What took the steps of the last training: ``"compiled"``, or ``"numpy: "`` and why not compiled steps. The
        training alone decides, by how long it may take, and the environment variable ``SKMLP_COMPILED``.
    loss_curve_ : list of float
        ``history_["loss"]``.
    loss_ : float
        The last finite entry of ``loss_curve_``.
    best_loss_ : float or None
        The lowest loss of an epoch; None with validation data.
    validation_scores_ : list of float or None
        Accuracy on the validation data (or `scoring`), after each epoch; None without any.
    best_validation_score_ : float or None
        The highest of them.
    best_n_iter_ : int or None
        The epoch it belongs to, of the last fit; 0 when no epoch was better than what a warm start began with. None
        without validation data.
    n_iter_ : int
        Epochs (iterations) of the last call to fit or partial_fit.
    t_ : int
        Samples seen in all; 0 for lbfgs.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X was a data frame with string column names.
    n_layers_ : int
        Number of layers, input and output included.
    n_outputs_ : int
        Number of outputs of the network: columns before the link.
    out_activation_ : str
        The link: ``"softmax"`` (multiclass), ``"logistic"`` (binary, multilabel) or, for the hinge loss,
        ``"identity"``.

    See Also
    --------
    MLPRegressor : The same network for regression.
    skmlp.optim : The solvers.
    skmlp.nn.gradient_check.check_gradient : Verify a gradient.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS.
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv 1502.01852.
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(solver="lbfgs", alpha=1.0, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    _y_numeric = False
    _parameter_constraints = {
        **BaseMLP._parameter_constraints,
        "loss": [_LOSS],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), Scheduled],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: Any = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: Any = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dtype: str = "float32",
        weight_init: Any = "glorot_uniform",
        bias_init: Any = "auto",
        monitor: bool | int = False,
        normalization: Any = None,
        dropout: Any = 0.0,
        residual: bool = False,
        alpha_l1: float = 0.0,
        weight_decay: Any = None,
        max_norm: float | None = None,
        gradient_clip: Any = None,
        averaging: float | None = None,
        validation_split: Any = None,
        scoring: Any = None,
        restore_best: bool | None = None,
        refit: bool = False,
        max_time: float | None = None,
        loss: Any = "log_loss",
        class_weight: Any = None,
        label_smoothing: Any = 0.0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dtype = dtype
        self.weight_init = weight_init
        self.bias_init = bias_init
        self.monitor = monitor
        self.normalization = normalization
        self.dropout = dropout
        self.residual = residual
        self.alpha_l1 = alpha_l1
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.gradient_clip = gradient_clip
        self.averaging = averaging
        self.validation_split = validation_split
        self.scoring = scoring
        self.restore_best = restore_best
        self.refit = refit
        self.max_time = max_time
        self.loss = loss
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

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
        """Fit the network to data and labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers; scale them to about unit size first, for example with a StandardScaler.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels that can be sorted, or a 0/1 indicator matrix for multilabel classification.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 counts as the row twice.
        X_val, y_val : like X and y, default=None
            Validation data of your own, evaluated after every epoch; used by `early_stopping` and `restore_best` in
            place of a part of X. In a Pipeline, ``transform_input=["X_val"]`` brings `X_val` through the steps before.
        sample_weight_val : array-like, default=None
            Weights of the rows of X_val.
        groups : array-like of shape (n_samples,), default=None
            For a `validation_split` that keeps groups together. With scikit-learn's metadata routing, an outer
            estimator or cross-validation hands them down after ``set_fit_request(groups=True)``; without that they
            are for its own splitter.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        ValueError
            When the input or a parameter is invalid, or the first epoch already diverges. The estimator is then as
            it was before the call.
        """
        self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, groups)
        return self

    @available_unless(why_no_partial_fit_to_labels)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on training with one pass over the given data.

        The optimizer's state and the random stream are kept from call to call: k calls on the same data are the same
        training as ``fit`` with ``max_iter=k``, apart from stopping rules. With mini-batches they are so bit for bit,
        with full batches to rounding, since ``fit`` sorts the rows of those and merges equal ones. They are equal to
        rounding, too, where `max_iter` makes a training long enough for compiled steps (``engine_``): ``fit`` has them
        from the beginning, a stream of calls when it has become as long.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers of about unit size.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels among `classes`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.
        classes : array-like of shape (n_classes,) or set, default=None
            All labels that will ever occur, in any order; required in the first call, optional later.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        ValueError
            When the input is invalid, `classes` is missing in the first call or differs from it later, or `y` has
            other labels.
        """
        is_told = classes is not None or not hasattr(self, "_model")
        self._partial_fit(X, y, sample_weight, partial(self._targets_from_classes, y, classes) if is_told else None)
        return self

    def predict(self, X: Any) -> AnyArray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class, or for multilabel targets a 0/1 matrix of the labels more likely than not.
        """
        raw = self._raw_predict(X)
        labels: AnyArray = self._fitted_targets().decode(raw)
        return labels

    @available_unless(why_no_probabilities)
    def predict_proba(self, X: Any) -> FloatArray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; float64, or float32 when X is a float32 array. Rows sum to 1,
            except for multilabel targets, where every column is the probability of one label. With a single class
            there is a second column of zeros, for any other class, as in scikit-learn's MLP.
        """
        return self._probabilities(self._raw_log_odds(X))

    @available_unless(why_no_probabilities)
    def predict_log_proba(self, X: Any) -> FloatArray:
        """Predict logarithms of probabilities, finite also where a probability rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``; where a probability is too small for its type, its logarithm comes from the
            raw output.
        """
        raw = self._raw_log_odds(X)
        loss = self._model.loss
        log_p = loss.log_predict(raw)  # type: ignore[attr-defined]
        if self._label_kind != "multiclass":
            log_no, log_yes = log_p
            log_p = np.hstack([log_no, log_yes]) if self._label_kind == "binary" else log_yes
        p = self._probabilities(raw)
        np.log(p, out=log_p, where=p > np.finfo(p.dtype).tiny)
        return log_p

    @available_unless(why_no_decision_function)
    def decision_function(self, X: Any) -> FloatArray:
        """Return the raw outputs of a loss without probabilities, such as the hinge loss.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        raw : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The larger, the surer; for two classes one column, positive for ``classes_[1]``.
        """
        raw = self._raw_predict(X)
        return raw[:, 0] if self._label_kind == "binary" else raw

    def _raw_log_odds(self, X: Any) -> FloatArray:
        """Return the raw outputs that the probabilities come from; a single class is certain."""
        raw = self._raw_predict(X)
        return np.full_like(raw, _IMPOSSIBLE) if len(self.classes_) == 1 and self._label_kind == "binary" else raw

    def _probabilities(self, raw: FloatArray) -> FloatArray:
        """Turn raw outputs into probabilities: a column for each class, two if there are fewer."""
        loss = self._model.loss
        if self._label_kind != "binary":
            return loss.predict(raw)
        return np.hstack([loss.predict(-raw), loss.predict(raw)])

    # ------------------------------------------------------------------ what y means

    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> LabelTargets:
        return LabelTargets.from_labels(y, self.loss)

    def _fitted_targets(self) -> LabelTargets:
        kind: Kind = self._label_kind
        return LabelTargets(self.classes_, kind, self._model.architecture.loss, self._sparse_labels)

    def _set_targets(self, targets: LabelTargets) -> None:
        self.classes_ = targets.classes
        self._label_kind = targets.kind
        self._sparse_labels = targets.sparse_output

    def _check_warm_start_targets(self, targets: LabelTargets, y: Any) -> None:
        if targets.kind == "multilabel":
            return
        check_classification_targets(y)
        classes = np.unique(y)
        if not np.array_equal(classes, targets.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {targets.classes}, `y` has {classes}. "
                "Use partial_fit for batches that lack some classes, or fit anew with warm_start=False."
            )

    def _targets_from_classes(self, y: Any, classes: Any) -> LabelTargets:
        """Return what `classes` says about `y` in partial_fit."""
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = all_labels(classes)
        if hasattr(self, "_model"):
            if not np.array_equal(known, self.classes_):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
            return self._fitted_targets()
        with naming("y", y), np.errstate(invalid="ignore"):  # scikit-learn looks for fractions by a cast
            y_type = type_of_target(y, input_name="y")
        if y_type == "multilabel-indicator":
            return LabelTargets(known, "multilabel", choose_loss(self.loss, "multilabel"))
        return LabelTargets.from_classes(known, self.loss)

    def _weigh(self, data: Data, targets: LabelTargets) -> Data:
        if self.class_weight is None:
            return data
        return data._replace(sample_weight=weigh_classes(self.class_weight, data.y, data.sample_weight, targets))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

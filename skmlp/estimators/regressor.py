"""The regressor."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from skmlp._typing import FloatArray
from skmlp.estimators.availability import available_unless
from skmlp.estimators.base import BaseMLP, why_no_partial_fit
from skmlp.estimators.constraints import LossChoice
from skmlp.estimators.targets import RealTargets, as_loss, choose_loss, loss_object, quantile_score
from skmlp.nn.losses import GaussianNLL, Quantile

__all__ = ["MLPRegressor"]

_LOSS = LossChoice(classification=False)


def _looks_like_layers(loss: Any) -> bool:
    """Tell whether `loss` was meant as `hidden_layer_sizes`, which comes first in the classifier."""
    return isinstance(loss, Integral) or (
        isinstance(loss, list | tuple | np.ndarray) and all(isinstance(size, Integral) for size in loss)
    )


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for regression.

    A drop-in superset of :class:`sklearn.neural_network.MLPRegressor`, with one or several outputs.

    Parameters
    ----------
    loss : str, Loss or tuple, default="squared_error"
        What is minimised, summed over outputs: ``"squared_error"`` (half of it), ``"absolute_error"``, ``"huber"``,
        ``"log_cosh"``, ``"quantile"`` (the median), ``"gaussian_nll"`` (learns a standard deviation, too; see
        :meth:`predict`), and with predictions that are ``exp`` of the raw output half the deviances ``"poisson"``
        (``y >= 0``), ``"gamma"`` (``y > 0``) and ``"tweedie"``. Objects of :mod:`skmlp.nn.losses` have settings
        (``Huber(delta=2.0)``, ``Quantile((0.1, 0.5, 0.9))`` whose levels never cross), and a pair ``(loss, gradient)``
        of functions of ``(y, raw)`` is checked when fit starts.
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
        Stop when R squared (or `scoring`) on validation data stops improving, and keep the weights of the best epoch.
        Without `X_val` in fit and `validation_split`, `validation_fraction` of the rows are set aside for it, but not
        by lbfgs.
    validation_fraction : float, default=0.1
        Share of the rows to set aside, in [0, 1).
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
        the loss, or None for R squared. A scorer gets the sample weights passed to fit, if it takes `sample_weight`.
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
    standardize_target : bool, default=False
        Learn ``(y - mean) / standard deviation`` (of y as weighted, for each output), and predict in y's own unit: then
        the learning rate, `alpha` and `tol` do not depend on it. Losses in ``history_``, and settings of a loss such as
        the delta of ``Huber``, are in units of the standardised target. For losses that allow it: all but the Poisson,
        gamma and Tweedie deviance.

    Attributes
    ----------
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
        R squared on the validation data (or `scoring`), after each epoch; None without any.
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
        The link: ``"identity"`` or, for the Poisson, gamma and Tweedie deviance, ``"exp"``.
    target_mean_, target_scale_ : ndarray of shape (n_targets,) or None
        What `standardize_target` subtracts and divides by; None without it.

    See Also
    --------
    MLPClassifier : The same network for classification.
    skmlp.optim : The solvers.
    skmlp.nn.gradient_check.check_gradient : Verify a gradient.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS.
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv 1502.01852.
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = MLPRegressor(standardize_target=True, early_stopping=True, learning_rate_init=0.01, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net)
    >>> bool(model.fit(X, y).score(X, y) > 0.4)
    True
    """

    _y_numeric = True
    _parameter_constraints = {
        **BaseMLP._parameter_constraints,
        "loss": [_LOSS],
        "standardize_target": ["boolean"],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
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
        standardize_target: bool = False,
    ) -> None:
        self.loss = loss
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
        self.standardize_target = standardize_target

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
        """Fit the network to data and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers; scale them to about unit size first, for example with a StandardScaler.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers; for others than of about unit size see `standardize_target`.
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
        self : MLPRegressor

        Raises
        ------
        ValueError
            When the input or a parameter is invalid, `y` is outside the loss's domain, or the first epoch already
            diverges. The estimator is then as it was before the call.
        """
        self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, groups)
        return self

    @available_unless(why_no_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            When the input is invalid.
        """
        if hasattr(self, "_model"):
            self._check_warm_start_targets(self._fitted_targets(), y)
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.
        return_std : bool, default=False
            Return the predicted standard deviation, too; only with ``loss="gaussian_nll"``, which learns it.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float64, or float32 when X is a float32 array. For several levels of a quantile a column for each level
            (of the first output, then of the second, ...).
        y_std : ndarray of the shape of `y`
            Only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when the loss does not learn a standard deviation.
        """
        raw = self._raw_predict(X)
        targets, loss = self._fitted_targets(), self._model.loss
        mean = targets.decode(raw)
        if not return_std:
            return mean
        if not isinstance(loss, GaussianNLL):
            raise ValueError(
                f"return_std=True needs a loss that learns a standard deviation, got loss={self.loss!r}. "
                'Use loss="gaussian_nll".'
            )
        return mean, targets.decode_std(loss.predict_std(raw))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R squared; for several levels of a quantile the mean of D squared with the pinball loss.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            1 is perfect; 0 is as good as the best constant.
        """
        check_is_fitted(self)
        loss = self._model.loss
        if not (isinstance(loss, Quantile) and loss.n_levels > 1):
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(predicted, y, sample_weight)
        return quantile_score(self._fitted_targets().columns(y), predicted, loss, sample_weight)

    def _validate_params(self) -> None:
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            if "'loss'" not in str(error) or not _looks_like_layers(self.loss):
                raise
            # As in scikit-learn `loss` comes first, which few expect.
            raise InvalidParameterError(
                f"{error} The first positional parameter is the loss; for the layers write "
                f"MLPRegressor(hidden_layer_sizes={self.loss!r})."
            ) from None

    # ------------------------------------------------------------------ what y means

    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> RealTargets:
        targets = RealTargets(choose_loss(self.loss), 1 if y.ndim == 1 else y.shape[1])
        if not self.standardize_target:
            return targets
        loss = targets.loss_object
        if not loss.is_equivariant:
            start = ': with bias_init="auto" the network starts at the mean of y anyway' if loss.link == "exp" else ""
            raise ValueError(
                f"standardize_target=True changes zero and unit of y, and loss={self.loss!r} depends on them. "
                f"Set standardize_target=False{start}."
            )
        return targets.standardized(y, sample_weight)

    def _check_warm_start_targets(self, targets: RealTargets, y: Any) -> None:
        was = targets.shift is not None
        if was != self.standardize_target:
            raise ValueError(
                f"Training goes on with targets in the unit of its start, when standardize_target was {was}; it is now "
                f"{self.standardize_target}. Set it back, or fit anew with warm_start=False."
            )

    def _fitted_targets(self) -> RealTargets:
        loss = self._model.architecture.loss
        n_targets = self._model.network.n_out // loss_object(loss).n_raw(1)
        return RealTargets(loss, n_targets, self.target_mean_, self.target_scale_)

    def _set_targets(self, targets: RealTargets) -> None:
        self.target_mean_, self.target_scale_ = targets.shift, targets.scale

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        # What is no loss, fit will refuse.
        is_loss = _LOSS.is_satisfied_by(self.loss)
        tags.target_tags.positive_only = is_loss and not as_loss(self.loss).in_domain(np.array([[-1.0]]))
        return tags

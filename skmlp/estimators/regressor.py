"""The regressor."""

from typing import Any, Self

from sklearn.base import RegressorMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from skmlp._typing import FloatArray
from skmlp.estimators.availability import available_unless
from skmlp.estimators.base import BaseMLP, why_no_partial_fit
from skmlp.estimators.targets import RealTargets

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for regression.

    A drop-in superset of :class:`sklearn.neural_network.MLPRegressor`, with one or several outputs.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        ``"squared_error"``: half the squared error, summed over outputs. ``"poisson"``: half the Poisson deviance,
        for targets ``y >= 0``; predictions are ``exp`` of the raw output.
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
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default="constant"
        What becomes of the learning rate, for every solver but lbfgs (in scikit-learn for sgd only).

        - ``"invscaling"``: ``learning_rate_init / (t + 1) ** power_t`` after each epoch, t being the number of
          *samples* seen.
        - ``"adaptive"``: divided by 5 each time `n_iter_no_change` says that progress has stopped, until 1e-6.
    learning_rate_init : float, default=0.001
        The initial learning rate, positive. Usual values depend on the solver; see :mod:`skmlp.optim`.
    power_t : float, default=0.5
        Exponent of ``"invscaling"``, non-negative.
    max_iter : int, default=200
        The largest number of epochs (of iterations for lbfgs).
    shuffle : bool, default=True
        Visit the rows in a new random order each epoch.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the initial weights, the shuffling and the validation split, three independent streams. The same
        integer gives the same bits.
    tol : float, default=1e-4
        The improvement of loss or validation score that counts, absolute and non-negative; for lbfgs the largest
        gradient entry at convergence.
    verbose : bool or int, default=False
        Print a line for each epoch.
    warm_start : bool, default=False
        Go on from the previous fit: weights, optimizer state and random stream are kept, best loss and patience
        start anew. Another architecture is an error.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Nesterov's look-ahead for ``solver="sgd"``.
    early_stopping : bool, default=False
        Set `validation_fraction` of the rows aside, stop when R squared on them stops improving, and keep the
        weights of the best epoch. Not used by lbfgs.
    validation_fraction : float, default=0.1
        Share of the rows to set aside, in [0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the Adam family's two moments, in [0, 1).
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
    bias_init : str or callable, default="zeros"
        Initial biases, likewise: the first row of the array is taken.
    monitor : bool or int, default=False
        Look inside while training and record ``monitor_``. True observes the first, 101st, 201st, ... step of an
        epoch (and beyond 256 epochs ever fewer of them), which costs next to nothing; a number n observes every n-th
        step. Does not change what is trained.

    Attributes
    ----------
    coefs_ : list of ndarray
        ``coefs_[l]`` is the weight matrix of layer l, of shape (n_in, n_out). A view: writing into it changes the
        network.
    intercepts_ : list of ndarray
        ``intercepts_[l]`` is the bias vector of layer l, of shape (n_out,). A view.
    history_ : dict of lists
        One entry an epoch: ``loss`` (what is minimised), ``train_loss`` and ``penalty`` (its two parts, averages
        over the epoch's batches), ``learning_rate`` (NaN for lbfgs), ``gradient_norm`` (mean over the steps of the
        norm of the whole gradient), ``seconds``, ``samples_per_second``; with early stopping ``validation_loss`` and
        ``validation_score``.
        It grows under `warm_start` and ``partial_fit``, up to the last 10,000 epochs.
    monitor_ : dict of lists
        One entry an observed epoch, without `monitor` none: ``epoch`` (from 1), and means over the observed steps of
        each epoch, a list with one number a layer from input to output: ``gradient_norm`` and ``weight_norm`` (of the
        weights, without biases), ``update_ratio`` (norm of the update over norm of the weights), ``dead_fraction``
        (share of units without gradient for every sample), ``saturated_fraction`` (share of outputs of a logistic or
        tanh layer where it is nearly flat; NaN where these do not apply), and ``gradient_quantiles`` (for each layer
        the nine quantiles :data:`skmlp.nn.statistics.BANDS`).
    stop_reason_ : str
        Why training ended: ``"converged"``, ``"max_iter"``, ``"max_fun"``, ``"callback"``, ``"interrupted"``,
        ``"non_finite"`` or ``"failed"``; ``stop_message_`` says more where there is more to say.
    loss_curve_ : list of float
        ``history_["loss"]``.
    loss_ : float
        The last finite entry of ``loss_curve_``.
    best_loss_ : float or None
        The lowest loss of an epoch; None with early stopping.
    validation_scores_ : list of float or None
        R squared on the rows set aside, after each epoch; None without early stopping.
    best_validation_score_ : float or None
        The highest of them, that of the weights kept.
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
        Number of outputs of the network.
    out_activation_ : str
        The link: ``"identity"`` or, for the Poisson loss, ``"exp"``.

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
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(solver="lbfgs", alpha=10.0, max_iter=1000, random_state=0))
    >>> bool(model.fit(X, y / 100).score(X, y / 100) > 0.4)
    True
    """

    _y_numeric = True
    _parameter_constraints = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
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
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dtype: str = "float32",
        weight_init: Any = "glorot_uniform",
        bias_init: Any = "zeros",
        monitor: bool | int = False,
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

    @_fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network to data and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers; scale them to about unit size first, for example with a StandardScaler.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers of about unit size; see TransformedTargetRegressor for others.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 counts as the row twice.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            When the input or a parameter is invalid, `y` is outside the loss's domain, or the first epoch already
            diverges. The estimator is then as it was before the call.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_unless(why_no_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on training with one pass over the given data.

        The optimizer's state and the random stream are kept from call to call: k calls on the same data are the same
        training as ``fit`` with ``max_iter=k``, apart from stopping rules. With mini-batches they are so bit for bit,
        with full batches to rounding, since ``fit`` sorts the rows of those and merges equal ones.

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
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float64, or float32 when X is a float32 array.
        """
        raw = self._raw_predict(X)
        return self._fitted_targets().decode(raw)

    def _validate_params(self) -> None:
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            if isinstance(self.loss, str):
                raise
            # As in scikit-learn `loss` comes first, which few expect.
            raise InvalidParameterError(
                f"{error} The first positional parameter is the loss; for the layers write "
                f"MLPRegressor(hidden_layer_sizes={self.loss!r})."
            ) from None

    # ------------------------------------------------------------------ what y means

    def _learn_targets(self, y: Any) -> RealTargets:
        return RealTargets(self.loss, 1 if y.ndim == 1 else y.shape[1])

    def _fitted_targets(self) -> RealTargets:
        return RealTargets(self._model.architecture.loss, self.n_outputs_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

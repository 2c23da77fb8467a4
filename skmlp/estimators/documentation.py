"""The text that the docstrings of the two estimators share."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Documented = TypeVar("Documented", bound=Callable[..., Any])

ATTRIBUTES = """\
coefs_ : list of ndarray
    ``coefs_[l]`` is the weight matrix of layer l, of shape (n_in, n_out). A view: writing into it changes the
    network.
intercepts_ : list of ndarray
    ``intercepts_[l]`` is the bias vector of layer l, of shape (n_out,). A view.
history_ : dict of lists
    One entry per epoch: ``loss`` (the objective), ``train_loss`` and ``penalty`` (its two parts, averages over the
    epoch's batches), ``learning_rate`` (mean over the steps; NaN for lbfgs), ``gradient_norm`` (mean over
    the steps of the norm of the whole gradient, before clipping), ``clipped_fraction`` (of the steps), ``seconds``,
    ``samples_per_second``; with validation data ``validation_loss`` (without penalty) and ``validation_score``.
    With `monitor`, NaN where nothing was measured: ``effective_step`` (norm of the update over norm of the
    gradient), ``gradient_ratio`` (norm of the first layer's gradient over the last one's) and ``noise_scale``.
    It grows under `warm_start` and ``partial_fit``, up to the last 10,000 epochs.
monitor_ : dict of ndarray
    What `monitor` observed: arrays with one row for each epoch in which a step was measured. ``epoch`` counts from 1.
    The others have shape (n_observed, n_layers), from input to output. For the gradient of a layer's weights:
    ``gradient_norm``, ``gradient_norm_max``, ``gradient_mean``, ``gradient_std``, ``gradient_largest`` (magnitude),
    ``gradient_zero_fraction``, ``gradient_nonfinite`` (entries), ``gradient_cosine`` and ``sign_flip_fraction`` (to
    the step before), ``gradient_snr`` and ``noise_scale`` (see :mod:`skmlp.nn.statistics`); ``weight_norm``;
    ``update_ratio`` and ``update_ratio_max`` (norm of the update over norm of the weights); ``activation_mean`` and
    ``activation_std`` (of a layer's outputs), ``dead_fraction`` (fraction of units without gradient for every
    row of the sample), ``saturated_fraction`` (fraction of outputs where logistic or tanh are nearly flat). Means
    over the measured steps of an epoch; ``_max``, ``_largest`` and ``_nonfinite`` are the largest values. NaN where
    a statistic does not exist. ``gradient_quantiles`` and ``activation_quantiles``, of shape (n_observed, n_layers,
    9), are the quantiles :data:`skmlp.nn.statistics.BANDS`. ``monitor_frame()`` gives a table of all.
stop_reason_ : str
    Why training ended: ``"converged"``, ``"max_iter"``, ``"max_time"``, ``"max_fun"``, ``"callback"``,
    ``"interrupted"``, ``"non_finite"`` or ``"failed"``; ``stop_message_`` gives details, if any.
engine_ : str
    What computed the steps of the last training: ``"compiled"``, or ``"numpy: "`` and the reason why not compiled
    steps. The choice depends only on the length of the training and the environment variable ``SKMLP_COMPILED``.
loss_curve_ : list of float
    ``history_["loss"]``.
loss_ : float
    The last finite entry of ``loss_curve_``.
best_loss_ : float or None
    The lowest loss of an epoch; None with validation data.
validation_scores_ : list of float or None
    Score of the validation data after each epoch (see `scoring`); None without validation data.
best_validation_score_ : float or None
    The highest of ``validation_scores_``.
best_n_iter_ : int or None
    The epoch of the last fit with ``best_validation_score_``; 0 when a warm start did not improve on it. None without
    validation data.
n_iter_ : int
    Epochs (iterations) of the last call to fit or partial_fit.
t_ : int
    Number of samples seen in total; 0 for lbfgs.
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, when X was a data frame with string column names.
n_layers_ : int
    Number of layers, input and output included.
n_outputs_ : int
    Number of outputs of the network: columns before the link."""

TABULAR_ATTRIBUTES = """\
estimators_ : list of MLPClassifier or MLPRegressor
    The members. What they predict from is the encoded table, an array, not the table itself.
members_ : list of dict
    One entry per member: the settings in which members differ, ``score`` (the accuracy or R squared on the validation
    data, or minus the loss with ``scoring="loss"``; NaN without),
    ``best_epoch`` (whose weights it has), ``n_iter``, ``loss`` (of its last epoch), ``seconds`` and
    ``stop_reason``. ``members_frame()`` makes a table of it.
history_ : dict of lists
    One entry per epoch: means over the members of what :class:`~skmlp.MLPClassifier` records, ``seconds`` of all
    members together; with validation data ``validation_loss`` and ``validation_score`` of the mean of the members, and
    ``best_member_score`` (if `scoring` is a scorer, the accuracy or R squared). ``history_frame()`` makes a table of
    it.
n_iter_ : int
    Number of epochs.
best_n_iter_ : int
    The epoch whose weights the members have.
stop_reason_ : str
    Why training ended: ``"max_iter"``, ``"converged"`` (see `early_stopping`), ``"max_time"``, ``"callback"``,
    ``"interrupted"`` or ``"non_finite"``.
engine_ : str
    What computed the steps: ``"compiled"``, or ``"numpy: "`` and the reason why not compiled steps.
monitor_ : dict of ndarray
    With `monitor`, the means over the members of what is observed in each, see :class:`~skmlp.MLPClassifier`.
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, when X was a data frame with string column names."""

# What partial_fit does.
CONTINUATION = """\
The optimizer's state and the random streams are kept from call to call: k calls on the same data are the same training
as ``fit`` with ``max_iter=k``, apart from stopping rules. With mini-batches the results are the same to the bit. With
full batches they are the same up to rounding, since ``fit`` then sorts the rows and merges equal ones. They are also
the same up to rounding where `max_iter` makes a training long enough for compiled steps (``engine_``): ``fit`` uses
them from the beginning, a stream of calls once it has become as long.

Of a table, the categories, medians and scales are those of the first call."""


def documented(**texts: str) -> Callable[[Documented], Documented]:
    """Return a decorator that replaces each line ``{name}`` of a docstring by the text of that name."""

    def fill_in(target: Documented) -> Documented:
        if target.__doc__:  # python -OO drops docstrings
            lines = inspect.cleandoc(target.__doc__).split("\n")
            target.__doc__ = "\n".join(texts.get(line.strip("{}"), line) for line in lines)
        return target

    return fill_in

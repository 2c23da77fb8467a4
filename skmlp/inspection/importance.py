"""Importance of the features for a network's predictions."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.sparsefuncs import mean_variance_axis

from skmlp._typing import FloatArray
from skmlp.estimators.input_checks import encode_rows, validate_rows
from skmlp.estimators.parameter_checks import check_argument
from skmlp.inspection._columns import column_moves
from skmlp.inspection._estimators import fitted_estimator, transform_data, transformed_feature_names

if TYPE_CHECKING:
    import pandas as pd

# Number of samples whose gradients are in memory at a time.
BLOCK_ROWS = 1024


def feature_importance(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    method: Literal["gradient", "permutation"] = "gradient",
    n_repeats: int = 5,
    scoring: Any = None,
    random_state: Any = None,
) -> "pd.DataFrame":
    r"""Return how much each feature matters for the predictions on `X`, the most important one first.

    ``"gradient"`` measures how much the predictions change: for feature j the mean over samples and outputs of

    .. math:: s_j \, \left| \frac{\partial f_k(x_i)}{\partial x_{ij}} \right|

    with the standard deviation :math:`s_j` of the feature in `X`, which makes it independent of the feature's unit:
    the change of the prediction f, to first order, if the feature changes by one standard deviation. It takes one
    backward pass for each output and no targets, and does not tell whether the predictions are correct.

    In a table that the estimator encodes itself, a column may hold categories, or numbers of which some are missing. A
    category has no derivative. Its importance is the same change without approximation: the standard deviation of the
    prediction when the category of a row is drawn from those in `X`, with their frequencies :math:`p_c`,

    .. math:: \sqrt{\textstyle\sum_c p_c \left( f_k(x_i \text{ with } c) - \sum_d p_d f_k(x_i \text{ with } d)
        \right)^2}

    where a missing category is one more. If a fraction q of the numbers is missing, the square of the importance is the
    variance of drawing another number, or none,

    .. math:: (1 - q) \, s_j^2 \left( \frac{\partial f_k}{\partial x_{ij}} \right)^2
        + q (1 - q) \left( f_k(x_i \text{ with the number}) - f_k(x_i \text{ without}) \right)^2

    with the training median where the row has no number. For a function that is linear in a column, numbers and
    categories have the same measure: that of a flag does not depend on whether it is a number or a category. A table
    takes a prediction for each category; of more than 1000 rows, 1000 evenly spread ones are used, and of more than 16
    categories of a column, 16 drawn ones.

    ``"permutation"`` measures how much the score decreases if the column is shuffled, with scikit-learn's
    :func:`~sklearn.inspection.permutation_importance`. It takes `n_repeats` predictions for each feature.

    Both consider one feature at a time: of two features with the same information, either may seem unimportant.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skmlp, also as the last step of a Pipeline, in a search (its best estimator) or in a
        TransformedTargetRegressor (then the gradient is that of the transformed target). For ``"permutation"`` any
        fitted estimator.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Representative samples. ``"permutation"`` does not accept a sparse matrix.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
        Target values; needed for ``"permutation"``, preferably of samples that were not trained on.
    method : {"gradient", "permutation"}, default="gradient"
        For a Pipeline the gradient refers to the *transformed* features, for example each column of a one-hot encoding,
        and the permutation to the columns *of X*. Without a Pipeline, both refer to the columns of X.
    n_repeats : int, default=5
        How often each column is shuffled. Only for ``"permutation"``, like the next two parameters.
    scoring : str or callable, optional
        A scorer; by default the estimator's ``score``.
    random_state : int, RandomState or None, optional
        Seed of the permutations.

    Returns
    -------
    frame : DataFrame
        A row for each feature, by decreasing importance, indexed by the names of the features in the data frame or
        after the Pipeline's steps, else ``x0``, ``x1``, ... Columns: ``importance``, in units of the prediction
        (``"gradient"``) or of the score; ``std``, its standard deviation over the samples or over the repeats.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is not one of skmlp's, for ``"gradient"``.
    ValueError
        If `method` or X is invalid, or for ``"permutation"`` without `y` or with several scorers.

    See Also
    --------
    skmlp.MLPClassifier.input_gradient : The gradients for every sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp import MLPRegressor
    >>> from skmlp.inspection import feature_importance
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> est = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0).fit(X, 3 * X[:, 2] + X[:, 0])
    >>> feature_importance(est, X).index.to_list()
    ['x2', 'x0', 'x1']
    """
    import pandas as pd

    check_argument("feature_importance", "method", method, StrOptions({"gradient", "permutation"}))
    if method == "gradient":
        names, importances, std = _by_gradient(estimator, X)
    else:
        names, importances, std = _by_permutation(estimator, X, y, n_repeats, scoring, random_state)
    frame = pd.DataFrame({"importance": importances, "std": std}, index=pd.Index(names, name="feature"))
    return frame.sort_values("importance", ascending=False, kind="stable")


def _by_gradient(estimator: Any, X: Any) -> tuple[list[str], FloatArray, FloatArray]:
    network = fitted_estimator(estimator, 'feature_importance with method="gradient"')
    X, _ = transform_data(estimator, X)
    if network._table is None:
        moves = _feature_moves(network, validate_rows(network, X, np.float64))
    else:
        members = getattr(network, "estimators_", [network])
        moves = column_moves(members, network._table, X, encode_rows(network, network._table, X, np.float64))
    names = getattr(network, "feature_names_in_", transformed_feature_names(estimator))
    return _names(names, moves.shape[1]), moves.mean(axis=0), moves.std(axis=0)


def _feature_moves(network: Any, rows: Any) -> FloatArray:
    """Return the absolute gradient, as the mean over the outputs, times the deviation of each feature."""
    moves = np.empty(rows.shape)
    for block in gen_batches(len(moves), BLOCK_ROWS):
        gradient = np.abs(network._input_gradient(rows[block]))
        moves[block] = gradient if gradient.ndim == 2 else gradient.mean(axis=1)
    moves *= _spread(rows)
    return moves


def _by_permutation(
    estimator: Any, X: Any, y: Any, n_repeats: int, scoring: Any, random_state: Any
) -> tuple[list[str], FloatArray, FloatArray]:
    from sklearn.inspection import permutation_importance  # imports half of scikit-learn

    if y is None:
        raise ValueError(
            'method="permutation" compares scores and needs the targets. Pass y, or use method="gradient".'
        )
    if isinstance(scoring, (list, tuple, set, dict)):
        raise ValueError(
            "The 'scoring' parameter of feature_importance must be a single scorer, a str or a callable. Got "
            f"{scoring!r} instead. Call feature_importance once for each scorer."
        )
    found = permutation_importance(estimator, X, y, n_repeats=n_repeats, scoring=scoring, random_state=random_state)
    names = getattr(X, "columns", getattr(estimator, "feature_names_in_", None))
    return _names(names, len(found.importances_mean)), found.importances_mean, found.importances_std


def _spread(rows: Any) -> FloatArray:
    """Return the standard deviation of each column."""
    variances = mean_variance_axis(rows, axis=0)[1] if sparse.issparse(rows) else rows.var(axis=0)
    spread: FloatArray = np.sqrt(variances)
    return spread


def _names(names: Any, n_features: int) -> list[str]:
    """Return `names` if there is one for each feature, else scikit-learn's default names."""
    if names is None or len(names) != n_features:
        return [f"x{index}" for index in range(n_features)]
    return [str(name) for name in names]

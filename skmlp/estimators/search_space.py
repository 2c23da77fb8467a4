"""Ready-made search spaces for scikit-learn's randomized searches."""

from typing import Any

from scipy.stats import loguniform, uniform
from sklearn.utils._param_validation import StrOptions

from skmlp.estimators.parameter_checks import check_argument
from skmlp.optim.schedules import FlatCosine, Warmup


def search_space(size: str = "small", *, prefix: str = "", task: str | None = None) -> dict[str, Any]:
    """Return parameter distributions for a randomized search over an MLPClassifier or MLPRegressor.

    It is meant for tabular data with scaled inputs, solvers of the Adam family chosen by name and, for a regressor,
    targets of about unit size (``standardize_target=True``). `max_iter` is not among the parameters, so that it can be
    the `resource` of a HalvingRandomSearchCV, whose candidates then compete in short trainings first.

    Parameters
    ----------
    size : {"small", "large"}, default="small"
        ``"small"``: `hidden_layer_sizes`, `activation`, `learning_rate_init`, `learning_rate` (a constant rate and
        schedules over the whole training), `dropout` and `weight_decay`; for 20 draws or more. ``"large"``, for
        hundreds: more values of these, and `alpha`, `batch_size`, `beta_2`, `normalization`, `gradient_clip`,
        `averaging`, and for classification `label_smoothing`.
    prefix : str, default=""
        Prefix of each name, to reach the estimator in a Pipeline, for example ``"mlpclassifier__"``.
    task : {"classification", "regression"} or None, default=None
        With ``"classification"``, the large space includes parameters that only a classifier has, and which need
        ``loss="log_loss"``. None gives the parameters of both.

    Returns
    -------
    space : dict
        Lists and frozen distributions of :mod:`scipy.stats` by parameter name, in a new dict for each call, which
        you may change. A `batch_size` larger than the number of rows (fewer than 128 in a fold) is clipped with a
        warning.

    Raises
    ------
    ValueError
        For an unknown `size` or `task`, or a `prefix` that does not end with two underscores.

    Notes
    -----
    The ranges follow Gorishniy, Kotelnikov and Babenko (2025), "TabM", arXiv 2410.24210, appendix, for a plain
    network; and Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv 2407.04491, for the schedules,
    activations, `beta_2` and `label_smoothing`. Learning rates are higher, for `max_iter` of 30 to 200 epochs on
    thousands of rows instead of training until nothing improves.

    Examples
    --------
    >>> from sklearn.model_selection import RandomizedSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier, search_space
    >>> list(search_space())
    ['hidden_layer_sizes', 'activation', 'learning_rate_init', 'learning_rate', 'dropout', 'weight_decay']
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=50))
    >>> search = RandomizedSearchCV(model, search_space(prefix="mlpclassifier__"), n_iter=20)
    """
    check_argument("search_space", "size", size, StrOptions({"small", "large"}))
    check_argument("search_space", "prefix", prefix, str)
    check_argument("search_space", "task", task, StrOptions({"classification", "regression"}), None)
    if prefix and not prefix.endswith("__"):
        raise ValueError(f"prefix must end with two underscores, as in 'mlpclassifier__'. Got {prefix!r}.")
    space = _small() if size == "small" else _large(task)
    return {prefix + name: values for name, values in space.items()}


def _small() -> dict[str, Any]:
    return {
        "hidden_layer_sizes": [(64,), (256,), (64, 64), (128, 128), (256, 256), (256, 256, 256)],
        "activation": ["relu", "selu", "silu", "mish"],
        "learning_rate_init": loguniform(3e-4, 3e-2),
        "learning_rate": ["constant", "cosine", "flat_cosine", "coslog", "one_cycle"],
        "dropout": uniform(0.0, 0.5),
        "weight_decay": loguniform(1e-4, 1e-1),
    }


def _large(task: str | None) -> dict[str, Any]:
    space = _small() | {
        "hidden_layer_sizes": [
            *((width,) * depth for depth in (1, 2, 3, 4) for width in (64, 128, 256)),
            *((512,) * depth for depth in (1, 2, 3)),
        ],
        "activation": ["relu", "leaky_relu", "tanh", "selu", "gelu", "silu", "mish"],
        "learning_rate": [
            *("constant", "linear", "cosine", "coslog", "one_cycle"),
            *(FlatCosine(0.5), FlatCosine(0.75), Warmup("cosine")),
        ],
        "alpha": loguniform(1e-6, 1.0),
        "batch_size": [32, 64, 128, "auto"],
        "beta_2": [0.95, 0.98, 0.99, 0.999],
        "normalization": [None, "batch", "layer"],
        "gradient_clip": [None, 1.0, "adaptive"],
        "averaging": [None, 0.9, 0.99],
    }
    if task == "classification":
        space["label_smoothing"] = [0.0, 0.01, 0.03, 0.1]
    return space

"""The constructor parameters of the tabular estimators."""

from dataclasses import replace
from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from skmlp.estimators.parameter_checks import LossChoice
from skmlp.estimators.parameters import CLASSIFIER, REGRESSOR, Parameter, ParameterTable

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_OF_MLP = {row.name: row for table in (CLASSIFIER, REGRESSOR) for row in table.rows}


def _as_in_mlp(name: str, **changes: object) -> Parameter:
    """Return a parameter of the plain estimators, with some changes."""
    return replace(_OF_MLP[name], lbfgs="used", partial_fit="compared", **changes)  # type: ignore[arg-type]


# fmt: off
_FIRST = (
    Parameter("n_members", 8, "int", [_AT_LEAST_ONE], text="""
        Number of networks whose predictions are averaged, at least 1. More members predict better and take longer.
    """),
)

_COMMON = (
    _as_in_mlp("categorical_features"),
    _as_in_mlp("max_categories"),
    Parameter("members", None, "dict, list of dict or None", [dict, list, None], text="""
        Settings in which members differ, by parameters of {mlp}. A dict has lists and
        distributions of :mod:`scipy.stats`, as :func:`~skmlp.search_space` returns, from which each member draws; a
        list has the settings of each member. None draws {space}.
    """),
    Parameter("max_iter", 90, "int", [_AT_LEAST_ONE], text="""
        Largest number of epochs. The learning rate follows a schedule over all of them.
    """),
    _as_in_mlp("max_time", text="""
        Seconds that fit may take at most. If they do not suffice for `max_iter` epochs, the schedule follows the
        clock, so that training still ends with a low learning rate; results then depend on the time. Compilation, which
        only the first training needs, is not counted.
    """),
    Parameter("random_state", None, "int, RandomState, Generator or None",
              ["random_state", np.random.Generator], text="""
        Seed of all members. With the same integer, results are the same to the bit for any number of threads.
    """),
    Parameter("n_jobs", None, "int or None",
              [_AT_LEAST_ONE, Interval(Integral, None, -1, closed="right"), None], text="""
        Number of threads, each of which trains a member at a time. None uses all cores that BLAS may use; -1 all, -2
        all but one, ...
    """),
    Parameter("verbose", False, "bool or int", ["verbose"], text="""
        Print a line for each epoch: the loss, with validation data the scores of the mean and of the best member, and
        the time left.
    """),
    _as_in_mlp("validation_split", text="""
        Hold samples out and evaluate them after every epoch, the mean of the members included: a random fraction in
        (0, 1), stratified by class; or the last split of a scikit-learn splitter such as ``GroupShuffleSplit`` (pass
        `groups` to fit) or ``TimeSeriesSplit``. None trains on all samples.
    """),
    _as_in_mlp("scoring", text="""
        Score of the mean on the validation data: one of scikit-learn's names, ``scorer(estimator, X, y)``, ``"loss"``
        for minus the loss, or None for the accuracy of a classifier and R squared of a regressor.
    """),
    Parameter("early_stopping", True, "bool", ["boolean"], text="""
        Keep the weights of the pause of the schedule, after 1/15, 3/15, 7/15 or all of the epochs, after which the mean
        of the members predicts held-out samples best, and stop after two that are significantly worse. Without
        validation data, groups of four members each hold out a sixteenth of the samples, more if that is less than 100
        or there is one group only; of fewer than 50 samples none are held out. False trains all members on all samples
        for `max_iter` epochs.
    """),
    Parameter("monitor", False, "bool or int", ["boolean", _AT_LEAST_ONE], text="""
        Observe gradients, weights, updates and activations of all members for :meth:`diagnose`, see
        {mlp}.
    """),
)
# fmt: on


def _table(rows: tuple[Parameter, ...], **texts: str) -> ParameterTable:
    """Return the table, with `texts` filled in."""

    def fill_in(text: str) -> str:
        for name, value in texts.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    return ParameterTable(tuple(replace(row, text=fill_in(row.text)) for row in rows))


CLASSIFIER_SPACE = """\
learning rates up to twice and down to half of 0.04, and
        frequency scales of the numeric embedding from 0.05 to 10"""
REGRESSOR_SPACE = CLASSIFIER_SPACE.replace("0.04", "0.07")

TABULAR_CLASSIFIER = _table(
    (*_FIRST, *_COMMON, _as_in_mlp("class_weight")), mlp=":class:`~skmlp.MLPClassifier`", space=CLASSIFIER_SPACE
)
TABULAR_REGRESSOR = _table(
    (
        *_FIRST,
        Parameter(
            "loss",
            "squared_error",
            "str, Loss or tuple",
            [LossChoice(classification=False)],
            text="""
        Loss to minimize, as for :class:`~skmlp.MLPRegressor`. Where the loss allows it, the members learn standardized
        targets.
    """,
        ),
        *_COMMON,
    ),
    mlp=":class:`~skmlp.MLPRegressor`",
    space=REGRESSOR_SPACE,
)

"""Propagation of callbacks to networks, without warnings about estimators that contain none.

scikit-learn warns at every fit of an estimator that does not support callbacks, such as a ColumnTransformer. For
callbacks that only concern networks, the warning is of no use. scikit-learn has no setting for it, so this module wraps
its method. Worker processes import the module when they unpickle a callback.
"""

import copy
import functools
from contextlib import AbstractContextManager
from typing import Any

from sklearn.callback import CallbackContext

from skmlp.estimators.tabular import AnyMLP

__all__ = ["ForNetworks"]


class ForNetworks:
    """Base class of callbacks that only concern fits of skmlp estimators."""


_propagate = CallbackContext.propagate_callback_context


@functools.wraps(_propagate)
def _propagate_where_useful(context: CallbackContext, sub_estimator: Any) -> AbstractContextManager[None]:
    """Propagate the callbacks; those for networks only if the estimator supports callbacks or contains a network."""
    if not hasattr(sub_estimator, "set_callbacks") and not _contains_network(sub_estimator):
        others = [callback for callback in context._callbacks if not isinstance(callback, ForNetworks)]
        if len(others) < len(context._callbacks):
            context = copy.copy(context)
            context._callbacks = others
    propagation: AbstractContextManager[None] = _propagate(context, sub_estimator)
    return propagation


CallbackContext.propagate_callback_context = _propagate_where_useful


def _contains_network(estimator: Any) -> bool:
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return False
    return any(isinstance(part, AnyMLP) for part in estimator.get_params(deep=True).values())

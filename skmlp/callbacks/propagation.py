"""Handing callbacks down to the networks, without a warning at each step that has none inside.

scikit-learn warns at every fit of an estimator that cannot take a callback, such as a ColumnTransformer. A callback
for networks loses nothing there. scikit-learn has no setting for that, so its method is wrapped here. Worker
processes import this module with the callback that they are sent.
"""

import copy
import functools
from contextlib import AbstractContextManager
from typing import Any

from sklearn.callback import CallbackContext

from skmlp.estimators.base import BaseMLP

__all__ = ["ForNetworks"]


class ForNetworks:
    """Base of the callbacks that have something to do in fits of skmlp estimators alone."""


_propagate = CallbackContext.propagate_callback_context


@functools.wraps(_propagate)
def _propagate_where_useful(context: CallbackContext, sub_estimator: Any) -> AbstractContextManager[None]:
    """Hand the callbacks down; those for networks only to an estimator that can take them or has a network inside."""
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
    return any(isinstance(part, BaseMLP) for part in estimator.get_params(deep=True).values())

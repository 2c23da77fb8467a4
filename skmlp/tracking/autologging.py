"""Tracking without touching an estimator: one line at the top of a notebook."""

import functools
from typing import Any

from sklearn.callback import CallbackSupportMixin

from skmlp.estimators.base import BaseMLP
from skmlp.tracking.callback import MLflowCallback
from skmlp.tracking.hooks import TrackingHooks

__all__ = ["autolog"]

# scikit-learn's method that begins every fit of an estimator with callbacks, while it is wrapped.
_original: Any = None


class _AutoCallback(MLflowCallback):
    """Set on an estimator when its fit begins, and gone when it has ended."""

    def teardown(self, estimator: Any, context: Any) -> None:
        kept = [callback for callback in estimator._skl_callbacks if callback is not self]
        CallbackSupportMixin.set_callbacks(estimator, *kept)
        super().teardown(estimator, context)


def autolog(*, disable: bool = False, **settings: Any) -> None:
    """Track every fit of an skmlp estimator from now on: alone, in pipelines and in searches.

    The outermost estimator of each fit gets an :class:`MLflowCallback` for the time of the fit, unless it or the
    estimator inside has one. Calling again changes the settings.

    ``mlflow.sklearn.autolog()`` may be on as well: what happens in a run that it has started is logged into that run.
    Functions such as ``cross_val_score`` with worker processes are not reached; set a callback on the estimator there.

    Parameters
    ----------
    disable : bool, default=False
        Stop tracking.
    **settings
        Parameters of :class:`MLflowCallback`.

    Raises
    ------
    TypeError, ValueError
        When a setting is unknown or out of its range.

    Examples
    --------
    >>> import skmlp.tracking
    >>> skmlp.tracking.autolog(experiment="churn")
    >>> skmlp.tracking.autolog(disable=True)
    """
    global _original
    if _original is not None:
        CallbackSupportMixin._init_callback_context = _original
        _original = None
    if disable:
        return
    callback_of_this_call = functools.partial(_AutoCallback, **settings)
    callback_of_this_call()  # wrong settings are told here, not in the next fit
    begin_fit = _original = CallbackSupportMixin._init_callback_context

    @functools.wraps(begin_fit)
    def with_tracking(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        is_outermost = not hasattr(estimator, "_parent_callback_ctx")
        if is_outermost and _contains_untracked_network(estimator):
            others = getattr(estimator, "_skl_callbacks", ())
            # Not through the estimator's own method: it would make the callback one for inner places.
            CallbackSupportMixin.set_callbacks(estimator, *others, callback_of_this_call())
        return begin_fit(estimator, *args, **kwargs)

    CallbackSupportMixin._init_callback_context = with_tracking


def _contains_untracked_network(estimator: Any) -> bool:
    """Tell whether there is an skmlp estimator inside, and no tracking callback anywhere."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    tracked = any(isinstance(each, TrackingHooks) for part in parts for each in getattr(part, "_skl_callbacks", ()))
    return not tracked and any(isinstance(part, BaseMLP) for part in parts)

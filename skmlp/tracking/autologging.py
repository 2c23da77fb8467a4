"""Tracking of every fit after one call, without changes to the estimators."""

import functools
import inspect
from typing import Any

from sklearn.callback import CallbackSupportMixin

from skmlp.estimators.tabular import AnyMLP
from skmlp.tracking.callback import MLflowCallback
from skmlp.tracking.hooks import TrackingHooks

__all__ = ["autolog"]

# scikit-learn's method that begins every fit of an estimator with callbacks, while it is replaced.
_original: Any = None


class _AutoCallback(MLflowCallback):
    """Set on an estimator when its fit begins, and removed at the end."""

    def teardown(self, estimator: Any, context: Any) -> None:
        kept = [callback for callback in estimator._skl_callbacks if callback is not self]
        CallbackSupportMixin.set_callbacks(estimator, *kept)
        super().teardown(estimator, context)


def autolog(*args: Any, disable: bool = False, **settings: Any) -> None:
    """Track every fit of an skmlp estimator from now on: alone, in pipelines and in searches.

    The outermost estimator of each fit has an :class:`MLflowCallback` during the fit, unless it or an inner estimator
    already has one. Another call changes the settings.

    ``mlflow.sklearn.autolog()`` may be on as well: fits are then logged into the runs that it starts. Functions such as
    ``cross_val_score`` with worker processes are not tracked; set a callback on the estimator there.

    Parameters
    ----------
    {parameters}
    disable : bool, default=False
        Stop tracking.

    Raises
    ------
    ModuleNotFoundError
        When mlflow is not installed.
    ValueError
        When a parameter is invalid.

    Examples
    --------
    >>> import skmlp.tracking
    >>> skmlp.tracking.autolog("churn")
    >>> skmlp.tracking.autolog(disable=True)
    """
    global _original
    new_callback = functools.partial(_AutoCallback, *args, **settings)
    if not disable:
        new_callback()  # invalid settings raise here, not in the next fit
    if _original is not None:
        CallbackSupportMixin._init_callback_context = _original
        _original = None
    if disable:
        return
    begin_fit = _original = CallbackSupportMixin._init_callback_context

    @functools.wraps(begin_fit)
    def with_tracking(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        is_outermost = not hasattr(estimator, "_parent_callback_ctx")
        if is_outermost and _contains_untracked_network(estimator):
            others = getattr(estimator, "_skl_callbacks", ())
            # Not the estimator's own method, which would replace the callback by one that does not propagate.
            CallbackSupportMixin.set_callbacks(estimator, *others, new_callback())
        return begin_fit(estimator, *args, **kwargs)

    CallbackSupportMixin._init_callback_context = with_tracking


def _contains_untracked_network(estimator: Any) -> bool:
    """Return whether there is an skmlp estimator inside and no tracking callback."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    tracked = any(isinstance(each, TrackingHooks) for part in parts for each in getattr(part, "_skl_callbacks", ()))
    return not tracked and any(isinstance(part, AnyMLP) for part in parts)


# The signature and the documentation of the parameters are those of the callback, with `disable` at the end.
_signature = inspect.signature(MLflowCallback)
_disable = inspect.Parameter("disable", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)
autolog.__signature__ = _signature.replace(  # type: ignore[attr-defined]
    parameters=[*_signature.parameters.values(), _disable], return_annotation=None
)
_documented = (MLflowCallback.__doc__ or "").partition("    ----------\n")[2].partition("\n\n    Raises")[0]
autolog.__doc__ = (autolog.__doc__ or "").replace("    {parameters}", _documented)

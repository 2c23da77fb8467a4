"""Callbacks of the estimators: those that propagate may be set on an estimator inside another one, too."""

from typing import Any

from sklearn.callback import CallbackSupportMixin


class CallbackSupport(CallbackSupportMixin):
    """scikit-learn's support of callbacks, with ``set_callbacks`` for an estimator inside a pipeline or search."""

    def set_callbacks(self, *callbacks: Any) -> Any:
        """Set callbacks for the estimator.

        Parameters
        ----------
        *callbacks : callback instances
            Callbacks of scikit-learn's protocol. Callbacks that are propagated automatically belong on the outermost
            estimator. They may be set on an estimator inside a pipeline or search if they have a method
            ``without_propagation()`` that returns an equivalent callback without propagation, as
            :class:`skmlp.tracking.MLflowCallback` does.

        Returns
        -------
        self : estimator instance
        """
        for callback in callbacks:
            if isinstance(callback, type):
                raise TypeError(
                    f"set_callbacks takes instances of callbacks, got the class {callback.__name__}. "
                    f"Write set_callbacks({callback.__name__}(...))."
                )
        if not hasattr(self, "_parent_callback_ctx"):  # set by the user, not handed down by an outer estimator
            callbacks = tuple(
                callback.without_propagation() if hasattr(callback, "without_propagation") else callback
                for callback in callbacks
            )
        return super().set_callbacks(*callbacks)

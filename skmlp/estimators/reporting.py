"""Warnings that point at the caller's line, the verbose output, and scikit-learn's callbacks."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from sklearn.exceptions import ConvergenceWarning

from skmlp.training.events import Result, Row

_INTERNAL = ("skmlp.", "sklearn.", "scipy.", "contextlib.")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line of the call stack outside skmlp and the packages that call it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_about(
    result: Result,
    *,
    lbfgs: bool = False,
    max_iter: int = 1,
    max_fun: int = 1,
    planned: bool = False,
    advice: str = "",
) -> None:
    """Warn about why training ended, in scikit-learn's words.

    With a schedule that spans the whole training, the last epoch is the `planned` end and needs no warning. `advice`
    says what to do about a training that diverged.
    """
    if result.reason == "interrupted":
        warn_caller("Training interrupted by user.", UserWarning)
    elif result.reason == "non_finite":
        warn_caller(f"Training diverged and was stopped: {result.detail}. {advice}", ConvergenceWarning)
    elif result.reason == "max_iter" and planned:
        return
    elif result.reason == "max_iter" and not lbfgs:
        warn_caller(
            f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization hasn't converged yet.",
            ConvergenceWarning,
        )
    elif result.reason in ("max_iter", "max_fun"):
        limit = f"max_iter={max_iter}" if result.reason == "max_iter" else f"max_fun={max_fun}"
        warn_caller(
            f"lbfgs failed to converge after {result.n_epochs} iteration(s): {result.detail}. "
            f"Increase {limit}, or scale the data.",
            ConvergenceWarning,
        )
    elif result.reason == "failed":
        warn_caller(
            f"lbfgs stopped after {result.n_epochs} iteration(s) without convergence: {result.detail}. "
            'Scale the data, or use solver="adam".',
            ConvergenceWarning,
        )


def print_epoch(n_iter: int, row: Row, verbose: int = 1) -> None:
    """Print an epoch as scikit-learn's MLP does; with `verbose` of 2 or more, all that is recorded of it."""
    print(f"Iteration {n_iter}, loss = {row['loss']:.8f}")
    if "validation_score" in row:
        print(f"Validation score: {row['validation_score']:f}")
    if verbose > 1:
        details = {
            "train_loss": ".6f",
            "validation_loss": ".6f",
            "learning_rate": ".3g",
            "gradient_norm": ".3g",
            "clipped_fraction": ".0%",
            "seconds": ".2f",
        }
        print("  " + ", ".join(f"{name} {row[name]:{form}}" for name, form in details.items() if name in row))


def print_convergence(estimator: Any, result: Result) -> None:
    """Print that training ended because progress stopped, if it did and the user wants to see it."""
    if estimator.verbose and result.reason == "converged" and estimator.solver != "lbfgs":
        what = "Validation score" if estimator.early_stopping else "Training loss"
        limits = f"tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive epochs"
        print(f"{what} did not improve more than {limits}. Stopping.")


class EpochTasks:
    """A fit in terms of ``sklearn.callback``: a task "fit" with a subtask "epoch" for each epoch.

    An error in a callback becomes a warning and does not end the fit. As a context manager, it tells callbacks with a
    method ``on_fit_task_error(estimator, context, error)`` about a fit that fails; scikit-learn's protocol does not do
    so for an estimator inside another one. `snapshot` returns the attributes with which a copy of the estimator
    predicts.
    """

    def __init__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any, snapshot: Callable[[], dict[str, Any]]
    ) -> None:
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.callbacks = list(getattr(estimator, "_skl_callbacks", ()))
        self.active = bool(self.callbacks)
        self.epoch: Any = None
        self.arguments = {
            "estimator": estimator,
            "X": X,
            "y": y,
            "metadata": {} if sample_weight is None else {"sample_weight": sample_weight},
            "reconstruction_attributes": snapshot,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        for callback in self.callbacks:
            if hasattr(callback, "on_fit_task_error"):
                with _only_warning("on_fit_task_error"):
                    callback.on_fit_task_error(self.arguments["estimator"], self.context, error)

    def begin(self) -> None:
        """Announce the fit and its first epoch."""
        self._call(self.context, "call_on_fit_task_begin", ready=False)
        self._begin_epoch()

    def end_epoch(self, *, is_last: bool) -> bool:
        """Announce the end of an epoch; True when a callback asks to stop."""
        if not self.active:
            return False
        stop = self._call(self.epoch, "call_on_fit_task_end")
        self.epoch = None
        if not (stop or is_last):
            self._begin_epoch()
        return stop

    def end(self) -> None:
        """Announce the end of the fit, and of an epoch that began but did not run."""
        if self.epoch is not None:
            self._call(self.epoch, "call_on_fit_task_end", ready=False)
        self._call(self.context, "call_on_fit_task_end")

    def _begin_epoch(self) -> None:
        if self.active:
            self.epoch = self.context.subcontext(task_name="epoch")
            self._call(self.epoch, "call_on_fit_task_begin", ready=False)

    def _call(self, context: Any, hook: str, *, ready: bool = True) -> bool:
        if not self.active:
            return False
        arguments = self.arguments if ready else {**self.arguments, "reconstruction_attributes": None}
        with _only_warning(hook.removeprefix("call_")):
            return bool(getattr(context, hook)(**arguments))
        return False


@contextmanager
def _only_warning(hook: str) -> Iterator[None]:
    """Turn an error of a callback into a warning."""
    try:
        yield
    except Exception as error:
        warn_caller(
            f"A callback failed in {hook} with {type(error).__name__}: {error}. The fit continues without it.",
            RuntimeWarning,
        )

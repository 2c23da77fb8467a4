"""End a fit by a user-defined rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from skmlp._configurable import Configurable, Range
from skmlp.callbacks._observing import EpochCallback, Fit, FitObserver

__all__ = ["StopWhen", "TargetLoss"]

Rule = Callable[[dict[str, list[float]]], bool]


class StopWhen(EpochCallback):
    """End the training as soon as a rule returns True; ``stop_reason_`` is then ``"callback"``.

    For ``set_callbacks`` of an skmlp estimator, or of the outermost estimator around it: a pipeline or a search. Works
    with every solver. The current weights are kept, or those of the best epoch with ``early_stopping=True``.

    Parameters
    ----------
    rule : callable
        ``rule(history)`` is called after each epoch with a copy of the estimator's ``history_``: a dict of lists whose
        last entries belong to this epoch. With ``warm_start``, the epochs of earlier fits come first. An exception in
        the rule becomes a warning and does not end the training.

        Lambdas work, also in the worker processes of joblib's default backend, but ``pickle`` cannot store them: to
        pickle the estimator, use a named function or an object such as :class:`TargetLoss`.

    Raises
    ------
    TypeError
        When `rule` is not callable.

    See Also
    --------
    TargetLoss : A rule for a target value of a loss.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.callbacks import StopWhen
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((16,), learning_rate_init=0.02, random_state=0)
    >>> model = model.set_callbacks(StopWhen(lambda history: history["loss"][-1] < 0.5)).fit(X, y)
    >>> model.stop_reason_, model.loss_curve_[-1] < 0.5 <= model.loss_curve_[-2]
    ('callback', True)
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        if not callable(rule):
            raise TypeError(f"The 'rule' parameter of StopWhen must be a callable. Got {rule!r} instead.")
        self.rule = rule

    def _observe(self, fit: Fit) -> FitObserver:
        return _RuledFit(fit, self.rule)


class _RuledFit(FitObserver):
    def __init__(self, fit: Fit, rule: Rule) -> None:
        super().__init__(fit)
        self.rule = rule

    def epoch_ended(self, fitted_estimator: Any) -> bool:
        # A copy, so that the rule cannot change the estimator's history.
        return bool(self.rule({name: list(column) for name, column in self.fit.estimator.history_.items()}))


@dataclass(frozen=True)
class TargetLoss(Configurable):
    """Stop when a loss is at most `loss`.

    Parameters
    ----------
    loss : float
        The target, inclusive. It can be negative: some losses are.
    column : str, default="train_loss"
        A column of ``history_``.

    Raises
    ------
    ValueError
        When `loss` is not a number, or NaN.

    Examples
    --------
    >>> from skmlp.callbacks import TargetLoss
    >>> TargetLoss(0.1)({"train_loss": [0.4, 0.09]})
    True
    """

    loss: Annotated[float, Range("[-inf, inf)")]
    column: str = "train_loss"

    def __call__(self, history: Mapping[str, Sequence[float]]) -> bool:
        """Return whether the last epoch reached the target."""
        return bool(history[self.column][-1] <= self.loss)

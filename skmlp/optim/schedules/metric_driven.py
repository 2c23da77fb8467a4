"""Schedules of the learning rate that react to the monitored value: it is constant until they change its scale."""

import math
from dataclasses import dataclass
from typing import Annotated

from skmlp._configurable import Positive, Range
from skmlp.optim.schedules.over_time import ConstantRate

__all__ = ["Adaptive", "ReduceOnPlateau"]


@dataclass
class Adaptive(ConstantRate, name="adaptive"):
    """Divide the rate at every plateau, until it is at most `minimum`; the next plateau ends the training.

    As scikit-learn's ``"adaptive"``. A plateau is ``n_iter_no_change`` epochs in a row without improvement.

    Parameters
    ----------
    divisor : float, default=5.0
        More than 1.
    minimum : float, default=1e-6
        A learning rate, positive. At or below it, a plateau ends the training.
    """

    divisor: Annotated[float, Range("(1.0, inf)")] = 5.0
    minimum: Positive = 1e-6

    def new_memory(self) -> dict[str, float]:
        return {"scale": 1.0}

    def on_plateau(self, current: float, memory: dict[str, float]) -> bool:
        if current <= self.minimum:
            return False
        memory["scale"] /= self.divisor
        return True


@dataclass
class ReduceOnPlateau(ConstantRate, name="reduce_on_plateau"):
    r"""Multiply the rate by `decay` when the monitored value has not improved for more than `patience` epochs.

    A value improves when it is below :math:`best - threshold \cdot |best|`. This never ends the training itself: the
    stopping rule does, after ``n_iter_no_change`` epochs without improvement. Keep `patience` well below that.

    Parameters
    ----------
    decay : float, default=0.1
        In (0, 1).
    patience : int, default=5
        Epochs without improvement before the rate is reduced, at least 0.
    threshold : float, default=1e-4
        The smallest relative improvement, in [0, 1).
    cooldown : int, default=0
        Epochs after a reduction before counting starts again, at least 0.
    minimum : float, default=0.0
        The smallest factor on the initial rate, in [0, 1].

    References
    ----------
    torch's ``ReduceLROnPlateau`` with ``mode="min", threshold_mode="rel", eps=0``. Its minimum is a rate, and for a
    negative best value it counts equal values as improvements.
    """

    decay: Annotated[float, Range("(0.0, 1.0)")] = 0.1
    patience: Annotated[int, Range("[0, inf)")] = 5
    threshold: Annotated[float, Range("[0.0, 1.0)")] = 1e-4
    cooldown: Annotated[int, Range("[0, inf)")] = 0
    minimum: Annotated[float, Range("[0.0, 1.0]")] = 0.0

    def new_memory(self) -> dict[str, float]:
        return {"scale": 1.0, "best": math.inf, "bad_epochs": 0, "cooldown": 0}

    def observe(self, value: float, memory: dict[str, float]) -> None:
        if value < memory["best"] * (1.0 - math.copysign(self.threshold, memory["best"])):
            memory["best"] = float(value)
            memory["bad_epochs"] = 0
        else:
            memory["bad_epochs"] += 1
        if memory["cooldown"] > 0:
            memory["cooldown"] -= 1
            memory["bad_epochs"] = 0
        if memory["bad_epochs"] > self.patience:
            memory["scale"] = max(memory["scale"] * self.decay, self.minimum)
            memory["cooldown"] = self.cooldown
            memory["bad_epochs"] = 0

"""Everything that changes during training."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.parameters import Parameters

__all__ = ["Plateau", "TrainingState"]

_IMMUTABLE = frozenset({int, float, bool, type(None)})


@dataclass
class Plateau:
    """Counts epochs without improvement, as scikit-learn does.

    The value of an epoch is an improvement if it is below the best one so far by at least `tol`. Training no longer
    makes progress after *more than* `patience` epochs in a row without improvement.

    Parameters
    ----------
    tol : float
        Non-negative.
    patience : float
        ``n_iter_no_change``, an integer or infinity.
    best : float, default=inf
        The lowest value so far.
    count : int, default=0
        Epochs in a row without improvement.
    """

    tol: float
    patience: float
    best: float = inf
    count: int = 0

    def update(self, value: float) -> bool:
        """Count an epoch with this value, lower is better, and tell whether progress has stopped.

        NaN is no improvement.
        """
        self.count = 0 if value <= self.best - self.tol else self.count + 1
        if value < self.best:
            self.best = value
        return self.count > self.patience

    def restart(self, values: Iterable[float]) -> None:
        """Count the earlier epochs again, with their values by another criterion."""
        self.best, self.count = inf, 0
        for value in values:
            self.update(value)


@dataclass
class TrainingState:
    """Everything that changes during training.

    A copy is a checkpoint: training that resumes from it gives the same result as training without a pause.

    Attributes
    ----------
    params : Parameters
    solver_state : dict
    rng : numpy.random.Generator
        Shuffles the samples.
    learning_rate : float
        Of the last step.
    plateau : Plateau
        Counts epochs without progress.
    samples_seen : int
    step, epoch : int
        Counted since the schedules were last started.
    schedule_memory : dict
        What a schedule that reacts to the loss remembers.
    dropout_rng : numpy.random.Generator
        Draws the units that dropout disables.
    average : Parameters or None
        The average of the parameters over the steps, if the recipe asks for one, or if the solver averages.
    is_long : bool
        Whether training was once long enough for the compiled engine. It stays True, so that training resumed for the
        remaining epochs uses the same engine.
    """

    params: Parameters
    solver_state: dict[str, Any]
    rng: np.random.Generator
    learning_rate: float
    plateau: Plateau
    samples_seen: int = 0
    step: int = 0
    epoch: int = 0
    schedule_memory: dict[str, float] = field(default_factory=dict)
    dropout_rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    average: Parameters | None = None
    is_long: bool = False

    @property
    def eval_params(self) -> Parameters:
        """The parameters to predict with: the average if there is one."""
        return self.params if self.average is None else self.average

    def reset_params(self, vector: FloatArray | None = None) -> None:
        """Continue from `vector`, by default from `eval_params`, and start a new average."""
        self.params.vector[...] = self.eval_params.vector if vector is None else vector
        self.average = None

    def update_average(self, decay: float, scratch: FloatArray) -> None:
        """Move the average towards the parameters after a step; `scratch` is overwritten."""
        if self.average is None:
            self.average = self.params.on(self.params.vector.copy())
            return
        np.subtract(self.params.vector, self.average.vector, out=scratch)
        scratch *= 1.0 - decay
        self.average.vector += scratch

    def start_average(self, ahead: FloatArray) -> None:
        """Let a solver that averages continue: without an average, the parameters are those it ended with.

        `ahead` is how far the trained parameters are to be ahead of the average.
        """
        if self.average is None:
            self.average = self.params.on(self.params.vector.copy())
            self.params.trained += ahead

    def follow_average(self, ahead: FloatArray) -> None:
        """Let the average be that of the solver, which the trained parameters are ahead of."""
        assert self.average is not None
        self.average.vector[...] = self.params.vector
        self.average.trained -= ahead

    def copy(self) -> "TrainingState":
        """Return an independent copy."""
        return self.from_plain(self.save(), self.params.on)

    def save(self, spare: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a copy of :meth:`to_plain`, in the memory of `spare`, an earlier copy."""
        plain, spare = self.to_plain(), spare or {}
        for name in ("params", "average", "solver_state"):
            plain[name] = _copied(plain[name], spare.get(name))
        return plain

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`save` returned, in place, so that views of the parameters stay valid.

        The state takes the arrays over: `saved` is of no more use.
        """
        before, params, average = self.from_plain(saved, self.params.on), self.params, self.average
        params.vector[...] = before.params.vector
        if average is not None and before.average is not None:
            average.vector[...] = before.average.vector
            before.average = average
        vars(self).update(vars(before), params=params)

    def to_plain(self) -> dict[str, Any]:
        """Return the state as arrays, numbers, lists and dicts."""
        return {
            "params": self.params.vector,
            "average": None if self.average is None else self.average.vector,
            "solver_state": self.solver_state,
            "shuffle_stream": self.rng.bit_generator.state,
            "dropout_stream": self.dropout_rng.bit_generator.state,
            "plateau": vars(self.plateau).copy(),
            "schedule_memory": dict(self.schedule_memory),
            "learning_rate": self.learning_rate,
            "samples_seen": self.samples_seen,
            "step": self.step,
            "epoch": self.epoch,
            "is_long": self.is_long,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], parameters: Callable[[FloatArray], Parameters]) -> "TrainingState":
        """Undo :meth:`to_plain`; `parameters` makes the parameters from a vector. Other keys of `plain` are ignored."""
        average = plain["average"]
        names = ("solver_state", "learning_rate", "samples_seen", "step", "epoch", "is_long")
        return cls(
            params=parameters(plain["params"]),
            rng=_generator(plain["shuffle_stream"]),
            plateau=Plateau(**plain["plateau"]),
            schedule_memory=dict(plain["schedule_memory"]),
            dropout_rng=_generator(plain["dropout_stream"]),
            average=None if average is None else parameters(average),
            **{name: plain[name] for name in names},
        )


def _generator(state: dict[str, Any]) -> np.random.Generator:
    rng = np.random.default_rng(0)
    rng.bit_generator.state = state
    return rng


def _copied(value: Any, spare: Any) -> Any:
    """Return a copy of nested dicts and lists of arrays and numbers, in the memory of `spare`, an earlier copy."""
    kind = type(value)
    if kind is np.ndarray:
        if type(spare) is not kind or spare.shape != value.shape or spare.dtype != value.dtype:
            return value.copy()
        spare[...] = value
        return spare
    if kind is dict:
        known = spare if type(spare) is kind else {}
        return {
            name: each if type(each) in _IMMUTABLE else _copied(each, known.get(name)) for name, each in value.items()
        }
    if kind is list:
        older = spare if type(spare) is kind and len(spare) == len(value) else [None] * len(value)
        return list(map(_copied, value, older))
    return value if kind in _IMMUTABLE else copy.deepcopy(value)

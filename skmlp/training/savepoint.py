"""A copy of a training state, to restore if training fails."""

import copy
from operator import attrgetter
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.training.state import TrainingState

__all__ = ["Savepoint"]

_NUMBERS = frozenset({int, float, bool, type(None)})
_FIELDS = ("learning_rate", "samples_seen", "step", "epoch", "is_long")
_numbers_of = attrgetter(*_FIELDS)


class Savepoint:
    """A copy of a training state, in memory that is used again for the next copy.

    Unlike :meth:`TrainingState.copy`, it restores the values in place, so that views of the parameters stay valid.
    """

    def __init__(self) -> None:
        self._vectors: Any = None
        self._solver_state: Any = None

    def save(self, state: TrainingState, *, shuffles: bool = True, drops: bool = True) -> None:
        """Copy the state.

        Parameters
        ----------
        state : TrainingState
        shuffles, drops : bool, default=True
            Whether training is going to use the random streams of shuffling and of dropout.
        """
        average = state.average
        self._vectors = _copied([state.params.vector, None if average is None else average.vector], self._vectors)
        self._solver_state = _copied(state.solver_state, self._solver_state)
        streams = [(state.rng, shuffles), (state.dropout_rng, drops)]
        self._streams = [(stream.bit_generator, stream.bit_generator.state) for stream, is_used in streams if is_used]
        self._plateau, self._progress = state.plateau, (state.plateau.best, state.plateau.count)
        self._schedule_memory = dict(state.schedule_memory)
        self._numbers = _numbers_of(state)

    @property
    def eval_vector(self) -> FloatArray:
        """The copy of the parameters to predict with."""
        params, average = self._vectors
        copied: FloatArray = params if average is None else average
        return copied

    def restore(self, state: TrainingState) -> None:
        """Restore the state; possible once for each copy."""
        params, average = self._vectors
        state.params.vector[...] = params
        if average is None or state.average is None:
            state.average = None if average is None else state.params.on(average)
        else:
            state.average.vector[...] = average
        state.solver_state = self._solver_state
        for stream, before in self._streams:
            stream.state = before
        state.plateau, state.schedule_memory = self._plateau, self._schedule_memory
        state.plateau.best, state.plateau.count = self._progress
        vars(state).update(zip(_FIELDS, self._numbers, strict=True))
        self._vectors = self._solver_state = None  # the state has them now


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
            name: each if type(each) in _NUMBERS else _copied(each, known.get(name)) for name, each in value.items()
        }
    if kind is list:
        older = spare if type(spare) is kind and len(spare) == len(value) else [None] * len(value)
        return list(map(_copied, value, older))
    return copy.deepcopy(value) if kind not in _NUMBERS else value

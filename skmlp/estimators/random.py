"""From scikit-learn's `random_state` to one independent stream for each use of randomness."""

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Streams", "spawn_streams"]


class Streams(NamedTuple):
    """The uses of randomness in a fit. They are independent: more draws of one do not change another."""

    initial_weights: np.random.Generator
    shuffle: np.random.Generator
    split_seed: int
    dropout: np.random.Generator


def spawn_streams(random_state: Any) -> Streams:
    """Return the streams for a fit.

    Parameters
    ----------
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
        None takes fresh entropy from the system. A RandomState or Generator is advanced, so that fits in a row
        differ.
    """
    if isinstance(random_state, np.random.RandomState):
        entropy: Any = random_state.randint(0, 2**32, size=4, dtype=np.uint32).tolist()
    elif isinstance(random_state, np.random.Generator):
        entropy = random_state.integers(0, 2**32, size=4, dtype=np.uint32).tolist()
    else:
        entropy = random_state
    weights, shuffle, split, dropout = np.random.SeedSequence(entropy).spawn(4)
    return Streams(
        np.random.default_rng(weights),
        np.random.default_rng(shuffle),
        int(split.generate_state(1)[0]),
        np.random.default_rng(dropout),
    )

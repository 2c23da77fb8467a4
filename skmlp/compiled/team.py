"""Threads that take steps together: each evaluates a share of the rows, then updates a share of the parameters.

All call the same function with the same arrays, and wait for each other where one reads what another has written. A
wait is a loop, since it is over before a sleeping thread would be awake.
"""

from typing import NamedTuple

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.intrinsics import give_way, publish, published
from skmlp.compiled.jit import exact, inlined

__all__ = ["LINE", "Team", "share", "wait"]

# Shares of a vector, arrays in the memory, and numbers that threads watch begin at multiples of so many elements: a
# cache line of float32, two lines of float64.
LINE = 16

# How often a thread looks at another before it gives way to what else wants its core: half a millisecond or so. The
# others are much sooner there, unless something else has their core. Then giving way at once would cost a time slice.
LOOKS = 400_000


class Team(NamedTuple):
    """A thread, and what it has in common with the others.

    Attributes
    ----------
    number, size : int
        Of this thread, and how many there are.
    gradients : ndarray of shape (size - 1, n_parameters)
        What the rows of each thread but the first add to the gradient.
    sums : ndarray of shape (size, 3), float64
        What each thread adds to loss, penalty, and squared norm of the gradient.
    arrivals : ndarray of shape ((size + 1) * LINE,), int64
        How often each thread has waited, a line apart; then whether the call is off, because a thread did not come.
    """

    number: int
    size: int
    gradients: FloatArray
    sums: FloatArray
    arrivals: AnyArray


@inlined
def share(team: Team, n: int, step: int) -> tuple[int, int]:
    """Return where this thread's share of `n` things begins and ends: at multiples of `step`, but for the last end."""
    begin = team.number * n // team.size // step * step
    end = n if team.number == team.size - 1 else (team.number + 1) * n // team.size // step * step
    return begin, end


@exact
def wait(team: Team) -> bool:
    """Wait until all have come as far; tell whether they have, or the call is off."""
    n_waits = team.arrivals[team.number * LINE] + 1
    publish(team.arrivals, team.number * LINE, n_waits)
    for other in range(team.size):
        looks = 0
        while published(team.arrivals, other * LINE) < n_waits:
            looks += 1
            if looks > LOOKS:
                if published(team.arrivals, team.size * LINE) != 0:
                    return False
                give_way()
    return True

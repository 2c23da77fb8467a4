"""Several trainings that advance together, epoch by epoch, each in one thread at a time.

They are independent: what a training computes does not depend on the others, nor on the number of threads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from skmlp._threads import Helpers, one_blas_thread
from skmlp.training.events import NonFiniteError, Row, StopReason
from skmlp.training.loop import Training

__all__ = ["OnRound", "train_together"]

# What a training returned from an epoch: its row, None if it was interrupted, or the error that ended it.
Outcome = Row | None | NonFiniteError
OnRound = Callable[[dict[int, Outcome], bool], StopReason | None]


def train_together(trainings: Sequence[Training], n_threads: int, on_round: OnRound | None = None) -> None:
    """Advance all trainings that have not ended by an epoch, again and again, until all have ended.

    The time limit of a training counts the seconds of its own epochs only. When the user interrupts, the epochs that
    have begun are completed, and all trainings end.

    Parameters
    ----------
    trainings : sequence of Training
        New ones.
    n_threads : int
        How many of them may compute at the same time.
    on_round : callable, optional
        ``on_round(outcomes, is_last)`` receives what each training returned from its epoch, by its position, and
        whether all have ended. If it returns a reason to stop, all trainings end.
    """
    helpers = Helpers(n_threads) if n_threads > 1 else None
    failed: set[int] = set()
    while True:
        running = [index for index, training in enumerate(trainings) if training.reason is None and index not in failed]
        if not running:
            return
        outcomes, interrupted = _advance([trainings[index] for index in running], helpers)
        found = dict(zip(running, outcomes, strict=True))
        failed |= {index for index, outcome in found.items() if isinstance(outcome, NonFiniteError)}
        going_on = [index for index in running if trainings[index].reason is None and index not in failed]
        reason = None if on_round is None else on_round(found, interrupted or not going_on)
        reason = "interrupted" if interrupted else reason
        if reason is not None:
            for index in going_on:
                trainings[index].stop(reason)


def _advance(trainings: Sequence[Training], helpers: Helpers | None) -> tuple[list[Outcome], bool]:
    """Advance each training by an epoch; return the outcomes, and whether the user interrupted."""
    if helpers is None:
        outcomes: list[Outcome] = []
        for training in trainings:
            outcomes.append(_epoch(training))
            if training.reason == "interrupted":
                return outcomes + [None] * (len(trainings) - len(outcomes)), True
        return outcomes, False
    futures: list[Future[Outcome]] = [helpers.submit(_epoch, training) for training in trainings]
    interrupted = False
    while True:
        try:
            wait(futures)
            break
        except KeyboardInterrupt:  # only this thread hears of it
            interrupted = True
    return [future.result() for future in futures], interrupted


def _epoch(training: Training) -> Outcome:
    training.clock.resume()
    try:
        with one_blas_thread:
            return training.advance()
    except NonFiniteError as error:
        return error
    finally:
        training.clock.pause()

"""What is kept of fits under way: plain data that cross processes, and what lives in one process alone.

Everything alive, such as threads and buffers, stays in registries of the process it belongs to; they are empty in a
worker process and after a fork.
"""

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from skmlp.tracking.fits import TrackedFit
from skmlp.tracking.outbox import Outbox

__all__ = ["Fold", "Outermost", "Session", "candidate", "outermost_fits", "tracked_fits", "used_runs"]


@dataclass(frozen=True)
class Session:
    """Where the runs of one outermost fit go.

    Attributes
    ----------
    uri : str or None
        None for MLflow's default store.
    experiment, experiment_id : str or None
        None both for the experiment of a run that was there before.
    run : str
        Our identifier of the outermost run.
    run_id : str or None
        MLflow's, when it is known.
    searched : tuple of str
        Names of the parameters that a search varies.
    n_splits : int or None
        Of the search, once it has begun.
    announced : bool
        True when the outermost estimator has the callback: the process that called its fit makes and ends the run.
        Otherwise the callback sits on an estimator inside, and every fold does what nobody else will.
    """

    uri: str | None
    experiment: str | None
    experiment_id: str | None
    run: str
    run_id: str | None = None
    searched: tuple[str, ...] = ()
    n_splits: int | None = None
    announced: bool = True


@dataclass
class Outermost:
    """What this process keeps of an outermost fit that it runs."""

    outbox: Outbox
    owned: bool
    error_before: BaseException | None
    parameters_are_there: bool
    resumes: str | None = None
    has_fit: bool = False
    data: Any = None
    outcome: tuple[str, dict[str, str]] = ("FINISHED", {})
    failures: list[str] = field(default_factory=list)


@dataclass
class Fold:
    """What this process keeps of a fit that has a run of its own inside another one."""

    outbox: Outbox
    fit: TrackedFit
    session: Session


# Outermost fits by their run's identifier, and tracked fits by callback and estimator.
outermost_fits: dict[str, Outermost] = {}
tracked_fits: dict[tuple[int, int], TrackedFit | Fold] = {}
# Values of the searched parameters in the fold that this thread is about to fit; runs of others with a fit in them.
candidate = threading.local()
used_runs: set[str] = set()


def _forget_fits() -> None:
    """Leave the parent process's fits alone: their threads are not here."""
    outermost_fits.clear()
    tracked_fits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)

"""The state of running fits: plain data that are sent to other processes, and registries of this process.

Threads, buffers and other objects that cannot be pickled are in the registries, which are empty in a worker process and
after a fork.
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
    """The store, experiment and run of one outermost fit.

    Attributes
    ----------
    uri : str or None
        None for MLflow's default store.
    experiment, experiment_id : str or None
        Both None for the experiment of an existing run.
    run : str
        Identifier of the outermost run.
    run_id : str or None
        MLflow's ID of it, when known.
    searched : tuple of str
        Parameters that a search varies.
    n_splits : int or None
        Of the search, when known.
    announced : bool
        True when the outermost estimator has the callback: the process that called its fit creates and ends the run.
        Otherwise an inner estimator has it, and the folds create and end the run.
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
    """The state of an outermost fit in the process that runs it."""

    outbox: Outbox
    owned: bool
    error_before: BaseException | None
    has_params: bool
    resumes: str | None = None
    has_fit: bool = False
    data: Any = None
    outcome: tuple[str, dict[str, str]] = ("FINISHED", {})
    failures: list[str] = field(default_factory=list)


@dataclass
class Fold:
    """The state of a fit inside another one, with its own run."""

    outbox: Outbox
    fit: TrackedFit
    session: Session


# Outermost fits by the identifier of their run, and tracked fits by the IDs of callback and estimator.
outermost_fits: dict[str, Outermost] = {}
tracked_fits: dict[tuple[int, int], TrackedFit | Fold] = {}
# Values of the searched parameters in the fold that this thread fits, and existing runs that a fit was logged into.
candidate = threading.local()
used_runs: set[str] = set()


def _forget_fits() -> None:
    """Forget the fits of the parent process, whose threads do not exist here."""
    outermost_fits.clear()
    tracked_fits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)

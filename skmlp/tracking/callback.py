"""The callback that tells MLflow about every fit below the estimator it is set on.

What crosses processes is plain data: the settings, and for each outermost fit under way a :class:`Session` that says
where its runs go. Everything alive, such as threads, buffers and connections, stays in registries of the process it
belongs to; they are empty in a worker process and after a fork.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from logging import getLogger
from typing import Any, Literal

from sklearn.model_selection._search import BaseSearchCV

from skmlp.estimators.base import BaseMLP
from skmlp.estimators.reporting import warn_caller
from skmlp.tracking.describe import dataset, estimator_tags, flat_params, readable, shape_params, versions
from skmlp.tracking.fits import TrackedFit, outcome_of
from skmlp.tracking.journal import AdoptRun, CreateRun, EndRun, Log, LogDataset, now
from skmlp.tracking.outbox import Outbox, Unsent
from skmlp.tracking.searches import child_key, grid_params, search_results, searched_names, split_scores
from skmlp.tracking.sender import RemoteStore
from skmlp.tracking.settings import ActiveRun, Settings, active_run
from skmlp.tracking.spool import Spool, files_of
from skmlp.tracking.store import CHILD_TAG
from skmlp.tracking.tasks import Place, is_fit, is_fold, place_of

__all__ = ["MLflowCallback", "TrackingError", "TrackingWarning"]

# Seconds in which the run of a search should be there before its folds begin, which are nested in it. With a new
# SQLite store, MLflow first makes its tables.
CREATION_TIMEOUT = 30.0
# Seconds for which a fold waits for the first one to make their common run, where nobody else does.
CHILD_PATIENCE = 5.0
# Rows of the data kept as the example of a model's input.
EXAMPLE_ROWS = 5

logger = getLogger("skmlp.tracking")


class TrackingWarning(UserWarning):
    """Something could not be told to MLflow; the fit is what it would have been without tracking."""


class TrackingError(RuntimeError):
    """Something could not be told to MLflow, and ``on_error="raise"`` asks to fail then, after the fit."""


@dataclass(frozen=True)
class Session:
    """Where the runs of one outermost fit go.

    Attributes
    ----------
    uri : str or None
        None for MLflow's default store.
    experiment, experiment_id : str or None
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
class _Outermost:
    """What this process keeps of an outermost fit that it runs."""

    outbox: Outbox
    owned: bool
    error_before: BaseException | None
    parameters_are_there: bool
    has_fit: bool = False
    example: Any = None
    outcome: tuple[str, dict[str, str]] = ("FINISHED", {})
    failures: list[str] = field(default_factory=list)


@dataclass
class _Fold:
    """What this process keeps of a fit that has a run of its own inside another one."""

    outbox: Outbox
    fit: TrackedFit
    session: Session


# Outermost fits by their run's identifier, and tracked fits by callback and estimator.
_outermost: dict[str, _Outermost] = {}
_fits: dict[tuple[int, int], TrackedFit | _Fold] = {}
# Values of the searched parameters in the fold that this thread is about to fit; runs of others with a fit in them.
_candidate = threading.local()
_used_runs: set[str] = set()


def _forget_fits() -> None:
    """Leave the parent process's fits alone: their threads are not here."""
    _outermost.clear()
    _fits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)


class _Tracking:
    """The hooks. Whether scikit-learn hands the callback down is the difference of the two subclasses."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sessions: dict[str, Session] = {}
        self._warned: set[str] = set()

    @property
    def requests_monitor(self) -> bool:
        """Asks the estimators for statistics of their layers."""
        return self.settings.monitor

    def without_propagation(self) -> "_InnerTracking":
        """Return the callback for an estimator inside a pipeline or search, which must not be handed down."""
        return _InnerTracking(self.settings)

    def __repr__(self) -> str:
        default = asdict(Settings())
        given = {name: value for name, value in asdict(self.settings).items() if value != default[name]}
        return f"MLflowCallback({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __getstate__(self) -> dict[str, Any]:
        settings = self.settings.resolved()  # the worker that this goes to may be older than the user's choices
        return {"settings": settings, "_sessions": dict(self._sessions), "_warned": set()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    # ------------------------------------------------------------------ scikit-learn's hooks

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin the outermost run."""
        place = place_of(context)
        if place.role == "fit":  # otherwise on an estimator inside a search, where each fold sees to itself
            with self._only_warning("setup", place):
                self._sessions[place.tree] = self._begin_outermost(estimator, place)
            if place.tree in self._sessions:
                with self._only_warning("setup", place):
                    self._sessions[place.tree] = self._describe_outermost(estimator, place)

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any = None, y: Any = None) -> None:
        """Begin the run of a fold, or a fit inside the outermost run."""
        if context.task_name == "epoch":
            return
        place = place_of(context)
        session = self._session_of(place)
        if session is None:
            return
        if not is_fit(context):
            if place.role == "fit" and hasattr(estimator, "n_splits_"):  # on the way to the folds, in every process
                self._sessions[place.tree] = replace(session, n_splits=int(estimator.n_splits_))
            return
        if place.is_root and session.run in _outermost:
            with self._only_warning("on_fit_task_begin", place):
                self._describe_data(session, X, y)
        with self._only_warning("on_fit_task_begin", place):
            if is_fold(context):
                params = estimator.get_params(deep=True)
                _candidate.values = {name: readable(params[name]) for name in session.searched if name in params}
            if isinstance(estimator, BaseMLP):
                self._begin_fit(estimator, place, session, X)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Log an epoch, or the end of a fit or a search."""
        if context.task_name == "epoch":
            tracked = _fits.get((id(self), id(estimator)))
            if tracked is not None:
                fit = tracked.fit if isinstance(tracked, _Fold) else tracked
                with self._only_warning("on_fit_task_end", fit.place):
                    fit.log_epoch(estimator)
        elif is_fit(context):
            place = place_of(context)
            with self._only_warning("on_fit_task_end", place):
                if isinstance(estimator, BaseMLP):
                    self._end_fit(estimator, None)
                elif isinstance(estimator, BaseSearchCV):
                    self._log_search(estimator, place)

    def on_fit_task_error(self, estimator: Any, context: Any, error: BaseException) -> None:
        """Log that a fit failed."""
        with self._only_warning("on_fit_task_error", place_of(context)):
            self._end_fit(estimator, error)

    def teardown(self, estimator: Any, context: Any) -> None:
        """End the outermost run; wait, for a bounded time, until everything is stored."""
        place = place_of(context)
        session = self._sessions.pop(place.tree, None)
        outermost = _outermost.pop(session.run, None) if session is not None else None
        if session is None or outermost is None:
            return
        with self._only_warning("teardown", place):
            self._end_outermost(estimator, session, outermost, sys.exception())
        self._warned.discard(place.tree)

    # ------------------------------------------------------------------ the outermost run

    def _session_of(self, place: Place) -> Session | None:
        return self._sessions.get(place.tree)

    def _session(self, place: Place, *, announced: bool) -> Session:
        settings = self.settings.resolved()
        return Session(
            settings.tracking_uri, settings.experiment, settings.experiment_id, place.tree, announced=announced
        )

    def _begin_outermost(self, estimator: Any, place: Place) -> Session:
        active = active_run(self.settings)
        session = self._session(place, announced=True)
        outbox = self._outbox(session)
        # A run of the user's takes the first fit in, later ones are nested in it: parameters cannot be changed.
        adopted = active if active is not None and active.run_id not in _used_runs else None
        _outermost[session.run] = _Outermost(
            outbox,
            owned=adopted is None,
            error_before=sys.exception(),
            parameters_are_there=active is not None and active.by_autologging,
        )
        if adopted is not None:
            _used_runs.add(adopted.run_id)
            outbox.put(AdoptRun(session.run, adopted.run_id))
        else:
            self._create_outermost(outbox, session, estimator, active)
        return session

    def _describe_outermost(self, estimator: Any, place: Place) -> Session:
        session = self._sessions[place.tree]
        outermost = _outermost[session.run]
        outbox, searches = outermost.outbox, _searches_in(estimator)
        tags = {"skmlp.role": "search" if searches else "fit", "skmlp.task_path": place.path}
        params = versions()
        if not outermost.parameters_are_there:
            params |= _params_of(estimator, searches)
        outbox.put(Log(session.run, params=params, tags={**estimator_tags(estimator), **tags, **self.settings.tags}))
        run_id = outbox.run_id(session.run, CREATION_TIMEOUT if searches else 0.0)
        names = tuple(name for search in searches for name in searched_names(search))
        logger.info("Tracking %s in %s, run %s", place.root_name, outbox.uri, run_id or session.run)
        return replace(session, run_id=run_id, searched=names)

    def _create_outermost(self, outbox: Outbox, session: Session, estimator: Any, active: ActiveRun | None) -> None:
        parent = None
        experiment, experiment_id = session.experiment, session.experiment_id
        if active is not None:
            parent, experiment, experiment_id = active.run_id, None, active.experiment_id
            outbox.put(AdoptRun(parent, active.run_id))
        name = self.settings.run_name or type(estimator).__name__
        outbox.put(CreateRun(session.run, name, experiment, experiment_id, parent, now(), {}))

    def _describe_data(self, session: Session, X: Any, y: Any) -> None:
        outermost = _outermost[session.run]
        outermost.outbox.put(Log(session.run, params=shape_params(X)))
        if self.settings.log_model and hasattr(X, "shape"):
            outermost.example = X[:EXAMPLE_ROWS]
        described = dataset(X, y) if self.settings.log_dataset else None
        if described is not None:
            outermost.outbox.put(LogDataset(session.run, *described))

    def _log_search(self, search: BaseSearchCV, place: Place) -> None:
        session = self._sessions.get(place.tree)
        if session is None or session.run not in _outermost or place.role != "fit":
            return  # a search inside another one
        outbox = _outermost[session.run].outbox
        for record in search_results(session.run, search):
            outbox.put(record)
        outbox.put(split_scores(session.run, search))

    def _end_outermost(
        self, estimator: Any, session: Session, outermost: _Outermost, error: BaseException | None
    ) -> None:
        if error is outermost.error_before:
            error = None  # fit was called while that one was being handled
        status, tags = outcome_of(None, error) if error is not None else outermost.outcome
        outbox = outermost.outbox
        outbox.put(Log(session.run, tags=tags))
        if self.settings.log_model and status == "FINISHED":
            try:
                self._log_model(estimator, session, outermost)
            except Exception as failure:
                outermost.failures.append(f"the model was not logged: {type(failure).__name__}: {failure}")
        if outermost.owned:
            outbox.put(EndRun(session.run, status, now(), children=status != "FINISHED"))
        unsent = outbox.close(self.settings.close_timeout)
        self._report(session, unsent, outermost.failures)

    def _log_model(self, estimator: Any, session: Session, outermost: _Outermost) -> None:
        from skmlp.tracking.models import log_model

        unsent = outermost.outbox.flush(self.settings.close_timeout)
        run_id = outermost.outbox.run_id(session.run)
        if run_id is None or unsent.n_spilled or unsent.n_lost:
            raise ConnectionError("the store is away; skmlp.tracking.log_model(estimator, X, run_id=...) does it later")
        log_model(estimator, outermost.example, run_id=run_id, tracking_uri=session.uri)

    def _report(self, session: Session, unsent: Unsent, failures: list[str]) -> None:
        """Say once, at the end, what could not be stored and how to store it."""
        files = [str(path) for path in files_of(os.path.dirname(unsent.path), session.run)]
        parts = list(failures)
        if unsent.n_lost:
            parts.append(f"{unsent.n_lost} records are lost, since they could not be written to {unsent.path} either")
        if files:
            where = files[0] if len(files) == 1 else os.path.dirname(files[0])
            parts.append(f"what is missing is kept; send it with: python -m skmlp.tracking replay {where}")
        if parts:
            reasons = f" ({'; '.join(unsent.reasons)})" if unsent.reasons else ""
            store = session.uri or "its default store"
            self._complain(f"Not everything could be told to MLflow at {store}{reasons}: {'; '.join(parts)}.")

    # ------------------------------------------------------------------ the fits

    def _begin_fit(self, estimator: BaseMLP, place: Place, session: Session, X: Any) -> None:
        outermost = _outermost.get(session.run)
        key = (id(self), id(estimator))
        if place.role == "fit" and outermost is not None and not outermost.has_fit:
            outermost.has_fit = True
            fit = self._tracked(outermost.outbox, session.run, place)
            _fits[key] = fit
        elif place.role == "cv" and (place.n_fits or 0) > self.settings.most_child_runs:
            return
        else:
            outbox = self._outbox(session)
            fit = self._begin_child(outbox, estimator, place, session)
            _fits[key] = _Fold(outbox, fit, session)
        fit.begin(estimator, X)

    def _tracked(self, outbox: Outbox, run: str, place: Place) -> TrackedFit:
        return TrackedFit(
            outbox.put,
            run,
            place,
            every_n_epochs=self.settings.every_n_epochs,
            artifacts=self.settings.artifacts and place.role != "cv",
        )

    def _begin_child(self, outbox: Outbox, estimator: BaseMLP, place: Place, session: Session) -> TrackedFit:
        where = (session.experiment, session.experiment_id)
        if session.run_id is not None:
            outbox.put(AdoptRun(session.run, session.run_id, foreign=False))
        elif not session.announced:
            # Nobody but the folds makes the common parent: the first one does, the others wait for it.
            patience = 0.0 if place.is_first else CHILD_PATIENCE
            tags = {"skmlp.role": "search", "skmlp.task_path": place.root_name, **self.settings.tags}
            name = self.settings.run_name or place.root_name
            outbox.put(CreateRun(session.run, name, *where, None, now(), tags, patience))
        name, tags = _fold_name_and_tags(place, session.n_splits)
        tags |= {"skmlp.role": place.role, "skmlp.task_path": place.path, **estimator_tags(estimator)}
        outbox.put(CreateRun(place.key, name, *where, session.run, now(), {**tags, **self.settings.tags}))
        searched = getattr(_candidate, "values", {}) if session.announced else {}
        outbox.put(Log(place.key, params={**flat_params(estimator), **searched}))
        return self._tracked(outbox, place.key, place)

    def _end_fit(self, estimator: BaseMLP, error: BaseException | None) -> None:
        tracked = _fits.pop((id(self), id(estimator)), None)
        if tracked is None:
            return
        fit = tracked.fit if isinstance(tracked, _Fold) else tracked
        try:
            if error is None:
                fit.finish(estimator)
        finally:
            outcome = outcome_of(estimator if error is None else None, error)
            if isinstance(tracked, _Fold):
                self._end_fold(tracked, *outcome)
            else:
                _outermost[fit.run].outcome = outcome

    def _end_fold(self, fold: _Fold, status: str, tags: dict[str, str]) -> None:
        outbox, session = fold.outbox, fold.session
        outbox.put(Log(fold.fit.run, tags=tags))
        outbox.put(EndRun(fold.fit.run, status, now()))
        if not session.announced:
            outbox.put(EndRun(session.run, "FINISHED", now()))
        unsent = outbox.close(self.settings.close_timeout)
        # What is kept in files the outermost fit tells of, if it knows of us.
        if unsent.n_lost or (unsent.n_spilled and not session.announced):
            self._report(session, unsent, [])

    # ------------------------------------------------------------------ what everything uses

    def _outbox(self, session: Session) -> Outbox:
        folder = self.settings.resolved().spool
        return Outbox(RemoteStore(session.uri), Spool(folder, session.uri, session.run))

    @contextmanager
    def _only_warning(self, hook: str, place: Place) -> Iterator[None]:
        """Turn an error into a warning, one for each outermost fit: tracking never costs a fit."""
        try:
            yield
        except (TrackingError, TrackingWarning):  # what is said at the end, with on_error or warnings as errors
            raise
        except Exception as error:
            failure = f"{hook} failed with {type(error).__name__}: {error}"
            session = self._sessions.get(place.tree)
            outermost = _outermost.get(session.run) if session is not None else None
            if outermost is not None:
                outermost.failures.append(failure)  # told at the end
            elif place.tree not in self._warned:
                self._warned.add(place.tree)
                self._complain(f"Telling MLflow about this fit failed, which does not affect the fit: {failure}.")

    def _complain(self, message: str) -> None:
        if self.settings.on_error == "raise":
            raise TrackingError(message)
        if self.settings.on_error == "warn":
            warn_caller(message, TrackingWarning)


class _InnerTracking(_Tracking):
    """For an estimator inside a pipeline or search, where scikit-learn forbids callbacks that are handed down."""

    def without_propagation(self) -> "_InnerTracking":
        return self

    def _session_of(self, place: Place) -> Session | None:
        if place.role != "fit":
            return self._session(place, announced=False)
        return super()._session_of(place)


class MLflowCallback(_Tracking):
    """Log every fit of an skmlp estimator to MLflow, epoch by epoch.

    For ``set_callbacks`` of the outermost estimator - a :class:`~sklearn.pipeline.Pipeline`, a search, or the skmlp
    estimator itself - or of an skmlp estimator inside one. A fit or pipeline is one run; a search is a run with its
    grid, results and best values, and with a nested run for every fold and the refit, also from worker processes. A
    run that is active takes in the first fit; later ones are nested in it. Values travel through a buffer of this
    process and a thread of its own, so that neither a slow store nor one that is away changes the fit.

    Parameters
    ----------
    experiment : str, optional
        Name of the experiment, made if there is none. By default the one that ``mlflow.set_experiment`` or MLflow's
        environment variables chose, else ``"Default"``.
    run_name : str, optional
        Name of the outermost run. By default the estimator's class.
    tracking_uri : str, optional
        The store. By default ``mlflow.get_tracking_uri()``: without any choice, a SQLite file in the working folder.
    every_n_epochs : int, default=1
        Metrics of every n-th epoch, and of the last one.
    monitor : bool, default=True
        Have the layers' statistics computed (see the estimators' `monitor`), and log them.
    child_runs : {"auto", "all", "none"} or int, default="auto"
        How many fits a search (an iteration of a halving search) may have for each to get a run of its own, "auto"
        being 50; with more there is only the refit's. The table of results has them all.
    artifacts : bool, default=True
        Store the history as table and CSV, the configuration, figures, and a page with all curves and the layers'
        gradients, for the runs that are not folds.
    log_model : bool, default=False
        Store the fitted outermost estimator, see :func:`log_model`.
    log_dataset : bool, default=True
        Describe the training data: names and types of columns, shape, and a digest of some rows.
    tags : dict of str, optional
        Tags for all runs.
    on_error : {"warn", "raise", "ignore"}, default="warn"
        What to do at the end of a fit of which MLflow did not get everything. The estimator is fitted in any case.
    spool : str or path, default="skmlp-mlflow-spool"
        Folder for what could not be sent; ``python -m skmlp.tracking replay FOLDER`` sends it.
    close_timeout : float, default=30.0
        Seconds to wait at the end of a fit for the store to take what is left. One that does not answer is given up
        within a few seconds.

    Raises
    ------
    ModuleNotFoundError
        Without mlflow.
    ValueError
        When a parameter is out of its range.

    See Also
    --------
    autolog : Track every fit without touching the estimators.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier
    >>> from skmlp.tracking import MLflowCallback
    >>> pipeline = make_pipeline(StandardScaler(), MLPClassifier())
    >>> search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, n_jobs=2)
    >>> search.set_callbacks(MLflowCallback(experiment="alpha"))  # doctest: +SKIP
    >>> search.fit(X, y)  # doctest: +SKIP
    """

    # scikit-learn hands the callback down to all estimators inside.
    max_propagation_depth = None

    def __init__(
        self,
        experiment: str | None = None,
        run_name: str | None = None,
        *,
        tracking_uri: str | None = None,
        every_n_epochs: int = 1,
        monitor: bool = True,
        child_runs: Literal["auto", "all", "none"] | int = "auto",
        artifacts: bool = True,
        log_model: bool = False,
        log_dataset: bool = True,
        tags: Mapping[str, str] | None = None,
        on_error: Literal["warn", "raise", "ignore"] = "warn",
        spool: str | os.PathLike[str] = "skmlp-mlflow-spool",
        close_timeout: float = 30.0,
    ) -> None:
        if find_spec("mlflow") is None:
            raise ModuleNotFoundError("MLflowCallback needs mlflow: pip install 'skmlp[mlflow]'.", name="mlflow")
        super().__init__(
            Settings(
                experiment=experiment,
                run_name=run_name,
                tracking_uri=tracking_uri,
                every_n_epochs=every_n_epochs,
                monitor=monitor,
                child_runs=child_runs,
                artifacts=artifacts,
                log_model=log_model,
                log_dataset=log_dataset,
                tags={str(name): str(value) for name, value in (tags or {}).items()},
                on_error=on_error,
                spool=os.fspath(spool),
                close_timeout=close_timeout,
            )
        )


def _searches_in(estimator: Any) -> list[BaseSearchCV]:
    """Return the searches in an estimator, itself included."""
    nested = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    return [each for each in (estimator, *nested) if isinstance(each, BaseSearchCV)]


_SHORT = {"candidate": "cand", "iteration": "iter"}


def _fold_name_and_tags(place: Place, n_splits: int | None) -> tuple[str, dict[str, str]]:
    """Return what a fold's run is called, and the tags that tell candidate, split and iteration."""
    if place.split is None:
        return place.role, {}
    numbers: dict[str, int] = {"fit": place.split}
    if n_splits:
        numbers = {"candidate": place.split // n_splits, "split": place.split % n_splits}
    if place.iteration is not None:
        numbers = {"iteration": place.iteration, **numbers}
    tags = {f"skmlp.{name}": str(number) for name, number in numbers.items()}
    tags[CHILD_TAG] = child_key(place.iteration, place.split)
    # Short: MLflow's table has a narrow column for it.
    return ", ".join(f"{_SHORT.get(name, name)} {number}" for name, number in numbers.items()), tags


def _params_of(estimator: Any, searches: list[BaseSearchCV]) -> dict[str, str]:
    """Return the outermost estimator's parameters; what is searched stands for itself."""
    params = flat_params(estimator, leave_out=("param_grid", "param_distributions"))
    for search in searches:
        params |= grid_params(search)
    return params

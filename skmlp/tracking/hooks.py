"""scikit-learn's hooks around a fit, which send records for MLflow runs."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from logging import getLogger
from typing import Any
from uuid import uuid4

from sklearn.model_selection._search import BaseSearchCV

from skmlp.callbacks.propagation import ForNetworks
from skmlp.callbacks.tasks import Place, is_fit, is_fold, place_of
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.tabular import AnyMLP
from skmlp.tracking.addresses import masked
from skmlp.tracking.describe import dataset, estimator_tags, flat_params, readable, shape_params, versions
from skmlp.tracking.fits import TrackedFit, outcome_of
from skmlp.tracking.journal import AdoptRun, CreateRun, EndRun, Log, LogDataset, now
from skmlp.tracking.outbox import Outbox, Unsent
from skmlp.tracking.searches import fold_name_and_tags, params_of, search_results, searched_names, searches_in
from skmlp.tracking.sender import RemoteStore
from skmlp.tracking.sessions import Fold, Outermost, Session, candidate, outermost_fits, tracked_fits, used_runs
from skmlp.tracking.settings import Settings, active_run
from skmlp.tracking.spool import Spool, files_of

__all__ = ["InnerHooks", "TrackingError", "TrackingHooks", "TrackingWarning"]

# Seconds to wait for the run of a search before its folds begin, whose runs are nested in it. For a new SQLite store,
# MLflow first creates the tables.
CREATION_TIMEOUT = 30.0
# Seconds for which a fold waits for the first one to create their common parent run.
CHILD_TIMEOUT = 5.0

logger = getLogger("skmlp.tracking")


class TrackingWarning(UserWarning):
    """Something could not be logged to MLflow. The fit is the same as without tracking."""


class TrackingError(RuntimeError):
    """Something could not be logged to MLflow, with ``on_error="raise"``. It is raised after the fit."""


class TrackingHooks(ForNetworks):
    """The hooks. Of the two subclasses, scikit-learn propagates only one to inner estimators."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Distinguishes the runs of this callback from those of another one in the same fit, in every process.
        self._id = uuid4().hex[:8]
        self._sessions: dict[str, Session] = {}
        self._warned: set[str] = set()

    @property
    def requests_monitor(self) -> bool:
        """Whether the estimators are to record statistics of their layers."""
        return self.settings.monitor

    def without_propagation(self) -> "InnerHooks":
        """Return a callback for an estimator inside a pipeline or search, where callbacks must not propagate."""
        return InnerHooks(self.settings)

    def __repr__(self) -> str:
        default = Settings()
        shown = [each.name for each in fields(Settings) if each.repr]
        given = {name: value for name in shown if (value := getattr(self.settings, name)) != getattr(default, name)}
        return masked(f"MLflowCallback({', '.join(f'{name}={value!r}' for name, value in given.items())})")

    def __getstate__(self) -> dict[str, Any]:
        settings = self.settings.resolved()  # a worker process may have started before the user chose them
        return {"settings": settings, "_id": self._id, "_sessions": dict(self._sessions), "_warned": set()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin the outermost run."""
        place = place_of(context)
        if place.tree in self._sessions:
            return  # set twice on the same estimator
        if place.role == "fit":  # otherwise inside a search, where each fold begins its own run
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
            if place.role == "fit" and hasattr(estimator, "n_splits_"):  # before the folds, in every process
                self._sessions[place.tree] = replace(session, n_splits=int(estimator.n_splits_))
            return
        if place.is_root and session.run in outermost_fits:
            with self._only_warning("on_fit_task_begin", place):
                self._describe_data(session, X, y)
        with self._only_warning("on_fit_task_begin", place):
            if is_fold(context):
                params = estimator.get_params(deep=True)
                candidate.values = {name: readable(params[name]) for name in session.searched if name in params}
            if isinstance(estimator, AnyMLP):
                self._begin_fit(estimator, place, session, X)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Log an epoch, or the end of a fit or search."""
        if context.task_name == "epoch":
            tracked = tracked_fits.get((id(self), id(estimator)))
            if tracked is not None:
                fit = tracked.fit if isinstance(tracked, Fold) else tracked
                with self._only_warning("on_fit_task_end", fit.place):
                    fit.log_epoch(estimator)
        elif is_fit(context):
            place = place_of(context)
            with self._only_warning("on_fit_task_end", place):
                if isinstance(estimator, AnyMLP):
                    self._end_fit(estimator, None)
                elif isinstance(estimator, BaseSearchCV):
                    self._log_search(estimator, place)

    def on_fit_task_error(self, estimator: Any, context: Any, error: BaseException) -> None:
        """Log that a fit failed."""
        with self._only_warning("on_fit_task_error", place_of(context)):
            self._end_fit(estimator, error)

    def teardown(self, estimator: Any, context: Any) -> None:
        """End the outermost run, and wait for a limited time until everything is stored."""
        place = place_of(context)
        session = self._sessions.pop(place.tree, None)
        outermost = outermost_fits.pop(session.run, None) if session is not None else None
        if session is None or outermost is None:
            return
        with self._only_warning("teardown", place):
            self._end_outermost(estimator, session, outermost, sys.exception())
        self._warned.discard(place.tree)

    def _session_of(self, place: Place) -> Session | None:
        return self._sessions.get(place.tree)

    def _session(self, place: Place, active: Any = None, *, announced: bool) -> Session:
        settings = self.settings.resolved()
        experiment, experiment_id = settings.experiment, settings.experiment_id
        if active is not None:
            experiment, experiment_id = None, active.info.experiment_id
        elif settings.named_run is not None:
            experiment = experiment_id = None
        run = f"{place.tree}-{self._id}"
        return Session(settings.tracking_uri, experiment, experiment_id, run, announced=announced)

    def _begin_outermost(self, estimator: Any, place: Place) -> Session:
        active = active_run(self.settings)
        active_id: str = active.info.run_id if active is not None else ""
        session = self._session(place, active, announced=True)
        outbox = self._outbox(session)
        # The user's run receives only the first fit, since parameters cannot be changed. Runs of later fits are nested.
        is_adopted = active is not None and active_id not in used_runs
        resumed = self._run_to_resume() if active is None else None
        outermost_fits[session.run] = Outermost(
            outbox,
            owned=not is_adopted,
            error_before=sys.exception(),
            has_params=active is not None and "mlflow.autologging" in active.data.tags,
            resumes=resumed,
        )
        name = self.settings.run_name or type(estimator).__name__
        if is_adopted:
            used_runs.add(active_id)
            outbox.put(AdoptRun(session.run, active_id))
        elif active is not None:
            outbox.put(AdoptRun(active_id, active_id))
            outbox.put(CreateRun(session.run, name, None, session.experiment_id, active_id, now(), {}))
        else:
            self._create_outermost(outbox, session, name, resumed)
        return session

    def _run_to_resume(self) -> str | None:
        """Return the run that ``MLFLOW_RUN_ID`` names, for the first fit of the process it was set for."""
        named = self.settings.resolved().named_run
        if named is None or named in used_runs or self.settings.is_resolved:
            return None
        used_runs.add(named)
        return named

    def _create_outermost(
        self,
        outbox: Outbox,
        session: Session,
        name: str,
        resume: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait: float = 0.0,
    ) -> None:
        """Begin the outermost run: resume the named run, nest in it, or create a new one."""
        settings = self.settings.resolved()
        outbox.put(
            CreateRun(
                session.run,
                name,
                settings.experiment,
                settings.experiment_id,
                None,
                now(),
                dict(tags or {}),
                wait,
                resume=resume,
                within=settings.named_run if resume is None else None,
            )
        )

    def _describe_outermost(self, estimator: Any, place: Place) -> Session:
        session = self._sessions[place.tree]
        outermost = outermost_fits[session.run]
        outbox, searches = outermost.outbox, searches_in(estimator)
        tags = {"skmlp.role": "search" if searches else "fit", "skmlp.task_path": place.path}
        params = versions()
        if not outermost.has_params:
            params |= params_of(estimator, searches)
        outbox.put(Log(session.run, params=params, tags={**estimator_tags(estimator), **tags, **self.settings.tags}))
        run_id = outbox.run_id(session.run, CREATION_TIMEOUT if searches else 0.0)
        names = tuple(name for search in searches for name in searched_names(search))
        logger.info("Tracking %s in %s, run %s", place.root_name, masked(outbox.uri), run_id or session.run)
        return replace(session, run_id=run_id, searched=names)

    def _describe_data(self, session: Session, X: Any, y: Any) -> None:
        outermost = outermost_fits[session.run]
        outermost.outbox.put(Log(session.run, params=shape_params(X)))
        if self.settings.log_model:
            outermost.data = X
        described = dataset(X, y) if self.settings.log_dataset else None
        if described is not None:
            outermost.outbox.put(LogDataset(session.run, *described))

    def _log_search(self, search: BaseSearchCV, place: Place) -> None:
        session = self._sessions.get(place.tree)
        if session is None or session.run not in outermost_fits or place.role != "fit":
            return  # a search inside another one
        outbox = outermost_fits[session.run].outbox
        for record in search_results(session.run, search):
            outbox.put(record)

    def _end_outermost(
        self, estimator: Any, session: Session, outermost: Outermost, error: BaseException | None
    ) -> None:
        if error is outermost.error_before:
            error = None  # fit was called in an except block
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
        run_id, resumed = outbox.run_id(session.run), outermost.resumes
        if None not in (run_id, resumed) and run_id != resumed and self.settings.experiment is None:
            outermost.failures.append(
                f"the run {resumed} that MLFLOW_RUN_ID names is not in the store; the fit is in the new run {run_id}"
            )
        self._report(session, unsent, outermost.failures)

    def _log_model(self, estimator: Any, session: Session, outermost: Outermost) -> None:
        from skmlp.tracking.models import log_model

        unsent = outermost.outbox.flush(self.settings.close_timeout)
        run_id = outermost.outbox.run_id(session.run)
        if run_id is None or unsent.n_spilled or unsent.n_lost:
            reasons = "; ".join(unsent.reasons) or "its run does not exist yet"
            raise ConnectionError(f"{reasons}; skmlp.tracking.log_model(estimator, X, run_id=...) logs it later")
        log_model(estimator, outermost.data, run_id=run_id, tracking_uri=session.uri)

    def _report(self, session: Session, unsent: Unsent, failures: list[str]) -> None:
        """Report once, at the end, what could not be stored and how to store it."""
        files = [str(path) for path in files_of(os.path.dirname(unsent.path), session.run)]
        parts = list(failures)
        if unsent.n_lost:
            parts.append(f"{unsent.n_lost} records are lost, since they could not be written to {unsent.path} either")
        if unsent.refused:
            parts.append(f"MLflow refused {'; '.join(unsent.refused)}; everything else was logged")
        if files:
            where = files[0] if len(files) == 1 else os.path.dirname(files[0])
            parts.append(f"missing records were saved; send them with: python -m skmlp.tracking replay {where}")
        if parts:
            reasons = f" ({'; '.join(unsent.reasons)})" if unsent.reasons else ""
            store = session.uri or "its default store"
            self._warn(f"Not everything could be logged to MLflow at {store}{reasons}: {'; '.join(parts)}.")

    def _begin_fit(self, estimator: AnyMLP, place: Place, session: Session, X: Any) -> None:
        outermost = outermost_fits.get(session.run)
        key = (id(self), id(estimator))
        if key in tracked_fits:
            return  # the callback was set twice
        if place.role == "fit" and outermost is not None and not outermost.has_fit:
            outermost.has_fit = True
            fit = self._tracked(outermost.outbox, session.run, place)
            tracked_fits[key] = fit
        elif place.role == "cv" and (place.n_fits or 0) > self.settings.max_child_runs:
            return
        else:
            outbox = self._outbox(session)
            fit = self._begin_child(outbox, estimator, place, session)
            tracked_fits[key] = Fold(outbox, fit, session)
        fit.begin(estimator, X)

    def _tracked(self, outbox: Outbox, run: str, place: Place) -> TrackedFit:
        return TrackedFit(
            outbox.put,
            run,
            place,
            every_n_epochs=self.settings.every_n_epochs,
            artifacts=self.settings.artifacts and place.role != "cv",
        )

    def _begin_child(self, outbox: Outbox, estimator: AnyMLP, place: Place, session: Session) -> TrackedFit:
        where = (session.experiment, session.experiment_id)
        if session.run_id is not None:
            outbox.put(AdoptRun(session.run, session.run_id, foreign=False))
        elif not session.announced:
            # The first fold creates the common parent run, and the others wait for it.
            wait = 0.0 if place.is_first else CHILD_TIMEOUT
            tags = {"skmlp.role": "search", "skmlp.task_path": place.root_name, **self.settings.tags}
            name = self.settings.run_name or place.root_name
            self._create_outermost(outbox, session, name, tags=tags, wait=wait)
        run = f"{session.run}{place.branch}"
        name, tags = fold_name_and_tags(place, session.n_splits)
        tags |= {"skmlp.role": place.role, "skmlp.task_path": place.path, **estimator_tags(estimator)}
        outbox.put(CreateRun(run, name, *where, session.run, now(), {**tags, **self.settings.tags}))
        searched = getattr(candidate, "values", {}) if session.announced else {}
        outbox.put(Log(run, params={**flat_params(estimator), **searched}))
        return self._tracked(outbox, run, place)

    def _end_fit(self, estimator: AnyMLP, error: BaseException | None) -> None:
        tracked = tracked_fits.pop((id(self), id(estimator)), None)
        if tracked is None:
            return
        fit = tracked.fit if isinstance(tracked, Fold) else tracked
        try:
            if error is None:
                fit.finish(estimator)
        finally:
            outcome = outcome_of(estimator if error is None else None, error)
            if isinstance(tracked, Fold):
                self._end_fold(tracked, *outcome)
            else:
                outermost_fits[fit.run].outcome = outcome

    def _end_fold(self, fold: Fold, status: str, tags: dict[str, str]) -> None:
        outbox, session = fold.outbox, fold.session
        outbox.put(Log(fold.fit.run, tags=tags))
        outbox.put(EndRun(fold.fit.run, status, now()))
        if not session.announced:
            outbox.put(EndRun(session.run, "FINISHED", now()))
        unsent = outbox.close(self.settings.close_timeout)
        # Files are reported by the outermost fit if it has the callback.
        if unsent.n_lost or unsent.refused or (unsent.n_spilled and not session.announced):
            self._report(session, unsent, [])

    def _outbox(self, session: Session) -> Outbox:
        folder = self.settings.resolved().spool
        return Outbox(RemoteStore(session.uri), Spool(folder, session.uri, session.run))

    @contextmanager
    def _only_warning(self, hook: str, place: Place) -> Iterator[None]:
        """Turn an error into a warning, one for each outermost fit, so that tracking never fails a fit."""
        try:
            yield
        except (TrackingError, TrackingWarning):  # raised at the end, because of on_error or warnings as errors
            raise
        except Exception as error:
            failure = f"{hook} failed with {type(error).__name__}: {error}"
            session = self._sessions.get(place.tree)
            outermost = outermost_fits.get(session.run) if session is not None else None
            if outermost is not None:
                outermost.failures.append(failure)  # reported at the end
            elif place.tree not in self._warned:
                self._warned.add(place.tree)
                self._warn(f"Logging this fit to MLflow failed, which does not affect the fit: {failure}.")

    def _warn(self, message: str) -> None:
        message = masked(message)
        if self.settings.on_error == "raise":
            raise TrackingError(message)
        if self.settings.on_error == "warn":
            warn_caller(message, TrackingWarning)


class InnerHooks(TrackingHooks):
    """For an estimator inside a pipeline or search, where scikit-learn forbids callbacks that propagate."""

    def without_propagation(self) -> "InnerHooks":
        return self

    def _session_of(self, place: Place) -> Session | None:
        if place.role != "fit":
            return self._session(place, announced=False)
        return super()._session_of(place)

"""Store the estimator during training."""

import copy
import math
import os
from numbers import Integral
from string import Formatter
from typing import Any

import joblib

from skmlp.callbacks._files import move_into_place, remove_stale, temporary_beside
from skmlp.callbacks._observing import EpochCallback, Fit, FitObserver, is_score
from skmlp.estimators.parameter_checks import Number, check_argument

__all__ = ["Checkpoint"]

# Attributes of a running fit, which scikit-learn sets on an estimator.
_OF_THE_RUNNING_FIT = ("_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks", "_skl_callbacks_to_teardown")


class Checkpoint(EpochCallback):
    """Store the estimator with joblib after every n-th epoch.

    For ``set_callbacks`` of an skmlp estimator, or of the outermost estimator around it: a pipeline or a search. Only
    the skmlp estimator is stored; in a pipeline it expects the output of the preceding steps. Files are written
    atomically, even if the process is killed or the power fails. A hidden file ``.skmlp-...`` of a killed process is
    removed by the next fit that stores in the same folder (not on Windows, which has no such file locks). When the disk
    is full, the fit continues with one warning.

    ``joblib.load`` (only for files you trust, like any pickle) returns a fitted estimator with its weights, history and
    the states of the optimizer and the random number generators. Continued with ``partial_fit`` on the same rows,
    training in mini-batches is bit for bit identical to uninterrupted training; in full batches it differs by rounding,
    since `fit` merges equal rows. A fit with ``warm_start=True`` and `max_iter` set to the remaining epochs is
    identical, too, except that the count of epochs without improvement and the learning rate schedule restart
    (``"invscaling"`` counts samples and continues), that `averaging` continues from the average, and that L-BFGS starts
    with an empty history. The training of a tabular estimator cannot be continued. Callbacks are not stored: set them
    again.

    Parameters
    ----------
    path : str or path
        A template for :meth:`str.format` with these fields: ``{epoch}``, which continues with ``warm_start``; every
        column of ``history_``, as in ``"{epoch:03d}-{validation_loss:.3f}.joblib"``; ``{fit}``, which is ``"fit"``, or
        in a search ``"cv7"`` for the fit ``candidate * n_splits + split`` and ``"refit"``; ``{run}``, eight characters
        that identify the outermost fit. In a search without ``{fit}`` in `path`, ``-cv7`` or ``-refit`` is inserted
        before the ending, so that fits do not overwrite each other's files. Independent fits, such as those of
        ``cross_val_score`` or a bagging ensemble, need ``{run}``. A relative path starts in the folder that was current
        when the callback was created; folders are created as needed.
    every : int, default=1
        Number of epochs between two files.
    save_best_only : bool, default=False
        Store only if `monitor` is better than at all earlier checkpoints and in all epochs of earlier warm-started
        fits.
    monitor : str, default="loss"
        A column of ``history_``. Higher values of ``"validation_score"`` are better, and lower values of all others.

    Raises
    ------
    ValueError
        When `path` is not a valid template, or `every` is out of its range. During the fit, as a warning: when `path`
        or `monitor` names a column that ``history_`` does not have, for example ``validation_loss`` without validation
        data.

    Notes
    -----
    A diverged epoch, whose loss is NaN, is not stored.

    Examples
    --------
    >>> import joblib, os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.callbacks import Checkpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "iris.joblib")
    >>> model = MLPClassifier((16,), n_iter_no_change=2, tol=0.1, random_state=0)
    >>> model = model.set_callbacks(Checkpoint(path)).fit(X, y)
    >>> bool((joblib.load(path).predict_proba(X) == model.predict_proba(X)).all())
    True
    """

    def __init__(
        self, path: str | os.PathLike[str], every: int = 1, save_best_only: bool = False, monitor: str = "loss"
    ) -> None:
        super().__init__()
        check_argument("Checkpoint", "every", every, Number(Integral, 1, None, closed="left"))
        self.path = os.fspath(path)
        self.fields = _fields(self.path)
        self.folder = os.getcwd()  # a worker process may have another one
        self.every = every
        self.save_best_only = save_best_only
        self.monitor = monitor

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        """Process the end of an epoch or of the fit; scikit-learn computes the arguments that a hook declares."""
        return self._task_ended(estimator, context, fitted_estimator)

    def _observe(self, fit: Fit) -> FitObserver:
        columns = list(fit.estimator.history_)
        needed = {self.monitor} if self.save_best_only else set()
        unknown = (self.fields - {"epoch", "fit", "run"} | needed) - set(columns)
        if unknown:
            raise ValueError(
                "The fields of 'path' must be among epoch, fit, run and the columns of history_, and 'monitor' must be "
                f"one of these columns: {columns}. Got {sorted(unknown)} instead. Nothing is stored in this fit. "
                "Validation columns need validation data; set validation_split, for example."
            )
        return _Checkpoints(fit, self)

    def path_in(self, fit: Fit) -> str:
        """Return the absolute path of the file of the last epoch."""
        path = self.path.format(**fit.row, epoch=fit.epoch, fit=fit.name, run=fit.run)
        if fit.name != "fit" and "fit" not in self.fields:
            stem, ending = os.path.splitext(path)
            path = f"{stem}-{fit.name}{ending}"
        return os.path.join(self.folder, path)


class _Checkpoints(FitObserver):
    def __init__(self, fit: Fit, settings: Checkpoint) -> None:
        super().__init__(fit)
        self.settings = settings
        self.clean_folders: set[str] = set()
        self.best = math.inf
        if settings.save_best_only:
            earlier = fit.estimator.history_[settings.monitor]
            self.best = min((cost for cost in map(self._cost, earlier) if not math.isnan(cost)), default=math.inf)

    def _cost(self, value: float) -> float:
        return -value if is_score(self.settings.monitor) else value

    def epoch_ended(self, fitted_estimator: Any) -> bool:
        row, settings = self.fit.row, self.settings
        if self.fit.epoch % settings.every or math.isnan(row["loss"]):
            return False
        cost = self._cost(row[settings.monitor]) if settings.save_best_only else -math.inf
        if settings.save_best_only and not cost < self.best:
            return False
        path = settings.path_in(self.fit)
        try:
            if (folder := os.path.dirname(path)) not in self.clean_folders:
                remove_stale(folder)
                self.clean_folders.add(folder)
            _store(fitted_estimator, path)
        except OSError as error:
            self.warn_once(
                f"Cannot store {path} ({type(error).__name__}: {error}). The fit continues and tries again at the next "
                "checkpoint, without another warning."
            )
        else:
            self.best = cost
        return False


def _store(fitted_estimator: Any, path: str) -> None:
    stored = copy.copy(fitted_estimator)  # it is shared with other callbacks
    for name in _OF_THE_RUNNING_FIT:
        vars(stored).pop(name, None)
    with temporary_beside(path) as temporary:
        joblib.dump(stored, temporary)
        move_into_place(temporary, path)


def _fields(template: str) -> set[str]:
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(
            "The 'path' parameter of Checkpoint must be a template for str.format, in which braces that are part of a "
            f"name are doubled. Got {template!r} instead: {error}."
        ) from error

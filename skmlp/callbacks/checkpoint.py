"""Store the estimator while it is trained."""

import copy
import math
import os
from string import Formatter
from typing import Any

import joblib

from skmlp.callbacks._checks import check_whole_number
from skmlp.callbacks._files import put_in_place, remove_stale, temporary_beside
from skmlp.callbacks._observing import EpochCallback, Fit, FitObserver, is_score

__all__ = ["Checkpoint"]

# What scikit-learn keeps on an estimator for the running fit, other estimators' callbacks among it.
_OF_THE_RUNNING_FIT = ("_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks", "_skl_callbacks_to_teardown")


class Checkpoint(EpochCallback):
    """Store the estimator as it would predict now, with joblib, after every n-th epoch.

    For ``set_callbacks`` of an skmlp estimator, or of the outermost estimator around it: a pipeline or a search. What
    is stored is the skmlp estimator alone; below a pipeline it expects the rows that the steps before it return. A
    file is there all at once or not at all, and takes the place of an older one, also when the process is killed or the
    power fails. A hidden file ``.skmlp-...`` that a killed process leaves is removed by the next fit that stores there,
    on systems with file locks (not on Windows). When the disk is full, the fit goes on with one warning.

    ``joblib.load`` (of files you trust, as any pickle) returns a fitted estimator. It holds weights, history, the
    state of the optimizer and of the random streams. Training in mini-batches that goes on with ``partial_fit`` on the
    same rows is to the bit the training that was interrupted; in full batches `fit` puts equal rows together, which
    rounds differently. A fit with ``warm_start=True`` and `max_iter` set to the epochs that are left is the same to
    the bit, too, except that it begins anew to count epochs without progress, and with its schedule of the learning
    rate (``"invscaling"`` counts samples, and goes on); that with `averaging` it goes on from the average; and that
    L-BFGS begins anew with its memory of curvature. Callbacks are not stored: set them again.

    Parameters
    ----------
    path : str or path
        Where to, with fields in braces (:meth:`str.format`): ``{epoch}``, counted on under ``warm_start``;
        every column of ``history_``, as in ``"{epoch:03d}-{validation_loss:.3f}.joblib"``; ``{fit}``, which is
        ``"fit"``, or in a search ``"cv7"`` for the fit ``candidate * n_splits + split`` and ``"refit"``; ``{run}``,
        eight characters that differ for each outermost fit. In a search without ``{fit}`` in `path`, ``-cv7`` or
        ``-refit`` is put before the ending, so that no two fits write to the same file. Fits that know nothing of
        each other, those of ``cross_val_score`` or a bagging, need ``{run}``. A relative path begins in the folder
        that was the current one when the callback was made; folders are made as needed.
    every : int, default=1
        Epochs from one file to the next.
    save_best_only : bool, default=False
        Write only when `monitor` is better than in all such epochs, and in all epochs of earlier warm-started fits.
    monitor : str, default="loss"
        A column of ``history_``: of ``"validation_score"`` high values are good, of all others low ones.

    Raises
    ------
    ValueError
        When `path` is no template, or `every` is out of its range. In the fit, which it costs a warning: when `path`
        or `monitor` names what ``history_`` does not have, for example ``validation_loss`` without validation
        data.

    Notes
    -----
    An epoch that diverged (its loss is NaN) is not stored.

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
        check_whole_number("every", every, 1)
        self.path = os.fspath(path)
        self.fields = _fields(self.path)
        self.folder = os.getcwd()  # a worker process may have another one
        self.every = every
        self.save_best_only = save_best_only
        self.monitor = monitor

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        """Take in the end of an epoch or of the fit; scikit-learn makes what a hook has among its arguments."""
        return self._task_ended(estimator, context, fitted_estimator)

    def _observe(self, fit: Fit) -> FitObserver:
        columns = list(fit.estimator.history_)
        needed = {self.monitor} if self.save_best_only else set()
        unknown = (self.fields - {"epoch", "fit", "run"} | needed) - set(columns)
        if unknown:
            raise ValueError(
                f"path and monitor can name epoch, fit, run and the columns of history_, here {columns}. There is no "
                f"{sorted(unknown)}: nothing is stored in this fit. Columns of validation need validation data: "
                "set for example early_stopping=True."
            )
        return _Checkpoints(fit, self)

    def path_in(self, fit: Fit) -> str:
        """Return the absolute path of the file for the epoch that ended."""
        path = self.path.format(**fit.row, epoch=fit.epoch, fit=fit.name, run=fit.run)
        if fit.name != "fit" and "fit" not in self.fields:
            stem, ending = os.path.splitext(path)
            path = f"{stem}-{fit.name}{ending}"
        return os.path.join(self.folder, path)


class _Checkpoints(FitObserver):
    def __init__(self, fit: Fit, settings: Checkpoint) -> None:
        super().__init__(fit)
        self.settings = settings
        self.folders: set[str] = set()  # without what killed processes left
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
            self._tidy(os.path.dirname(path))
            _store(fitted_estimator, path)
        except OSError as error:
            self.warn_once(
                f"{path} could not be stored ({type(error).__name__}: {error}). The fit goes on and tries again at its "
                "next checkpoint, without another warning."
            )
        else:
            self.best = cost
        return False

    def _tidy(self, folder: str) -> None:
        """Remove what killed processes left in a folder, before the first file is stored there."""
        if folder not in self.folders:
            remove_stale(folder)
            self.folders.add(folder)


def _store(fitted_estimator: Any, path: str) -> None:
    stored = copy.copy(fitted_estimator)  # other callbacks have it too
    for name in _OF_THE_RUNNING_FIT:
        vars(stored).pop(name, None)
    with temporary_beside(path) as temporary:
        joblib.dump(stored, temporary)
        put_in_place(temporary, path)


def _fields(template: str) -> set[str]:
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(
            f"path must be a template for str.format, with fields such as {{epoch}}, got {template!r}: {error}. "
            "Write braces that are part of the name twice."
        ) from error

"""Plot losses in the terminal during training."""

import math
import multiprocessing
import shutil
import sys
from collections.abc import Sequence
from numbers import Integral
from time import perf_counter
from typing import Any, TextIO

from skmlp.callbacks._observing import EpochCallback, Fit, FitObserver, is_score
from skmlp.callbacks._text_plot import MARKS, text_plot
from skmlp.estimators.parameter_checks import Number, check_argument
from skmlp.training.history import empty_history

__all__ = ["LivePlot"]

# Between two plots, so that drawing does not slow down short epochs.
SECONDS_BETWEEN = 0.1
# Without a terminal, or when its width is not known.
DEFAULT_WIDTH = 80
NARROWEST, LOWEST = 30, 2


class LivePlot(EpochCallback):
    """Plot columns of the history in the terminal during training, in plain text.

    On a terminal, each plot replaces the last one. Elsewhere, such as in a log file or a notebook, the plot is printed
    once at the end of the fit. Below the curves are their last values and their best epochs. Epochs with NaN are gaps.
    The vertical axis is logarithmic when the values span a factor of ten.

    For ``set_callbacks`` of an skmlp estimator, or of the outermost estimator around it: a pipeline or a search. Of a
    search, only the refit is drawn, and nothing in worker processes. Other output during the fit, such as that of
    ``verbose=True``, breaks the plot.

    Parameters
    ----------
    columns : sequence of str, default=("train_loss", "validation_loss")
        Columns of ``history_``, at most 6; ``validation_loss`` and ``validation_score`` are omitted without validation
        data.
    width : int, optional
        Characters of a line, at least 30; by default the terminal's width, or 80 without a terminal.
    height : int, default=8
        Lines of the plot area, at least 2.
    stream : text stream, optional
        Where to draw; by default ``sys.stdout`` at the beginning of the fit. It is not pickled.

    Raises
    ------
    ValueError
        When a parameter is invalid. During the fit, as a warning: when ``history_`` does not have a column.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.callbacks import LivePlot
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((16,), n_iter_no_change=2, tol=0.1, early_stopping=True, random_state=0)
    >>> model.set_callbacks(LivePlot(width=60, height=4)).fit(X, y)  # doctest: +SKIP
    """

    def __init__(
        self,
        columns: Sequence[str] = ("train_loss", "validation_loss"),
        width: int | None = None,
        height: int = 8,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__()
        if isinstance(columns, str) or not 1 <= len(columns) <= len(MARKS):
            raise ValueError(
                f"The 'columns' parameter of LivePlot must be a list of 1 to {len(MARKS)} names. "
                f"Got {columns!r} instead."
            )
        check_argument("LivePlot", "width", width, Number(Integral, NARROWEST, None, closed="left"), None)
        check_argument("LivePlot", "height", height, Number(Integral, LOWEST, None, closed="left"))
        self.columns = tuple(columns)
        self.width = width
        self.height = height
        self.stream = stream

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "stream": None}

    def _observe(self, fit: Fit) -> FitObserver | None:
        if fit.name not in ("fit", "refit") or multiprocessing.parent_process() is not None:
            return None
        history = fit.estimator.history_
        unknown = [name for name in self.columns if name not in history and name not in empty_history(validation=True)]
        shown = [name for name in self.columns if name in history]
        if unknown or not shown:
            raise ValueError(
                f"The 'columns' parameter of LivePlot must be among the columns of history_: {list(history)}. "
                f"Got {list(self.columns)} instead. Nothing is drawn in this fit. Validation columns need validation "
                "data; set validation_split, for example."
            )
        return _Drawing(fit, self, shown, sys.stdout if self.stream is None else self.stream)


class _Drawing(FitObserver):
    def __init__(self, fit: Fit, settings: LivePlot, columns: list[str], stream: TextIO) -> None:
        super().__init__(fit)
        self.settings = settings
        self.columns = columns
        self.stream = stream
        self.on_terminal = stream.isatty()
        self._n_lines = 0
        self._drawn_at = -math.inf

    def epoch_ended(self, fitted_estimator: Any) -> bool:
        if self.on_terminal and perf_counter() - self._drawn_at >= SECONDS_BETWEEN:
            self._draw()
            self._drawn_at = perf_counter()
        return False

    def ended(self) -> None:
        if self.fit.n_iter:
            self._draw()

    def _draw(self) -> None:
        lines = self._lines(*self._size())
        erase_last = f"\x1b[{self._n_lines}A\x1b[J" if self._n_lines else ""
        self.stream.write(erase_last + "".join(f"{line}\n" for line in lines))
        self.stream.flush()
        self._n_lines = len(lines)

    def _size(self) -> tuple[int, int]:
        """Return width and height, limited to those of the terminal: lines that scroll out cannot be erased."""
        width, height = self.settings.width, self.settings.height
        if not self.on_terminal:
            return width or DEFAULT_WIDTH, height
        terminal = shutil.get_terminal_size((DEFAULT_WIDTH, 24))
        n_other_lines = 4 + len(self.columns)
        return (
            max(NARROWEST, min(width or terminal.columns, terminal.columns)),
            max(LOWEST, min(height, terminal.lines - n_other_lines)),
        )

    def _lines(self, width: int, height: int) -> list[str]:
        fit = self.fit
        curves = {name: fit.estimator.history_[name] for name in self.columns}
        first_epoch = fit.epoch - len(curves[self.columns[0]]) + 1
        title = f"{type(fit.estimator).__name__}: epoch {fit.epoch}"
        legend = [
            _summary(mark, name, curve, first_epoch) for mark, (name, curve) in zip(MARKS, curves.items(), strict=False)
        ]
        plot = text_plot(curves, width=width, height=height, first_epoch=first_epoch)
        return [line[:width] for line in (title, *plot, *legend)]


def _summary(mark: str, name: str, curve: Sequence[float], first_epoch: int) -> str:
    """Return a curve's last value and its best one with the epoch."""
    words = f"{mark} {name}: {curve[-1]:.4g}"
    finite = [value for value in curve if math.isfinite(value)]
    if not finite:
        return words
    best = max(finite) if is_score(name) else min(finite)
    return f"{words}, best {best:.4g} in epoch {first_epoch + list(curve).index(best)}"

"""Losses, score and learning rate over epochs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import FloatArray
from skmlp.inspection._estimators import last_step
from skmlp.inspection.displays._drawing import (
    BLUE,
    GREEN,
    INK,
    SMALLER,
    VERMILLION,
    clean,
    divide,
    draw_curve,
    label_epochs,
    label_log_scale,
    new_axes,
    numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["HistoryDisplay"]

# Heights of the losses, and of the score and the learning rate below them.
LOSSES, SCORE, LEARNING_RATE = 4.0, 2.0, 1.6


class HistoryDisplay:
    """Training and validation loss over the epochs; below them the validation score and a learning rate that changes.

    The losses are without penalty, so that the two can be compared. Epochs that diverged leave gaps; a ring marks the
    lowest validation loss. A learning rate that is the same in all epochs is not drawn.

    Parameters
    ----------
    history : dict of str to list of float
        What an estimator's ``history_`` holds: at least ``"train_loss"``; with validation data ``"validation_loss"``
        and ``"validation_score"``; and ``"learning_rate"``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    score_ax_ : matplotlib Axes or None
        Axes with the validation score.
    learning_rate_ax_ : matplotlib Axes or None
        Axes with the learning rate.
    figure_ : matplotlib Figure
        The figure of all.
    lines_ : list of matplotlib Line2D
        Training loss; with validation data validation loss and validation score; learning rate if it changes.

    See Also
    --------
    GradientFlowDisplay : The gradient in each layer.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import HistoryDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0).fit(X, y)
    >>> display = HistoryDisplay.from_estimator(est, ax=Figure().subplots())
    >>> display.lines_[0].get_label()
    'training'

    Without `ax`, a figure of pyplot opens:

    >>> HistoryDisplay.from_estimator(est)  # doctest: +SKIP
    """

    ax_: "Axes"
    score_ax_: "Axes | None"
    learning_rate_ax_: "Axes | None"
    figure_: "Figure | SubFigure"
    lines_: "list[Line2D]"

    def __init__(self, history: Mapping[str, Sequence[float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : MLPClassifier, MLPRegressor or Pipeline
            A fitted one; of a Pipeline the last step.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        last = last_step(estimator)
        check_is_fitted(last, "history_")
        return cls(last.history_).plot(ax)

    @classmethod
    def from_history(cls, history: Mapping[str, Sequence[float]], *, ax: "Axes | None" = None) -> Self:
        """Draw a history that was kept elsewhere.

        Parameters
        ----------
        history : dict of str to list of float
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : HistoryDisplay
        """
        return cls(history).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. The score and the learning rate are drawn in new axes
            in their lower part.

        Returns
        -------
        self : HistoryDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        self.ax_ = new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        self.lines_ = [self._draw(self.ax_, "train_loss", BLUE, "training")]
        if "validation_loss" in self.history:
            self._draw_validation()
        _finish_losses(self.ax_, self.lines_)
        self._draw_below()
        return self

    def _draw(self, ax: "Axes", name: str, color: str, label: str) -> "Line2D":
        values = self.history[name]
        return draw_curve(ax, np.arange(1.0, len(values) + 1.0), values, color, label)

    def _draw_validation(self) -> None:
        losses = numbers(self.history["validation_loss"])
        line = self._draw(self.ax_, "validation_loss", VERMILLION, "validation")
        self.lines_.append(line)
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            line.set_label(f"validation, lowest in epoch {best + 1}")
            self.ax_.plot(best + 1, losses[best], "o", color=VERMILLION, fillstyle="none", markersize=9)

    def _draw_below(self) -> None:
        """Give the lower part of the axes to what belongs below the losses, and name the epochs at the very bottom."""
        self.score_ax_ = self.learning_rate_ax_ = None
        has_score, has_rate = "validation_score" in self.history, _changes(self.history.get("learning_rate", ()))
        heights = [LOSSES, *[SCORE] * has_score, *[LEARNING_RATE] * has_rate]
        panels = divide(self.ax_, len(heights), height_ratios=heights, hspace=0.12) if heights[1:] else [self.ax_]
        if has_score:
            self.score_ax_ = panels[1]
            self._draw_panel(self.score_ax_, "validation_score", GREEN, "Validation\nscore")
        if has_rate:
            self.learning_rate_ax_ = panels[-1]
            line = self._draw_panel(self.learning_rate_ax_, "learning_rate", INK, "Learning\nrate")
            line.set_drawstyle("steps-mid")  # a rate holds for its whole epoch
            _log_where_positive(self.learning_rate_ax_, numbers(line.get_ydata()))
        for panel in panels[:-1]:
            panel.tick_params(labelbottom=False)
        label_epochs(panels[-1])

    def _draw_panel(self, ax: "Axes", name: str, color: str, label: str) -> "Line2D":
        from matplotlib.ticker import MaxNLocator

        self.lines_.append(self._draw(ax, name, color, label.replace("\n", " ").lower()))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.set_ylabel(label, fontsize=SMALLER)
        ax.tick_params(axis="y", labelsize=SMALLER)
        clean(ax)
        return self.lines_[-1]


def _changes(rates: Sequence[float]) -> bool:
    """Return whether the learning rate is another one in some epoch, beyond rounding."""
    known = numbers(rates)
    known = known[np.isfinite(known)]
    return known.size > 0 and bool(np.ptp(known) > 1e-9 * np.abs(known).max())


def _finish_losses(ax: "Axes", lines: "list[Line2D]") -> None:
    _log_where_positive(ax, np.concatenate([numbers(line.get_ydata()) for line in lines]))
    ax.set_ylabel("Loss")
    ax.legend(frameon=False, loc="best")
    clean(ax)


def _log_where_positive(ax: "Axes", values: FloatArray) -> None:
    """Give the axes a log scale if all values have a place on it."""
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0.0:
        ax.set_yscale("log")
        label_log_scale(ax.yaxis, values.max() / values.min())

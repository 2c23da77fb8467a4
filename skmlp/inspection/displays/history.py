"""Losses, score and learning rate over epochs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection._estimators import fitted_part
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
LOSS_COLUMNS, BELOW_THE_LOSSES = ("train_loss", "validation_loss"), ("validation_score", "learning_rate")
# Of the first, second, ... history in the same axes.
DASHES = ("-", "--", ":", "-.")


class HistoryDisplay:
    """Training and validation loss over the epochs; below them the validation score and a learning rate that changes.

    The losses are without penalty, so that the two can be compared. Epochs that diverged leave gaps; a ring marks the
    lowest validation loss. A learning rate that is the same in all epochs is not drawn.

    Parameters
    ----------
    history : dict of str to list of float
        What an estimator's ``history_`` holds: at least ``"train_loss"``; with validation data ``"validation_loss"``
        and ``"validation_score"``; and ``"learning_rate"``.
    name : str, optional
        What to call the training in the legend, where several are drawn in the same axes.

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

    def __init__(self, history: Mapping[str, Sequence[float]], *, name: str | None = None) -> None:
        self.history = history
        self.name = name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None, name: str | None = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, in a search (its best
            estimator) or in a TransformedTargetRegressor.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure. The ``ax_`` of another display draws one over the other.
        name : str, optional
            What to call the training in the legend.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        return cls(fitted_part(estimator, "history_", cls.__name__), name=name).plot(ax)

    @classmethod
    def from_history(
        cls, history: Mapping[str, Sequence[float]], *, ax: "Axes | None" = None, name: str | None = None
    ) -> Self:
        """Draw a history that was kept elsewhere.

        Parameters
        ----------
        history : dict of str to list of float
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure. The ``ax_`` of another display draws one over the other.
        name : str, optional
            What to call the training in the legend.

        Returns
        -------
        display : HistoryDisplay
        """
        return cls(history, name=name).plot(ax)

    def plot(self, ax: "Axes | None" = None, *, name: str | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. The score and the learning rate are drawn in new axes
            in their lower part. In the ``ax_`` of another display, both are drawn one over the other, the later ones
            with other dashes.
        name : str, optional
            What to call the training in the legend; by default the display's `name`.

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
        name = self.name if name is None else name
        self._prefix = "" if name is None else f"{name}: "
        self._dashes = DASHES[sum(line.get_gid() == "train_loss" for line in self.ax_.lines) % len(DASHES)]
        self.lines_ = [self._draw(self.ax_, "train_loss", BLUE, "training")]
        if "validation_loss" in self.history:
            self._draw_validation()
        _finish_losses(self.ax_)
        self._draw_below()
        return self

    def _draw(self, ax: "Axes", name: str, color: str, label: str) -> "Line2D":
        values = self.history[name]
        line = draw_curve(ax, np.arange(1.0, len(values) + 1.0), values, color, f"{self._prefix}{label}")
        line.set(linestyle=self._dashes, gid=name)
        return line

    def _draw_validation(self) -> None:
        losses = numbers(self.history["validation_loss"])
        line = self._draw(self.ax_, "validation_loss", VERMILLION, "validation")
        self.lines_.append(line)
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            line.set_label(f"{self._prefix}validation, lowest in epoch {best + 1}")
            self.ax_.plot(best + 1, losses[best], "o", color=VERMILLION, fillstyle="none", markersize=9)

    def _draw_below(self) -> None:
        """Give the lower part of the axes to what belongs below the losses, and name the epochs at the very bottom."""
        panels = _panels_below(self.ax_)
        needed = {"validation_score": SCORE} if "validation_score" in self.history else {}
        if _changes(self.history.get("learning_rate", ())):
            needed["learning_rate"] = LEARNING_RATE
        new = {name: height for name, height in needed.items() if name not in panels}
        if new:
            heights = [LOSSES, *new.values()]
            panels |= zip(new, divide(self.ax_, len(heights), height_ratios=heights, hspace=0.12)[1:], strict=True)
        self.score_ax_ = panels["validation_score"] if "validation_score" in needed else None
        self.learning_rate_ax_ = panels["learning_rate"] if "learning_rate" in needed else None
        if self.score_ax_ is not None:
            self._draw_panel(self.score_ax_, "validation_score", GREEN, "Validation\nscore")
        if self.learning_rate_ax_ is not None:
            line = self._draw_panel(self.learning_rate_ax_, "learning_rate", INK, "Learning\nrate")
            line.set_drawstyle("steps-mid")  # a rate holds for its whole epoch
            _log_where_positive(self.learning_rate_ax_)
        *above, lowest = sorted([self.ax_, *panels.values()], key=lambda panel: -panel.get_position().y0)
        for panel in above:
            panel.tick_params(labelbottom=False)
            panel.set_xlabel("")
        label_epochs(lowest)

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


def _panels_below(ax: "Axes") -> "dict[str, Axes]":
    """Return what was drawn below the losses before, by the column of the history."""
    together = ax.get_shared_x_axes().get_siblings(ax)
    return {
        line.get_gid(): panel for panel in together for line in panel.lines[:1] if line.get_gid() in BELOW_THE_LOSSES
    }


def _finish_losses(ax: "Axes") -> None:
    _log_where_positive(ax)
    ax.set_ylabel("Loss")
    ax.legend(frameon=False, loc="best")
    clean(ax)


def _log_where_positive(ax: "Axes") -> None:
    """Give the axes a log scale if all values of all histories in them have a place on it."""
    drawn = [numbers(line.get_ydata()) for line in ax.lines if line.get_gid() in (*LOSS_COLUMNS, *BELOW_THE_LOSSES)]
    values: FloatArray = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0.0:
        ax.set_yscale("log")
        label_log_scale(ax.yaxis, values.max() / values.min())
    elif ax.get_yscale() == "log":  # of another history that is in them already
        ax.set_yscale("linear")

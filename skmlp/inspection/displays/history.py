"""Losses, score and learning rate over epochs."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.estimators.tabular import BaseTabularMLP
from skmlp.inspection._estimators import fitted_attribute, nested_estimators
from skmlp.inspection.displays._base import NamedDisplay
from skmlp.inspection.displays._drawing import (
    BLUE,
    GREEN,
    INK,
    SMALLER,
    VERMILLION,
    finite_or_nan,
    label_epochs,
    label_log_scale,
    plot_epochs,
    split_axes,
    style_axes,
)
from skmlp.inspection.displays._matplotlib import Axes, Line2D

# Relative heights of the panels.
LOSSES, SCORE, LEARNING_RATE = 4.0, 2.0, 1.6
LOSS_COLUMNS, COLUMNS_BELOW = ("train_loss", "validation_loss"), ("validation_score", "learning_rate")
OTHER_LOSSES = ("held_out_loss", "member")
# Of the first, second, ... history on the same axes.
LINE_STYLES = ("-", "--", ":", "-.")
# Of the lines of members, and of the score of the best one.
THIN, FAINT = 0.7, 0.35


class HistoryDisplay(NamedDisplay):
    """Training and validation loss over the epochs, with the validation score and a changing learning rate below.

    The losses are without penalty, so that they can be compared. Infinity and NaN leave gaps. A ring marks the lowest
    validation loss. A constant learning rate is not drawn. Of a tabular estimator the thick lines are those of the mean
    of the members, with thin lines for the losses of each member and the score of the best one.

    Parameters
    ----------
    history : dict of str to list of float
        An estimator's ``history_``: at least ``"train_loss"``; with validation data also ``"validation_loss"`` and
        ``"validation_score"``; and ``"learning_rate"``.
    name : str, default=None
        Name of the training in the legend, to tell several on the same axes apart.
    members : sequence of dict, default=()
        Of a tabular estimator the ``history_`` of each member: ``"train_loss"`` and with validation data
        ``"validation_loss"``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    score_ax_ : matplotlib Axes or None
        Axes with the validation score.
    learning_rate_ax_ : matplotlib Axes or None
        Axes with the learning rate.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        Training loss; with validation data also validation loss; of a tabular estimator without such data the loss of
        the samples that its members hold out; validation score; learning rate if it changes.
    member_lines_ : list of matplotlib Line2D
        The losses of the members, and last the score of the best one, if there are any.

    See Also
    --------
    GradientFlowDisplay : The norm of each layer's gradient.

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

    Without `ax`, a new pyplot figure is used:

    >>> HistoryDisplay.from_estimator(est)  # doctest: +SKIP
    """

    score_ax_: Axes | None
    learning_rate_ax_: Axes | None
    lines_: list[Line2D]
    member_lines_: list[Line2D]

    def __init__(
        self,
        history: Mapping[str, Sequence[float]],
        *,
        name: str | None = None,
        members: Sequence[Mapping[str, Sequence[float]]] = (),
    ) -> None:
        self.history = history
        self.name = name
        self.members = members

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, name: str | None = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of skmlp, also as the last step of a Pipeline, in a search (its best estimator) or in a
            TransformedTargetRegressor.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure. The ``ax_`` of another display adds to its plot.
        name : str, default=None
            See the class.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        history = fitted_attribute(estimator, "history_", cls.__name__)
        innermost = nested_estimators(estimator)[-1]
        members = [each.history_ for each in innermost.estimators_] if isinstance(innermost, BaseTabularMLP) else ()
        return cls(history, name=name, members=members).plot(ax)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Sequence[float]],
        *,
        ax: Axes | None = None,
        name: str | None = None,
        members: Sequence[Mapping[str, Sequence[float]]] = (),
    ) -> Self:
        """Draw a stored history.

        Parameters
        ----------
        history, name, members
            See the class.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure. The ``ax_`` of another display adds to its plot.

        Returns
        -------
        display : HistoryDisplay
        """
        return cls(history, name=name, members=members).plot(ax)

    def _draw(self, ax: Axes) -> None:
        n_before = sum(line.get_gid() == "train_loss" for line in ax.lines)
        self._line_style = LINE_STYLES[n_before % len(LINE_STYLES)]
        self.member_lines_ = [
            self._draw_thin(ax, member[column], color, "member")
            for column, color in zip(LOSS_COLUMNS, (BLUE, VERMILLION), strict=True)
            for member in self.members
            if column in member
        ]
        self.lines_ = [self._draw_column(ax, "train_loss", BLUE, "training")]
        if "validation_loss" in self.history:
            self._draw_validation(ax)
        if "held_out_loss" in self.history:
            self.lines_.append(self._draw_column(ax, "held_out_loss", VERMILLION, "held out by the members"))
        _log_scale_if_positive(ax)
        ax.set_ylabel("Loss")
        ax.legend(frameon=False, loc="best")
        style_axes(ax)
        self._draw_below(ax)

    def _draw_column(self, ax: Axes, name: str, color: str, label: str) -> Line2D:
        values = self.history[name]
        line = plot_epochs(ax, np.arange(1.0, len(values) + 1.0), values, color, f"{self._prefix}{label}")
        line.set(linestyle=self._line_style, gid=name)
        return line

    def _draw_thin(self, ax: Axes, values: Sequence[float], color: str, gid: str) -> Line2D:
        line = plot_epochs(ax, np.arange(1.0, len(values) + 1.0), values, color, "", THIN)
        line.set(linestyle=self._line_style, alpha=FAINT, gid=gid)
        return line

    def _draw_validation(self, ax: Axes) -> None:
        losses = finite_or_nan(self.history["validation_loss"])
        line = self._draw_column(ax, "validation_loss", VERMILLION, "validation")
        self.lines_.append(line)
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            line.set_label(f"{self._prefix}validation, lowest in epoch {best + 1}")
            ax.plot(best + 1, losses[best], "o", color=VERMILLION, fillstyle="none", markersize=9)

    def _draw_below(self, ax: Axes) -> None:
        """Draw the score and the learning rate in panels below the losses, and label the epochs at the bottom."""
        panels = _panels_below(ax)
        heights = {"validation_score": SCORE} if "validation_score" in self.history else {}
        if _changes(self.history.get("learning_rate", ())):
            heights["learning_rate"] = LEARNING_RATE
        new = {name: height for name, height in heights.items() if name not in panels}
        if new:
            ratios = [LOSSES, *new.values()]
            panels |= zip(new, split_axes(ax, len(ratios), height_ratios=ratios, hspace=0.12)[1:], strict=True)
        self.score_ax_ = panels["validation_score"] if "validation_score" in heights else None
        self.learning_rate_ax_ = panels["learning_rate"] if "learning_rate" in heights else None
        if self.score_ax_ is not None:
            self._draw_panel(self.score_ax_, "validation_score", GREEN, "Validation\nscore")
            if "best_member_score" in self.history:
                scores = self.history["best_member_score"]
                self.member_lines_.append(self._draw_thin(self.score_ax_, scores, GREEN, "best_member_score"))
                self.member_lines_[-1].set(label=f"{self._prefix}best member", alpha=None)
                self.lines_[-1].set_label(f"{self._prefix}mean")
                self.score_ax_.legend(frameon=False, fontsize=SMALLER, loc="best")
        if self.learning_rate_ax_ is not None:
            line = self._draw_panel(self.learning_rate_ax_, "learning_rate", INK, "Learning\nrate")
            line.set_drawstyle("steps-mid")  # a rate applies to its whole epoch
            _log_scale_if_positive(self.learning_rate_ax_)
        *above, lowest = sorted([ax, *panels.values()], key=lambda panel: -panel.get_position().y0)
        for panel in above:
            panel.tick_params(labelbottom=False)
            panel.set_xlabel("")
        label_epochs(lowest)

    def _draw_panel(self, ax: Axes, name: str, color: str, label: str) -> Line2D:
        from matplotlib.ticker import MaxNLocator

        self.lines_.append(self._draw_column(ax, name, color, label.replace("\n", " ").lower()))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.set_ylabel(label, fontsize=SMALLER)
        ax.tick_params(axis="y", labelsize=SMALLER)
        style_axes(ax)
        return self.lines_[-1]


def _changes(rates: Sequence[float]) -> bool:
    """Return whether the learning rate changes by more than rounding errors."""
    known = finite_or_nan(rates)
    known = known[np.isfinite(known)]
    return known.size > 0 and bool(np.ptp(known) > 1e-9 * np.abs(known).max())


def _panels_below(ax: Axes) -> dict[str, Axes]:
    """Return the panels that an earlier display drew below the losses, by the column of the history."""
    panels = ax.get_shared_x_axes().get_siblings(ax)
    return {line.get_gid(): panel for panel in panels for line in panel.lines[:1] if line.get_gid() in COLUMNS_BELOW}


def _log_scale_if_positive(ax: Axes) -> None:
    """Give the axes a log scale if all values of all histories on them are positive."""
    known = (*LOSS_COLUMNS, *OTHER_LOSSES, *COLUMNS_BELOW)
    drawn = [finite_or_nan(line.get_ydata()) for line in ax.lines if line.get_gid() in known]
    values: FloatArray = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0.0:
        ax.set_yscale("log")
        label_log_scale(ax.yaxis, values.max() / values.min())
    elif ax.get_yscale() == "log":  # set by an earlier display
        ax.set_yscale("linear")

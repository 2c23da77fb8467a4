"""One training step on paper: every intermediate of a forward and a backward pass, with its formula."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from skmlp._typing import AnyArray
from skmlp.estimators.builders import current_objective
from skmlp.inspection._estimators import as_trained_on, fitted_mlp
from skmlp.inspection._recording import Step, record

__all__ = ["Step", "Trace", "trace"]

# Intermediates of more rows are nothing to read, and much to keep.
MOST_ROWS = 1000
# Matrices with more rows or columns than this are printed with so many at each end.
LONGEST, EDGE = 8, 3


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What :func:`trace` recorded; printed, or shown in a notebook, it is a worked example.

    ``trace["delta_2"]`` is the value of the step of that name, as an array (a number for ``"S"``, ``"mean loss"``,
    ``"penalty"`` and ``"objective"``). In print, numbers are rounded to 4 digits and long or wide matrices abbreviated.

    Attributes
    ----------
    steps : list of Step
        In the order of computation. A step has a ``name``, a ``formula`` and a ``meaning`` in words, the ``value`` and
        its ``shape``, the ``part`` of the computation (``"Forward"``, ``"Loss"`` or ``"Backward"``) and the number of
        the dense ``layer`` it belongs to: from 1 to L, 0 for the data, None for the loss.
    """

    steps: list[Step]

    @property
    def names(self) -> list[str]:
        """The names of the steps."""
        return [step.name for step in self.steps]

    def __getitem__(self, name: str) -> Any:
        for step in self.steps:
            if step.name == name:
                return step.value
        raise KeyError(f"{name!r} is not a step of this trace, which are: {', '.join(self.names)}.")

    def __repr__(self) -> str:
        return f"<Trace of {self._title()}: {', '.join(self.names)}>"

    def __str__(self) -> str:
        lines = [f"Forward and backward pass of {self._title()}", _NOTATION]
        for heading, steps in groupby(self.steps, Step.heading):
            lines += ["", f"--- {heading} ---"]
            for step in steps:
                lines += ["", *_as_text(step)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>Forward and backward pass of {escape(self._title())}</b><br>{escape(_NOTATION)}</p>"]
        for heading, steps in groupby(self.steps, Step.heading):
            parts += [f"<h4>{escape(heading)}</h4>", *map(_as_html, steps)]
        return f'<div style="color: inherit">{"".join(parts)}</div>'

    def _title(self) -> str:
        data, last = self.steps[0].value, max(step.layer or 0 for step in self.steps)
        sizes = [data.shape[1], *(self[f"b_{layer}"].shape[0] for layer in range(1, last + 1))]
        rows = f"{len(data)} row{'s' * (len(data) != 1)}"
        return f"{rows} through a {'-'.join(map(str, sizes))} network, in {data.dtype}"


_NOTATION = "Rows are samples; A B is a matrix product, A * B elementwise, 1^T A the column sums, S the total weight."


def trace(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> Trace:
    """Run one forward and one backward pass on a few rows and keep everything that is computed on the way.

    It is exactly what a training step on these rows, as one batch, computes before the solver takes over: losses with
    their penalties, normalization by the batch's statistics, class weights; dropout is left out. The estimator stays as
    it is. The names are those of the page on the mathematics (``docs/derivation.md``): data ``a_0``, pre-activations
    ``z_l`` and activations ``a_l`` of layer l, error signals ``delta_l``, gradients ``dL/dW_l`` and ``dL/db_l`` of the
    objective, penalties included; a prime marks what a normalization (``z'_l``) or a residual connection (``a'_l``)
    makes of them.

    Parameters
    ----------
    estimator : estimator
        A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, which transforms X first, in a
        search (its best estimator) or in a TransformedTargetRegressor, which transforms y first. Its ``coefs_`` and
        ``intercepts_`` can be written to, for numbers of your own.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        A few rows, at most 1000.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights.

    Returns
    -------
    trace : Trace
        All arrays are copies, in the type the network is trained in.

    Raises
    ------
    NotFittedError
        Before the first fit or partial_fit.
    TypeError
        For another estimator.
    ValueError
        For more than 1000 rows, and when the data are invalid.

    See Also
    --------
    skmlp.MLPClassifier.loss_and_gradients : The objective and the gradients alone.

    Examples
    --------
    >>> from skmlp import MLPRegressor
    >>> from skmlp.inspection import trace
    >>> X, y = [[1.0, 2.0], [3.0, -1.0]], [1.0, 2.0]
    >>> est = MLPRegressor(hidden_layer_sizes=(), alpha=0.0, dtype="float64").partial_fit(X, y)
    >>> est.coefs_, est.intercepts_ = [[[0.5], [1.0]]], [[0.0]]
    >>> steps = trace(est, X, y)
    >>> steps["z_1"].ravel(), steps["delta_1"].ravel(), steps["dL/dW_1"].ravel()
    (array([2.5, 0.5]), array([ 0.75, -0.75]), array([-1.5 ,  2.25]))
    """
    network = fitted_mlp(estimator, "trace")
    X, y = as_trained_on(estimator, X, y)
    model = network._model
    data, _ = network._validate(X, y, sample_weight, model.dtype, fitted=model, partial=True)
    if data.n_samples > MOST_ROWS:
        raise ValueError(
            f"trace keeps every number of a training step, of at most {MOST_ROWS} rows. Got {data.n_samples} rows; "
            "pass a few of them. For the gradients alone there is loss_and_gradients."
        )
    objective = current_objective(network, model, dropout=False)
    return Trace(record(objective, model.params, *data.in_one_type()))


def _as_text(step: Step) -> list[str]:
    head = f"{step.name} = {step.formula}" if step.formula else step.name
    if not step.shape:
        return [f"{head} = {_cells(step.value)[0][0]}   {step.meaning}"]
    cells = _cells(step.value)
    width = max(len(cell) for row in cells for cell in row)
    return [
        f"{head}   {step.meaning}, {_size(step.shape)}",
        *("    " + "  ".join(cell.rjust(width) for cell in row) for row in cells),
    ]


def _as_html(step: Step) -> str:
    # No colours but grey, which is legible on light and dark pages.
    formula = f" = {escape(step.formula)}" if step.formula else ""
    size = f", {_size(step.shape)}" if step.shape else ""
    cell = '<td style="text-align: right; padding: 1px 8px; border: 1px solid rgba(128, 128, 128, 0.5)">'
    rows = "".join(f"<tr>{''.join(f'{cell}{number}</td>' for number in row)}</tr>" for row in _cells(step.value))
    return (
        f'<div style="margin: 8px 0 2px 0"><code style="color: inherit; background: none"><b>{escape(step.name)}</b>'
        f"{formula}</code> &nbsp; {escape(step.meaning)}{size}</div>"
        f'<table style="border-collapse: collapse; margin: 0; color: inherit">{rows}</table>'
    )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _cells(value: Any) -> list[list[str]]:
    """Return the numbers of a matrix as they are printed, one row for a vector; the middle of a long one left out."""
    table = np.atleast_2d(value)
    form = _number_format(table)
    return [
        [
            "..." if row is None or column is None else format(table[row, column], form)
            for column in _shown(table.shape[1])
        ]
        for row in _shown(table.shape[0])
    ]


def _shown(length: int) -> list[int | None]:
    """Return the positions that are printed, None in place of those that are not."""
    if length <= LONGEST:
        return list(range(length))
    return [*range(EDGE), None, *range(length - EDGE, length)]


def _number_format(table: AnyArray) -> str:
    """Return four decimals for numbers of a usual size, else powers of ten."""
    if table.dtype.kind in "iu":
        return "d"
    largest = np.abs(table[np.isfinite(table)]).max(initial=0.0)
    return "z.4f" if largest == 0.0 or 0.01 <= largest < 1e5 else ".3e"

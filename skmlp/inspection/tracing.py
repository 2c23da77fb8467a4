"""A single training step with every intermediate value of the forward and the backward pass and its formula."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from skmlp._typing import AnyArray
from skmlp.estimators.builders import current_objective
from skmlp.inspection._estimators import fitted_mlp, transform_data
from skmlp.inspection._recording import Step, record

# More samples would take much memory and be impossible to read.
MAX_SAMPLES = 1000
# Of matrices with more rows or columns than this, so many are printed at each end.
MAX_PRINTED, N_AT_ENDS = 8, 3


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Result of :func:`trace`. Printed, or displayed in a notebook, it is a worked example.

    ``trace["delta_2"]`` is the value of the step with that name: an array, or a number for ``"S"``, ``"mean loss"``,
    ``"penalty"`` and ``"objective"``. Printed numbers are rounded to 4 decimals, large matrices abbreviated.

    Attributes
    ----------
    steps : list of Step
        In the order of computation. A step has a ``name``, a ``formula``, a ``meaning`` in words, the ``value`` and its
        ``shape``, the ``part`` of the computation (``"Forward"``, ``"Loss"`` or ``"Backward"``) and the number of the
        dense ``layer`` it belongs to: from 1 to L, 0 for the data, None for the loss.
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
        raise KeyError(f"Unknown step {name!r}. The steps of this trace are: {', '.join(self.names)}.")

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
    """Compute one forward and one backward pass on a few samples and record every intermediate value.

    These are exactly the values that a training step with these samples as its mini-batch computes before the solver's
    update: losses with penalties, normalization by the statistics of the batch, class weights; only dropout is
    disabled. The estimator is not modified. The names are those of ``docs/derivation.md``: data ``a_0``,
    pre-activations ``z_l`` and activations ``a_l`` of layer l, error signals ``delta_l``, gradients ``dL/dW_l`` and
    ``dL/db_l`` of the objective including penalties. A prime marks the output of a normalization (``z'_l``) or of a
    residual connection (``a'_l``).

    Parameters
    ----------
    estimator : estimator
        A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, which transforms X first, in a
        search (its best estimator) or in a TransformedTargetRegressor, which transforms y first. To use weights of your
        own, assign to its ``coefs_`` and ``intercepts_``. Of a tabular estimator pass a member,
        ``estimator.estimators_[0]``, and ``estimator.encode(X)``.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        A few samples, at most 1000.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target values.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights.

    Returns
    -------
    trace : Trace
        All arrays are copies, in the dtype of the training.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is not one of skmlp's, or averages several networks.
    ValueError
        For more than 1000 samples, or if the data are invalid.

    See Also
    --------
    skmlp.MLPClassifier.loss_and_gradients : Only the objective and the gradients.

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
    network = fitted_mlp(estimator, "trace", reads_data=True)
    X, y = transform_data(estimator, X, y)
    model = network._model
    data, _ = network._validate(X, y, sample_weight, model.dtype, fitted=model, partial=True)
    if data.n_samples > MAX_SAMPLES:
        raise ValueError(
            f"trace records every value of a training step and takes at most {MAX_SAMPLES} samples. Got "
            f"{data.n_samples}. Pass a few of them, or use loss_and_gradients."
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
    # Only gray, which is legible on light and dark backgrounds.
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
    """Return the printed numbers of a matrix, or of a vector as one row; the middle of a large one is omitted."""
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
    """Return the indices to print, with None for the omitted ones."""
    if length <= MAX_PRINTED:
        return list(range(length))
    return [*range(N_AT_ENDS), None, *range(length - N_AT_ENDS, length)]


def _number_format(table: AnyArray) -> str:
    """Return a format with four decimals, or with powers of ten for very small or large numbers."""
    if table.dtype.kind in "iu":
        return "d"
    largest = np.abs(table[np.isfinite(table)]).max(initial=0.0)
    return "z.4f" if largest == 0.0 or 0.01 <= largest < 1e5 else ".3e"

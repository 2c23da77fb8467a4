"""The meaning of `y`: labels or numbers for the user, encoded arrays for the loss.

A targets object encodes `y`, knows the loss, decodes raw outputs into predictions and scores them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.metrics import d2_pinball_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.nn.losses import LOSSES, FunctionLoss, Loss, Quantile

Kind = Literal["binary", "multiclass", "multilabel"]


def as_loss(choice: Any, kind: Kind | None = None) -> Loss:
    """Return the loss of a user's choice, for a kind of labels or, without `kind`, for numbers.

    The choice is a name, a loss, or a pair (loss, gradient) of functions. A pair gets the link of the log loss for
    labels, and the identity for numbers. A loss that does not take such labels raises ValueError.
    """
    if isinstance(choice, tuple):
        link = "identity" if kind is None else "softmax" if kind == "multiclass" else "logistic"
        function, gradient = choice
        return FunctionLoss(function, gradient, link)
    loss = choice if isinstance(choice, Loss) else LOSSES["binary_log_loss" if choice == "log_loss" else choice]
    if kind == "multiclass":
        loss = loss.multiclass()
    if kind is not None and not _takes(loss, kind):
        raise ValueError(
            f"loss={choice!r} does not support {kind} targets, which are encoded as {_ENCODED[kind]}. "
            'Choose the loss by name, for example "log_loss", or pass a pair (loss, gradient).'
        )
    return loss


_ENCODED = {
    "binary": "one column of 0 and 1 (logistic link)",
    "multiclass": "class codes 0, 1, 2, ... (softmax link)",
    "multilabel": "a column of 0 and 1 for each label (logistic link)",
}


def _takes(loss: Loss, kind: Kind) -> bool:
    """Tell whether the loss takes encoded labels of this kind and its link fits them."""
    several = kind == "multiclass"
    example = np.arange(3) if several else np.array([[0.0], [1.0]])
    return loss.in_domain(example) and (not loss.has_probabilities or (loss.link == "softmax") == several)


def choose_loss(choice: Any, kind: Kind | None = None) -> str | Loss:
    """Return the name in ``LOSSES`` of the loss of :func:`as_loss`, or the loss itself if it has none."""
    loss = as_loss(choice, kind)
    return next((name for name, known in LOSSES.items() if known == loss), loss)


def loss_object(loss: str | Loss) -> Loss:
    """Undo :func:`choose_loss`."""
    return loss if isinstance(loss, Loss) else LOSSES[loss]


def all_labels(classes: Any) -> AnyArray:
    """Return the sorted labels of `classes`, a sequence, array or set."""
    if not hasattr(classes, "__array__") and isinstance(classes, Iterable) and not isinstance(classes, str | bytes):
        classes = list(classes)
    labels = np.asarray(classes)
    values = labels.tolist() if labels.ndim == 1 else []
    if not values:
        raise ValueError(
            f"classes must be a list of all labels that will ever occur, got {classes!r}. "
            "Pass for example np.unique(y_of_all_data)."
        )
    if any(value is None or value != value for value in values):
        raise ValueError(f"classes contains NaN or None, which is not a label: got {classes!r}. Remove it.")
    kinds = {isinstance(value, str) for value in list(classes)}
    if len(kinds) > 1:
        raise ValueError(f"classes must be all strings or all numbers, got {classes!r}.")
    known: AnyArray = np.unique(labels)
    return known


@dataclass(frozen=True, eq=False)
class LabelTargets:
    """Class labels.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels; for multilabel targets the column numbers.
    kind : {"binary", "multiclass", "multilabel"}
        ``"binary"`` includes a single class, whose one output learns to predict 0.
    loss : str or Loss
        From :func:`choose_loss`.
    sparse_output : bool
        Whether multilabel targets were a sparse matrix, as which predictions are then returned.
    """

    classes: AnyArray
    kind: Kind
    loss: str | Loss
    sparse_output: bool = False

    @classmethod
    def from_labels(cls, y: Any, loss: Any) -> "LabelTargets":
        """Learn the classes from the labels of the whole data; `loss` is the user's choice."""
        with np.errstate(invalid="ignore"):  # scikit-learn looks for fractions by a cast
            check_classification_targets(y)
            y_type = type_of_target(y, input_name="y")
        if y_type == "multiclass-multioutput":
            raise ValueError(
                "Multioutput target data is not supported: y has several columns whose labels are not 0 and 1. "
                "Where a column has two labels, encode them as 0 and 1, for example as (y == label).astype(int); "
                "else fit one classifier per column, for example with sklearn.multioutput.MultiOutputClassifier."
            )
        if y_type == "multilabel-indicator":
            return cls(np.arange(y.shape[1]), "multilabel", choose_loss(loss, "multilabel"), sparse.issparse(y))
        return cls.from_classes(np.unique(y), loss)

    @classmethod
    def from_classes(cls, classes: AnyArray, loss: Any) -> "LabelTargets":
        """Return the targets for sorted classes, of which each sample has one."""
        kind: Kind = "multiclass" if len(classes) > 2 else "binary"
        return cls(classes, kind, choose_loss(loss, kind))

    @property
    def n_outputs(self) -> int:
        """Columns of the raw output."""
        return 1 if self.kind == "binary" else len(self.classes)

    def codes(self, y: AnyArray) -> IntArray:
        """Return the class codes of encoded targets with one class per row."""
        return y if self.kind == "multiclass" else (y[:, 0] > 0.5).astype(int)

    def original(self, y: AnyArray) -> Any:
        """Undo :meth:`encode`."""
        if self.kind == "multilabel":
            return y.astype(int)
        return self.classes[self.codes(y)]

    def encode(self, y: Any, dtype: np.dtype[Any]) -> AnyArray:
        """Return class codes (multiclass) or a 0/1 matrix (binary, multilabel); unknown labels raise ValueError."""
        if self.kind == "multilabel":
            dense = np.asarray(y.toarray() if sparse.issparse(y) else y)  # type: ignore[attr-defined]
            if dense.ndim != 2 or dense.shape[1] != len(self.classes):
                raise ValueError(
                    f"y must be a label indicator matrix with {len(self.classes)} columns, as in the first fit; "
                    f"got shape {dense.shape}."
                )
            if not np.isin(dense, (0, 1)).all():
                raise ValueError(
                    f"Multilabel targets must be 0 or 1; y has {np.unique(dense)[:5]}. Encode it, for example as "
                    "(y == label).astype(int)."
                )
            return dense.astype(dtype)
        if np.ndim(y) != 1:
            raise ValueError(
                f"y must be one column of labels, as in the first fit; got an array of shape {np.shape(y)}."
            )
        try:
            codes = np.searchsorted(self.classes, y)
        except TypeError as error:
            raise ValueError(
                f"y has labels that cannot be compared with the classes, which are {self.classes}: {error}."
            ) from None
        np.minimum(codes, len(self.classes) - 1, out=codes)
        if not (self.classes[codes] == y).all():
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {np.unique(y)}."
            )
        return codes if self.kind == "multiclass" else codes.astype(dtype).reshape(-1, 1)

    def decode(self, raw: FloatArray) -> Any:
        """Return the predicted labels; the second of two classes needs a probability above one half."""
        if self.kind == "multiclass":
            return self.classes[raw.argmax(axis=1)]
        positive = raw > 0.0
        if self.kind == "multilabel":
            return sparse.csr_matrix(positive.astype(int)) if self.sparse_output else positive.astype(int)
        return self.classes[np.minimum(positive[:, 0], len(self.classes) - 1)]

    def decode_values(self, raw: FloatArray) -> FloatArray:
        """Return the predicted probabilities, or raw outputs, whose derivatives :meth:`decode_jacobian` returns."""
        loss = loss_object(self.loss)
        values = loss.predict(raw)
        is_certain = len(self.classes) == 1 and self.kind == "binary" and loss.has_probabilities
        return np.ones_like(values) if is_certain else values

    def decode_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the predicted probabilities, or raw outputs, with respect to `raw`."""
        loss = loss_object(self.loss)
        jacobian = loss.predict_jacobian(raw)
        # The probability of a single class is always 1.
        return (
            jacobian * 0.0 if len(self.classes) == 1 and self.kind == "binary" and loss.has_probabilities else jacobian
        )

    def score(self, y: AnyArray, raw: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return the accuracy for encoded targets; multilabel rows must have every label right."""
        if not np.isfinite(raw).all():
            return float("nan")
        right = raw.argmax(axis=1) == y if self.kind == "multiclass" else ((raw > 0.0) == (y > 0.5)).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    def strata(self, y: AnyArray, n_held_out: int, *, is_tiny: bool) -> AnyArray | None:
        """Return the classes to stratify a validation split of encoded targets by, or None for a random split.

        Multilabel rows have no single class. If there are more classes than a stratified split of this size can hold,
        or a class has a single row, the split is random. In tiny data, where even two held-out rows are more than the
        user asked for, a single row of one of two classes is an error of the split, as in scikit-learn.
        """
        if self.kind == "multilabel":
            return None
        codes = self.codes(y)
        counts = np.bincount(codes)
        counts = counts[counts > 0]
        feasible = counts.min() >= 2 and len(counts) <= min(n_held_out, len(codes) - n_held_out)
        if not feasible and is_tiny and self.kind == "binary":
            return y > 0.5
        return codes if feasible else None


@dataclass(frozen=True, eq=False)
class RealTargets:
    """Numbers.

    Attributes
    ----------
    loss : str or Loss
        From :func:`choose_loss`.
    n_targets : int
        Columns of `y`.
    shift, scale : ndarray of shape (n_targets,), float or None
        The network learns ``(y - shift) / scale``, or `y` itself if they are None.
    """

    loss: str | Loss
    n_targets: int
    shift: AnyArray | None = None
    scale: AnyArray | None = None

    @property
    def loss_object(self) -> Loss:
        """The loss with its link."""
        return loss_object(self.loss)

    @property
    def n_outputs(self) -> int:
        """Columns of the raw output."""
        return self.loss_object.n_raw(self.n_targets)

    def standardized(self, y: AnyArray, sample_weight: FloatArray | None) -> "RealTargets":
        """Return targets that give `y` weighted mean 0 and standard deviation 1; a constant keeps its scale."""
        values = self.columns(y).astype(np.float64)
        # Scale to about 1 first, so that neither sums nor squares overflow or underflow.
        _, exponent = np.frexp(np.abs(values).max(axis=0))
        values = np.ldexp(values, -exponent)
        shift = np.average(values, axis=0, weights=sample_weight)
        scale = np.sqrt(np.average((values - shift) ** 2, axis=0, weights=sample_weight))
        # A spread of the size of rounding errors means a constant.
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(shift)
        return replace(self, shift=np.ldexp(shift, exponent), scale=np.where(constant, 1.0, np.ldexp(scale, exponent)))

    def encode(self, y: Any, dtype: np.dtype[Any]) -> AnyArray:
        """Return `y` as a matrix; numbers that overflow or are outside the loss's domain raise ValueError."""
        values = self.columns(y)
        if self.shift is not None:
            values = (values - self.shift) / self.scale
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype=dtype)
        if np.isnan(values).any():  # None among objects
            raise ValueError("Input y contains NaN. Remove the rows without a target.")
        if not np.isfinite(values).all():
            raise ValueError(
                f"Input y contains infinity or a value too large for {values.dtype!r}. "
                'Scale y (standardize_target=True does), or compute in float64 with dtype="float64".'
            )
        if not self.loss_object.in_domain(values):
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {self.loss!r}, "
                f"which is {self.loss_object.domain}; the smallest is {values.min():.6g}. "
                'Correct y, or use a loss for all real numbers, for example "squared_error".'
            )
        return values

    def columns(self, y: Any) -> AnyArray:
        """Return `y` as a matrix; a change of the number of columns raises ValueError."""
        if sparse.issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required. Use '.toarray()' to convert it.")
        values = np.asarray(y)
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        if values.shape[1] != self.n_targets:
            raise ValueError(
                f"y has {values.shape[1]} outputs, but the network has {self.n_targets}. "
                "Use a new estimator, or fit without warm_start."
            )
        return values

    def original(self, y: AnyArray) -> AnyArray:
        """Undo :meth:`encode`."""
        values = y if self.shift is None else y * self.scale + self.shift
        return values[:, 0] if self.n_targets == 1 else values

    def decode(self, raw: FloatArray) -> FloatArray:
        """Return predictions, of shape (n_samples,) if there is one per sample."""
        predicted = self.loss_object.predict(raw)
        if self.shift is not None and self.scale is not None:
            scale, shift = self._per_prediction(self.scale, predicted), self._per_prediction(self.shift, predicted)
            dtype = _holds(raw.dtype, scale, shift)
            predicted = predicted * scale.astype(dtype) + shift.astype(dtype)
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def decode_values(self, raw: FloatArray) -> FloatArray:
        """Return the predictions, of shape (n_samples, n_predictions)."""
        return self.decode(raw).reshape(len(raw), -1)

    def decode_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the predictions with respect to `raw`, (n_samples, n_predictions, n_raw)."""
        jacobian = self.loss_object.predict_jacobian(raw)
        return jacobian if self.scale is None else jacobian * self._per_prediction(self.scale, jacobian)[:, np.newaxis]

    def decode_std(self, std: FloatArray) -> FloatArray:
        """Return standard deviations, of the shape of the predictions."""
        if self.scale is not None:
            std = std * self.scale.astype(_holds(std.dtype, self.scale))
        return std[:, 0] if self.n_targets == 1 else std

    def _per_prediction(self, unit: AnyArray, predicted: AnyArray) -> AnyArray:
        """Repeat a number of each target for each prediction of it: all quantile levels of a target have its unit."""
        return np.repeat(unit, predicted.shape[1] // self.n_targets)

    def score(self, y: AnyArray, raw: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return R squared, averaged over outputs; a constant target scores 1 if predicted exactly, else 0.

        For several quantile levels, return the mean of D squared with the pinball loss over the levels.
        """
        loss = self.loss_object
        with np.errstate(over="ignore", invalid="ignore"):
            predicted = loss.predict(raw).astype(np.float64)
            if not np.isfinite(predicted).all():
                return float("nan")
            if isinstance(loss, Quantile) and loss.n_levels > 1:
                return quantile_score(y, predicted, loss, sample_weight)
            weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
            residual = weight @ (y - predicted) ** 2
            spread = weight @ (y - np.average(y.astype(np.float64), axis=0, weights=weight)) ** 2
            scores = np.where(spread > 0.0, 1.0 - residual / np.where(spread > 0.0, spread, 1.0), residual == 0.0)
        return float(scores.mean())

    def strata(self, y: AnyArray, n_held_out: int, *, is_tiny: bool) -> AnyArray | None:
        """Return None: numbers are split at random."""
        return None


def _holds(dtype: np.dtype[Any], *numbers: AnyArray) -> np.dtype[Any]:
    """Return the type, or float64 if the numbers are too large or too small for it."""
    limits, sizes = np.finfo(dtype), np.abs(np.concatenate(numbers))
    # The square root leaves room for predictions that are far from the mean.
    fits = ((sizes == 0.0) | ((sizes > limits.tiny**0.5) & (sizes < limits.max**0.5))).all()
    return dtype if fits else np.dtype(np.float64)


def quantile_score(y: AnyArray, predicted: AnyArray, loss: Quantile, sample_weight: Any = None) -> float:
    """Return the mean of D squared with the pinball loss over targets and levels: 1 is perfect, 0 a constant."""
    scores = [
        d2_pinball_score(y[:, index // loss.n_levels], column, alpha=level, sample_weight=sample_weight)
        for index, column in enumerate(predicted.T)
        for level in [np.atleast_1d(loss.levels)[index % loss.n_levels]]
    ]
    return float(np.mean(scores))


Targets = LabelTargets | RealTargets

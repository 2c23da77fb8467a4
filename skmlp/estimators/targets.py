"""What `y` means: labels or numbers on the outside, the arrays a loss takes on the inside.

A targets object encodes `y`, picks the loss, decodes raw outputs into predictions and scores them. The two
estimators differ in nothing else.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses import LOSSES, Loss

__all__ = ["LabelTargets", "RealTargets", "Targets"]

Kind = Literal["binary", "multiclass", "multilabel"]


@dataclass(frozen=True, eq=False)
class LabelTargets:
    """Class labels.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels; for multilabel targets the column numbers.
    kind : {"binary", "multiclass", "multilabel"}
        ``"binary"`` covers a single class, too: its one output learns to say no.
    sparse_output : bool
        Multilabel targets came as a sparse matrix; predictions leave as one.
    """

    classes: AnyArray
    kind: Kind
    sparse_output: bool = False

    @classmethod
    def from_labels(cls, y: Any) -> "LabelTargets":
        """Learn the classes from all labels at once."""
        check_classification_targets(y)
        y_type = type_of_target(y, input_name="y")
        if y_type == "multiclass-multioutput":
            raise ValueError(
                "Multioutput target data is not supported: y has several columns with more than two classes each. "
                "Fit one classifier per column, for example with sklearn.multioutput.MultiOutputClassifier."
            )
        if y_type == "multilabel-indicator":
            return cls(np.arange(y.shape[1]), "multilabel", sparse.issparse(y))
        classes = np.unique(y)
        return cls(classes, "multiclass" if len(classes) > 2 else "binary")

    @property
    def n_outputs(self) -> int:
        """Columns of the raw output."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def loss_name(self) -> str:
        """The log loss with the link that fits the kind of labels."""
        return "log_loss" if self.kind == "multiclass" else "binary_log_loss"

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
                raise ValueError("Multilabel targets must be 0 or 1.")
            return dense.astype(dtype)
        if np.ndim(y) != 1:
            raise ValueError(
                f"y must be one column of labels, as in the first fit; got an array of shape {np.shape(y)}."
            )
        codes = np.searchsorted(self.classes, y)
        np.minimum(codes, len(self.classes) - 1, out=codes)
        if not np.array_equal(self.classes[codes], y):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {np.unique(y)}."
            )
        return codes if self.kind == "multiclass" else codes.astype(dtype).reshape(-1, 1)

    def decode(self, raw: FloatArray) -> Any:
        """Return the predicted labels; in a binary choice the second class needs a probability above one half."""
        if self.kind == "multiclass":
            return self.classes[raw.argmax(axis=1)]
        positive = raw > 0.0
        if self.kind == "multilabel":
            return sparse.csr_matrix(positive.astype(int)) if self.sparse_output else positive.astype(int)
        return self.classes[np.minimum(positive[:, 0], len(self.classes) - 1)]

    def score(self, y: AnyArray, raw: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return the accuracy of encoded targets, for multilabel the share of rows with every label right."""
        if not np.isfinite(raw).all():
            return float("nan")
        right = raw.argmax(axis=1) == y if self.kind == "multiclass" else ((raw > 0.0) == (y > 0.5)).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    def strata(self, y: AnyArray, n_held_out: int) -> AnyArray | None:
        """Return what to stratify a validation split of encoded targets by, or None.

        Multilabel rows have no single class. With more classes than a stratified split of this size can serve, a
        plain random split is better than none.
        """
        if self.kind == "multilabel":
            return None
        if self.kind == "binary":
            return y > 0.5
        counts = np.bincount(y)
        counts = counts[counts > 0]
        feasible = counts.min() >= 2 and len(counts) <= min(n_held_out, len(y) - n_held_out)
        return y if feasible else None


@dataclass(frozen=True, eq=False)
class RealTargets:
    """Numbers.

    Attributes
    ----------
    loss_name : str
        A name in ``LOSSES``.
    n_outputs : int
    """

    loss_name: str
    n_outputs: int

    @property
    def loss(self) -> Loss:
        """The loss with its link."""
        return LOSSES[self.loss_name]

    def encode(self, y: Any, dtype: np.dtype[Any]) -> AnyArray:
        """Return `y` as a matrix; too large numbers and numbers outside the loss's domain raise ValueError."""
        if sparse.issparse(y):
            raise TypeError("Sparse data was passed for y, but dense data is required. Use '.toarray()' to convert it.")
        values = np.asarray(y)
        if values.ndim == 1:
            values = values.reshape(-1, 1)
        if values.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {values.shape[1]} outputs, but the network was started with {self.n_outputs}. "
                "Use a new estimator, or fit without warm_start."
            )
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype=dtype)
        if not np.isfinite(values).all():
            raise ValueError(
                f"Input y contains infinity or a value too large for {values.dtype!r}. "
                'Scale y, or compute in float64 with dtype="float64".'
            )
        if not self.loss.in_domain(values):
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {self.loss_name!r}, "
                f"which is {self.loss.domain}; the smallest is {values.min():.6g}."
            )
        return values

    def decode(self, raw: FloatArray) -> FloatArray:
        """Return predictions, of shape (n_samples,) when there is one output."""
        predicted = self.loss.predict(raw)
        return predicted[:, 0] if self.n_outputs == 1 else predicted

    def score(self, y: AnyArray, raw: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return R squared, averaged over outputs; a constant target scores 1 if met exactly, else 0."""
        with np.errstate(over="ignore", invalid="ignore"):
            predicted = self.loss.predict(raw).astype(np.float64)
            if not np.isfinite(predicted).all():
                return float("nan")
            weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
            residual = weight @ (y - predicted) ** 2
            spread = weight @ (y - np.average(y.astype(np.float64), axis=0, weights=weight)) ** 2
            scores = np.where(spread > 0.0, 1.0 - residual / np.where(spread > 0.0, spread, 1.0), residual == 0.0)
        return float(scores.mean())

    def strata(self, y: AnyArray, n_held_out: int) -> AnyArray | None:
        """Return None: numbers are split at random."""
        return None


Targets = LabelTargets | RealTargets

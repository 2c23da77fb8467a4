"""What every loss provides."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.links import LINK_JACOBIANS, LINKS, LOG_LINKS


class Loss(Configurable, ABC):
    """A loss with its link function.

    A subclass is a dataclass that defines at least :meth:`loss_and_gradient`. :func:`check_loss` tests whether the
    gradient is right.

    Attributes
    ----------
    link : str
        The output activation: ``"identity"`` by default, ``"exp"``, ``"logistic"`` or ``"softmax"``.
    domain : str
        The targets for which the loss is defined, in words.
    is_classification : bool
        True when the targets are yes-or-no answers or class codes.
    takes_codes : bool
        True when the targets are class codes, of shape (n_samples,).
    has_probabilities : bool
        True when the predictions are probabilities.
    is_equivariant : bool
        True when shifting and scaling the targets shifts and scales the best predictions in the same way, so that
        training on standardized targets is possible.
    formula, derivative_formula : str
        The loss of one row and its derivative with respect to the raw outputs z, as text; empty where there is none.
    kernel : callable or None
        For losses that treat every target by itself: ``kernel(y, raw, settings)`` returns ``(loss, derivative)`` of
        one target, all float32 or all float64 scalars. `settings` are the :attr:`kernel_settings` in the same dtype.
        Like that of an activation, it is a static method in plain Python that numba can compile.
    rows_kernel : callable or None
        For the other losses: ``rows_kernel(y, raw, weights, out, settings)`` writes ``weights[i] * d loss_i / d raw``
        into `out` and returns the sum of ``weights[i] * loss_i`` as a float64. `weights`, of shape (n_samples,), are
        the normalized sample weights; `y`, `raw` and `out` are those of :meth:`loss_and_gradient`. Without either
        kernel training uses NumPy, as it does for a subclass that overrides only :meth:`loss_and_gradient`.
    """

    link: ClassVar[str] = "identity"
    domain: ClassVar[str] = "all real numbers"
    is_classification: ClassVar[bool] = False
    takes_codes: ClassVar[bool] = False
    has_probabilities: ClassVar[bool] = False
    is_equivariant: ClassVar[bool] = False
    formula: ClassVar[str] = ""
    derivative_formula: ClassVar[str] = ""
    kernel: ClassVar[Any] = None
    rows_kernel: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "loss_and_gradient" in vars(cls):
            for name in {"formula", "derivative_formula"} - vars(cls).keys():
                setattr(cls, name, "")  # an inherited formula would be that of another loss

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        """The numbers that the kernel needs, at the current time if they follow a schedule."""
        return ()

    @abstractmethod
    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        """Return each sample's loss and write its gradient with respect to `raw` into `out`.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)
            Targets; if `takes_codes`, the class codes, of shape (n_samples,).
        raw : ndarray of shape (n_samples, n_raw)
            The network's outputs before the link. Not modified.
        out : ndarray of shape (n_samples, n_raw)
            Receives ``d loss / d raw``.

        Returns
        -------
        loss : ndarray of shape (n_samples,)
            Summed over the outputs.
        """

    def predict(self, raw: FloatArray) -> FloatArray:
        """Apply the link: the prediction for each row of `raw`, of the same shape unless the loss says otherwise."""
        return LINKS[self.link](raw)

    def log_predict(self, raw: FloatArray) -> Any:
        """Return ``log p`` with the softmax link, and ``log(1 - p)`` and ``log p`` with the logistic link."""
        if self.link not in LOG_LINKS:
            raise ValueError(f"A loss with the link {self.link!r} has no probabilities.")
        return LOG_LINKS[self.link](raw)

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return ``d prediction / d raw`` for each row of `raw`, of shape (n_samples, n_predictions, n_raw).

        Raises
        ------
        TypeError
            When a subclass overrides :meth:`predict` but not its derivative.
        """
        if type(self).predict is not Loss.predict:
            raise TypeError(
                f"{type(self).__name__} overrides predict, so that its derivative is not that of the link "
                f"{self.link!r}: override predict_jacobian, too."
            )
        return LINK_JACOBIANS[self.link](raw)

    def link_formula(self, z: str) -> str:
        """Return the prediction as text, given the name `z` of the raw outputs."""
        if type(self).predict is not Loss.predict:
            return f"{self!r}.predict({z})"
        return z if self.link == "identity" else f"{self.link}({z})"

    def loss(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return each sample's loss, of shape (n_samples,)."""
        return self.loss_and_gradient(y, raw, np.empty_like(raw))

    def gradient(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return ``d loss / d raw``, of the shape of `raw`."""
        out = np.empty_like(raw)
        self.loss_and_gradient(y, raw, out)
        return out

    def in_domain(self, y: AnyArray) -> bool:
        """Return whether the loss is defined for every target in `y`."""
        return True

    def n_raw(self, n_outputs: int) -> int:
        """Return how many raw outputs the loss needs for `n_outputs` targets (or classes)."""
        return n_outputs

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        """Return the raw outputs of the best constant prediction, with which the output biases may start.

        By default zeros.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
            Targets as :meth:`loss_and_gradient` takes them.
        sample_weight : ndarray of shape (n_samples,), optional
            Non-negative, with a positive sum.
        n_raw : int, optional
            Columns of `raw`. Required for class codes if the highest one may be missing in `y`.

        Returns
        -------
        raw : ndarray of shape (n_raw,), float64
            Always finite.
        """
        return np.zeros(self._columns(y) if n_raw is None else n_raw)

    def _columns(self, y: AnyArray) -> int:
        """Return how many raw outputs the targets `y` need."""
        return self.n_raw(y.shape[1] if y.ndim > 1 else int(y.max()) + 1)

    def multiclass(self) -> "Loss":
        """Return the multiclass form of this loss, with the same settings, or raise ValueError if there is none."""
        kind = "independent yes-or-no targets" if self.is_classification else "numbers"
        raise ValueError(
            f"The loss {self!r} is for {kind} only and has no multiclass form. "
            "Choose a loss for classes, for example 'log_loss'."
        )

    def eval_loss(self) -> "Loss":
        """Return the loss by which predictions are evaluated: this one without label smoothing."""
        return self


LOSSES: dict[str, Loss] = {}

"""Muon: orthogonalized momentum for the weight matrices of hidden layers, AdamW for everything else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from skmlp._configurable import NonNegative, Positive, Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.adam import ScaleByAdam
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, ScaleByLearningRate, State, Transform
from skmlp.optim.solvers.weight_decay import DecayWeights

__all__ = ["Muon"]

Adjust = Literal["match_rms_adamw", "original"]

# The iteration X <- a X + (b A + c A^2) X with A = X X^T moves all singular values into about [0.7, 1.2], small ones
# fast; it does not converge to 1 (Jordan et al., 2024).
A, B, C = 3.4445, -4.7750, 2.0315
# The norm of a matrix that is normalized is at least this, as in torch.
SMALLEST_NORM = 1e-7


def orthogonalize(matrix: FloatArray, n_steps: int, scratch: FloatArray) -> None:
    """Replace a matrix U S V^T in place by about U V^T, by Newton-Schulz steps, with `scratch_size` numbers of memory.

    The steps are the same for a matrix and its transpose; they work on products of its shorter side.
    """
    n_rows, n_columns = matrix.shape
    n = min(n_rows, n_columns)
    gram, polynomial = scratch[: 2 * n * n].reshape(2, n, n)
    product = scratch[2 * n * n :][: matrix.size].reshape(matrix.shape)
    _normalize(matrix)
    for _ in range(n_steps):
        if n_rows <= n_columns:
            np.matmul(matrix, matrix.T, out=gram)
        else:
            np.matmul(matrix.T, matrix, out=gram)
        np.matmul(gram, gram, out=polynomial)
        polynomial *= C
        gram *= B
        polynomial += gram
        if n_rows <= n_columns:
            np.matmul(polynomial, matrix, out=product)
        else:
            np.matmul(matrix, polynomial, out=product)
        matrix *= A
        matrix += product


def _normalize(matrix: FloatArray) -> None:
    """Divide a matrix in place by its Frobenius norm."""
    largest = max(float(matrix.max()), -float(matrix.min()))
    if largest > 1e15:  # squares may overflow float32
        matrix /= largest
    flat = matrix.reshape(-1)
    matrix /= max(math.sqrt(float(np.dot(flat, flat))), SMALLEST_NORM)


@dataclass
class OrthogonalizeMomentum(Transform):
    r"""``m = momentum m + (1 - momentum) g`` for each matrix; passes on m, orthogonalized and scaled.

    With Nesterov's look-ahead it is ``momentum m + (1 - momentum) g`` that is orthogonalized.
    """

    momentum: Annotated[float, Range("[0.0, 1.0)", may_be_scheduled=True)] = 0.95
    nesterov: bool = True
    adjust: Adjust = "match_rms_adamw"
    ns_steps: int = 5
    acts_on = "matrices"

    def init(self, params: FloatArray) -> State:
        return {"momentum": np.zeros_like(params)}

    def scratch_size(self, shape: tuple[int, ...]) -> int:
        return 2 * min(shape) ** 2 + math.prod(shape)

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return self.momentum, 1.0 - self.momentum

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        average, (momentum, rest) = state["momentum"], numbers
        scaled = scratch[: updates.size].reshape(updates.shape)
        updates *= rest
        average *= momentum
        average += updates
        if self.nesterov:
            np.multiply(average, momentum, out=scaled)
            updates += scaled
        else:
            updates[...] = average
        orthogonalize(updates, self.ns_steps, scratch)
        n_in, n_out = updates.shape
        if self.adjust == "original":
            updates *= math.sqrt(max(1.0, n_out / n_in))
        else:
            updates *= 0.2 * math.sqrt(max(n_in, n_out))


@dataclass
class ScaleOthersByAdam(ScaleByAdam):
    """As :class:`ScaleByAdam`, for all but the weight matrices of hidden layers."""

    acts_on = "others"


@dataclass
class Muon(Solver, name="muon"):
    r"""Orthogonalized momentum for the weight matrices of hidden layers, AdamW for everything else.

    The average :math:`M \leftarrow \mu M + (1 - \mu) G` of a matrix's gradient has few large singular values. Muon sets
    all of them to about 1, so that rare directions are learned as fast as frequent ones:

    .. math::
        W \leftarrow (1 - \eta \lambda) W - \eta\, s\, U V^T \quad \text{with} \quad
        \mu M + (1 - \mu) G = U S V^T .

    :math:`U V^T` is approximated by Newton-Schulz steps, five products of matrices each. :math:`s` makes up for the
    shape of the matrix.

    Biases, scales, offsets, embeddings and the weights of the last layer are updated by AdamW, as the authors advise.
    They also advise it for the first layer, which in their networks is an embedding; here it is a hidden layer like the
    others. A network without hidden layers is trained by AdamW alone. There is no kernel: compiled steps evaluate, and
    NumPy updates.

    Parameters
    ----------
    momentum : float or scheduled value, default=0.95
        :math:`\mu`, in [0, 1).
    nesterov : bool, default=True
        Orthogonalize :math:`\mu M + (1 - \mu) G`, else :math:`M`.
    weight_decay : float or scheduled value, default=0.1
        :math:`\lambda`, non-negative; applied to all weights, not to biases.
    adjust : {"match_rms_adamw", "original"}, default="match_rms_adamw"
        For a matrix with n_in inputs and n_out outputs, :math:`s = 0.2 \sqrt{\max(n_{in}, n_{out})}`, with which steps
        are about as large as AdamW's, so that learning rates and decays for AdamW can be used; or
        :math:`s = \sqrt{\max(1, n_{out} / n_{in})}`, for which learning rates of about 0.02 are usual.
    ns_steps : int, default=5
        Number of Newton-Schulz steps, in [1, 100).
    adam_rate_factor : float, default=1.0
        AdamW's learning rate is the network's times this factor, positive. With ``adjust="original"`` about 0.02 is
        usual.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of AdamW, as in :class:`Adam`.

    References
    ----------
    Jordan and others (2024), "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon; Liu and others (2025), "Muon is Scalable for LLM Training", arXiv
    2502.16982, for ``"match_rms_adamw"``; torch's ``Muon``.
    """

    momentum: Annotated[float, Range("[0.0, 1.0)", may_be_scheduled=True)] = 0.95
    nesterov: bool = True
    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.1
    adjust: Adjust = "match_rms_adamw"
    ns_steps: Annotated[int, Range("[1, 100)")] = 5
    adam_rate_factor: Positive = 1.0
    beta_1: Annotated[float, Range("[0.0, 1.0)")] = 0.9
    beta_2: Annotated[float, Range("[0.0, 1.0)")] = 0.999
    epsilon: NonNegative = 1e-8

    @property
    def links(self) -> Sequence[Transform]:
        return (
            *((DecayWeights(self.weight_decay),) if self.weight_decay != 0.0 else ()),
            OrthogonalizeMomentum(self.momentum, self.nesterov, self.adjust, self.ns_steps),
            ScaleOthersByAdam(self.beta_1, self.beta_2, self.epsilon),
            ScaleByLearningRate(),
        )

    def rate_factor(self, factor: float, shape: tuple[int, ...] | None) -> float:
        return factor if shape is not None else factor * self.adam_rate_factor

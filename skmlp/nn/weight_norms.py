"""Constraints on weights, kept by projection after every step."""

from collections.abc import Sequence

import numpy as np

from skmlp._typing import FloatArray


def limit_norms(weights: Sequence[FloatArray], max_norm: float) -> None:
    r"""Shrink the incoming weights of every unit to a norm of at most `max_norm`, in place.

    :math:`w_j \leftarrow w_j \min(1, c / \lVert w_j \rVert)` for every column :math:`w_j` of a weight matrix.

    Parameters
    ----------
    weights : sequence of ndarray of shape (n_in, n_out)
    max_norm : float
        c, positive.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout", JMLR 15, section 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.weight_norms import limit_norms
    >>> W = np.array([[3.0, 0.3], [4.0, 0.4]])
    >>> limit_norms([W], 1.0)
    >>> W.round(3).tolist()
    [[0.6, 0.3], [0.8, 0.4]]
    """
    for matrix in weights:
        # In float64, where squares of float32 numbers do not overflow and leave a unit without weights.
        norms = np.sqrt(np.einsum("ij,ij->j", matrix, matrix, dtype=np.float64))
        if norms.max(initial=0.0) > max_norm:
            np.multiply(matrix, (max_norm / np.maximum(norms, max_norm)).astype(matrix.dtype), out=matrix)

"""L-BFGS on any function with a gradient, through SciPy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from threadpoolctl import ThreadpoolController  # a dependency of scikit-learn

from skmlp._typing import FloatArray

__all__ = ["LBFGSResult", "minimize_lbfgs"]

_Reason = Literal["converged", "max_iter", "max_fun", "stopped", "failed"]


@dataclass(frozen=True)
class LBFGSResult:
    """The result of a minimization, and why it ended.

    Attributes
    ----------
    params : ndarray of shape (n_parameters,), float64
    value : float
    n_iter : int
        Number of iterations.
    reason : {"converged", "max_iter", "max_fun", "stopped", "failed"}
        ``"stopped"``: `on_iteration` returned True. ``"failed"``: the line search found no lower point.
    message : str
        SciPy's message.
    """

    params: FloatArray
    value: float
    n_iter: int
    reason: _Reason
    message: str


def minimize_lbfgs(
    value_and_gradient: Callable[[FloatArray], tuple[float, FloatArray]],
    params: FloatArray,
    *,
    max_iter: int = 200,
    max_fun: int = 15_000,
    tol: float = 1e-4,
    on_iteration: Callable[[FloatArray, float], bool] | None = None,
) -> LBFGSResult:
    """Minimize a smooth function of a flat vector by limited-memory BFGS, in float64.

    Parameters
    ----------
    value_and_gradient : callable
        ``value_and_gradient(x) -> (value, gradient)``. The gradient is copied, so it may be a buffer that is reused.
    params : ndarray of shape (n_parameters,)
        The starting point; not changed.
    max_iter, max_fun : int, default=200, 15000
        The largest numbers of iterations and of evaluations.
    tol : float, default=1e-4
        Converged when no entry of the gradient is larger, or when the value no longer changes.
    on_iteration : callable, optional
        ``on_iteration(params, value)`` after every iteration; returning True ends the minimization.

    Returns
    -------
    result : LBFGSResult

    References
    ----------
    Zhu, Byrd, Lu and Nocedal (1997), algorithm 778 (L-BFGS-B).

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.optim import minimize_lbfgs
    >>> minimize_lbfgs(lambda x: (float(x @ x), 2 * x), np.array([3.0, -4.0])).reason
    'converged'
    """
    from scipy.optimize import OptimizeResult, minimize  # slow to import, and needed by this solver only

    stopped = False

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal stopped
        if on_iteration is not None and on_iteration(intermediate_result.x, float(intermediate_result.fun)):
            stopped = True
            raise StopIteration

    def copied(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = value_and_gradient(x)
        return value, np.array(gradient, dtype=np.float64)

    with _scipy_blas().limit(limits=1):
        found = minimize(
            copied,
            np.array(params, dtype=np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=callback,
            options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
        )
    reason: _Reason
    if stopped:
        reason = "stopped"
    elif found.status == 1:
        reason = "max_iter" if found.nit >= max_iter else "max_fun"
    else:
        reason = "converged" if found.status == 0 else "failed"
    return LBFGSResult(found.x, float(found.fun), int(found.nit), reason, str(found.message))


@cache
def _scipy_blas() -> Any:
    """Return a controller of the BLAS in SciPy's wheels; an empty one if SciPy and NumPy use the same library.

    L-BFGS uses it for short vectors only, but its idle threads spin on the cores on which NumPy's BLAS computes the
    objective: on two cores that makes a fit about three times as slow.
    """
    controller = ThreadpoolController()
    paths = [Path(library["filepath"]) for library in controller.info()]
    own = [path for path in paths if "scipy.libs" in path.parts or path.parts[-3:-1] == ("scipy", ".dylibs")]
    return controller.select(filepath=[str(path) for path in own])

r"""What a solver is: a chain of links that turn a gradient into a step, and the registry of solvers by name.

A link transforms a vector of updates in place: the first link of a chain receives the gradient, and the output of the
last one is added to the parameters. Links hold settings only. What changes from step to step is in a state dict of
arrays and floats that the caller keeps, so that it can be copied, pickled and resumed.

Most links work element by element and have two forms of the same rule: `apply` for arrays (NumPy), and `kernel` for one
parameter (compiled steps). In the formulas :math:`g` is the incoming update, :math:`t` counts steps from 1, and
:math:`\eta` is the learning rate. `epsilon` is added outside the square root and `epsilon_root` inside it, both after
bias correction.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.optim.schedules import Time
from skmlp.optim.solvers.chain import Chain
from skmlp.optim.solvers.groups import Layout, group_by_rate, part_of
from skmlp.optim.solvers.transform import State, Transform

__all__ = ["SOLVERS", "Solver"]

SOLVERS: "dict[str, type[Solver]]" = {}


class Solver(Configurable, ABC):
    """An update rule ``params += chain(grad)``.

    To add one, subclass this and write `links`. ``class MySolver(Solver, name="my_solver")`` also puts the class into
    :data:`SOLVERS`, so that estimators know it by its name.
    """

    registry = SOLVERS

    @property
    @abstractmethod
    def links(self) -> Sequence[Transform]:
        """The chain, from the gradient to what is added to the parameters."""

    def init(self, params: FloatArray, n_weights: int | None = None, layout: Layout = ()) -> State:
        """Return the state before the first step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
        n_weights : int, optional
            How many leading entries are weights, for weight decay; all by default.
        layout : sequence of (int, int, float, tuple or None), default=()
            Start, stop and rate factor of each array, in the order of the vector, and its shape (n_in, n_out) if it is
            the weight matrix of a hidden layer, else None. The learning rate of an array is the network's times its
            factor, wherever a link uses the learning rate. By default all factors are 1, and nothing is a matrix.

        Returns
        -------
        state : dict
            ``{"count": 0, "n_weights": ..., "links": [...]}``, numbers and arrays only. If there are factors other than
            1, or links that work on matrices, also the ``"groups"`` and ``"matrices"`` of
            :mod:`skmlp.optim.solvers.groups`. A deep copy of it and a copy of the parameters are a checkpoint.

        Examples
        --------
        The second array learns ten times faster than the first:

        >>> import numpy as np
        >>> from skmlp.optim import SGD
        >>> solver, params = SGD(momentum=0.0), np.zeros(4)
        >>> state = solver.init(params, layout=[(0, 2, 1.0, None), (2, 4, 10.0, None)])
        >>> solver.update(params, np.ones(4), state, learning_rate=0.01)
        >>> params
        array([-0.01, -0.01, -0.1 , -0.1 ])
        """
        links = self.links
        state: State = {"count": 0, "n_weights": params.size if n_weights is None else n_weights}
        matrices = [[start, *shape] for start, _, _, shape in layout if shape is not None]
        if matrices and any(link.acts_on == "matrices" for link in links):
            state["matrices"] = matrices
        states = [link.init(part_of(params, link, state)) for link in links]
        arrays = [(start, stop, self.rate_factor(factor, shape)) for start, stop, factor, shape in layout]
        if groups := group_by_rate(arrays):
            floats = [{name: value for name, value in each.items() if not _is_array(value)} for each in states]
            state["groups"] = [{**group, "floats": [dict(each) for each in floats]} for group in groups]
            states = [{name: value for name, value in each.items() if _is_array(value)} for each in states]
        return {**state, "links": states}

    def rate_factor(self, factor: float, shape: tuple[int, ...] | None) -> float:
        """Return the factor on the learning rate of an array with a factor of its own.

        `shape` is that of the weight matrix of a hidden layer, else None.
        """
        return factor

    def accepts(self, state: State, layout: Layout = ()) -> bool:
        """Tell whether training can continue from `state`: it has all that this solver keeps, for the same layout."""
        return _form(self.init(np.empty(0), layout=layout)) == _form(state)

    @property
    def averages(self) -> bool:
        """Whether the parameters to predict with are an average, and not those that are trained."""
        return any(link.ahead is not None for link in self.links)

    def ahead(self, state: State) -> FloatArray | None:
        """Return how far the trained parameters are ahead of the average to predict with: subtract it from them.

        None for a solver that does not average. The array belongs to the state.
        """
        for place, link in enumerate(self.links):
            if link.ahead is not None:
                ahead: FloatArray = state["links"][place][link.ahead]
                return ahead
        return None

    def update(
        self, params: FloatArray, grad: FloatArray, state: State, learning_rate: float, time: Time | None = None
    ) -> None:
        """Take one step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
            Changed in place.
        grad : ndarray of shape (n_parameters,)
            Overwritten; afterwards it holds what was added to `params`.
        state : dict
            From :meth:`init`; changed in place.
        learning_rate : float
        time : Time, optional
            The time of the step, for scheduled settings.
        """
        Chain(self.links, params, grad, state).step(learning_rate, time)

    def on(self, params: FloatArray, grad: FloatArray, state: State) -> Callable[..., None]:
        """Return :meth:`update` for these arrays, prepared for many steps: ``step(learning_rate[, time])``."""
        if type(self).update is not Solver.update:
            return partial(self.update, params, grad, state)
        return Chain(self.links, params, grad, state).step


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _form(state: State) -> tuple[Any, ...]:
    """Return what a state has, without values that change in training."""
    groups = [(group["factor"], group["runs"], list(map(sorted, group["floats"]))) for group in state.get("groups", ())]
    return "count" in state, list(map(sorted, state.get("links", ()))), groups, state.get("matrices")

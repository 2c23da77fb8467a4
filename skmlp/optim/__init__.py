"""Update rules on one flat vector. They know nothing of networks."""

from skmlp.optim import clipping, lbfgs, schedules, solvers
from skmlp.optim.clipping import *  # noqa: F403 - each module's __all__ is the only list of its names
from skmlp.optim.lbfgs import *  # noqa: F403
from skmlp.optim.schedules import *  # noqa: F403
from skmlp.optim.solvers import *  # noqa: F403

__all__: list[str] = []
__all__ += clipping.__all__
__all__ += lbfgs.__all__
__all__ += schedules.__all__
__all__ += solvers.__all__

r"""Update rules: a solver is a chain of links, each with a NumPy form and a kernel for compiled steps.

A solver works on any flat vector and knows nothing of networks. It holds settings only; `state` is passed in and
changed in place. Minimizing the Rosenbrock function:

>>> import numpy as np
>>> from skmlp.optim import Adam
>>> params = np.array([-1.5, 2.0])
>>> solver = Adam()
>>> state = solver.init(params)
>>> for _ in range(2000):
...     x, y = params
...     grad = np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])
...     solver.update(params, grad, state, learning_rate=0.05)
>>> params.round(2)
array([1., 1.])
"""

from importlib import import_module
from pkgutil import iter_modules

# Solvers register themselves when their file is imported. This is the order of their names.
# isort: off
from skmlp.optim.solvers import transform, base, weight_decay, sgd, rmsprop, adagrad, adam, lion, schedule_free, muon
from skmlp.optim.solvers.transform import *  # noqa: F403 - each module's __all__ is the only list of its names
from skmlp.optim.solvers.base import *  # noqa: F403
from skmlp.optim.solvers.weight_decay import *  # noqa: F403
from skmlp.optim.solvers.sgd import *  # noqa: F403
from skmlp.optim.solvers.rmsprop import *  # noqa: F403
from skmlp.optim.solvers.adagrad import *  # noqa: F403
from skmlp.optim.solvers.adam import *  # noqa: F403
from skmlp.optim.solvers.lion import *  # noqa: F403
from skmlp.optim.solvers.schedule_free import *  # noqa: F403
from skmlp.optim.solvers.muon import *  # noqa: F403

# isort: on

# Any other file of this folder is imported too, so that a new solver needs one file and no line elsewhere.
for _file in iter_modules(__path__, f"{__name__}."):  # noqa: F405
    import_module(_file.name)

__all__: list[str] = []
__all__ += transform.__all__
__all__ += base.__all__
__all__ += weight_decay.__all__
__all__ += sgd.__all__
__all__ += rmsprop.__all__
__all__ += adagrad.__all__
__all__ += adam.__all__
__all__ += lion.__all__
__all__ += schedule_free.__all__
__all__ += muon.__all__

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
from skmlp.optim.solvers.base import SOLVERS, ScaleByLearningRate, Solver, Transform
from skmlp.optim.solvers.weight_decay import DecayWeights, WithWeightDecay
from skmlp.optim.solvers.sgd import SGD, Trace
from skmlp.optim.solvers.rmsprop import RMSProp
from skmlp.optim.solvers.adagrad import Adadelta, Adagrad
from skmlp.optim.solvers.adam import Adam, AdamW, AMSGrad, NAdam, RAdam
from skmlp.optim.solvers.lion import Lion

# isort: on

# Any other file of this folder is imported too, so that a new solver needs one file and no line elsewhere.
for _file in iter_modules(__path__, f"{__name__}."):
    import_module(_file.name)

__all__ = [
    "SGD",
    "SOLVERS",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "DecayWeights",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSProp",
    "ScaleByLearningRate",
    "Solver",
    "Trace",
    "Transform",
    "WithWeightDecay",
]

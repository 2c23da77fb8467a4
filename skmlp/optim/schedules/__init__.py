"""Schedules: what the learning rate, or another setting, is at a time of the training."""

# Schedules register themselves when their file is imported. This is the order of their names.
# isort: off
from skmlp.optim.schedules import base, over_time, over_training, metric_driven, registry
from skmlp.optim.schedules.base import *  # noqa: F403 - each module's __all__ is the only list of its names
from skmlp.optim.schedules.over_time import *  # noqa: F403
from skmlp.optim.schedules.over_training import *  # noqa: F403
from skmlp.optim.schedules.metric_driven import *  # noqa: F403
from skmlp.optim.schedules.registry import *  # noqa: F403

# isort: on

__all__: list[str] = []
__all__ += base.__all__
__all__ += over_time.__all__
__all__ += over_training.__all__
__all__ += metric_driven.__all__
__all__ += registry.__all__

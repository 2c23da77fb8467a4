"""Targets for every loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

NUMBERS = ("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "gaussian_nll")
COUNTS = ("poisson", "tweedie")
ANSWERS = ("binary_log_loss", "hinge", "focal")
CLASSES = ("log_loss", "multiclass_hinge", "multiclass_focal")


@pytest.fixture(scope="session")
def draw_targets() -> Callable[..., Any]:
    """Return ``draw(name, rng, n_samples, n_outputs)``: random targets that the loss `name` takes, in float64.

    For the losses for one of several classes they are codes of `n_outputs` classes. A name may go on with settings
    in brackets.
    """

    def draw(name: str, rng: np.random.Generator, n_samples: int, n_outputs: int) -> Any:
        kind, shape = name.split("(")[0], (n_samples, n_outputs)
        if kind in NUMBERS:
            return rng.standard_normal(shape)
        if kind in COUNTS:
            return rng.poisson(2.0, shape).astype(float)
        if kind == "gamma":
            return rng.gamma(2.0, size=shape)
        if kind in ANSWERS:
            return rng.integers(0, 2, shape).astype(float)
        if kind in CLASSES:
            return rng.integers(0, n_outputs, n_samples)
        raise KeyError(f"Say here which targets the loss {name!r} takes.")

    return draw

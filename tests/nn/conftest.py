"""Every built-in activation and loss, with their defaults and in other settings, and targets for every loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS, ELU, LeakyReLU, Parametric, Tanh
from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    Huber,
    Loss,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    Quantile,
    TweedieDeviance,
)

OTHER_ACTIVATIONS = [LeakyReLU(0.3), LeakyReLU(0.0), ELU(0.4), ELU(0.0), Parametric("mish"), Parametric(Tanh())]
OTHER_LOSSES = [
    BinaryLogLoss(0.25),
    MultinomialLogLoss(0.25),
    Huber(0.5),
    Quantile(0.25),
    Quantile((0.1, 0.5, 0.9)),
    *map(TweedieDeviance, (-1.5, 0.0, 0.5, 1.0, 1.125, 1.9, 2.0, 2.5)),
    *map(FocalLoss, (0.0, 0.5, 1.0)),
    *map(MultinomialFocalLoss, (0.0, 0.5, 1.0)),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the argument `any_activation` or `any_loss` for each of them."""
    for argument, registered, others in (
        ("any_activation", ACTIVATIONS, OTHER_ACTIVATIONS),
        ("any_loss", LOSSES, OTHER_LOSSES),
    ):
        if argument in metafunc.fixturenames:
            examples = {**registered, **{repr(each): each for each in others}}
            metafunc.parametrize(argument, examples.values(), ids=examples)


@pytest.fixture(scope="session")
def draw_targets() -> Callable[..., Any]:
    """Return ``draw(loss, rng, n_samples, n_outputs)``: random targets that a loss, or its name, takes, in float64.

    For multiclass losses they are codes of `n_outputs` classes.
    """

    def draw(loss: Loss | str, rng: np.random.Generator, n_samples: int, n_outputs: int) -> Any:
        loss, shape = LOSSES[loss] if isinstance(loss, str) else loss, (n_samples, n_outputs)
        if loss.takes_codes:
            return rng.integers(0, n_outputs, n_samples)
        if loss.is_classification:
            return rng.integers(0, 2, shape).astype(float)
        if loss.in_domain(np.array([[-1.0]])):
            return rng.standard_normal(shape)
        if loss.in_domain(np.array([[0.0]])):
            return rng.poisson(2.0, shape).astype(float)
        return rng.gamma(2.0, size=shape)

    return draw

"""Records of a healthy training of a network with three layers, to be changed one thing at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from skmlp.diagnosis import Evidence, Finding

N_EPOCHS, N_LAYERS = 12, 3
OBSERVED = (1, 2, 3, 6, 12)


def records(history: Any = (), monitor: Any = (), **others: Any) -> Evidence:
    """Return the evidence of a healthy training, with some of it replaced.

    A column of the history is a list of 12 epochs or one number for all. A statistic of the monitor is an array of
    shape (5, 3), a list with a number for each layer, or one number for all. None omits the column.
    """
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "loss": [1.0, 0.6, 0.4, 0.3, 0.25, 0.22, 0.2, 0.19, 0.185, 0.183, 0.182, 0.182],
        "train_loss": [0.99, 0.59, 0.39, 0.29, 0.24, 0.21, 0.19, 0.18, 0.175, 0.173, 0.172, 0.172],
        "penalty": 0.01,
        "learning_rate": 1e-3,
        "gradient_norm": [2.0, 1.5, 1.2, 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4],
        "clipped_fraction": 0.0,
        "validation_loss": [1.0, 0.7, 0.5, 0.4, 0.33, 0.3, 0.29, 0.28, 0.28, 0.28, 0.28, 0.28],
        **dict(history),
    }
    statistics: dict[str, Any] = {
        "gradient_norm": [0.5, 0.7, 1.0],
        "gradient_norm_max": [0.6, 0.8, 1.2],
        "gradient_nonfinite": 0.0,
        "gradient_snr": 2.0,
        "weight_norm": [5.0, 6.0, 3.0],
        "update_ratio": 0.004,
        "update_ratio_max": 0.01,
        "dead_fraction": [0.1, 0.05, np.nan],
        "saturated_fraction": [0.2, 0.3, np.nan],
        **dict(monitor),
    }
    shape = (len(OBSERVED), N_LAYERS)
    given: dict[str, Any] = {
        "history": {
            name: [float(each) for each in np.broadcast_to(np.asarray(column, float), N_EPOCHS)]
            for name, column in columns.items()
            if column is not None
        },
        "monitor": {
            "epoch": np.array(OBSERVED),
            **{
                name: np.array(np.broadcast_to(np.asarray(column, float), shape))
                for name, column in statistics.items()
                if column is not None
            },
        },
        "params": {"alpha": 1e-4, "batch_size": 16, "learning_rate_init": 1e-3, "weight_init": "auto"},
        "data_summary": {
            "n_samples": 200,
            "feature_mean": np.zeros(4),
            "feature_std": np.array([0.9, 1.0, 1.1, 1.0]),
            "loss": 0.17,
            "baseline_loss": 1.1,
            "unit_spread": [np.full(8, 0.7), np.full(6, 0.6)],
            "class_fraction": np.array([0.5, 0.3, 0.2]),
            "class_recall": np.array([0.9, 0.9, 0.8]),
        },
        "weights": [rng.standard_normal(size) for size in ((4, 8), (8, 6), (6, 3))],
        "biases": [rng.standard_normal(size) for size in (8, 6, 3)],
        "stop_reason": "converged",
        "n_iter": N_EPOCHS,
        **others,
    }
    return Evidence(**given)


@pytest.fixture(name="records")
def _records() -> Callable[..., Evidence]:
    return records


def only(findings: Iterator[Finding]) -> Finding:
    """Return the only finding of a rule."""
    (finding,) = findings
    return finding


@pytest.fixture(name="only")
def _only() -> Callable[[Iterator[Finding]], Finding]:
    return only

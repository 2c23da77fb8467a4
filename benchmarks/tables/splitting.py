"""The random split of a set into rows for training and for the test."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from benchmarks.tables.sets import Data

TRAIN_FRACTION = 0.8
MAX_TEST_ROWS = 10_000


def split(data: Data, seed: int, max_rows: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the indices of the rows for training and for the test, drawn with the seed.

    Four fifths of the rows train, but at most `max_rows`; the rest tests, but at most 10,000. In classification both
    parts have the classes in the same proportions.
    """
    n_rows = len(data.y)
    n_train = int(TRAIN_FRACTION * n_rows)
    n_test = min(n_rows - n_train, MAX_TEST_ROWS)
    train, test = train_test_split(
        np.arange(n_rows),
        train_size=min(n_train, max_rows),
        test_size=n_test,
        random_state=seed,
        stratify=data.y if data.classes else None,
    )
    return train, test

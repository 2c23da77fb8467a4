"""Frames of three libraries with the same content."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

LIBRARIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "pyarrow": lambda columns: pa.table(columns),
}


@pytest.fixture(params=LIBRARIES)
def frame_of(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    """Make a frame of lists by name."""
    return LIBRARIES[request.param]


@pytest.fixture
def frames_of() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make a frame of each library."""
    return lambda columns: {name: make(columns) for name, make in LIBRARIES.items()}

"""What holds for the encoding of any table."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import given, settings

from skmlp.tables import TableEncoder, sources

VALUES = [
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(-(2**62), 2**62),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.sampled_from(["a", "b", "c"]),
]
TYPES = [(pl.Float64, pa.float64()), (pl.Int64, pa.int64()), (pl.Boolean, pa.bool_())] + [(pl.String, pa.string())] * 2


@st.composite
def tables(draw: Any) -> tuple[list[list[Any]], list[int]]:
    """Draw columns of values, some of them missing, and the kind of each column."""
    n = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.integers(0, len(VALUES) - 1), min_size=1, max_size=5))
    columns = [draw(st.lists(st.none() | VALUES[kind], min_size=n, max_size=n)) for kind in kinds]
    return columns, kinds


def polars_frame(columns: list[list[Any]], kinds: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            f"c{i}": pl.Series(column, dtype=TYPES[kind][0])
            for i, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        }
    )


def arrow_table(columns: list[list[Any]], kinds: list[int]) -> pa.Table:
    return pa.table(
        {f"c{i}": pa.array(column, TYPES[kind][1]) for i, (column, kind) in enumerate(zip(columns, kinds, strict=True))}
    )


def pandas_frame(columns: list[list[Any]], kinds: list[int]) -> pd.DataFrame:
    return pd.DataFrame({f"c{i}": pd.Series(column, dtype=object) for i, column in enumerate(columns)})


def arrays(encoded: Any) -> tuple[Any, Any]:
    return encoded.numbers.tolist(), encoded.codes.tolist()


@settings(max_examples=25)
@given(tables(), st.sampled_from([None, 1, 2, 3]))
def test_a_training_row_has_no_code_0_and_finite_numbers(table: Any, limit: int | None) -> None:
    frame = polars_frame(*table)
    encoder = TableEncoder.learn(frame, max_categories=limit)
    encoded = encoder.encode(frame, np.float64)
    assert encoded.codes.min(initial=1) > 0
    assert (encoded.codes <= np.array(encoder.sizes, int)).all()
    assert np.isfinite(encoded.numbers).all()
    assert all(
        set(column) == set(range(1, size + 1)) for column, size in zip(encoded.codes.T, encoder.sizes, strict=True)
    )


@settings(max_examples=25)
@given(tables(), st.sampled_from([None, 1, 2, 3]), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table: Any, limit: int | None, random: Any) -> None:
    columns, kinds = table
    order = random.sample(range(len(columns[0])), len(columns[0]))
    frame = arrow_table(columns, kinds)
    shuffled = frame.take(order)
    encoder = TableEncoder.learn(frame, max_categories=limit)
    assert TableEncoder.learn(shuffled, max_categories=limit) == encoder


@settings(max_examples=25)
@given(tables(), st.sampled_from([None, 2]))
def test_all_libraries_give_equal_encoders_and_arrays(table: Any, limit: int | None) -> None:
    frames = [polars_frame(*table), arrow_table(*table)]
    # Of all-missing columns, pandas' objects know no type.
    if all(any(value is not None for value in column) for column in table[0]):
        frames.append(pandas_frame(*table))
    encoders = [TableEncoder.learn(frame, max_categories=limit) for frame in frames]
    assert all(encoder == encoders[0] for encoder in encoders)
    encoded = [arrays(encoders[0].encode(frame, np.float64)) for frame in frames]
    assert all(each == encoded[0] for each in encoded)


@settings(max_examples=25)
@given(tables(), tables(), st.sampled_from([None, 2]))
def test_reading_by_rows_and_by_columns_gives_equal_arrays(table: Any, later: Any, limit: int | None) -> None:
    columns, kinds = table
    # The columns of the later table hold the kinds of the training table.
    values = [
        column if kind == other else [None] * len(column) for kind, column, other in zip(kinds, *later, strict=False)
    ]
    values += [[None] * len(later[0][0])] * (len(kinds) - len(values))
    for make in (polars_frame, arrow_table, pandas_frame):
        encoder = TableEncoder.learn(make(columns, kinds), max_categories=limit)
        found = []
        usual = sources.FEW_ROWS
        for few_rows in (0, 1000):
            sources.FEW_ROWS = few_rows
            try:
                found.append(arrays(encoder.encode(make(values, kinds), np.float64)))
            finally:
                sources.FEW_ROWS = usual
        assert found[0] == found[1]

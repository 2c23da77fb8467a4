import math
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmlp.callbacks._text_plot import MARKS, text_plot


def drawn(plot: str) -> list[str]:
    return textwrap.dedent(plot).strip("\n").splitlines()


def test_plot_of_one_epoch() -> None:
    assert text_plot({"a": [0.5]}, width=20, height=3) == drawn(
        """
            |
            |
        0.5 |*
            +---------------
             1
        """
    )


def test_plot_of_two_curves() -> None:
    assert text_plot({"a": [1.0, 0.5], "b": [0.75, 0.75]}, width=20, height=3) == drawn(
        """
          1 |*
            |o             o
        0.5 |              *
            +---------------
             1             2
        """
    )


def test_values_that_are_not_finite_are_gaps() -> None:
    assert text_plot({"a": [4.0, math.nan, math.inf, 1.0, 1.0]}, width=8, height=2) == drawn(
        """
        4 |*
        1 |   **
          +-----
           1   5
        """
    )


def test_1000_epochs_are_distributed_over_the_columns() -> None:
    """The mean of each of the 10 columns falls by a tenth of the range."""
    lines = text_plot({"a": list(np.linspace(11.0, 10.0, 1000))}, width=14, height=10)
    assert lines[-1].split() == ["1", "1000"]
    assert [line[4:].find("*") for line in lines[:10]] == list(range(10))


def test_a_column_shows_the_mean_of_its_epochs() -> None:
    lines = text_plot({"a": [0.0, 2.0] * 500}, width=13, height=3)
    assert lines[:3] == ["2 |         *", "  |*********", "0 |"]  # the last column is the last epoch alone


def test_a_wide_range_has_a_logarithmic_axis() -> None:
    assert text_plot({"a": [1000.0, 100.0, 10.0, 1.0]}, width=10, height=4) == drawn(
        """
        1000 |*
             | *
             |  *
           1 |   *
         log +----
              1  4
        """
    )


@pytest.mark.parametrize("values", [[-1.0, 100.0], [0.0, 100.0], [1.0, 9.9]])
def test_other_ranges_have_a_linear_axis(values: list[float]) -> None:
    assert not any("log" in line for line in text_plot({"a": values}, width=30, height=4))


def test_plot_without_finite_values() -> None:
    lines = text_plot({"a": [math.nan, math.nan]}, width=12, height=2)
    assert lines == [" |", " |", " +----------", "  1        2"]


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=40)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=len(MARKS))
    ),
    st.integers(30, 80),
    st.integers(2, 12),
    st.integers(1, 10_000),
)
def test_the_plot_has_the_requested_size(curves: list[list[float]], width: int, height: int, first_epoch: int) -> None:
    named = {str(i): curve for i, curve in enumerate(curves)}
    lines = text_plot(named, width=width, height=height, first_epoch=first_epoch)
    assert len(lines) == height + 2
    assert max(map(len, lines)) <= width
    assert "".join(lines).isascii()
    area = "".join(line.partition("|")[2] for line in lines[:height])
    assert (area.strip() != "") == any(math.isfinite(value) for curve in curves for value in curve)

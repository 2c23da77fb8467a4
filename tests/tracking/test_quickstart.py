"""The main job with MLflow installed, in the default store."""

from typing import Any

import pytest
from mlflow import MlflowClient

from skmlp import quickstart


def test_every_fit_is_in_the_default_store(mlflow_home: Any, capsys: pytest.CaptureFixture[str]) -> None:
    quickstart.main()
    assert "-m skmlp.tracking dashboard 'skmlp quickstart'" in capsys.readouterr().out
    client = MlflowClient(f"sqlite:///{mlflow_home / 'mlflow.db'}")
    found = client.get_experiment_by_name(quickstart.EXPERIMENT)
    runs = client.search_runs([found.experiment_id])
    n_candidates = 1
    for values in quickstart.GRID.values():
        n_candidates *= len(values)
    assert len(runs) == 1 + 4 * n_candidates + 1
    assert {run.info.status for run in runs} == {"FINISHED"}

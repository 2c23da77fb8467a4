"""The quickstart, as in the README but with two candidates and without MLflow."""

from functools import partial

from skmlp import quickstart


def test_quickstart_prints_candidates_score_and_curve(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "find_spec", lambda name: None)
    monkeypatch.setattr(quickstart, "GRID", {"mlp__hidden_layer_sizes": [(16,)], "mlp__alpha": [1e-4, 1.0]})
    monkeypatch.setattr(quickstart, "tune", partial(quickstart.tune, n_jobs=1))
    quickstart.main()
    printed = capsys.readouterr().out
    assert printed.count(" ± ") == 2
    accuracy = float(printed.split("accuracy ")[1].split()[0])
    assert accuracy > 0.9
    assert printed.count("*") == 60  # the loss of each epoch
    assert "pip install 'skmlp[mlflow]'" in printed

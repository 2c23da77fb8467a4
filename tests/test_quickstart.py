"""The main job, as the README runs it."""

from skmlp import quickstart


def test_quickstart_prints_table_score_and_curve(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where the default store goes
    monkeypatch.setattr(quickstart, "find_spec", lambda name: None)
    quickstart.main()
    printed = capsys.readouterr().out
    n_candidates = 1
    for values in quickstart.GRID.values():
        n_candidates *= len(values)
    assert printed.count(" ± ") == n_candidates
    accuracy = float(printed.split("accuracy ")[1].split()[0])
    assert accuracy > 0.9
    assert "epoch" in printed
    assert "What next" in printed
    assert "pip install 'skmlp[mlflow]'" in printed


def test_curve_marks_first_and_last_value():
    plot = quickstart.draw_curve([10.0, 1.0, 0.1], width=3, height=3).splitlines()
    assert plot[0] == "  10.0000 │•"
    assert plot[1] == "          │ •"
    assert plot[2] == "   0.1000 │  •"


def test_curve_of_a_constant_does_not_fail():
    assert "•••" in quickstart.draw_curve([2.0] * 3)

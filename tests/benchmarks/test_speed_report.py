"""The speed benchmark: ratios, break-even, losses, tables, and the cases."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks import run
from benchmarks.cases import CASES, OPTIONS, Case, final_loss, initial_weights, make_data, predictions, targets
from benchmarks.peers import PEERS
from benchmarks.peers.comparing import (
    break_even,
    busy_cores,
    cold_seconds,
    differing_losses,
    loss_difference,
    median_step,
    ratio,
    start_up,
)
from benchmarks.report import beginnings, digits, insert, markdown, option_costs, overview, summary


def entry(
    *seconds: float, loss: Any = (1.0, 1.01, 0.99), import_seconds: float = 0.0, first: float = 0.0
) -> dict[str, Any]:
    """Trainings of two epochs each."""
    return {
        "import_seconds": import_seconds,
        "first_seconds": first,
        "memory": 2_000_000,
        "seconds": list(seconds),
        "others": [0.1 * value for value in seconds],
        "epochs": [2] * len(seconds),
        "loss": list(loss),
    }


def row(
    name: str = "4-3-2, batch 8, adam", width: int = 3, option: str = "", **peers: dict[str, Any]
) -> dict[str, Any]:
    """Five steps per epoch, so ten per training."""
    described = {"name": name, "threads": 1, "rows": 40, "batch_size": 8, "steps_per_epoch": 5, "width": width}
    return {**described, "option": option, "epochs": 2, "peers": peers}


def result(*rows: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "Some CPU", "cores": 2, "system": "Linux", "python": "3", "blas": "b 1", "versions": {"a": "1"}}
    return {"date": "2020-01-01", "quick": False, "repeats": 3, "machine": machine, "rows": list(rows)}


def cells(lines: list[str], start: str) -> list[str]:
    """Return the cells of the only line of a table with this start."""
    (line,) = (line for line in lines if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# ------------------------------------------------------------------ one row


def test_ratio_is_the_median_over_turns():
    measured = row(skmlp=entry(1.0, 2.0, 4.0), torch=entry(4.0, 4.0, 4.0))
    assert ratio(measured, "torch", "skmlp") == 2.0
    assert ratio(row(skmlp=entry(1.0, 1.0, 9.0), torch=entry(3.0, 9.0, 9.0)), "torch", "skmlp") == pytest.approx(3.0)
    assert median_step(measured, "skmlp") == 0.2


def test_ratio_is_none_for_a_peer_that_did_not_run():
    measured = row(skmlp=entry(1.0), torch={"skipped": "no torch"})
    assert ratio(measured, "torch", "skmlp") is None
    assert ratio(measured, "jax", "skmlp") is None


def test_time_of_a_step_uses_the_epochs_that_were_done():
    early = entry(1.0, 1.0, 1.0)
    early["epochs"] = [1, 1, 1]
    assert ratio(row(skmlp=entry(1.0, 1.0, 1.0), torch=early), "torch", "skmlp") == 2.0


def test_start_up_table_has_medians_over_the_rows_and_the_maximum():
    rows = [
        row(skmlp=entry(1.0, import_seconds=seconds, first=0.5 + once), limit=entry(1.0), jax={"skipped": "no jax"})
        for seconds, once in ((2.0, 30.0), (3.0, 1.0), (2.5, 1.5))
    ]
    rows.append(row(option="dropout", skmlp=entry(1.0, import_seconds=99.0)))
    assert cells(beginnings(rows), "skmlp") == ["skmlp", "2.50", "1.50", "30.00"]
    assert len(beginnings(rows)) == 4


def test_start_up_is_import_plus_first_training_minus_an_epoch():
    measured = row(skmlp=entry(1.0, 1.0, 1.0, import_seconds=2.0, first=3.5))
    assert start_up(measured, "skmlp") == pytest.approx(2.0 + 3.5 - 0.5)
    assert cold_seconds(measured, "skmlp", 10) == pytest.approx(5.0 + 1.0)
    # A first epoch that is faster than the others is noise.
    assert start_up(row(skmlp=entry(1.0, 1.0, 1.0, import_seconds=2.0, first=0.1)), "skmlp") == 2.0


def test_both_need_the_same_time_at_break_even():
    measured = row(skmlp=entry(1.0, 1.0, 1.0, import_seconds=1.0), jax=entry(0.5, 0.5, 0.5, import_seconds=4.0))
    steps = break_even(measured, "jax")
    assert steps == pytest.approx(60.0)
    assert cold_seconds(measured, "jax", steps) == pytest.approx(cold_seconds(measured, "skmlp", steps))


@pytest.mark.parametrize(
    ("step", "start", "expected"),
    [(2.0, 0.0, math.inf), (1.0, 0.0, math.inf), (0.5, 0.0, 0.0)],
    ids=["slower", "as fast", "ahead at once"],
)
def test_break_even_is_infinite_or_zero(step, start, expected):
    measured = row(skmlp=entry(*[1.0] * 3, import_seconds=1.0), jax=entry(*[step] * 3, import_seconds=start))
    assert break_even(measured, "jax") == expected


def test_busy_cores_are_weighted_by_time():
    idle, busy = entry(9.0), entry(1.0)
    idle["others"], busy["others"] = [0.0], [2.0]
    assert busy_cores(row(skmlp=idle, torch=busy)) == pytest.approx(0.2)
    assert math.isnan(busy_cores(row(skmlp={"skipped": "broken"})))


# ------------------------------------------------------------------ losses


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 1.01, 0.99], [1.0, 1.01, 0.99], None),
        ([1.1, 1.11, 1.09], [1.0, 1.01, 0.99], 0.1),
        ([0.9, 0.91, 0.89], [1.0, 1.01, 0.99], -0.1),
        ([1.01, 1.01, 1.01], [1.0, 1.0, 1.0], None),  # many standard errors and only 1 %
        ([1.5, 1.0, 0.8], [1.0, 1.2, 0.7], None),  # 14 % and only a fraction of a standard error
        ([2.0, 2.0], [1.0, 1.0], None),  # two seeds are too few
    ],
    ids=["equal", "above", "below", "small", "noise", "two seeds"],
)
def test_loss_difference_is_reported_if_large_and_significant(ours, theirs, expected):
    assert loss_difference(ours, theirs) == (None if expected is None else pytest.approx(expected))


def test_losses_are_compared_on_the_same_input():
    high = entry(1.0, 1.0, 1.0, loss=(2.0, 2.01, 1.99))
    low = entry(1.0, 1.0, 1.0)
    measured = row(**{"skmlp": low, "skmlp-frame": high, "sklearn-frame": high, "torch": high})
    assert dict(differing_losses(measured)) == {"torch": pytest.approx(-0.5)}


# ------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1234.5, "1,234"), (12.345, "12.3"), (0.012345, "0.0123"), (1.0, "1.00"), (0, "0"), (None, "-"), (math.inf, "-")],
    ids=str,
)
def test_digits_has_three_significant_digits(value, expected):
    assert digits(value) == expected


def test_summary_has_mean_minimum_and_counts_by_width():
    first = row("first", 128, skmlp=entry(1.0, 1.0, 1.0), torch=entry(4.0, 4.0, 4.0))
    second = row("second", 128, skmlp=entry(2.0, 2.0, 2.0), torch=entry(1.0, 1.0, 1.0))
    wide = row("wide", 256, skmlp=entry(1.0, 1.0, 1.0), torch=entry(3.0, 3.0, 3.0))
    option = row("not counted", 128, "dropout", skmlp=entry(1.0, 1.0, 1.0), torch=entry(9.0, 9.0, 9.0))
    lines = summary([first, second, wide, option])
    narrow = cells(lines, "1 | up to 128 wide")
    assert narrow[2:8] == ["skmlp", "torch", "1.41", "0.500", "second", "1 of 2"]
    assert narrow[-1] == "0 steps"
    assert cells(lines, "1 | 256 and wider")[4:] == ["3.00", "3.00", "wide", "0 of 1", "3.00", "never"]


def test_frames_are_compared_with_each_other_only():
    fast, slow = entry(1.0, 1.0, 1.0), entry(2.0, 2.0, 2.0)
    measured = row(**{"skmlp": fast, "skmlp-numpy": fast, "skmlp-frame": slow, "sklearn-frame": slow, "limit": fast})
    ours_and_peers = [line.split(" | ")[2:5] for line in summary([measured]) if line.startswith("| 1 |")]
    assert ours_and_peers == [["skmlp", "skmlp-numpy", "1.00"], ["skmlp-frame", "sklearn-frame", "1.00"]]


def test_overview_has_multiples_of_our_step():
    half, one, two = entry(0.5, 0.5, 0.5), entry(1.0, 1.0, 1.0), entry(2.0, 2.0, 2.0)
    lines = overview([row(skmlp=one, torch=two, limit=half, jax={"skipped": "no jax"})])
    assert "torch" in lines[0]
    assert "jax" not in lines[0]
    # 10 steps per second of 8 rows each, twice the time of the products.
    assert cells(lines, "4-3-2")[1:] == ["100,000", "80.0", "2.00", "2.00"]


def test_option_cost_is_relative_to_the_same_peer_without_it():
    measured = row(option="dropout", **{"skmlp": entry(1.5, 1.5, 1.5), "skmlp plain": entry(1.0, 1.0, 1.0)})
    assert cells(option_costs([measured]), "4-3-2")[1:] == ["skmlp", "100,000", "150,000", "+50.0%"]


def test_full_report_has_the_reasons_of_skipped_peers():
    measured = row(skmlp=entry(1.0, 1.0, 1.0), jax={"skipped": "No module named 'jax'"})
    stored = result(measured)
    assert "No module named 'jax'" in markdown(stored, in_full=True)
    assert "No module named 'jax'" not in markdown(stored, in_full=False)
    assert "Some CPU, 2 cores" in markdown(stored, in_full=False)
    assert "other work kept 0.1 cores busy" in markdown(stored, in_full=False)


def test_insert_replaces_the_text_between_the_markers():
    page = "before\n<!-- speed:begin -->\nold\n<!-- speed:end -->\nafter\n"
    replaced = insert(page, "speed", "new\n")
    assert replaced == "before\n<!-- speed:begin -->\nnew\n<!-- speed:end -->\nafter\n"
    assert insert(replaced, "speed", "new") == replaced


@pytest.mark.parametrize("order", [[], ["begin"], ["end"], ["end", "begin"], ["begin", "begin", "end"]], ids=str)
def test_insert_needs_one_pair_of_markers(order):
    with pytest.raises(ValueError, match="one line"):
        insert("\n".join(f"<!-- speed:{which} -->" for which in order), "speed", "new")


# ------------------------------------------------------------------ cases


def test_cases_have_equal_batches_and_unique_names():
    assert [case.name for case in CASES if case.n_samples != case.n_batches * case.batch_size] == []
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.option for case in CASES} == {"", *OPTIONS}


def test_every_case_with_an_option_also_exists_without():
    assert {case._replace(option="") for case in CASES if case.option} <= set(CASES)


def test_peers_train_only_cases_whose_options_they_support():
    for case in CASES:
        trained_by = {name for name, peer in PEERS.items() if peer.trains(case)}
        assert {"skmlp", "skmlp-numpy"} <= trained_by
        assert ("limit" in trained_by) == (case.option == "")
        assert ("torch" in trained_by) == (case.option in ("", "dropout", "batch normalization"))
        assert ("sklearn-frame" in trained_by) == (case.solver == "adam" and not case.option)


KINDS = {
    "regression": Case(5, (4,), 1, 8, 16, 1, regression=True),
    "several outputs": Case(5, (4,), 3, 8, 16, 1, regression=True),
    "two classes": Case(5, (4,), 2, 8, 16, 1),
    "several classes": Case(5, (4,), 3, 8, 16, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_zeros_is_that_of_a_constant_prediction(kind):
    case = KINDS[kind]
    data = make_data(case)
    predicted = predictions(case, np.zeros((16, case.sizes[-1]), np.float32))
    columns = data.y.reshape(16, -1).astype(float)
    expected = 0.5 * (columns**2).sum() / 16 if case.regression else math.log(case.n_outputs)
    assert final_loss(case, data.y, predicted) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_the_targets_is_zero(kind):
    case = KINDS[kind]
    wanted = targets(case, make_data(case).y)
    raw = wanted if case.regression else 100.0 * (2.0 * wanted - 1.0)
    assert final_loss(case, make_data(case).y, predictions(case, raw)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("form", ["float32", "float64", "frame"])
def test_all_forms_have_the_same_values(form):
    case = KINDS["several outputs"]
    data = make_data(case, form)
    wanted = make_data(case)
    assert np.asarray(data.X).dtype == (np.float32 if form == "float32" else np.float64)
    np.testing.assert_array_equal(np.asarray(data.X, np.float32), wanted.X)
    np.testing.assert_array_equal(data.y.astype(np.float32), wanted.y)


def test_initial_weights_have_the_shapes_and_bounds_of_glorot_uniform():
    case = Case(30, (100,), 2, 8, 16, 1)
    (W_1, b_1), (W_2, b_2) = initial_weights(case, 0)
    assert (W_1.shape, b_1.shape, W_2.shape, b_2.shape) == ((30, 100), (100,), (100, 1), (1,))
    bound = math.sqrt(6.0 / 130.0)
    assert 0.98 * bound < np.abs(W_1).max() <= bound
    assert {array.dtype for array in (W_1, b_1, W_2, b_2)} == {np.dtype(np.float32)}
    assert (initial_weights(case, 1)[0][0] != W_1).any()


def test_full_name_selects_one_case_and_a_part_all_that_contain_it():
    name = "64-100-10, batch 200, adam"
    assert [case.name for case in run.chosen([name])] == [name]
    assert [case.name for case in run.chosen(["200, adam, d", "8-16-1 regression, full"])] == [
        "8-16-1 regression, full batch, adam",
        f"{name}, dropout",
    ]
    assert run.chosen([""]) == list(run.CASES)

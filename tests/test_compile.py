"""The command that compiles ahead."""

import errno

import pytest

from skmlp import compile as ahead
from skmlp import compiled

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import files, loader
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import NUMERIC_EMBEDDINGS
from skmlp.nn.losses import LOSSES
from skmlp.optim.solvers import SOLVERS
from skmlp.training.compiled_solver import has_kernels


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "auto")  # the command changes it


def test_the_functions_are_the_steps_and_those_of_everything_with_a_name():
    names = [entry.name for entry in ahead.functions("float32")]
    assert len(set(ahead.functions("float32"))) == len(names)
    assert names.count("activation_forward") == len({activation.kernel for activation in ACTIVATIONS.values()})
    assert names.count("parametric_activation_forward") == 2
    assert {f"{kind.__module__.rpartition('.')[2]}_forward" for kind in NUMERIC_EMBEDDINGS.values()} <= set(names)
    assert {type(loss).__name__ for loss in LOSSES.values()} <= set(names)
    assert {solver.__name__ for solver in SOLVERS.values() if has_kernels(solver())} <= set(names)
    assert {"columns_forward", "categories_forward", "scale_backward", "parallel_forward"} <= set(names)
    assert {"steps", "dense_forward", "dropout_backward", "layer_normalization_forward", "residual_forward"} <= set(
        names
    )


def test_functions_of_both_dtypes_are_made_ready_and_counted(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(loader, "addresses", asked.append)
    monkeypatch.setattr(loader, "n_missing", lambda entries: 3)
    monkeypatch.setattr(ahead, "perf_counter", iter((1.0, 3.5, 4.0, 4.25)).__next__)
    ahead.main([])
    n = len(ahead.functions("float32"))
    folder = files.folder()
    assert capsys.readouterr().out == (
        f"float32: 3 of {n} functions compiled in 2.5 s, kept in {folder}\n"
        f"float64: 3 of {n} functions compiled in 0.2 s, kept in {folder}\n"
    )
    assert [{entry.dtype for entry in entries} for entries in asked] == [{"float32"}, {"float64"}]


def test_a_folder_that_cannot_be_written_to_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(loader, "addresses", lambda entries: None)
    monkeypatch.setattr(files, "folder", lambda: None)
    ahead.main(["float32"])
    assert capsys.readouterr().out.endswith("kept in no folder: none can be written to\n")


def test_other_dtypes_are_refused(capsys):
    with pytest.raises(SystemExit):
        ahead.main(["float32", "float16"])
    assert "a dtype must be one of float32, float64; got float16" in capsys.readouterr().err


def assert_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        ahead.main([])
    assert refused.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_without_numba_the_error_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "_has_numba", lambda: False)
    assert "pip install 'skmlp[fast]'" in assert_refused(capsys)


def test_a_failure_ends_the_command_with_its_reason(monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loader, "addresses", fail)
    error = assert_refused(capsys)
    assert "No space left on device" in error
    assert "set NUMBA_CACHE_DIR" in error

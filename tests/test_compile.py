"""The command that compiles ahead."""

import errno
from collections import Counter
from types import SimpleNamespace

import pytest

from skmlp import compile as ahead
from skmlp import compiled

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import steps
from skmlp.training.compiled_steps import CompiledEngine


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "auto")  # the command changes it


def test_it_makes_each_dtype_ready_and_says_where_the_code_is(capsys):
    ahead.main([])
    for dtype, line in zip(("float32", "float64"), capsys.readouterr().out.splitlines(), strict=True):
        assert line.startswith(f"{dtype}: ")
        assert line.endswith(f" s, kept in {steps.take_steps.stats.cache_path}")
        assert any(f"array({dtype}" in str(signature) for signature in steps.take_steps.signatures)


@pytest.mark.parametrize(("misses", "done"), [(1, "compiled"), (0, "loaded")])
@pytest.mark.parametrize(("folder", "kept"), [("here", "here"), (None, "no folder: none can be written to")])
def test_it_tells_compiled_from_loaded_and_kept_from_lost(misses, done, folder, kept, monkeypatch):
    stats = SimpleNamespace(cache_misses=Counter(earlier=3), cache_path=folder)
    monkeypatch.setattr(steps, "take_steps", SimpleNamespace(stats=stats))

    class Network:
        def __init__(self, **params):
            assert params["dtype"] == "float32"

        def fit(self, X, y):
            stats.cache_misses["now"] += misses

    monkeypatch.setattr(ahead, "MLPRegressor", Network)
    monkeypatch.setattr(ahead, "perf_counter", iter((1.0, 3.5)).__next__)
    assert ahead.make_ready("float32") == f"float32: {done} in 2.5 s, kept in {kept}"


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


def test_without_numba_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "_has_numba", lambda: False)
    assert "pip install 'skmlp[fast]'" in assert_refused(capsys)


def test_it_says_what_fails_and_ends_with_an_error(monkeypatch, capsys):
    from skmlp.training import compiled_steps

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compiled_steps, "_ready_dtypes", set())
    monkeypatch.setattr(CompiledEngine, "_take", fail)
    error = assert_refused(capsys)
    assert "No space left on device" in error
    assert "set NUMBA_CACHE_DIR" in error

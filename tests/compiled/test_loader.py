"""Machine code: compiled once, kept on disk, found by the next process, and never trusted when damaged."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import files, loader
from skmlp.compiled.entries import Entry
from skmlp.compiled.kernels import kernel_of
from skmlp.compiled.program import address
from skmlp.nn.activations import ACTIVATIONS, Tanh
from skmlp.nn.layers import ActivationLayer


def loss_of(factor):
    """Return a loss of one target that no other test compiles."""

    def loss(y, raw, settings):
        return (raw - y) * type(raw)(factor), type(raw)(factor)

    return Entry("test_loss", "loss_of_targets", (loss,), (False, 0), "float64")


def value(place):
    """Call a compiled loss by its address on one row: y = 1, raw = 3."""
    y, raw, delta, weights = np.array([[1.0]]), np.array([[3.0]]), np.zeros((1, 1)), np.ones(1)
    table = np.array([(address(array), -1, 1) for array in (y, raw, delta)])
    result, numbers = np.zeros(2), [ctypes.c_int64] * 2
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5, ctypes.c_double, *numbers)(place)
    call(address(result), address(result) + 8, address(table), 0, address(weights), 1.0, 0, 1)
    return result[0]


@pytest.fixture
def fresh(monkeypatch):
    """Return a function that forgets what this process has loaded."""
    monkeypatch.setattr(loader, "_loaded", {})
    return lambda: loader._loaded.clear()


@pytest.fixture
def compilations(monkeypatch):
    """The entries that are compiled."""
    compiled, compile_ = [], loader._compile
    monkeypatch.setattr(loader, "_compile", lambda entry: compiled.append(entry) or compile_(entry))
    return compiled


def test_a_function_is_compiled_once_and_then_found_in_memory_and_on_disk(cache_folder, fresh, compilations, caplog):
    entry = loss_of(2.0)
    assert loader.n_missing([entry]) == 1
    (first,) = loader.addresses([entry])
    (message,) = caplog.messages
    assert message.startswith("Compiling 1 of the functions of the training steps")
    assert message.endswith(f"Later processes find them in {cache_folder}.")
    assert loader.addresses([entry, entry]) == [first, first]
    fresh()
    (second,) = loader.addresses([entry])
    assert len(compilations) == len(caplog.messages) == 1
    assert value(first) == value(second) == 4.0


def test_functions_that_are_written_differently_are_different(cache_folder, fresh, compilations):
    two, three = loader.addresses([loss_of(2.0), loss_of(3.0)])
    assert len(compilations) == len(list(cache_folder.iterdir())) == 2
    assert (value(two), value(three)) == (4.0, 6.0)


@pytest.mark.parametrize("damage", [b"", b"no code", None], ids=["empty", "other content", "cut off"])
def test_a_damaged_file_is_compiled_again_and_replaced(cache_folder, fresh, compilations, damage):
    entry = loss_of(2.0)
    loader.addresses([entry])
    (file,) = cache_folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage is None else damage)
    fresh()
    assert value(*loader.addresses([entry])) == 4.0
    assert len(compilations) == 2
    assert files.read(file.name) is not None


def test_without_a_folder_to_write_to_functions_are_compiled_in_each_process(monkeypatch, fresh, compilations, caplog):
    monkeypatch.setattr(files, "folder", lambda: None)
    entry = loss_of(2.0)
    for _ in range(2):
        assert value(*loader.addresses([entry])) == 4.0
        fresh()
    assert len(compilations) == 2
    assert "set NUMBA_CACHE_DIR to one" in caplog.messages[0]


def test_a_kernel_that_needs_numba_at_run_time_is_refused_rather_than_ending_the_process(cache_folder, fresh):
    def loss(y, raw, settings):
        return np.zeros(3)[0] * raw, raw  # an array of its own

    entry = Entry("test_loss", "loss_of_targets", (loss,), (False, 0), "float64")
    with pytest.raises(TypeError, match=r"The kernel of .*loss needs NRT_.*, which only numba has"):
        loader.addresses([entry])
    assert not list(cache_folder.iterdir())


PROCESS = """
import hashlib, sys, warnings
import numpy as np
from skmlp import MLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(100, 5))
model = MLPRegressor(hidden_layer_sizes=(7,), dtype="float64", max_iter=3, random_state=0).fit(X, X[:, 0])
print(model.engine_, hashlib.sha256(model.coefs_[0].tobytes()).hexdigest(), "numba" in sys.modules)
"""


def test_the_process_that_compiles_has_the_bits_of_later_ones_which_need_no_numba(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "SKMLP_COMPILED": "1"}
    lines = [
        subprocess.run(
            [sys.executable, "-c", PROCESS], check=True, env=environment, capture_output=True, text=True
        ).stdout.split()
        for _ in range(2)
    ]
    (engine, first, had_numba), (_, second, has_numba) = lines
    assert engine == "compiled"
    assert first == second
    assert (had_numba, has_numba) == ("True", "False")


class OwnTanh(Tanh):
    def forward(self, z, out):
        np.tanh(0.5 * z, out=out)


class Renamed(Tanh):
    pass


def test_a_subclass_has_the_kernel_of_its_base_unless_it_computes_something_else():
    methods = ("forward", "derivative")
    assert kernel_of(Renamed(), "kernel", methods) is Tanh.kernel
    assert kernel_of(OwnTanh(), "kernel", methods) is None
    assert ActivationLayer(3, OwnTanh()).kernels() is None


def test_layers_with_one_activation_share_its_function():
    first, second = (ActivationLayer(n, ACTIVATIONS["tanh"]).kernels().forward for n in (3, 4))
    assert first is second
    assert first is not ActivationLayer(3, ACTIVATIONS["relu"]).kernels().forward

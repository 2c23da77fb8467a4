"""What all tests share: reproducible examples, the number of workers, an array that watches for float64 numbers."""

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import hypothesis
import numpy as np
import pytest

# The same examples on every run and machine, without a time limit: a failure is a change of the code.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None)
hypothesis.settings.load_profile("reproducible")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of the tracking, which take longest."""
    items.sort(key=lambda item: "tracking" not in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together, and all of the tracking, which share servers and other processes."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "tracking" if "/tracking/" in file else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    """Compile the steps before there are workers, each of which would do it by itself; later it is on disk."""
    has_workers = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if has_workers and os.environ.get("SKMLP_COMPILED") != "0" and find_spec("numba"):
        commands = [[sys.executable, "-m", "skmlp.compile", dtype] for dtype in ("float32", "float64")]
        for process in [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]:
            process.wait()


class WatchedArray(np.ndarray):
    """An array that refuses every operation in which a NumPy scalar or array of a wider type takes part.

    NumPy computes ``float32_array * np.float64(2)`` in float64, several times slower, even when the result is
    written to a float32 array. A Python float does not do that.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for value in inputs:
            if isinstance(value, np.ndarray | np.generic) and value.dtype not in (np.float32, np.bool_):
                raise AssertionError(f"{ufunc.__name__} mixes {value.dtype} ({type(value).__name__}) with float32")
        for name in ("out", "where"):
            if name in kwargs:
                kwargs[name] = _plain(kwargs[name])
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **kwargs)
        return result.view(WatchedArray) if isinstance(result, np.ndarray) else result


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value.view(np.ndarray) if isinstance(value, WatchedArray) else value


@pytest.fixture
def watched() -> Any:
    """Turn a float32 array into one that refuses to be mixed with float64 numbers."""
    return lambda array: np.array(array, dtype=np.float32).view(WatchedArray)

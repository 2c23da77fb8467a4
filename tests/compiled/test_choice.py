"""Who decides whether training can use compiled steps, and what becomes of it when numba fails."""

import os
import subprocess
import sys

import numpy as np
import pytest

from skmlp import compiled


@pytest.fixture(params=[True, False], ids=["numba", "no numba"])
def has_numba(request, monkeypatch):
    monkeypatch.setattr(compiled, "_has_numba", lambda: request.param)
    return request.param


def test_by_default_they_are_used_when_numba_is_there(has_numba, monkeypatch):
    expected = "" if has_numba else "numba is not installed"
    monkeypatch.delenv("SKMLP_COMPILED", raising=False)
    assert compiled.why_not() == expected
    monkeypatch.setenv("SKMLP_COMPILED", "auto")
    assert compiled.why_not() == expected


def test_never_with_0(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    assert compiled.why_not() == "SKMLP_COMPILED=0"


def test_1_insists(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    if has_numba:
        assert compiled.why_not() == ""
    else:
        with pytest.raises(ImportError, match=r"SKMLP_COMPILED=1 needs numba: pip install 'skmlp\[fast\]'"):
            compiled.why_not()


def test_other_values_are_refused(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "yes")
    with pytest.raises(ValueError, match=r"must be 'auto', '0' or '1'. Got 'yes' instead"):
        compiled.why_not()


BROKEN = """
import os, sys, warnings
import numpy as np
from skmlp import MLPRegressor, compiled
from skmlp.training import engine_choice

if "NUMBA_DISABLE_JIT" not in os.environ:
    sys.modules["numba"] = None
compiled._has_numba = lambda: True
engine_choice.LOADING = 0.0  # every training is long enough
X = np.eye(20)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        model = MLPRegressor(max_iter=1).fit(X, X[:, 0])
print(*(str(each.message) for each in caught if each.category is RuntimeWarning), sep="\\n")
print(model.engine_)
os.environ["SKMLP_COMPILED"] = "1"
try:
    MLPRegressor(max_iter=1).fit(X, X[:, 0])
except RuntimeError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("environment", "cause"),
    [
        ({}, "ModuleNotFoundError: import of numba halted; None in sys.modules"),
        ({"NUMBA_DISABLE_JIT": "1"}, "ImportError: NUMBA_DISABLE_JIT is set"),
    ],
    ids=["import fails", "switched off"],
)
def test_a_numba_that_does_not_work_is_done_without_after_one_warning_or_refused(environment, cause):
    if environment:
        pytest.importorskip("numba", reason="compiled steps need numba")
    environment = {**os.environ, "SKMLP_COMPILED": "auto", **environment}
    run = subprocess.run([sys.executable, "-c", BROKEN], check=True, env=environment, capture_output=True, text=True)
    warning, engine, refused = run.stdout.splitlines()
    assert warning.startswith("Training uses NumPy in this process")
    assert engine.startswith("numpy: the compiled steps cannot be loaded")
    assert refused.startswith("The compiled steps cannot be loaded")
    assert all(cause in each for each in (warning, engine, refused))


UPDATE = """
import numpy as np
from skmlp.compiled.jit import announced
from skmlp.compiled.solvers import PLAIN, update

arrays = [np.ones(3) for _ in range(4)]
with announced(update, "float64"):
    update(PLAIN, np.zeros(4), 1, 0.25, *arrays)
assert (arrays[0] == 0.75).all()
print(sum(update.stats.cache_hits.values()), sum(update.stats.cache_misses.values()))
"""


def test_what_a_process_compiled_the_next_one_finds_on_disk(tmp_path):
    pytest.importorskip("numba", reason="compiled steps need numba")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = "Compiling the training steps for float64, which takes half a minute or so. Later processes find them in "
    for counts, message in (("0 1", said), ("1 0", "")):
        run = subprocess.run(
            [sys.executable, "-c", UPDATE], check=True, env=environment, capture_output=True, text=True
        )
        assert run.stdout.strip() == counts
        assert run.stderr.partition(str(tmp_path))[0] == message


def double_on_disk():
    from skmlp.compiled.jit import as_written

    def double(x):
        return x + x

    compiled = as_written(double)
    assert compiled(2.0) == 4.0
    return compiled.stats


@pytest.mark.parametrize("ending", ["nbi", "nbc"], ids=["the index", "the code"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"no pickle"], ids=["empty", "cut off", "something else"])
def test_a_damaged_file_on_disk_is_compiled_again_and_replaced(tmp_path, monkeypatch, ending, content):
    numba = pytest.importorskip("numba", reason="compiled steps need numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    double_on_disk()
    (file,) = tmp_path.rglob(f"*.{ending}")
    file.write_bytes(content)
    assert sum(double_on_disk().cache_misses.values()) == 1
    assert sum(double_on_disk().cache_hits.values()) == 1


def entry_on_disk():
    from skmlp.compiled.jit import entry

    def total(numbers):
        return numbers.sum()

    function = entry(total)
    return function, lambda: function(np.ones(3, np.float32))


def test_what_python_calls_is_compiled_by_another_process_and_loaded_from_disk(tmp_path, monkeypatch, caplog):
    """Code from disk may round in another way than code that the process itself has just compiled."""
    numba = pytest.importorskip("numba", reason="compiled steps need numba")
    from skmlp.compiled import jit

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    asked = []

    def other_process(dtype):
        asked.append(dtype)
        monkeypatch.setattr(compiled, "compiles_here", True)
        entry_on_disk()[1]()

    monkeypatch.setattr(jit, "_compile_in_another_process", other_process)
    function, call = entry_on_disk()
    assert call() == 3.0
    assert asked == ["float32"]
    assert (sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values())) == (1, 0)
    (message,) = caplog.messages
    assert message.startswith("Compiling the training steps for float32")


def test_where_the_other_process_fails_this_one_compiles(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba", reason="compiled steps need numba")
    from skmlp.compiled import jit

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit.sys, "executable", str(tmp_path / "no_python"))
    function, call = entry_on_disk()
    assert call() == 3.0
    assert sum(function.stats.cache_misses.values()) == 1


def test_the_other_process_compiles_with_the_search_path_of_this_one(monkeypatch):
    pytest.importorskip("numba", reason="compiled steps need numba")
    from skmlp.compiled import jit

    ended, run = [], subprocess.run
    monkeypatch.setattr(jit.subprocess, "run", lambda *args, **options: ended.append(run(*args, **options)))
    monkeypatch.setattr(sys, "path", [*sys.path, "a folder of this process"])
    jit._compile_in_another_process("float32")
    assert ended[0].returncode == 0
    assert "a folder of this process" in ended[0].args[-2]


def test_without_a_folder_to_keep_it_in_a_function_is_compiled_all_the_same(caplog):
    pytest.importorskip("numba", reason="compiled steps need numba")
    from skmlp.compiled.jit import announced, exact

    namespace = {}
    exec("def twice(x):\n    return x + x\ndef same(x):\n    return x", namespace)  # no file beside which to keep them
    twice, same = exact(namespace["twice"]), exact(namespace["same"])
    with announced(twice, "float32"):
        assert same(2.0) == 2.0
        assert not caplog.messages
        assert [twice(2.0), twice(3.0)] == [4.0, 6.0]
    (message,) = caplog.messages
    assert message.startswith("Compiling the training steps for float32")
    assert "set NUMBA_CACHE_DIR" in message


TRAININGS = """
import sys, warnings
import numpy as np
from skmlp import MLPClassifier, MLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(150, 4))
MLPClassifier(max_iter=200).fit(X, X[:, 0] > 0.0)
MLPRegressor().partial_fit(X, X[:, 0])
MLPRegressor(hidden_layer_sizes=1000, batch_size=10, solver="lbfgs", max_iter=2).fit(X, X[:, 0])
print("numba" in sys.modules)
"""


def test_short_trainings_do_not_import_numba():
    environment = {**os.environ, "SKMLP_COMPILED": "auto"}
    run = subprocess.run([sys.executable, "-c", TRAININGS], check=True, env=environment, capture_output=True, text=True)
    assert run.stdout == "False\n"

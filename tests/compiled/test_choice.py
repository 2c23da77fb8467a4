"""Who decides whether training uses compiled steps."""

import os
import subprocess
import sys

import pytest

from skmlp import compiled


@pytest.fixture(params=[True, False], ids=["numba", "no numba"])
def has_numba(request, monkeypatch):
    monkeypatch.setattr(compiled, "_has_numba", lambda: request.param)
    return request.param


def test_by_default_they_are_used_when_numba_is_there(has_numba, monkeypatch):
    monkeypatch.delenv("SKMLP_COMPILED", raising=False)
    assert compiled.is_wanted() is has_numba
    monkeypatch.setenv("SKMLP_COMPILED", "auto")
    assert compiled.is_wanted() is has_numba


def test_never_with_0(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    assert compiled.is_wanted() is False


def test_1_insists(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    if has_numba:
        assert compiled.is_wanted() is True
    else:
        with pytest.raises(ImportError, match=r"SKMLP_COMPILED=1 needs numba: pip install 'skmlp\[fast\]'"):
            compiled.is_wanted()


def test_other_values_are_refused(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "yes")
    with pytest.raises(ValueError, match=r"must be 'auto', '0' or '1'. Got 'yes' instead"):
        compiled.is_wanted()


BROKEN = """
import os, sys, warnings
import numpy as np
from skmlp import MLPRegressor, compiled

sys.modules["numba"] = None
compiled._has_numba = lambda: True
X = np.eye(20)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        MLPRegressor(max_iter=1).fit(X, X[:, 0])
print(*(str(each.message) for each in caught if each.category is RuntimeWarning), sep="\\n")
os.environ["SKMLP_COMPILED"] = "1"
compiled._left_out = False
try:
    MLPRegressor(max_iter=1).fit(X, X[:, 0])
except ImportError:
    print("refused")
"""


def test_a_numba_that_cannot_be_imported_is_done_without_or_refused():
    environment = {**os.environ, "SKMLP_COMPILED": "auto"}
    run = subprocess.run([sys.executable, "-c", BROKEN], check=True, env=environment, capture_output=True, text=True)
    warning, refused = run.stdout.splitlines()
    assert warning.startswith("Training runs without compiled steps, because numba is installed but cannot be imported")
    assert refused == "refused"


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


def test_numba_is_imported_by_the_first_training_that_uses_it():
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import numpy as np; from skmlp import MLPRegressor\n"
        "assert 'numba' not in sys.modules\n"
        "MLPRegressor(max_iter=1).fit(np.eye(20), np.arange(20.0))\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "SKMLP_COMPILED": "0"})

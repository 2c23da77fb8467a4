"""The choice between compiled steps and NumPy by the environment, and what happens if numba fails."""

import os
import subprocess
import sys

import pytest

from skmlp import compiled


@pytest.fixture(params=[True, False], ids=["numba", "no numba"])
def has_numba(request, monkeypatch):
    monkeypatch.setattr(compiled, "_has_numba", lambda: request.param)
    return request.param


def test_by_default_compiled_steps_are_used_if_numba_is_installed(has_numba, monkeypatch):
    expected = "" if has_numba else "numba is not installed"
    monkeypatch.delenv("SKMLP_COMPILED", raising=False)
    assert compiled.why_not() == expected
    monkeypatch.setenv("SKMLP_COMPILED", "auto")
    assert compiled.why_not() == expected


def test_0_disables_compiled_steps(has_numba, monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    assert compiled.why_not() == "SKMLP_COMPILED=0"


def test_1_requires_numba(has_numba, monkeypatch):
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
engine_choice.WORTH_COMPILING = 0.0  # every training is long enough
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
def test_with_a_numba_that_fails_training_uses_numpy_after_one_warning_unless_asked_not_to(
    tmp_path, environment, cause
):
    if environment:
        pytest.importorskip("numba", reason="compiled steps need numba")
    environment = {**os.environ, "SKMLP_COMPILED": "auto", "NUMBA_CACHE_DIR": str(tmp_path), **environment}
    run = subprocess.run([sys.executable, "-c", BROKEN], check=True, env=environment, capture_output=True, text=True)
    warning, engine, refused = run.stdout.splitlines()
    assert warning.startswith("Training uses NumPy in this process")
    assert engine.startswith("numpy: the compiled steps cannot be loaded")
    assert refused.startswith("The compiled steps cannot be loaded")
    assert all(cause in each for each in (warning, engine, refused))


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

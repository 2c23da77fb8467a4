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


def test_numba_is_imported_by_the_first_training_that_uses_it():
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import numpy as np; from skmlp import MLPRegressor\n"
        "assert 'numba' not in sys.modules\n"
        "MLPRegressor(max_iter=1).fit(np.eye(20), np.arange(20.0))\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "SKMLP_COMPILED": "0"})

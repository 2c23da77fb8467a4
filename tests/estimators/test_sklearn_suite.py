"""scikit-learn's own tests of its MLP, run against skmlp.

The test file of the installed scikit-learn is read, its import is pointed at skmlp with ``dtype="input"`` (compute in
the dtype of X, which those tests assert), and pytest runs the copy. Only tests of private attributes are excluded.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import sklearn.neural_network

PRIVATE = {
    "test_gradient": "_loss_grad_lbfgs and its scratch lists",
    "test_fit": "sets sixteen attributes by hand instead of calling fit",
    "test_learning_rate_warmstart": "_optimizer.learning_rate",
    "test_adaptive_learning_rate": "_optimizer.learning_rate",
    "test_n_iter_no_change": "_no_improvement_count",
    "test_n_iter_no_change_inf": "_no_improvement_count",
}

THEIR_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
OUR_IMPORT = """
from functools import partial

import skmlp

MLPClassifier = partial(skmlp.MLPClassifier, dtype="input")
MLPRegressor = partial(skmlp.MLPRegressor, dtype="input")
"""
CONFTEST = """
import pytest

@pytest.fixture(params=[42])
def global_random_seed(request):
    return request.param
"""


def test_scikit_learns_own_tests_pass(tmp_path):
    source = (Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py").read_text()
    assert source.count(THEIR_IMPORT) == 1
    (tmp_path / "test_theirs.py").write_text(source.replace(THEIR_IMPORT, OUR_IMPORT))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    names = [name for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE) if name not in PRIVATE]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)]
        + [f"{tmp_path / 'test_theirs.py'}::{name}" for name in names],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = run.stdout.strip().splitlines()[-1]
    assert run.returncode == 0, run.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", summary).group(1)) >= len(names)

"""What importing the package brings along."""

import subprocess
import sys


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_skmlp_imports_no_package_that_scikit_learn_does_not() -> None:
    code = """
import sys
import sklearn.base, sklearn.callback, sklearn.model_selection, sklearn.utils.validation
before = {name.partition(".")[0] for name in sys.modules}
import skmlp
after = {name.partition(".")[0] for name in sys.modules}
print(sorted(after - before), sorted(after & {"mlflow", "matplotlib", "torch", "tensorflow", "jax", "keras"}))
"""
    assert _run(code) == "['skmlp'] []"


def test_pandas_is_needed_for_frames_only() -> None:
    """scikit-learn imports pandas where it is installed; skmlp imports, fits and predicts without it."""
    code = """
import sys, warnings
sys.modules["pandas"] = None  # as if it were not installed
from skmlp import MLPRegressor
warnings.simplefilter("ignore")
X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]
print(MLPRegressor(max_iter=2).fit(X, [0.0, 1.0, 2.0]).predict(X).shape)
"""
    assert _run(code) == "(3,)"

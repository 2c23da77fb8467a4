"""What importing the package imports, and what it provides."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import skmlp
import skmlp.tracking

ROOMS = ["callbacks", "diagnosis", "estimators", "inspection", "nn", "optim", "tables", "tracking", "training"]


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_skmlp_imports_only_packages_that_scikit_learn_imports_and_subpackages_on_access() -> None:
    code = f"""
import sys
import sklearn.base, sklearn.callback, sklearn.model_selection, sklearn.utils.validation
before = {{name.partition(".")[0] for name in sys.modules}}
from skmlp import *
after = {{name.partition(".")[0] for name in sys.modules}}
added = after - before - sys.stdlib_module_names
print(sorted(added), sorted(after & {{"mlflow", "matplotlib", "numba", "torch", "tensorflow", "jax", "keras"}}))
import skmlp
print(set({ROOMS}) <= set(dir(skmlp)), all(getattr(skmlp, room).__name__ == "skmlp." + room for room in {ROOMS}))
"""
    assert _run(code).split("\n") == ["['skmlp'] []", "True True"]


def test_fit_and_predict_work_without_pandas() -> None:
    code = """
import sys, warnings
sys.modules["pandas"] = None  # as if it were not installed
from skmlp import MLPRegressor
warnings.simplefilter("ignore")
X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]
print(MLPRegressor(max_iter=2).fit(X, [0.0, 1.0, 2.0]).predict(X).shape)
"""
    assert _run(code) == "(3,)"


@pytest.mark.parametrize("package", [skmlp, skmlp.tracking], ids=lambda package: package.__name__)
def test_names_are_imported_on_access(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        value = getattr(package, name)
        assert name.startswith("__") or (value.__name__ == name and value is getattr(package, name))
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'MLPClasifier'"):
        _ = package.MLPClasifier


@pytest.mark.parametrize("package", [skmlp, skmlp.tracking], ids=lambda package: package.__name__)
def test_type_checkers_see_the_names_that_are_imported_on_access(package: ModuleType) -> None:
    """The branch under TYPE_CHECKING imports the same names, and modules with ``as``."""
    assert package.__file__ is not None
    (branch,) = (node for node in ast.parse(Path(package.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [each for node in branch.body if isinstance(node, ast.ImportFrom) for each in node.names]
    (call,) = (node for each in branch.orelse for node in ast.walk(each) if isinstance(node, ast.Call))
    modules = [ast.literal_eval(keyword.value) for keyword in call.keywords]
    assert {each.name for each in imports if not each.asname} == ast.literal_eval(call.args[1]).keys()
    assert {each.asname for each in imports if each.asname} == set(*modules)


def test_the_process_that_sends_to_mlflow_does_not_import_scikit_learn() -> None:
    """Every process of a search starts one, and importing scikit-learn takes as long as importing MLflow."""
    assert _run("import sys, skmlp.tracking.sender; print('sklearn' in sys.modules)") == "False"

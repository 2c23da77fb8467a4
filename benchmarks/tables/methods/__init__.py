"""The methods: a module for each library, a name for each way to use it.

A module has a function ``build(task, seed, cores, **options)``. It returns a model with ``fit(frame, y)``, ``predict``
and, for classification, ``predict_proba`` and ``classes_``. Frames have categories and missing values; what a library
needs done to them first is part of the model, and of its time.
"""

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

OURS = "skmlp"


class Method(NamedTuple):
    """How a library is used."""

    module: str  # in this package
    package: str  # the distribution whose version is recorded
    imports: str  # the module that is imported before anything is timed
    needs: str = ""  # an attribute that the imported module must have
    options: dict[str, Any] = {}  # arguments of build
    seeds: tuple[int, ...] | None = None  # by default; None for those of the command line
    note: str = ""

    def version(self) -> str:
        """Return the package's version; for skmlp with a digest of its source."""
        if self.package == OURS:
            return source_version()
        return importlib.metadata.version(self.package)

    def why_not(self) -> str:
        """Return why the method cannot run here; an empty string if it can."""
        if importlib.util.find_spec(self.imports) is None:
            return f"{self.imports} is not installed"
        if self.needs and not hasattr(importlib.import_module(self.imports), self.needs):
            return f"{self.imports} has no {self.needs}"
        return ""

    def build(self, task: str, seed: int, cores: int) -> Any:
        """Return the untrained model."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        return module.build(task, seed, cores, **self.options)


def source_version() -> str:
    """Return the version of skmlp and the digest of its source, which changes between versions."""
    import skmlp

    digest = hashlib.sha256()
    folder = Path(skmlp.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{skmlp.__version__}+{digest.hexdigest()[:8]}"


SKMLP = Method("ours", OURS, "skmlp", "TabularMLPClassifier")
PYTABKIT = Method(
    "tabkit",
    "pytabkit",
    "pytabkit",
    note="missing numbers are replaced by the median, with an indicator, since it refuses them",
)

METHODS = {
    "skmlp-single": SKMLP._replace(options={"n_members": 1}),
    "skmlp": SKMLP,
    "sklearn-mlp": Method(
        "perceptrons",
        "scikit-learn",
        "sklearn",
        note="median and indicator for missing numbers, standardized numbers and target, one-hot categories",
    ),
    "hgb": Method("boosting", "scikit-learn", "sklearn", options={"library": "sklearn"}),
    "lightgbm": Method("boosting", "lightgbm", "lightgbm", options={"library": "lightgbm"}),
    "catboost": Method("boosting", "catboost", "catboost", options={"library": "catboost"}),
    "realmlp-td-s": PYTABKIT._replace(options={"kind": "RealMLP_TD_S"}),
    "realmlp-td": PYTABKIT._replace(options={"kind": "RealMLP_TD"}, seeds=(0,)),
    "tabm-d": PYTABKIT._replace(options={"kind": "TabM_D"}, seeds=(0,)),
}


def find(name: str) -> Method:
    """Return a method by its name, with the parameters that follow a colon.

    Raises
    ------
    ValueError
        If there is no such method, or a parameter has no value.

    Examples
    --------
    >>> find("skmlp:n_members=4,solver=adam").options
    {'n_members': 4, 'solver': 'adam'}
    """
    base, _, rest = name.partition(":")
    if base not in METHODS:
        raise ValueError(f"There is no method {base!r}, but {', '.join(METHODS)}.")
    options = {}
    for pair in filter(None, rest.split(",")):
        key, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} in {name!r} must be a parameter and its value, such as n_members=4.")
        try:
            options[key] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            options[key] = text
    return METHODS[base]._replace(options={**METHODS[base].options, **options})

"""The estimators of skmlp for tables, which take frames as they are."""

from typing import Any


def build(task: str, seed: int, cores: int, **options: Any) -> Any:
    """Return the estimator with its defaults; the number of cores limits its process."""
    import skmlp

    kind = "TabularMLPClassifier" if task == "classification" else "TabularMLPRegressor"
    return getattr(skmlp, kind)(**{"random_state": seed, **options})

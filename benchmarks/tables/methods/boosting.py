"""Gradient boosting of scikit-learn, LightGBM and CatBoost with their defaults; they take categories and gaps."""

from typing import Any, Self

import numpy.typing as npt
import pandas as pd


def build(task: str, seed: int, cores: int, library: str, **options: Any) -> Any:
    """Return the library's classifier or regressor."""
    kind = "Classifier" if task == "classification" else "Regressor"
    if library == "catboost":
        import catboost

        quiet = {"verbose": False, "allow_writing_files": False}
        model = getattr(catboost, f"CatBoost{kind}")(random_seed=seed, thread_count=cores, **quiet, **options)
        return CategoriesAsText(model)
    if library == "lightgbm":
        import lightgbm

        return getattr(lightgbm, f"LGBM{kind}")(random_state=seed, n_jobs=cores, verbosity=-1, **options)
    from sklearn import ensemble

    boosting = getattr(ensemble, f"HistGradientBoosting{kind}")
    return boosting(categorical_features="from_dtype", random_state=seed, **options)


class CategoriesAsText:
    """CatBoost on a frame: it takes categories as text only, and a missing one as a text of its own."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, frame: pd.DataFrame, y: npt.NDArray[Any]) -> Self:
        names = list(frame.select_dtypes("category"))
        self.model.fit(as_text(frame), y, cat_features=names)
        return self

    def predict(self, frame: pd.DataFrame) -> Any:
        return self.model.predict(as_text(frame))

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        return self.model.predict_proba(as_text(frame))

    @property
    def classes_(self) -> Any:
        return self.model.classes_


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with categories as text; those that are missing are "missing"."""
    texts = {str(name): frame[name].astype(object).fillna("missing") for name in frame.select_dtypes("category")}
    return frame.assign(**texts)

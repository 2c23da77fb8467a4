"""The networks of pytabkit on the CPU, with their defaults."""

import logging
import warnings
from typing import Any, Self

import numpy.typing as npt
import pandas as pd

from benchmarks.tables.methods.preparing import MedianAndIndicator


def build(task: str, seed: int, cores: int, kind: str, **options: Any) -> Any:
    """Return the model of that kind, such as "RealMLP_TD", behind the replacement of missing numbers."""
    import pytabkit

    warnings.simplefilter("ignore")  # of lightning, on what could be faster
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    end = "Classifier" if task == "classification" else "Regressor"
    limits = {"device": "cpu", "random_state": seed, "n_threads": cores}
    return Prepared(getattr(pytabkit, f"{kind}_{end}")(**{**limits, **options}))


class Prepared:
    """A model on frames whose missing numbers are replaced first."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, frame: pd.DataFrame, y: npt.NDArray[Any]) -> Self:
        self.gaps = MedianAndIndicator().fit(frame)
        self.model.fit(self.gaps.transform(frame), y)
        return self

    def predict(self, frame: pd.DataFrame) -> Any:
        return self.model.predict(self.gaps.transform(frame))

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        return self.model.predict_proba(self.gaps.transform(frame))

    @property
    def classes_(self) -> Any:
        return self.model.classes_
